"""What happened. Every event carries the moment it happened: `at`, seconds on the shell's monotonic clock."""

from dataclasses import dataclass
from enum import StrEnum

from service.conversation.call import CallDetails, Prompt
from service.conversation.parts import Aside, Part
from service.conversation.transcript import Transcript


class Oddity(StrEnum):
    """Something the other side should not have done. None of them ends a call."""

    BINARY_FRAME = "binary_frame"
    CALL_ID_DIFFERS = "call_id_differs"
    DETAILS_LATE = "details_late"
    FLOODED = "flooded"
    FRESH_CALL_CALLED_ONGOING = "fresh_call_called_ongoing"
    FRAME_TOO_LARGE = "frame_too_large"
    MALFORMED_FRAME = "malformed_frame"
    NOT_JSON = "not_json"
    NOT_UTF8 = "not_utf8"
    REQUEST_NOT_NEWER = "request_not_newer"
    TRANSCRIPT_SHRANK = "transcript_shrank"
    TRANSCRIPT_UNREADABLE = "transcript_unreadable"
    UNKNOWN_TYPE = "unknown_type"


class DeadlineKind(StrEnum):
    """What a deadline guards. A call has at most one of each kind."""

    GREETING = "greeting"
    PATIENCE = "patience"
    TURN = "turn"
    LINE = "line"


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The call's first line in this process opened. `epoch` is the wall clock at `at`, in seconds."""

    at: float
    epoch: float


@dataclass(frozen=True, slots=True)
class CallResumed:
    """Another line of a call that this process knows opened: it replaces the one before."""

    at: float


@dataclass(frozen=True, slots=True)
class CallDetailsReceived:
    """The platform told what it knows of the call."""

    at: float
    details: CallDetails


@dataclass(frozen=True, slots=True)
class TranscriptUpdated:
    """Somebody spoke. None when the transcript was unreadable."""

    at: float
    transcript: Transcript | None


@dataclass(frozen=True, slots=True)
class ReplyRequested:
    """The platform asks for the agent's next words. A newer request withdraws the older ones."""

    at: float
    turn_id: int
    prompt: Prompt
    transcript: Transcript | None


@dataclass(frozen=True, slots=True)
class Pinged:
    """The platform asks whether we are there. `timestamp` is its own, in its own unit."""

    at: float
    timestamp: int


@dataclass(frozen=True, slots=True)
class OddityNoticed:
    """Something arrived that should not have; `detail` names no word of the call and no secret."""

    at: float
    oddity: Oddity
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ReplyDrafted:
    """The agent produced the next part of the reply to turn `index`."""

    at: float
    index: int
    part: Part


@dataclass(frozen=True, slots=True)
class ReplyFinished:
    """The agent has nothing more to say in turn `index`."""

    at: float
    index: int


@dataclass(frozen=True, slots=True)
class ReplyFailed:
    """The agent failed in turn `index`. `reason` is a class of error, never its words."""

    at: float
    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class AsideMade:
    """The agent did something outside of its replies: a hook of its, or a tool that outlived its turn."""

    at: float
    part: Aside


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """A deadline set by `SetDeadline` was reached."""

    at: float
    kind: DeadlineKind


@dataclass(frozen=True, slots=True)
class CallDisconnected:
    """The line closed; the call may come back on another. `code` is the close code, None where there was none."""

    at: float
    code: int | None = None
    is_our_fault: bool = False
    """Whether a fault of this service ended it."""
    is_let_go: bool = False
    """Whether this service cut it in good order: the call is over, or another process is to take it."""


@dataclass(frozen=True, slots=True)
class CallEnded:
    """No line came back in time, or the service stops."""

    at: float


ReplyEvent = ReplyDrafted | ReplyFinished | ReplyFailed
LineEvent = CallStarted | CallResumed | CallDisconnected | CallEnded
FrameEvent = CallDetailsReceived | TranscriptUpdated | ReplyRequested | Pinged | OddityNoticed
Event = ReplyEvent | LineEvent | FrameEvent | AsideMade | DeadlinePassed
