"""`cuebox replay`: calls that were recorded are played again, with the agent as it is now."""

import asyncio
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner, Result

from service.app import create_app
from service.cli import main
from service.environment import read_settings
from service.recording.reading import read_recording
from service.server import running
from service.simulator.line import SimulatedLine
from service.simulator.model import StandInModel
from service.simulator.model_script import Call, Cut, HangAfterRole, Script
from service.simulator.retell import RetellCall
from service.virtual.process import Process, Refused
from tests.agents.folders import written
from tests.recording.calls import GREETING, TOOLS, Caller, bakery, one_question, recorded

Replay = Callable[..., Result]


@pytest.fixture(autouse=True)
def _fresh_logs() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    logging.basicConfig(handlers=[logging.NullHandler()], force=True)


@pytest.fixture
def agents(tmp_path: Path) -> Path:
    return bakery(tmp_path / "agents")


@pytest.fixture
def replay(agents: Path, monkeypatch: pytest.MonkeyPatch) -> Replay:
    monkeypatch.setenv("CUEBOX_AGENTS_DIR", str(agents))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def run(*words: object) -> Result:
        return CliRunner().invoke(main, ["replay", *map(str, words)])

    return run


def changes(place: Path) -> list[tuple[int, str]]:
    (call,) = json.loads(place.read_bytes())
    return [(number, change["what"]) for number, turn in enumerate(call["turns"]) for change in turn["changes"]]


async def uses_a_tool(caller: Caller) -> None:
    model: Any = caller.model
    model.scripts.append(
        Script("Nine to five.", 0.2, 0.02, calls=(Call("opening_hours", '{"day": "Monday 2"}'),), lead_in="Let me see.")
    )
    await caller.says("Are you open on Monday?")


def test_a_call_with_the_same_agent_has_not_changed(tmp_path: Path, replay: Replay) -> None:
    (file,) = recorded(tmp_path / "kept")
    result = replay(file)
    assert (result.exit_code, "nothing changed." in result.output) == (0, True)
    assert "400 → 400 ms" in result.output
    assert "When are you open, my number is 1111 one one one" in result.output


def test_help_teaches_with_examples(replay: Replay) -> None:
    result = replay("--help")
    assert (result.exit_code, "cuebox replay recordings --agent practice" in result.output) == (0, True)


def test_words_cannot_steer_the_terminal(tmp_path: Path, replay: Replay) -> None:
    async def hostile(caller: Caller) -> None:
        await caller.says("Hello\x1b]0;owned\x07 you")

    (file,) = recorded(tmp_path / "kept", hostile)
    assert "\x1b" not in replay(file).output


def test_it_takes_no_time(tmp_path: Path, replay: Replay) -> None:
    (file,) = recorded(tmp_path / "kept")
    began_at = time.monotonic()
    replay(file)
    assert time.monotonic() - began_at < 10  # the call took 85 s


async def talk(place: Path, agents: Path) -> None:
    """A call over a real socket, with a barge-in, a hedge, a break, a reconnect and a tool."""
    model = StandInModel(Script("We open at nine and we close at 5 on weekdays. Anything else?", 0.1, 0.01), seed=1)
    async with model:
        environ = {
            "CUEBOX_AGENTS_DIR": str(agents),
            "CUEBOX_AGENT": "bakery",
            "CUEBOX_METRICS_PORT": "0",
            "CUEBOX_RECORD_DIR": str(place),
            "OPENAI_API_KEY": "none",
            "OPENAI_BASE_URL": model.base_url,
        }
        settings = read_settings(environ)
        loop = asyncio.get_running_loop()
        async with running(create_app(settings), settings) as address:
            call = RetellCall("call_9", {}, epoch=time.time() - loop.time())
            line = SimulatedLine(call, f"ws://{address}/llm-websocket/call_9")
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(line.play())
                for script, then_wait in (
                    (None, 1.0),
                    (Script("This breaks off in the middle.", 0.1, 0.02, fault=Cut(3)), 0.6),
                    (Script("It is late.", 0.1, calls=(Call("opening_hours", '{"day": "Monday 3"}'),)), 0.9),
                    (Script(fault=HangAfterRole()), 2.2),
                ):
                    await asyncio.sleep(0.3)
                    model.scripts += [] if script is None else [script]
                    line.carry_out(call.caller_says("Hello, my number is 555 one two three", line.now()))
                    await asyncio.sleep(then_wait)
                line.carry_out(call.drop(line.now()))
                await asyncio.sleep(0.5)
                line.carry_out(call.hang_up(line.now()))


