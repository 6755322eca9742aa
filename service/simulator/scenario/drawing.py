"""Draws a call that was played: moments downwards; the caller, the agent, and what happened beside them."""

import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from service.simulator import retell_steps as steps
from service.simulator.scenario.timeline import Failure, Settled, StepBegan, Timeline, Trouble, What

MOST_ROWS = 200
_WIDTHS = (30, 42, 34)
_LONGEST = 400
_CALLERS = ("say", "type", "press", "hang_up", "wait")


@dataclass(frozen=True, slots=True)
class _Row:
    at: float
    lane: int
    """0 for the caller, 1 for the agent, 2 for what is beside them."""
    text: str
    turn_id: int | None = None
    step: int | None = None


def drawn(timeline: Timeline, failures: Iterable[Failure] = ()) -> str:
    """The call, with each failure where it belongs."""
    rows = sorted(_rows(timeline), key=lambda row: row.at)
    after: dict[int, list[Failure]] = {}
    for failure in failures:
        after.setdefault(_place(rows, failure), []).append(failure)
    kept = [at for at in range(len(rows)) if at < MOST_ROWS or at >= len(rows) - MOST_ROWS or at in after]
    lines = [_headed("moment", "caller", "agent", "line, tools, model"), "─" * (8 + sum(_WIDTHS) + 6)]
    before = -1
    for at in kept:
        lines += [f"        … {at - before - 1} more"] if at > before + 1 else []
        lines += _lines(rows[at])
        lines += [f"  ✗     {failure}" for failure in after.get(at, [])]
        before = at
    return "\n".join([*lines, *(f"  ✗     {failure}" for failure in after.get(-1, []))])


def _place(rows: list[_Row], failure: Failure) -> int:
    """The row that a failure is told after; -1 for the end."""
    of_turn = [at for at, row in enumerate(rows) if failure.turn_id is not None and row.turn_id == failure.turn_id]
    of_step = [at for at, row in enumerate(rows) if failure.step is not None and row.step == failure.step]
    return (of_turn or of_step or [-1])[-1]


def _rows(timeline: Timeline) -> Iterator[_Row]:
    for at, what in timeline.moments:
        yield from _row(timeline, at, what)
    for number, request in enumerate(timeline.requests, 1):
        yield _Row(request.at, 2, f"the model is asked ({number})")


def _row(timeline: Timeline, at: float, what: What) -> Iterator[_Row]:
    match what:
        case StepBegan():
            lane = 0 if what.told.split(":")[0] in _CALLERS else 2
            yield _Row(at, lane, what.told, step=what.number)
        case steps.TurnAsked():
            yield _Row(at, 0, f"▸ turn {what.turn_id}{' (silence)' if what.is_reminder else ''}", what.turn_id)
        case steps.ChunkArrived(waited=float() as waited):
            said = "".join(chunk.text for chunk in timeline.of_turn(steps.ChunkArrived, what.turn_id))
            yield _Row(at, 1, f"{_name(what.turn_id)} +{waited * 1000:.0f} ms “{_short(said)}”", what.turn_id)
        case steps.TurnFinished():
            yield _Row(at, 1, f"{_name(what.turn_id)} final +{what.after * 1000:.0f} ms", what.turn_id)
        case steps.SpeechFinished():
            yield _Row(at, 1, f"{_name(what.turn_id)} heard to its end", what.turn_id)
        case steps.SpeechCut():
            unheard = f", unheard “{_short(what.unheard)}”" if what.unheard else ""
            yield _Row(at, 1, f"✂ by the {what.by}, heard “{_short(what.heard)}”{unheard}", what.turn_id)
        case _:
            if (beside := _BESIDE.get(type(what))) is not None:
                yield _Row(at, 2, beside(what))


_BESIDE: dict[type, Callable[[Any], str]] = {
    steps.LineOpened: lambda what: "the line opens again" if what.is_again else "the line opens",
    steps.Redial: lambda what: f"dials again: {what.reason}",
    steps.CloseLine: lambda what: f"closes the line ({what.code})",
    steps.CallEnded: lambda what: f"the call ends: {what.reason}",
    steps.ToolCalled: lambda what: f"{what.name} {_short(what.arguments)}",
    steps.ToolAnswered: lambda what: f"→ {_short(what.content)}",
    steps.ActionTaken: lambda what: f"done: {what.action.name} {what.action.value}".rstrip(),
    steps.ActionDiscarded: lambda what: f"not done: {what.action.name}",
    steps.RuleBroken: lambda what: f"✗ broken: {what.rule}",
    Settled: lambda what: f"turn {what.turn_id} {what.outcome}{f' ({what.reason})' if what.reason else ''}",
    Trouble: lambda what: f"✗ step {what.number}",
}


def _lines(row: _Row) -> Iterator[str]:
    wrapped = textwrap.wrap(row.text, _WIDTHS[row.lane]) or [""]
    for moment, text in zip_longest([f"{row.at:7.2f}"], wrapped, fillvalue=""):
        yield _headed(moment, *("" if lane != row.lane else text for lane in range(len(_WIDTHS))))


def _headed(moment: str, *lanes: str) -> str:
    cells = [text.ljust(width) for text, width in zip(lanes, _WIDTHS, strict=True)]
    return f"{moment:>7} {' │ '.join(cells)}".rstrip()


def _name(turn_id: int | None) -> str:
    return "aside" if turn_id is None else "greeting" if turn_id == 0 else f"turn {turn_id}"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
