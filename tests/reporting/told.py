"""Lines as a service's log has them, made in a test."""

from typing import Any

from service.reporting.facts import Facts
from service.reporting.log_lines import facts_of

SETTLED: dict[str, Any] = {
    "turn_id": 1,
    "turn_index": 1,
    "prompt": "caller_spoke",
    "outcome": "completed",
    "time_to_first_chunk": 0.4,
    "time_to_first_sentence": 0.5,
    "duration": 1.0,
    "settled_after": 5.0,
    "words_said": 10,
    "words_heard": 10,
}


def line(event: str, at: float = 0, call_id: str = "call_1", **fields: Any) -> dict[str, Any]:
    """A line, written so many seconds after ten."""
    moment = f"2026-11-23T10:{int(at // 60):02}:{at % 60:09.6f}Z"
    return {"timestamp": moment, "level": "info", "event": event, "call_id": call_id, **fields}


def turn(index: int = 1, at: float = 10, call_id: str = "call_1", **fields: Any) -> dict[str, Any]:
    """The line of a turn, a good one unless it is told otherwise."""
    return line("turn.settled", at, call_id, **{**SETTLED, "turn_id": index, "turn_index": index, **fields})


def facts(*lines: dict[str, Any]) -> Facts:
    """What they tell."""
    return facts_of(lines)
