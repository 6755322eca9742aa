from dataclasses import fields
from pathlib import Path

import pytest

from service.agents.folder import Script, files_of, hash_of, read_folder
from service.agents.library import SHIPPED
from service.conversation.call import Deadlines
from tests.agents.folders import TOOL, mistakes_of, written


def test_an_agent_is_two_files() -> None:
    """And what ships is read without a mistake."""
    folder = read_folder(SHIPPED / "receptionist")
    assert folder.name == "receptionist"
    assert folder.tools
    assert folder.knowledge is not None


def test_everything_but_the_two_files_may_be_left_out(tmp_path: Path) -> None:
    folder = read_folder(written(tmp_path / "a"))
    assert (folder.script, folder.prompt, folder.tools) == (Script(), "You answer calls.", ())
    assert (folder.before_call, folder.after_call, folder.knowledge, folder.rescue) == (None, None, None, None)
    assert folder.hash == hash_of(folder.path) != ""


async def test_pages_of_knowledge_are_found(tmp_path: Path) -> None:
    folder = read_folder(written(tmp_path / "a", knowledge__hours_md="# Hours\n\nWe are open from nine to five."))
    assert folder.knowledge is not None
    assert [hit.passage.id for hit in await folder.knowledge.search("when are you open")] == ["hours.md#hours"]
    await folder.knowledge.close()


def test_missing_files_are_told(tmp_path: Path) -> None:
    assert mistakes_of(tmp_path) == [
        "agent.toml: the file is missing (every agent has one; it may be empty)",
        "prompt.md: the file is missing (every agent has one; it may be empty)",
    ]


