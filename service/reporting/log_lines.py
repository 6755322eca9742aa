"""Reads the log lines of a service. Those of others may stand between, and a log collector's prefix before each."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct, structs

from service.reporting.facts import AttemptSpan, CallFacts, Facts, Ms, ToolSpan, TurnFacts

_WRAPPERS = ("message", "log")  # of collectors that make JSON of a line: `fly logs --json`, Docker's files
_LATEST = 2.5e11  # just below the year 10 000
_ABOUT = ("target", "tool", "reason", "oddity", "limit", "result", "error", "why")


class LateTools(Struct):
    """Tools that outlived their turn."""

    turn_id: int
    tools: list[ToolSpan]
    turn_index: int = -1


class _LateAttempt(Struct):
    """One that was stopped when its turn was over."""

    turn_index: int
    target: str
    cause: str
    result: str
    late: tuple[Ms, Ms | None, Ms]


class CallEnded(Struct):
    """The end of a call."""

    turns: dict[str, int]
    duration: float | None = None
    lines: int = 1
    oddities: dict[str, int] = {}
    trace_id: str | None = None
    agent: str = ""


class _Concluded(Struct):
    webhook: str
    reason: str = ""


_KINDS: Mapping[str, type[Struct]] = {
    "turn.settled": TurnFacts,
    "tool.outlived_turn": LateTools,
    "model.attempt": _LateAttempt,
    "call.ended": CallEnded,
    "webhook.accepted": _Concluded,
}


@dataclass(slots=True)
class _Call:
    agent: str = ""
    duration: float | None = None
    ended_by: str = ""
    turns: list[TurnFacts] = field(default_factory=list)

    def take(self, line: object) -> None:
        match line:
            case TurnFacts():
                self.turns.append(line)
            case CallEnded():
                self.agent, self.duration = line.agent or self.agent, line.duration
            case LateTools(turn_index=index) | _LateAttempt(turn_index=index):
                self.turns = [_with(line, turn) if turn.turn_index == index else turn for turn in self.turns]
            case _Concluded(webhook="call_ended"):
                self.ended_by = line.reason
            case _:
                pass


def _with(late: LateTools | _LateAttempt, turn: TurnFacts) -> TurnFacts:
    if isinstance(late, _LateAttempt):
        attempt = AttemptSpan(late.target, late.cause, late.result, *late.late)
        return structs.replace(turn, model_attempts=(*turn.model_attempts, attempt))
    ended = {tool.name for tool in late.tools}
    tools = (tool for tool in turn.tools if tool.took is not None or tool.name not in ended)
    return structs.replace(turn, tools=(*tools, *late.tools))


def facts_of(lines: Iterable[Mapping[str, Any]]) -> Facts:
    """What lines tell; those of several calls may be mixed.

    A line that is not as ours are tells nothing, and one without a time has that of the line before.
    """
    calls: dict[str, _Call] = {}
    troubles: Counter[tuple[str, str]] = Counter()
    moments: list[float] = []
    for line in lines:
        event, call_id = line.get("event"), line.get("call_id")
        if not isinstance(event, str):
            continue
        is_ours = bool(call_id) or "timestamp" in line
        if line.get("level") in ("warning", "error") and is_ours and event != "call.flight":  # that tells of another
            about = ", ".join(str(line[name]) for name in _ABOUT if line.get(name))
            troubles[event, about[:200]] += 1
        if isinstance(call_id, str):
            moments.append(moment_of(line, moments[-1] if moments else 0.0))
            call = calls.setdefault(call_id, _Call())
            if isinstance(agent := line.get("agent"), str):
                call.agent = agent
            call.take(_placed(known(line), moments[-1]))
    told = [
        CallFacts(call_id=name, agent=it.agent, duration=it.duration, ended_by=it.ended_by, turns=tuple(it.turns))
        for name, it in calls.items()
    ]
    return Facts(told, min(moments, default=0.0), max(moments, default=0.0), troubles)


def _placed(line: Struct | None, moment: float) -> Struct | None:
    return structs.replace(line, asked_at=moment - line.settled_after) if isinstance(line, TurnFacts) else line


def known(line: Mapping[str, Any]) -> Struct | None:
    """What a line tells; None for one of another kind, or that is not as ours are."""
    kind = _KINDS.get(line["event"])
    try:
        return None if kind is None else msgspec.convert(line, kind)
    except msgspec.ValidationError:
        return None


def read_lines(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The events among the lines of a log."""
    return filter(None, map(read_line, lines))


def read_line(line: str) -> dict[str, Any]:
    """The fields of an event's line; empty for any other."""
    at = line.find('{"')  # a collector's own labels may stand in braces
    try:
        fields = msgspec.json.decode(line[at:].rstrip()) if at >= 0 else None
    except (msgspec.DecodeError, RecursionError):
        return {}
    if not isinstance(fields, dict):
        return {}
    wrapped = next((fields[name] for name in _WRAPPERS if isinstance(fields.get(name), str)), "")
    return fields if isinstance(fields.get("event"), str) else read_line(wrapped)


def moment_of(line: Mapping[str, Any], otherwise: float) -> float:
    """When a line was written, in seconds since the epoch. One without a zone is taken for UTC."""
    try:
        moment = datetime.fromisoformat(line["timestamp"])
    except (KeyError, TypeError, ValueError):
        return otherwise
    at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return at if 0 < at < _LATEST else otherwise
