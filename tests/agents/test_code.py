import sys
from pathlib import Path

import pytest

from service.agents.code import Code, read_code
from service.agents.mistakes import Mistake
from tests.agents.folders import TOOL


def read(folder: Path, **files: str) -> tuple[Code, list[str]]:
    """The code of a folder with these Python files, and what is wrong with it."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    mistakes: list[Mistake] = []
    code = read_code(folder / "tools.py", {"end_call"}, mistakes)
    return code, [str(mistake).replace(f"{folder}/", "") for mistake in mistakes]


def test_a_folder_without_tools_has_none(tmp_path: Path) -> None:
    assert read(tmp_path) == (Code(), [])


def test_tools_hooks_and_a_store_are_found(tmp_path: Path) -> None:
    more = """
async def before_call(call): ...
async def after_call(call, ending): ...
class Wiki:
    async def search(self, query, limit=3): return []
    async def warm_up(self): ...
    async def close(self): ...
knowledge = Wiki()
"""
    code, mistakes = read(tmp_path, tools=TOOL + more)
    assert mistakes == []
    assert [tool.name for tool in code.tools] == ["opening_hours"]
    assert code.before_call is not None
    assert code.after_call is not None
    assert code.knowledge is not None


def test_something_else_called_knowledge_is_no_store(tmp_path: Path) -> None:
    assert read(tmp_path, tools="knowledge = 'is power'")[0].knowledge is None


def test_files_beside_it_are_its_own_and_nobody_else_s(tmp_path: Path) -> None:
    """Two folders have files of one name, and `sys.path` stays as it was."""
    path, names = list(sys.path), []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        code, mistakes = read(
            folder,
            tools="from .json import tool_of_mine",
            json=TOOL.replace("opening_hours", name) + f"\ntool_of_mine = {name}",
        )
        assert mistakes == []
        names += [tool.name for tool in code.tools]
    assert names == ["a", "b"]
    assert sys.path == path


def test_a_change_is_seen_at_once_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """Even within one tick of the file system's clock, and of the same length."""
    for hours in ("nine", "five"):
        code, _ = read(tmp_path, tools="from .hours import opening_hours", hours=TOOL.replace("nine to five", hours))
        assert code.tools[0].function.__code__.co_consts[-1] == hours
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hours.py", "tools.py"]


@pytest.mark.parametrize(
    ("tools", "mistake"),
    [
        ("import json\n\nx = 1 +", "tools.py:3: SyntaxError"),
        ("import json\nimport nothing_there", "tools.py:2: ModuleNotFoundError: No module named 'nothing_there'"),
        ("\nimport json\njson.loads('')", "tools.py:3: JSONDecodeError"),
        ("from .other import x", "other.py:2: ZeroDivisionError"),
        ("import sys\nsys.exit()", "tools.py:2: SystemExit"),
        ("x = 'a\0b'", "tools.py: "),
        (TOOL.replace("day: str", "day"), "tools.py:6: "),
        (
            f"{TOOL}\nfirst = opening_hours\n{TOOL}",
            "tools.py:6: the name opening_hours is taken (call the function something else)",
        ),
        (TOOL.replace("opening_hours", "end_call"), "tools.py:6: the name end_call is taken"),
        (
            "x = 1\ndef before_call(call): ...",
            "tools.py:2: before_call cannot be called and awaited (write async def before_call(call))",
        ),
        ("async def after_call(call): ...", "tools.py:1: after_call cannot be called and awaited"),
        (
            "class Wiki:\n async def search(self, query, limit=3): ...\n def close(self): ...\nknowledge = Wiki()",
            "tools.py: knowledge has no async def warm_up, close (service/agents/knowledge/store.py shows how)",
        ),
        ("from .third import x", "tools.py:1: ModuleNotFoundError: No module named '.third'"),
        ("after_call = 1", "tools.py: after_call cannot be called and awaited"),
    ],
)
def test_a_mistake_is_told_with_its_place(tools: str, mistake: str, tmp_path: Path) -> None:
    before = set(sys.modules)
    _, mistakes = read(tmp_path, tools=tools, other="\n1 / 0")
    assert [told[: len(mistake)] for told in mistakes] == [mistake]
    left = {name for name in set(sys.modules) - before if name.startswith("cuebox_agent_")}
    assert len(left) in {0, 2}