@pytest.mark.parametrize(
    ("files", "mistake"),
    [
        pytest.param({"prompt_md": "a\nb\xe9".encode("latin-1")}, "prompt.md:2: this is not UTF-8", id="latin-1"),
        pytest.param({"prompt_md": "a" * 100_001}, "prompt.md: it has more than 100000 characters", id="long"),
        pytest.param({"prompt_md": "Hi,\nthis is {{firm}}."}, "prompt.md:2: {{firm}} has no default", id="no-default"),
        pytest.param({"prompt_md": "Hi,\nthis is {{firm."}, "prompt.md:2: a placeholder is not closed", id="unclosed"),
        pytest.param({"agent_toml": "\ngreeting = 'I am {{x}}'"}, "agent.toml:2: {{x}} has no default", id="greeting"),
        pytest.param(
            {"agent_toml": "[greetings]\nde = 'Ich bin {{x}}'"}, "agent.toml:2: {{x}} has no default", id="greetings"
        ),
        pytest.param(
            {"agent_toml": "[rescue]\nwords = 'w'\ntransfer = 'desk'"},
            "agent.toml:3: nobody in [actions.transfer_call] numbers is called 'desk'",
            id="rescue",
        ),
        pytest.param(
            {"agent_toml": "[actions.transfer_call.numbers]\ndesk = '112'"},
            "agent.toml:1: `actions.transfer_call`",
            id="E164",
        ),
        pytest.param(
            {"agent_toml": "[lines]\nhold = ['One.', '{{x}}']"},
            "agent.toml:2: a placeholder would be read out: this line is said as it stands",
            id="line",
        ),
        pytest.param(
            {"agent_toml": "[lines.by_language.de.apologies]\na = 'b'\nRateLimited = '{{x}}'"},
            "agent.toml:3: a placeholder would be read out",
            id="apology",
        ),
        pytest.param({"knowledge": "hours"}, "knowledge: this is a file", id="knowledge-file"),
        pytest.param({"prompt_md": b"\xff" * 500_000}, "prompt.md:1: this is not UTF-8", id="recording"),
        pytest.param({"agent_toml": "greeting =", "prompt_md": "{{a}}"}, "agent.toml:1: this is not TOML", id="TOML"),
        pytest.param(
            {"agent_toml": b"[rescue]\ntransfer = 'desk'\n[actions.transfer_call]\nnumbers = { desk = '1' }"},
            "agent.toml:3: `actions.transfer_call",
            id="numbers",
        ),
        pytest.param({"knowledge__a_md": b"ok\n\xff\xfd"}, "knowledge/a.md:2: byte 0xff is not UTF-8", id="knowledge"),
        pytest.param(
            {"agent_toml": "[deadlines]\nhold_after = 0"}, "agent.toml:1: `deadlines`: deadlines are", id="zero"
        ),
        pytest.param(
            {"agent_toml": "[deadlines]\nhold_after = nan"}, "agent.toml:1: `deadlines`: deadlines are", id="nan"
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(files: dict[str, str | bytes], mistake: str, tmp_path: Path) -> None:
    (told,) = mistakes_of(written(tmp_path, **files))
    assert told.startswith(mistake)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "agent_toml": "greting = 1",
        "prompt_md": "{{a}}",
        "tools_py": "import nothing_there",
        "knowledge__a_md": b"\xff",
    }
    told = mistakes_of(written(tmp_path, **files))
    assert [mistake.partition(":")[0] for mistake in told] == ["agent.toml", "prompt.md", "tools.py", "knowledge/a.md"]


def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    (written(tmp_path) / "agent.toml").unlink()
    (tmp_path / "agent.toml").mkdir()
    assert mistakes_of(tmp_path) == ["agent.toml: it cannot be read: Is a directory"]


def test_a_file_that_vanishes_while_it_is_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone.csv"
    monkeypatch.setattr("service.agents.folder.files_of", lambda _: [gone])
    assert mistakes_of(written(tmp_path)) == ["gone.csv: it cannot be read: No such file or directory"]


def test_other_languages_take_over_what_they_leave_out(tmp_path: Path) -> None:
    toml = """
greeting = "Hello."
[greetings]
de = "Guten Tag."
[lines]
apology = "Sorry."
farewell = "Bye."
give_up = "This takes long."
offer = "A colleague?"
[lines.by_language.de]
apology = "Verzeihung."
[actions.transfer_call]
numbers = { desk = "+12075550140" }
"""
    script = read_folder(written(tmp_path, agent_toml=toml)).script
    german = script.lines.spoken_in("de-AT")
    assert (german.apology, german.farewell) == ("Verzeihung.", "Bye.")
    assert german.give_up == "This takes long. A colleague?"
    assert script.lines.spoken_in("fr").apology == "Sorry."
    assert [script.greeting_in(code) for code in ("DE", "de_AT", "fr", "")] == [
        "Guten Tag.",
        "Guten Tag.",
        "Hello.",
        "Hello.",
    ]


def test_every_deadline_can_be_set(tmp_path: Path) -> None:
    toml = "[deadlines]\n" + "\n".join(f"{field.name} = 7" for field in fields(Deadlines))
    assert read_folder(written(tmp_path, agent_toml=toml)).script.deadlines == Deadlines(7, 7, 7, 7)


def test_the_hash_changes_with_any_file_and_not_with_what_is_left_behind(tmp_path: Path) -> None:
    assert hash_of(tmp_path) == hash_of(tmp_path / "nowhere") == ""
    written(tmp_path, tools_py=TOOL)
    first = hash_of(tmp_path)
    assert len(first) == 12
    for left in ("__pycache__/a.pyc", ".git/HEAD", "knowledge/.a.md.swp", "appointments.db-wal", "a.sqlite3"):
        (tmp_path / left).parent.mkdir(exist_ok=True)
        (tmp_path / left).write_text("x")
    assert hash_of(tmp_path) == first
    assert [file.name for file in files_of(tmp_path)] == ["agent.toml", "prompt.md", "tools.py"]
    (tmp_path / "prices.csv").write_text("1")
    assert hash_of(tmp_path) != first
