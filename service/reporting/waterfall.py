"""Where the time of a turn went, drawn: what it waited for, one bar below the other."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape

from service.reporting.facts import AttemptSpan, TurnFacts
from service.reporting.html import Safe, seconds
from service.reporting.plots import round_ticks

_CAUSES = {"hedge": ", second attempt", "failover": ", instead", "retry": ", again"}


@dataclass(frozen=True, slots=True)
class _Bar:
    kind: str
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class _Lane:
    name: str
    bars: tuple[_Bar, ...]
    told: str
    """The same in words."""


def waterfall(turn: TurnFacts) -> Safe:
    """The turn's bars, on an axis of seconds since it was asked."""
    lanes = list(_lanes(turn))
    last = max((bar.ended for lane in lanes for bar in lane.bars), default=0.0)
    ticks = round_ticks(max(last, 0.001))
    axis = "".join(f'<i style="left:{100 * tick / ticks[-1]:.2f}%">{tick:g} s</i>' for tick in ticks)
    rows = "".join(_row(lane, ticks[-1]) for lane in lanes)
    lines = f"--step:{100 / (len(ticks) - 1):.3f}%"
    return Safe(
        f'<table class="fall" style="{lines}"><caption>What happened in this turn, since it was asked</caption>'
        '<colgroup><col class="who"><col><col class="told"></colgroup><tbody>'
        f'{rows}</tbody><tfoot aria-hidden="true"><tr><th></th><td><div class="axis">{axis}</div></td><td></td>'
        "</tr></tfoot></table>"
    )


def _row(lane: _Lane, end: float) -> str:
    bars = "".join(
        f'<i class="{bar.kind}" style="left:{100 * max(0.0, bar.began) / end:.2f}%;'
        f'width:{100 * max(0.0, bar.ended - max(0.0, bar.began)) / end:.2f}%"></i>'
        for bar in lane.bars
        if bar.ended > bar.began or bar.kind in {"hold", "tool"}
    )
    return (
        f'<tr><th scope="row">{escape(lane.name)}</th><td aria-hidden="true"><div class="track">{bars}</div></td>'
        f"<td>{escape(lane.told)}</td></tr>"
    )


def _lanes(turn: TurnFacts) -> Iterator[_Lane]:
    yield _caller(turn)
    work: list[tuple[float, _Lane]] = [(attempt.began, _attempt(attempt)) for attempt in turn.model_attempts]
    for tool in turn.tools:
        if tool.began is not None:
            began = tool.began / 1000
            ended = max(began, _end_of(turn)) if tool.took is None else began + tool.took / 1000
            took = "still ran when the turn was over" if tool.took is None else f"{tool.how} after {_ms(tool.took)}"
            work.append((tool.began, _Lane(f"tool {tool.name}", (_Bar("tool", began, ended),), took)))
    yield from (lane for _, lane in sorted(work, key=lambda each: each[0]))


def _caller(turn: TurnFacts) -> _Lane:
    first, sentence, done = turn.time_to_first_chunk, turn.time_to_first_sentence, turn.duration
    end = _end_of(turn)
    if first is None:
        line = f", then {turn.fallback.replace('_', ' ')}" if turn.fallback else ""
        return _Lane("caller", (_Bar("vain", 0, end), *_hold(turn)), f"waited {seconds(end)} in vain{line}")
    begun = min(end, first if sentence is None else sentence)
    bars = [_Bar("wait", 0, first), _Bar("begun", first, begun), _Bar("said", begun, end), *_hold(turn)]
    told = [f"first words {seconds(first)}", *([f"sentence {seconds(sentence)}"] if sentence is not None else [])]
    told.append(f"done {seconds(done)}" if done is not None else "not finished")
    return _Lane("caller", tuple(bars), ", ".join(told))


def _end_of(turn: TurnFacts) -> float:
    return turn.settled_after if turn.duration is None else turn.duration


def _hold(turn: TurnFacts) -> tuple[_Bar, ...]:
    return () if turn.held_after is None else (_Bar("hold", turn.held_after, turn.held_after),)


def _attempt(attempt: AttemptSpan) -> _Lane:
    began, ended = attempt.began / 1000, attempt.ended / 1000
    name = f"{attempt.target}{_CAUSES.get(attempt.cause, '')}"
    after = f"{attempt.result} after {_ms(attempt.ended - attempt.began)}"
    if attempt.first_words is None:
        return _Lane(name, (_Bar("asked", began, ended),), f"no words, {after}")
    first = attempt.first_words / 1000
    told = f"first token {_ms(attempt.first_words - attempt.began)}, {after}"
    return _Lane(name, (_Bar("asked", began, first), _Bar("spoke", first, ended)), told)


def _ms(milliseconds: int) -> str:
    return seconds(max(0, milliseconds) / 1000)


@dataclass(frozen=True, slots=True)
class Blame:
    """What a wait was spent on, in seconds: the model, tools while no model was asked, and all else."""

    model: float
    tools: float
    rest: float

    @property
    def most(self) -> str:
        """The greatest of them, in a word."""
        parts = {"the model": self.model, "tools": self.tools, "something else": self.rest}
        return max(parts, key=parts.__getitem__)


def blame(turn: TurnFacts) -> Blame | None:
    """What the wait of a turn was spent on; None where no attempt is known."""
    if not turn.model_attempts:
        return None
    asked = [(attempt.began / 1000, attempt.ended / 1000) for attempt in turn.model_attempts]
    ran = [
        (tool.began / 1000, turn.waited if tool.took is None else (tool.began + tool.took) / 1000)
        for tool in turn.tools
        if tool.began is not None
    ]
    model, both = _covered(asked, turn.waited), _covered([*asked, *ran], turn.waited)
    return Blame(model, both - model, turn.waited - both)


def _covered(spans: Iterable[tuple[float, float]], until: float) -> float:
    covered = reached = 0.0
    for began, ended in sorted(spans):
        covered += max(0.0, min(ended, until) - max(began, reached))
        reached = max(reached, ended)
    return covered
