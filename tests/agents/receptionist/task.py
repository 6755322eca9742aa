"""What a task is, and what most of them are made of."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.llm.model import ToolCall
from tests.agents.receptionist.stage import Row, Says, at, use

ANN: Row = ("Ann Lee", "check-up", "Northgate", "mon 09:30")
"""The first appointment of a task's book: its reference is 1001."""
CANCEL = use("cancel_appointment", reference=1001, name="Ann Lee")
DONE = "It is done."


@dataclass(frozen=True)
class Task:
    """Callers who call at once, and what is left when they have hung up."""

    name: str
    scripts: tuple[Sequence[Says], ...]
    rows: Sequence[Row]
    given: Sequence[Row] = ()
    actions: Sequence[object] = ()
    learns: str = ""
    """Part of what a tool answered the model."""
    phone: str | None = "+12075550150"
    busy_for: float = 0
    """Seconds from the first line on, in which nobody can write in the book."""


def task(
    name: str,
    *script: Says,
    rows: Sequence[Row] = (),
    given: Sequence[Row] = (),
    actions: Sequence[object] = (),
    learns: str = "",
    phone: str | None = "+12075550150",
    busy_for: float = 0,
) -> Task:
    return Task(name, (script,), rows, given, actions, learns, phone, busy_for)


def move(when: str, reference: int = 1001, name: str = "Ann Lee", location: str = "Northgate") -> ToolCall:
    return use("move_appointment", reference=reference, location=location, start=at(when), name=name)


def ann(when: str, location: str = "Northgate", visit: str = "check-up") -> Row:
    return ("Ann Lee", visit, location, when)