@pytest.mark.skipif(sys.platform == "win32", reason="real sockets and uvloop")
def test_a_call_that_was_really_served_has_not_changed(tmp_path: Path, agents: Path, replay: Replay) -> None:
    asyncio.run(talk(tmp_path / "kept", agents))
    (file,) = (tmp_path / "kept").glob("*.jsonl")
    causes = [
        stream.cause for questions in read_recording(file).questions.values() for each in questions for stream in each
    ]
    result = replay(file, "--json", tmp_path / "changes.json")
    assert (result.exit_code, changes(tmp_path / "changes.json")) == (0, [])
    assert "hedge" in causes
    (told,) = json.loads((tmp_path / "changes.json").read_bytes())
    assert [turn["then"]["tools"] for turn in told["turns"] if turn["then"]["tools"]] == [
        ['opening_hours({"day":"Monday 1"}) → Monday 1: 1 to 1']
    ]


def test_other_words_of_the_agent_are_shown_in_their_turn(tmp_path: Path, agents: Path, replay: Replay) -> None:
    (file,) = recorded(tmp_path / "kept")
    written(agents / "bakery", agent_toml='greeting = "Good morning, this is the bakery."\n', tools_py=TOOLS)
    result = replay(file, "--json", tmp_path / "changes.json")
    assert (result.exit_code, changes(tmp_path / "changes.json")) == (1, [(0, "words")])
    assert "[-Hello,-] {+Good morning,+} this is the bakery." in result.output
    assert "1 of 2 turns changed." in result.output


def test_a_prompt_that_changed_is_told_of_though_the_model_is_not_asked_anew(
    tmp_path: Path, agents: Path, replay: Replay
) -> None:
    (file,) = recorded(tmp_path / "kept")
    written(agents / "bakery", agent_toml=GREETING, tools_py=TOOLS, prompt_md="You sell shoes.")
    result = replay(file)
    assert result.exit_code == 0
    assert "the agent's files changed, but its model answered as it did then" in result.output


def test_another_agent_may_answer(tmp_path: Path, agents: Path, replay: Replay) -> None:
    (file,) = recorded(tmp_path / "kept")
    written(agents / "night", agent_toml='greeting = "We are closed."\n')
    result = replay(file, "--agent", "night")
    assert result.exit_code == 1
    assert "agent bakery then, night now" in result.output


def test_tools_answer_as_they_did_and_are_not_run(tmp_path: Path, agents: Path, replay: Replay) -> None:
    (file,) = recorded(tmp_path / "kept", uses_a_tool)
    trap = TOOLS.replace('return f"{day}: 9 to 5"', 'raise RuntimeError("it ran")')
    written(agents / "bakery", agent_toml='greeting = "Hello, this is the bakery."\n', tools_py=trap)
    result = replay(file)
    assert (result.exit_code, "nothing changed." in result.output) == (0, True)


def test_tools_run_where_it_is_asked_for(tmp_path: Path, agents: Path, replay: Replay) -> None:
    (file,) = recorded(tmp_path / "kept", uses_a_tool)
    ran = tmp_path / "ran"
    writes = TOOLS.replace('return f"{day}', f'open({str(ran)!r}, "w").close()\n    return f"{{day}}')
    written(agents / "bakery", agent_toml='greeting = "Hello, this is the bakery."\n', tools_py=writes)
    assert replay(file, "--tools", "live").exit_code == 0
    assert ran.exists()


def test_a_tool_that_is_gone_is_told_of(tmp_path: Path, agents: Path, replay: Replay) -> None:
    (file,) = recorded(tmp_path / "kept", uses_a_tool)
    other = TOOLS.replace("opening_hours", "when_open")
    written(agents / "bakery", agent_toml='greeting = "Hello, this is the bakery."\n', tools_py=other)
    result = replay(file, "--json", tmp_path / "changes.json")
    assert result.exit_code == 1
    assert (1, "tools") in changes(tmp_path / "changes.json")


def test_arguments_that_a_tool_takes_otherwise_now_have_no_result(tmp_path: Path, agents: Path, replay: Replay) -> None:
    (file,) = recorded(tmp_path / "kept", uses_a_tool)
    other = TOOLS.replace("day: str)", 'day: str, town: str = "Bremen")')
    written(agents / "bakery", agent_toml='greeting = "Hello, this is the bakery."\n', tools_py=other)
    result = replay(file)
    assert "the tool opening_hours was called with arguments that the recording has no result of" in result.output
    assert result.exit_code == 1


def test_a_question_that_nobody_asked_then_fails_its_turn(tmp_path: Path, replay: Replay) -> None:
    (file,) = recorded(tmp_path / "kept")
    without = [line for line in file.read_text().splitlines() if '"kind":"stream"' not in line]
    file.write_text("\n".join(without) + "\n")
    result = replay(file)
    assert result.exit_code == 1
    assert "turn 1 asked its model 1 times more than then: the recording has no answer to that." in result.output
    assert "failed (NotRecorded)" in result.output


