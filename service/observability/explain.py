"""What the logs know of one call, as a timeline: `cuebox explain`.

Lines of anything else are passed over, and so is what a log collector put before a line. A line that is not as ours
are is shown as it stands.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Struct
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from service.reporting.facts import ToolSpan, TurnFacts
from service.reporting.log_lines import CallEnded, LateTools, known, moment_of, read_line

_ENVELOPE = ("timestamp", "level", "event", "call_id")
_GOOD, _BAD, _ODD, _QUIET = "green", "red", "yellow", "dim"
_STYLES = {"completed": _GOOD, "failed": _BAD, "interrupted": _ODD}


class CallUnknown(Exception):
    """No line tells of this call."""

    def __init__(self, others: list[str]) -> None:
        super().__init__()
        self.others = others
        """Calls that the log does know, the latest last."""


class _Flight(Struct):
    why: str
    frames: list[tuple[float, str, str, int | None, int]]


@dataclass(slots=True)
class _Entry:
    moment: float
    text: str
    style: str = ""
    details: list[str] = field(default_factory=list)


def explain(lines: Iterable[str], call_id: str) -> RenderableType:
    """The timeline of a call, to be printed by rich. Raises CallUnknown."""
    others: dict[str, None] = {}
    found: list[tuple[float, dict[str, Any]]] = []
    for line in lines:
        facts = read_line(line)
        if facts.get("call_id") == call_id:
            found.append((moment_of(facts, found[-1][0] if found else 0.0), facts))
        elif isinstance(other := facts.get("call_id"), str):
            others.pop(other, None)
            others[other] = None
    if not found:
        raise CallUnknown([_plain(other) for other in others])
    entries = sorted(_entries(found), key=lambda entry: entry.moment)
    return Group(*_headline(call_id, [facts for _, facts in found]), _drawn(entries))


def _entries(found: Iterable[tuple[float, dict[str, Any]]]) -> Iterator[_Entry]:
    for moment, facts in found:
        match known(facts) or _flight_of(facts):
            case TurnFacts() as turn:
                yield _of_turn(moment, turn)
            case LateTools() as late:
                yield _Entry(moment, f"of turn {late.turn_id}: {_used(late.tools)}")
            case _Flight() as flight:
                yield _of_flight(moment, flight)
            case CallEnded():
                pass  # the headline tells
            case _:
                yield _of_other(moment, facts)


def _flight_of(line: Mapping[str, Any]) -> _Flight | None:
    try:
        return msgspec.convert(line, _Flight) if line["event"] == "call.flight" else None
    except msgspec.ValidationError:
        return None


def _headline(call_id: str, lines: Iterable[Mapping[str, Any]]) -> list[Text]:
    text = Text(f"Call {_plain(call_id)}", style="bold")
    for facts in lines:
        if isinstance(ended := known(facts), CallEnded):
            turns = ", ".join(f"{count} {_plain(outcome)}" for outcome, count in ended.turns.items()) or "none"
            told = [
                f"agent {_plain(ended.agent)}" if ended.agent else "",
                _took("", ended.duration),
                f"turns: {turns}",
                f"{ended.lines} lines" if ended.lines > 1 else "",
            ]
            odd = ", ".join(_plain(oddity) for oddity in ended.oddities)
            told += [f"oddities: {odd}" if odd else "", f"trace {_plain(ended.trace_id)}" if ended.trace_id else ""]
            text.append("".join(f" · {each}" for each in told if each), style="not bold")
    return [text]


def _of_turn(moment: float, turn: TurnFacts) -> _Entry:
    why = "" if turn.reason is None else f" ({turn.reason})"
    heard = f"{'?' if turn.heard_unknown else turn.words_heard} of {turn.words_said} words heard"
    first = [
        _took("first words", turn.time_to_first_chunk, "no words of an answer"),
        _took("first sentence", turn.time_to_first_sentence) if turn.time_to_first_sentence else "",
        _took("all said", turn.duration),
        heard if turn.words_said else "",
    ]
    then = [
        "a hold line was spoken" if turn.held else "",
        f"ended with the line: {turn.fallback}" if turn.fallback else "",
        _used(turn.tools),
        _sought(turn),
        f"action: {turn.action.replace('_', ' ')}{', to rescue the caller' * turn.rescued}" if turn.action else "",
        f"the caller heard nothing for {turn.audible_gap:.1f} s in mid-answer" if turn.audible_gap > 0.5 else "",  # noqa: PLR2004
        _took(f"{turn.target} spoke", turn.model_time_to_first_words) if turn.target else "",
        f"caller: {turn.caller_said}" if turn.caller_said else "",
        f"agent: {turn.agent_said}" if turn.agent_said else "",
        f"trace {turn.trace_id}" if turn.traced else "",
    ]
    details = [" · ".join(each for each in first if each), *(each for each in then if each)]
    text = f"turn {turn.turn_id}, {turn.prompt.replace('_', ' ')}: {turn.outcome}{why}"
    return _Entry(moment - turn.settled_after, text, _STYLES.get(turn.outcome, ""), details)


def _used(tools: Iterable[ToolSpan]) -> str:
    times = ((tool, "" if tool.took is None else f" after {tool.took / 1000:.2f} s") for tool in tools)
    return "; ".join(f"tool {tool.name}: {tool.result}{took}" for tool, took in times)


def _sought(turn: TurnFacts) -> str:
    if turn.knowledge is None:
        return ""
    waited = f", waited for {turn.knowledge_waited:.2f} s" if turn.knowledge_waited >= 0.01 else ""  # noqa: PLR2004
    return f"knowledge: {turn.knowledge}, {turn.passages} passages{waited}"


def _of_flight(moment: float, flight: _Flight) -> _Entry:
    marks, units = {"in": "→", "out": "←"}, {"in": "rows", "out": "letters"}
    rows = [
        f"{ms / 1000:9.3f} {marks.get(way, '·')} {kind}"
        + ("" if turn is None else f" of {turn}")
        + (f", {size} {units.get(way, '')}" if size else "")
        for ms, way, kind, turn, size in flight.frames
    ]
    return _Entry(moment, f"flight recorder: {flight.why.replace('_', ' ')}", _QUIET, rows)


def _of_other(moment: float, facts: Mapping[str, Any]) -> _Entry:
    more = [f"{name} {value}" for name, value in facts.items() if name not in _ENVELOPE and value not in (None, False)]
    style = {"warning": _ODD, "error": _BAD}.get(str(facts.get("level")), "")
    return _Entry(moment, ", ".join([str(facts["event"]), *more]), style)


def _drawn(entries: list[_Entry]) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    start = entries[0].moment if entries else 0.0
    for entry in entries:
        minutes, seconds = divmod(entry.moment - start, 60)
        table.add_row(f"{minutes:.0f}:{seconds:04.1f}", Text(_plain(entry.text), style=entry.style))
        for detail in entry.details:
            table.add_row("", Padding(Text(_plain(detail), style=_QUIET), (0, 0, 0, 2)))
    return table


def _took(what: str, seconds: float | None, otherwise: str = "") -> str:
    return otherwise if seconds is None else f"{what} {'after ' if what else ''}{seconds:.2f} s".strip()


def _plain(text: str) -> str:
    """Without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
