"""What to do. The session carries commands out in their order; those that reach the line are `Outgoing`."""

from dataclasses import dataclass

from service.conversation.call import CallRecord, Turn, TurnRecord
from service.conversation.events import DeadlineKind, Oddity
from service.conversation.parts import Action, PageMessage, VoiceSettings
from service.conversation.transcript import ToolAnswered, ToolCalled


@dataclass(frozen=True, slots=True)
class AnswerPing:
    """Tell the platform that we are there, before anything else that waits to be sent."""

    timestamp: int


@dataclass(frozen=True, slots=True)
class Say:
    """Hand over words of a turn. The last of a turn is final, and only it may carry an action."""

    turn_id: int
    text: str
    is_final: bool = False
    is_uninterruptible: bool = False
    action: Action | None = None


@dataclass(frozen=True, slots=True)
class Interject:
    """Hand over words that cut off whoever is speaking. `interrupt_id` grows within a call."""

    interrupt_id: int
    text: str
    is_uninterruptible: bool = True
    action: Action | None = None


@dataclass(frozen=True, slots=True)
class ShowToolCall:
    """Make a tool's call visible in the platform's transcript."""

    call: ToolCalled


@dataclass(frozen=True, slots=True)
class ShowToolResult:
    """Make a tool's answer visible in the platform's transcript."""

    answer: ToolAnswered


@dataclass(frozen=True, slots=True)
class TuneVoice:
    """Change how the platform listens and speaks."""

    settings: VoiceSettings


@dataclass(frozen=True, slots=True)
class TellPage:
    """Pass data to the web page that holds the call."""

    message: PageMessage


Outgoing = AnswerPing | Say | Interject | ShowToolCall | ShowToolResult | TuneVoice | TellPage


@dataclass(frozen=True, slots=True)
class StartReply:
    """Ask the agent."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class CancelReply:
    """Stop the agent if it still drafts turn `index`, and drop what waits to be sent of it, unless it `keeps_words`."""

    index: int
    turn_id: int
    keeps_words: bool = False


@dataclass(frozen=True, slots=True)
class SetDeadline:
    """Report `DeadlinePassed` at this moment. It replaces the deadline of its kind."""

    kind: DeadlineKind
    at: float


@dataclass(frozen=True, slots=True)
class DropLine:
    """Abort the line without a close code, so that the platform comes back on a new one."""

    reason: str


@dataclass(frozen=True, slots=True)
class ReportOddity:
    """The first oddity of its kind in this call; the events count them all."""

    oddity: Oddity
    detail: str


@dataclass(frozen=True, slots=True)
class RecordTurn:
    """A turn was settled."""

    record: TurnRecord


@dataclass(frozen=True, slots=True)
class RecordCall:
    """The call is over."""

    record: CallRecord


Command = Outgoing | StartReply | CancelReply | SetDeadline | DropLine | ReportOddity | RecordTurn | RecordCall
