"""What is told of each attempt at an answer, once it is over: telemetry joins it to its turn."""

from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from service.llm.breaker import State
from service.llm.model import Occasion, Usage


class Cause(Enum):
    """Why an attempt was made."""

    FIRST = "first"
    HEDGE = "hedge"
    FAILOVER = "failover"
    RETRY = "retry"


ASKING: ContextVar["tuple[Occasion, Cause] | None"] = ContextVar("asking", default=None)
"""The turn that an endpoint is asked for, and why: for those who stand between."""


class Result(Enum):
    """How an attempt ended."""

    ANSWERED = "answered"
    """It was heard to its end."""
    FAILED = "failed"
    LOST = "lost"
    """Another attempt of the same turn spoke first."""
    CANCELLED = "cancelled"
    """The turn ended before it did."""


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One request to one target. Moments are seconds on the loop's clock; None for what did not happen."""

    occasion: Occasion
    target: str
    model: str
    cause: Cause
    result: Result
    asked_at: float
    first_words_at: float | None
    ended_at: float
    error: str | None = None
    """The class of the ModelError that ended it."""
    finish_reason: str | None = None
    usage: Usage | None = None
    request_id: str | None = None
    requests_left: int | None = None
    tokens_left: int | None = None
    breaker: State = State.CLOSED
    """The target's breaker, afterwards."""
    traceparent: str | None = None
    """The header of W3C's Trace Context that went with the request."""


class AttemptWitness(Protocol):
    """Is told of every attempt, once. Decides nothing."""

    def attempted(self, record: AttemptRecord) -> None: ...

    def traceparent(self, occasion: Occasion) -> str | None:
        """The header that goes with the next request of a turn; None when nothing is traced."""
        ...
