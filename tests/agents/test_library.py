import asyncio
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from service.agents.dummy import Dummy
from service.agents.folder import Folder, read_folder
from service.agents.library import Library, Shelved, drawn, folders_in, shares_of
from service.agents.mistakes import FolderMistake
from service.agents.prompted import PromptedAgent
from tests.agents.folders import TOOL, written


@pytest.mark.parametrize(
    ("choice", "shares"),
    [
        ("a", {"a": 1}),
        ("a:95,b:5", {"a": 0.95, "b": 0.05}),
        (" a : 2 , b : 1 ", {"a": 2 / 3, "b": 1 / 3}),
        ("a:1,b:0", {"a": 1, "b": 0}),
        ("a:7", {"a": 1}),
    ],
)
def test_shares_are_of_their_sum(choice: str, shares: dict[str, float]) -> None:
    assert shares_of(choice) == pytest.approx(shares)


@pytest.mark.parametrize(
    "choice",
    ["", "a:", ":5", "a,b", "a:1,a:2", "a:x,b:1", "a:-1,b:2", "a:0", "a:nan", "a:inf,b:1", "a/b", "a:1,", "../a", "-a"],
)
def test_what_is_no_choice_is_refused(choice: str) -> None:
    with pytest.raises(ValueError, match=r"share|could not convert"):
        shares_of(choice)


def test_a_call_falls_to_the_same_agent_on_every_machine() -> None:
    shares = shares_of("a:95,b:5")
    assert [drawn(shares, f"call_{number}") for number in (3, 4, 5)] == ["a", "b", "a"]
    assert [number for number in range(100) if drawn(shares, f"call_{number}") == "b"] == [4, 15, 97]


def test_calls_are_shared_as_told() -> None:
    taken = Counter(drawn(shares_of("a:95,b:5,c:0"), f"call_{number}") for number in range(20_000))
    assert taken["b"] == pytest.approx(1000, abs=100)
    assert taken["c"] == 0


def test_an_agent_is_a_folder_with_one_of_its_files(tmp_path: Path) -> None:
    written(tmp_path / "practice")
    (tmp_path / "toml-alone").mkdir()
    (tmp_path / "toml-alone" / "agent.toml").touch()
    written(tmp_path / ".hidden")
    written(tmp_path / "two words")
    (tmp_path / "empty").mkdir()
    assert list(folders_in(tmp_path)) == ["practice", "toml-alone"]


def timeless(folder: Folder) -> PromptedAgent:
    return PromptedAgent(folder, None, lambda: pytest.fail("nobody asks for the time"))


class Shelf:
    """A library of one agent that follows its files, and what it told."""

    def __init__(self, place: Path) -> None:
        self.path = written(place / "practice", tools_py=TOOL, knowledge__hours_md="# Hours\n\nFrom nine to five.")
        self.told: list[str] = []
        folder = read_folder(self.path)
        self.library = Library(
            {"practice": Shelved(timeless(folder), folder.hash), "dummy": Shelved(Dummy())},
            {"practice": 1.0},
            self.on_change,
        )

    def on_change(self, hashes: Mapping[str, str], name: str, mistake: FolderMistake | None) -> None:
        self.told.append(hashes[name] if mistake is None else mistake.mistakes[0].what)

    async def taker(self) -> PromptedAgent:
        await self.library.refresh()
        agent = self.library.pick("call_1").agent
        assert isinstance(agent, PromptedAgent)
        return agent


async def test_a_changed_file_is_followed_with_the_next_call(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    first = await shelf.taker()
    assert await shelf.taker() is first
    (shelf.path / "prompt.md").write_text("You are changed.")
    second = await shelf.taker()
    assert second.folder.prompt == "You are changed."
    assert shelf.told == [second.folder.hash] != [first.folder.hash]
    assert shelf.library.hashes == {"practice": second.folder.hash, "dummy": ""}
    assert list(shelf.library.agents)[:2] == [first, second]


async def test_a_broken_change_is_told_once_and_the_old_agent_stays(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    first = await shelf.taker()
    (shelf.path / "tools.py").write_text("x = ")
    assert await shelf.taker() is await shelf.taker() is first
    assert shelf.told == ["SyntaxError: invalid syntax"]
    (shelf.path / "knowledge" / "hours.md").unlink()
    (shelf.path / "tools.py").write_text(TOOL.replace("opening_hours", "closing_hours"))
    assert [tool.name for tool in (await shelf.taker()).folder.tools] == ["closing_hours"]


async def test_calls_that_come_at_once_read_a_change_once(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    (shelf.path / "prompt.md").write_text("You are changed.")
    agents = await asyncio.gather(*(shelf.taker() for _ in range(5)))
    assert len(set(agents)) == len(shelf.told) == 1


async def test_a_file_that_is_being_replaced_is_left_for_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf(tmp_path)
    (shelf.path / "prompt.md").write_text("You are changed.")
    with monkeypatch.context() as patch:
        patch.setattr("service.agents.library.files_of", lambda _: [tmp_path / "gone"])
        assert (await shelf.taker()).folder.prompt == "You answer calls."
    assert (await shelf.taker()).folder.prompt == "You are changed."


async def test_in_production_nothing_is_followed(tmp_path: Path) -> None:
    folder = read_folder(written(tmp_path / "practice"))
    agent = timeless(folder)
    library = Library({"practice": Shelved(agent, folder.hash)}, {"practice": 1.0})
    (folder.path / "prompt.md").write_text("You are changed.")
    await library.refresh()
    assert library.pick("call_1").agent is agent


def test_an_address_may_name_the_agent() -> None:
    library = Library({"dummy": Shelved(Dummy()), "other": Shelved(Dummy())}, {"dummy": 1.0, "other": 0.0})
    assert "other" in library
    assert "nobody" not in library
    assert library.pick("call_1", "other") is not library.pick("call_1") is library.pick("call_1", "dummy")
    assert library.names == ["dummy"]
