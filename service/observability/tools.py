"""A tool's call as telemetry sees it: from its request to the one answer that it gets, or to the end of its call."""

from collections.abc import Iterable
from dataclasses import dataclass

from service.conversation.transcript import ToolAnswered, ToolCalled

OK, RUNNING, UNKNOWN = "ok", "running", "unknown"
RESULTS = (OK, "refused", "timeout", "raised", "arguments", "unreadable", "cancelled", UNKNOWN)
"""How a tool's call may end; `unknown` is one that nobody answered, or whose fault has no name here."""
BROKEN = ("timeout", "raised", "unreadable", UNKNOWN)
"""A tool's own faults: what is refused was its rules at work, and wrong arguments are the model's."""


ACTION_TOOLS = ("end_call", "transfer_call", "press_digits")
"""The tools with which a model asks for an action. They are seen as tools only when they are refused."""


@dataclass(slots=True, eq=False)
class SeenTool:
    """One call of a tool. Moments are seconds on the shell's clock."""

    name: str
    """As the agents' folders have it; a name that a model made up is `unknown`."""
    asked: ToolCalled
    asked_at: float
    answer: ToolAnswered | None = None
    ended_at: float | None = None
    """None while it runs."""
    result: str = RUNNING

    @property
    def took(self) -> float | None:
        """Seconds from the request to the answer; None while it runs."""
        return None if self.ended_at is None else self.ended_at - self.asked_at

    def ends(self, answer: ToolAnswered | None, at: float) -> None:
        """It was answered, or will not be any more."""
        self.answer, self.ended_at, self.result = answer, at, _result_of(answer)


def _result_of(answer: ToolAnswered | None) -> str:
    if answer is None:
        return UNKNOWN
    if answer.fault is None:
        return UNKNOWN if answer.is_successful is False else OK
    return answer.fault if answer.fault in RESULTS else UNKNOWN


def told(tools: Iterable[SeenTool], asked_at: float) -> list[tuple[str, str, int | None, int]]:
    """For a line of the log: each one's name and result, the milliseconds that it took, and when it began.

    That is milliseconds, too, since its turn was asked.
    """
    return [
        (
            tool.name,
            tool.result,
            None if tool.took is None else milliseconds(tool.took),
            milliseconds(tool.asked_at - asked_at),
        )
        for tool in tools
    ]


def milliseconds(seconds: float) -> int:
    """Seconds as a line of the log tells the short ones."""
    return round(1000 * seconds)
