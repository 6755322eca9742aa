"""What happened in a scenario: every step of the line, and what its own steps did, each with its moment."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from service.simulator import retell_steps as steps
from service.simulator.model_http import Received
from service.simulator.retell_steps import Step
from service.simulator.scenario.expectations import Reply

Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True)
class StepBegan:
    """A step of the file, numbered from 1, came to its moment."""

    number: int
    told: str


@dataclass(frozen=True, slots=True)
class Settled:
    """A turn was settled, as the service sees it."""

    turn_id: int
    outcome: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Trouble:
    """A step that could not be done, or had another result than expected."""

    number: int
    what: str


@dataclass(frozen=True, slots=True)
class Expected:
    """What a step expects of the answer to a turn; None where nothing was asked."""

    number: int
    turn_id: int | None
    reply: Reply


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that is not as expected. `turn_id` is where; None for the call as a whole."""

    what: str
    step: int | None = None
    turn_id: int | None = None

    def __str__(self) -> str:
        where = f"step {self.step}: " if self.step else ""
        return f"{where}{self.what}"


What = Step | StepBegan | Settled | Trouble


@dataclass(slots=True)
class Timeline:
    """A scenario that was played. Moments are seconds since it began."""

    moments: list[tuple[float, What]] = field(default_factory=list)
    expected: list[Expected] = field(default_factory=list)
    refused: int | None = None
    """The HTTP status that the line was refused with; 0 when nobody answered at all."""
    refusal: str = ""
    """The same in a sentence."""
    requests: list[Received] = field(default_factory=list)
    """Of the model; `at` is a moment, too."""
    log: list[Mapping[str, Any]] = field(default_factory=list)
    is_inside_known: bool = False
    """Whether requests, settled turns and log lines are told at all."""

    def of(self, kind: type[Kind]) -> Iterator[tuple[float, Kind]]:
        """The moments of one kind."""
        return ((at, what) for at, what in self.moments if isinstance(what, kind))

    def of_turn(self, kind: type[Kind], turn_id: int | None) -> list[Kind]:
        """What happened of a kind in a turn, which it names."""
        return [what for _, what in self.of(kind) if getattr(what, "turn_id", None) == turn_id]

    def span(self, turn_id: int) -> tuple[float, float]:
        """From when a turn was asked to when the next was. The greeting begins with the call."""
        asked = [(at, what.turn_id) for at, what in self.of(steps.TurnAsked)]
        begin = next((at for at, turn in asked if turn == turn_id), 0.0)
        return begin, next((at for at, turn in asked if turn > turn_id), float("inf"))

    @property
    def ended(self) -> str | None:
        """Why the call ended."""
        return next((what.reason for _, what in self.of(steps.CallEnded)), None)

    @property
    def slowest_echo(self) -> float | None:
        """Seconds to the latest echo of a ping; None without any, or where more pings had none than lines ended."""
        pings = sum('"ping_pong"' in what.text[:40] for _, what in self.of(steps.SendFrame))
        echoes = [what.after for _, what in self.of(steps.PingAnswered)]
        are_missing = pings - len(echoes) > sum(1 for _ in self.of(steps.LineOpened))
        return None if are_missing else max(echoes, default=None)
