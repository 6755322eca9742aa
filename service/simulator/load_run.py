"""What a load run is asked for, what it notes down, and the figures made of that. No clock and no socket here."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

PATIENCE = 10.0
"""Seconds after which an answer counts as lost."""

KNEE_LIMIT = 50.0
"""Milliseconds that a service may add to its model's p99 before its load counts as too high."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One load run. Times are seconds; `first_token`, `gap` and `faults` are spelled as the stand-in takes them."""

    calls: int = 20
    seconds: float = 30.0
    frames: Literal["real", "tiny"] = "real"
    turn_every: float = 15.0
    barge_in: float = 0.1  # the share of answers that the caller cuts off amid the stream
    minute: float = 0.0  # how long the calls have lasted when they begin
    first_token: str = "0.05"  # noqa: S105  no secret
    gap: str = "0.01"
    chunks: int = 20
    faults: tuple[str, ...] = ()
    hold_lines: tuple[str, ...] = ("One moment.", "Just a second.")  # with these an answer has not begun
    seed: int = 1
    settle: float = 0.5  # how long the service may come to rest before what counts


@dataclass(frozen=True, slots=True)
class Usage:
    """What the server had used by a moment: CPU seconds, bytes of memory; and the turns asked until then."""

    at: float
    cpu: float
    rss: int
    turns: int = 0


@dataclass(slots=True)
class Tally:
    """What is noted during a run. Waits are seconds; where it is told, they come with the moment that they began."""

    plan: Plan
    began: float = 0.0
    ended: float = 0.0
    asked: int = 0
    overtaken: int = 0
    held: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    first: list[tuple[float, float]] = field(default_factory=list)
    sentence: list[tuple[float, float]] = field(default_factory=list)
    silence: list[float] = field(default_factory=list)
    ping: list[float] = field(default_factory=list)
    lag: list[float] = field(default_factory=list)
    model: list[float] = field(default_factory=list)  # the first-token times that the stand-in drew
    empty: Usage | None = None  # without calls
    idle: Usage | None = None  # with calls in which nobody has spoken
    usage: list[Usage] = field(default_factory=list)
    client_cpu: float = 0.0
    calls: frozenset[str] = frozenset()
    log: Sequence[str] = ()  # of the service, where we started it


@dataclass(frozen=True, slots=True)
class Spread:
    """How a set of times is spread, in milliseconds."""

    n: int
    p50: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Self | None:
        """Each quantile is a value that was measured. None of nothing."""
        ordered = sorted(seconds)
        ranks = (max(0, math.ceil(share * len(ordered)) - 1) for share in (0.5, 0.95, 0.99, 1.0))
        return cls(len(ordered), *(round(1000 * ordered[rank], 3) for rank in ranks)) if ordered else None

    def over(self, other: "Spread") -> "Spread":
        """The difference of the quantiles."""
        pairs = ((self.p50, other.p50), (self.p95, other.p95), (self.p99, other.p99), (self.max, other.max))
        return Spread(self.n, *(round(mine - theirs, 3) for mine, theirs in pairs))


@dataclass(frozen=True, slots=True)
class Run:
    """The figures of one run. None is unknown: the model's without its draws, the server's if it is elsewhere.

    A turn overtaken before its first words counts with the time that it had waited.
    """

    plan: Plan
    turns: int
    turns_per_second: float
    overtaken: int
    held: int  # answers with a hold line before them
    errors: dict[str, int]
    first_chunk: Spread | None
    first_sentence: Spread | None
    model_first_token: Spread | None
    added: Spread | None  # to the model's first token, by the time the caller's server has the first chunk
    cancel_to_silence: Spread | None
    ping: Spread | None
    loop_lag: Spread | None  # its max is the longest stall
    cpu_ms_per_turn: float | None
    cpu_seconds_per_call_minute: float | None
    cpu_share: float | None  # of a core
    kb_per_idle_call: float | None
    kb_per_call_at_end: float | None
    client_cpu_share: float  # near 1, it is this tool that is slow
    tally: Tally


def run_of(tally: Tally) -> Run:
    """The figures of a tally. CPU is that of the two middle quarters, when all callers talk and nothing is probed."""
    plan, seconds = tally.plan, tally.ended - tally.began
    first, model = Spread.of(waited for _, waited in tally.first), Spread.of(tally.model)
    middle = [usage for usage in tally.usage if 1 <= 4 * (usage.at - tally.began) / plan.seconds <= 3]  # noqa: PLR2004
    cpu = middle[-1].cpu - middle[0].cpu if middle else 0.0
    elapsed = middle[-1].at - middle[0].at if middle else 0.0
    turns = middle[-1].turns - middle[0].turns if middle else 0
    done = tally.usage[-1] if tally.usage else None
    return Run(
        plan,
        turns=tally.asked,
        turns_per_second=round(tally.asked / seconds, 2),
        overtaken=tally.overtaken,
        held=tally.held,
        errors=dict(tally.errors.most_common()),
        first_chunk=first,
        first_sentence=Spread.of(waited for _, waited in tally.sentence),
        model_first_token=model,
        added=first.over(model) if first and model else None,
        cancel_to_silence=Spread.of(tally.silence),
        ping=Spread.of(tally.ping),
        loop_lag=Spread.of(tally.lag),
        cpu_ms_per_turn=round(1000 * cpu / turns, 3) if turns else None,
        cpu_seconds_per_call_minute=round(60 * cpu / elapsed / plan.calls, 4) if elapsed else None,
        cpu_share=round(cpu / elapsed, 3) if elapsed else None,
        kb_per_idle_call=_growth(tally.empty, tally.idle, plan.calls),
        kb_per_call_at_end=_growth(tally.empty, done, plan.calls),
        client_cpu_share=round(tally.client_cpu / seconds, 3),
        tally=tally,
    )


def _growth(before: Usage | None, after: Usage | None, calls: int) -> float | None:
    return round((after.rss - before.rss) / 1024 / calls, 1) if before and after else None
