"""What is known of calls that are over. The names are those of the log's lines; times are seconds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Annotated

from msgspec import Meta, Struct

Seconds = Annotated[float, Meta(ge=0, le=1e8)]
Ms = Annotated[int, Meta(ge=-(10**9), le=10**11)]
Count = Annotated[int, Meta(ge=0, le=10**12)]


class ToolSpan(Struct, frozen=True, array_like=True):
    """One call of a tool, in milliseconds. `took` is None for one that outlived what is known of it."""

    name: str
    result: str
    took: Ms | None = None
    began: Ms | None = None
    """Since its turn was asked."""

    @property
    def how(self) -> str:
        """Its result, as one says it."""
        return "wrong arguments" if self.result == "arguments" else self.result


class AttemptSpan(Struct, frozen=True, array_like=True):
    """One request to a model. Moments are milliseconds since its turn was asked."""

    target: str
    cause: str
    """`first`, `hedge` (beside a slow one), `failover` (another target) or `retry`."""
    result: str
    """`answered`, `failed`, `lost` (another one spoke first) or `cancelled`."""
    began: Ms
    first_words: Ms | None
    ended: Ms


class Tokens(Struct, frozen=True):
    """As the model's endpoint counts them; cached ones are part of the input."""

    input: Count = 0
    cached: Count = 0
    output: Count = 0


class TurnFacts(Struct, frozen=True, kw_only=True):
    """One settled turn. Its times count from when it was asked; None for what did not happen."""

    call_id: str
    turn_id: int
    turn_index: int
    prompt: str
    """`greeting`, `caller_spoke` or `caller_silent`."""
    outcome: str
    """`completed`, `interrupted`, `superseded`, `failed` or `disconnected`."""
    reason: str | None = None
    asked_at: float = 0.0
    """Seconds since the epoch."""
    time_to_first_chunk: Seconds | None = None
    time_to_first_sentence: Seconds | None = None
    duration: Seconds | None = None
    """Until its last word was handed over."""
    settled_after: Seconds = 0.0
    held: bool = False
    held_after: Seconds | None = None
    """When a hold line was spoken."""
    fallback: str | None = None
    audible_gap: Seconds = 0.0
    words_said: Count = 0
    words_heard: Count = 0
    heard_unknown: bool = False
    target: str | None = None
    model_time_to_first_words: Seconds | None = None
    model_attempts: tuple[AttemptSpan, ...] = ()
    tools: tuple[ToolSpan, ...] = ()
    knowledge: str | None = None
    passages: Count = 0
    knowledge_waited: Seconds = 0.0
    action: str | None = None
    rescued: bool = False
    tokens: Tokens | None = None
    cost: Seconds | None = None
    """Dollars; None when the model did not count its tokens, or has no price."""
    caller_said: str = ""
    agent_said: str = ""
    trace_id: str | None = None
    traced: bool = False

    @property
    def waited(self) -> float:
        """How long the caller waited for a sentence, or in vain."""
        ends = (self.time_to_first_sentence, self.duration, self.settled_after)
        return next(at for at in ends if at is not None)

    @property
    def is_answer(self) -> bool:
        """Whether somebody waited for it: nobody does for a greeting, nor for what a newer request made void."""
        is_void = self.outcome == "superseded" and self.time_to_first_chunk is None
        return self.prompt != "greeting" and not is_void

    @property
    def heard_share(self) -> float:
        """The share of the words said that the caller heard, 0 to 1."""
        return min(1.0, self.words_heard / max(1, self.words_said))

    @property
    def was_heard(self) -> bool:
        """Whether a caller could have cut it off."""
        return self.outcome in {"completed", "interrupted"} and self.words_said > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFacts:
    """One call. `duration` is None for one whose end is not told."""

    call_id: str
    agent: str = ""
    duration: float | None = None
    ended_by: str = ""
    """Why it ended, by the platform's word; empty when it did not tell."""
    turns: Sequence[TurnFacts] = ()

    @property
    def cost(self) -> float | None:
        """Dollars; None when none of its turns tells."""
        costs = [turn.cost for turn in self.turns if turn.cost is not None]
        return math.fsum(costs) if costs else None


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a page is made of. The range is that of what was read, in seconds since the epoch."""

    calls: Sequence[CallFacts] = ()
    began: float = 0.0
    ended: float = 0.0
    troubles: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """How often each warning or error came: its event, and what it was about."""

    @property
    def turns(self) -> list[TurnFacts]:
        """Those of all calls, in their order."""
        return list(chain.from_iterable(call.turns for call in self.calls))


def quantile(ordered: Sequence[float], share: float) -> float:
    """The least value that so many are at most: one that was measured."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
