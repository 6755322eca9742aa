"""The lines of a recording: JSON, one a line. `at` is seconds since the call began in this process.

A recording is of one process: where another takes a call over, it makes a recording of its own.
"""

from typing import Any

from msgspec import Struct

FORMAT = 1
WISHES = ("retell_auto_reconnect", "retell_call_details", "retell_transcript_with_tool_calls")
"""Settings of what the platform is asked for."""


class Line(Struct, frozen=True, tag_field="kind", omit_defaults=True):
    """One line."""


class CallBegan(Line, frozen=True, tag="call"):
    """The first line of every recording."""

    format: int
    call_id: str
    agent: str
    folder_hash: str
    started_at: str
    """When it began here: ISO 8601, in UTC."""
    version: str
    is_redacted: bool = False
    """Whether every digit became a 1."""
    wishes: dict[str, bool] = {}
    """What the platform was asked for: names of settings."""
    targets: list[str] = []
    """The models that the agent asks; none for one that goes without."""


class LineOpened(Line, frozen=True, tag="opened"):
    """The platform dialled."""

    at: float
    line: int = 1
    """Counts the call's lines."""


class LineClosed(Line, frozen=True, tag="closed"):
    """A line ended."""

    at: float
    line: int = 1
    code: int | None = None
    """Of the platform's close frame; None for a line that was cut, by either side."""


class FrameIn(Line, frozen=True, tag="in"):
    """A frame of the platform's."""

    at: float
    line: int = 1
    frame: Any = None
    """Its JSON; what is none, as a string."""
    same: dict[str, int] = {}
    """By field, how many of the first elements are those of the frame in before it: they are left out."""
    size: int = 0
    """Bytes of a binary frame, which is not kept."""


class FrameOut(Line, frozen=True, tag="out"):
    """A frame of ours that was handed to the network."""

    at: float
    line: int = 1
    frame: Any = None


class TurnAsked(Line, frozen=True, tag="turn"):
    """The agent was asked."""

    at: float
    index: int
    turn_id: int
    prompt: str


class TurnSettled(Line, frozen=True, tag="settled"):
    """A turn was over, and this is how it went."""

    at: float
    index: int
    outcome: str
    reason: str | None = None


class StreamError(Struct, frozen=True, omit_defaults=True):
    """How a model failed: the class of its error, and when it may be asked again."""

    name: str
    retry_after: float | None = None


class ModelStream(Line, frozen=True, tag="stream"):
    """What one target answered to one question. It is written when it is over."""

    at: float
    """When it was asked."""
    turn: int
    """Its index."""
    question: int
    """Counts the questions of a turn, from 1: each answer of tools brings one more."""
    cause: str
    """Why it was asked: first, hedge, failover or retry."""
    target: str
    model: str
    deltas: list[tuple[float, Any]]
    """Moments since it was asked. A string is words; an object has one field: begun, calling, call or ended. Until it
    is written, they are the deltas themselves."""
    took: float
    end: str
    """`whole`; `failed`; or `closed`, by us: another spoke first, or the turn was over."""
    error: StreamError | None = None


class LinesLost(Line, frozen=True, tag="lost"):
    """So many lines could not be kept here."""

    lines: int
    why: str
    """`disk`, `queue` (the disk was too slow), `memory` (the call's details came late), `size` (of the recording, or of
    all) or `fault` (of ours)."""


class CallOver(Line, frozen=True, tag="over"):
    """The last line: this process forgot the call."""

    at: float


Happening = LineOpened | LineClosed | FrameIn | FrameOut | TurnAsked | TurnSettled | ModelStream | CallOver
"""What has a moment."""

AnyLine = CallBegan | LinesLost | Happening
