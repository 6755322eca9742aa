from collections.abc import AsyncGenerator, Iterator
from functools import partial
from typing import Any

import pytest

from service.agents.tools import ToolMistake, tool


def plain() -> None:
    """Do it."""


def without_docstring() -> None: ...


def wordless() -> None:
    """

    Args:
    """


def long() -> None: ...


long.__doc__ = "x" * 1025


def strange(day: str) -> None:
    """Do it.

    Args:
        date: The day.
    """


def dashed(day: str) -> None:
    """Do it.

    Args:
        day - the day
    """


def größe() -> None:  # noqa: PLC2401
    """Measure it."""


def rows() -> Iterator[int]:
    """List them."""
    yield 1


async def more_rows() -> AsyncGenerator[int]:
    """List them."""
    yield 1


@pytest.mark.parametrize(
    ("function", "options", "words"),
    [
        (without_docstring, {}, "it has no docstring. Say in it what the tool does"),
        (wordless, {}, "it has no docstring."),
        (long, {}, "its docstring is too long. Use at most 1024 characters"),
        (strange, {}, "`Args:` explains `date`, which is no parameter."),
        (dashed, {}, "`Args:` explains nothing in `day - the day`. Write `name: its words`."),
        (größe, {}, "a model takes no such name."),
        (rows, {}, "it yields. Return everything at once."),
        (more_rows, {}, "it yields."),
        (plain, {"timeout": 0}, "timeout=0 is out of range. Use seconds, more than 0 and at most 120."),
        (plain, {"timeout": 121}, "timeout=121 is out of range."),
        (plain, {"timeout": float("nan")}, "timeout=nan is out of range."),
        (plain, {"hold_after": -1}, "hold_after=-1 is out of range."),
        (plain, {"effect": "delete"}, 'effect=\'delete\' is unknown. Use "read" or "write".'),
        (plain, {"hold": 5}, "hold=5 cannot be spoken."),
        (plain, {"confirm": "yes"}, "confirm='yes' is no function."),
    ],
)
def test_a_mistake_is_told_with_file_and_line(function: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ToolMistake) as mistake:
        tool(**options)(function)
    line = function.__code__.co_firstlineno
    assert str(mistake.value).startswith(f"{__file__}:{line}: tool `{function.__name__}`: {words}")


@pytest.mark.parametrize("thing", [print, partial(plain), str, tool(plain)])
def test_only_a_plain_function_can_be_a_tool(thing: Any) -> None:
    with pytest.raises(ToolMistake, match="@tool stands on a plain function"):
        tool(thing)