def test_an_answer_that_nobody_asks_for_is_told_of(tmp_path: Path, replay: Replay) -> None:
    (file,) = recorded(tmp_path / "kept")
    lines = file.read_text().splitlines()
    (stream,) = (line for line in lines if '"kind":"stream"' in line)
    file.write_text("\n".join([*lines, stream.replace('"question":1', '"question":2')]) + "\n")
    assert "turn 1 asked its model 1 times less than then." in replay(file).output


def test_a_call_of_an_agent_without_a_model_stays_without(tmp_path: Path, replay: Replay) -> None:
    (file,) = recorded(tmp_path / "kept", has_model=False)
    assert read_recording(file).began.targets == []
    assert replay(file).exit_code == 0


def test_a_call_is_played_with_the_live_model(tmp_path: Path, replay: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    async def asks_briefly(caller: Caller) -> None:
        caller.line.carry_out(caller.call.caller_says("Hello", caller.line.now()))
        await asyncio.sleep(2)

    (file,) = recorded(tmp_path / "kept", asks_briefly, silent_for=0.5)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")  # where nobody listens
    result = replay(file, "--model", "live", "--json", tmp_path / "changes.json")
    assert result.exit_code == 1
    assert "failed (Unreachable)" in result.output
    assert (0, "words") not in changes(tmp_path / "changes.json")


def test_a_folder_stands_for_all_of_its_recordings(tmp_path: Path, replay: Replay) -> None:
    for _ in range(2):
        recorded(tmp_path / "kept")
    result = replay(tmp_path / "kept", "--json", tmp_path / "changes.json")
    assert result.exit_code == 0
    assert len(json.loads((tmp_path / "changes.json").read_bytes())) == 2


def test_a_truncated_recording_is_played_as_far_as_it_goes(tmp_path: Path, replay: Replay) -> None:
    (file,) = recorded(tmp_path / "kept")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    result = replay(file)
    assert "note: The last line was cut off" in result.output
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("text", "why"),
    [("hello\n\n", ":1: this cannot be read"), ("", ":1: the file is empty."), ("{}\n{}\n", ":1: this cannot be read")],
)
def test_a_broken_file_is_refused(tmp_path: Path, replay: Replay, text: str, why: str) -> None:
    (tmp_path / "one.jsonl").write_text(text)
    result = replay(tmp_path / "one.jsonl")
    assert result.exit_code == 2
    assert why in result.output


def test_a_folder_without_recordings_is_refused(tmp_path: Path, replay: Replay) -> None:
    result = replay(tmp_path)
    assert (result.exit_code, "there is no recording in" in result.output) == (2, True)


def test_an_agent_that_is_not_there_is_refused(tmp_path: Path, replay: Replay) -> None:
    (file,) = recorded(tmp_path / "kept")
    result = replay(file, "--agent", "nobody")
    assert (result.exit_code, "the agents here are" in result.output) == (2, True)


def test_a_recording_without_details_cannot_be_compared(tmp_path: Path, replay: Replay) -> None:
    (file,) = recorded(tmp_path / "kept")
    without = [
        line for line in file.read_text().splitlines() if "call_details" not in line or '"kind":"in"' not in line
    ]
    file.write_text("\n".join(without) + "\n")
    result = replay(file)
    assert (result.exit_code, "its details do not stand in the recording" in result.output) == (2, True)


def test_a_call_that_is_not_taken_is_told_of(tmp_path: Path, replay: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    (file,) = recorded(tmp_path / "kept")

    async def dial(*_: object) -> None:
        raise Refused(503, "full")

    monkeypatch.setattr(Process, "dial", dial)
    result = replay(file)
    assert (result.exit_code, "The call was not taken" in result.output) == (2, True)


def test_frames_of_lines_that_never_were_are_passed_over(tmp_path: Path, replay: Replay) -> None:
    (file,) = recorded(tmp_path / "kept")
    stray = [
        {"kind": "in", "at": 7.0, "line": 9, "frame": {}},
        {"kind": "closed", "at": 7.0, "line": 9},
        {"kind": "in", "at": 7.0, "size": 3},
        {"kind": "in", "at": 7.0, "frame": "no json"},
    ]
    file.write_text(file.read_text() + "".join(json.dumps(line) + "\n" for line in stray))
    assert replay(file).exit_code == 0


def test_without_its_package_it_says_what_to_install(
    tmp_path: Path, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file,) = recorded(tmp_path / "kept", one_question)
    monkeypatch.setitem(sys.modules, "time_machine", None)
    result = replay(file)
    assert (result.exit_code, "pip install 'cuebox[simulate]'" in result.output) == (2, True)
