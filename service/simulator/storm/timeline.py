"""Draws what happened in one call of a storm: a line for each step, with its moment."""

from collections.abc import Iterable

import msgspec

from service.simulator import retell_steps as steps
from service.simulator.retell_steps import Step
from service.simulator.storm.scene import Moment

_QUIET = (steps.WordsHeard, steps.PingAnswered, steps.FrameReceived)
_LONGEST = 160


def drawn(moments: Iterable[Moment]) -> list[str]:
    """The steps that tell something."""
    return [f"{at:9.3f}  {told}" for at, what in moments if (told := _told(what))]


def _told(what: Step | str) -> str:
    if isinstance(what, str):
        return f"  ** {what}"
    if isinstance(what, _QUIET):
        return ""
    if isinstance(what, steps.SendFrame):
        return f"→ {_request(what.text)}"
    name = type(what).__name__
    fields = ", ".join(f"{field}={getattr(what, field)!r}" for field in what.__dataclass_fields__)
    return f"← {name} {fields}"[:_LONGEST]


def _request(text: str) -> str:
    frame = msgspec.json.decode(text)
    rows = frame.get("transcript") or [{}]
    said = f"{rows[-1].get('role', '')}: {rows[-1].get('content', '')}" if "transcript" in frame else ""
    turn = frame.get("response_id", "")
    return f"{frame['interaction_type']} {turn} {said[-100:]}".strip()
