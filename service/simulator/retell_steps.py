"""What a moment of a simulated call brings: orders for the shell that holds the line, and facts for who watches."""

from dataclasses import dataclass
from typing import Literal

from service.platforms.retell.messages import AgentConfig

Cutter = Literal["caller", "agent", "line"]

# Orders.


@dataclass(frozen=True, slots=True)
class SendFrame:
    """Send this text frame. Without a line it is lost."""

    text: str


@dataclass(frozen=True, slots=True)
class Redial:
    """Cut the line, if it still stands, and open a new one to the same URL."""

    reason: str


@dataclass(frozen=True, slots=True)
class CloseLine:
    """The call is over: close the line with this code."""

    code: int


# Facts.


@dataclass(frozen=True, slots=True)
class LineOpened:
    """A socket stands; `is_again` after a reconnect."""

    is_again: bool


@dataclass(frozen=True, slots=True)
class FrameReceived:
    """The server sent this frame."""

    frame: str | bytes


@dataclass(frozen=True, slots=True)
class Configured:
    """The server said what it wants to be sent."""

    wants_pings: bool
    wants_details: bool
    wants_rows: bool


@dataclass(frozen=True, slots=True)
class PingAnswered:
    """Round trip in seconds."""

    after: float


@dataclass(frozen=True, slots=True)
class TurnAsked:
    """The server was asked to answer, or to remind a silent caller."""

    turn_id: int
    is_reminder: bool


@dataclass(frozen=True, slots=True)
class ChunkArrived:
    """Words of the live turn (None: of an agent_interrupt). `waited`: seconds to the first of them, on it alone."""

    turn_id: int | None
    text: str
    waited: float | None


@dataclass(frozen=True, slots=True)
class TurnFinished:
    """The final frame came, `after` so many seconds."""

    turn_id: int | None
    text: str
    after: float


@dataclass(frozen=True, slots=True)
class ResponseDropped:
    """A frame of an overtaken turn that the server may have sent before it knew: normal, and never spoken."""

    turn_id: int | None


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The agent starts to speak: its first sentence is complete, `waited` seconds after it was asked."""

    turn_id: int | None
    waited: float


@dataclass(frozen=True, slots=True)
class WordsHeard:
    """So many words of the turn are out by now."""

    turn_id: int | None
    count: int


@dataclass(frozen=True, slots=True)
class Action:
    """What the server wants done when the words are spoken, spelled as its frame does."""

    name: Literal["end_call", "transfer_number", "digit_to_press"]
    value: str = ""


@dataclass(frozen=True, slots=True)
class SpeechFinished:
    """Everything of the turn was spoken, and its action comes now."""

    turn_id: int | None
    action: Action | None = None


@dataclass(frozen=True, slots=True)
class SpeechCut:
    """The agent was cut off: by the caller, by its own agent_interrupt, or by a broken line asked anew."""

    turn_id: int | None
    heard: str
    unheard: str
    by: Cutter


@dataclass(frozen=True, slots=True)
class ActionTaken:
    """The words were spoken, so it was done."""

    action: Action


@dataclass(frozen=True, slots=True)
class ActionDiscarded:
    """The words were cut off, so it was not done."""

    action: Action


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """The server shows a tool call."""

    tool_call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolAnswered:
    """The server shows what a tool answered."""

    tool_call_id: str
    content: str
    is_successful: bool | None


@dataclass(frozen=True, slots=True)
class AgentTuned:
    """The server changed how the agent listens and speaks."""

    settings: AgentConfig


@dataclass(frozen=True, slots=True)
class PageTold:
    """The server sent metadata for a web page: JSON."""

    json: str


@dataclass(frozen=True, slots=True)
class RuleBroken:
    """The server did what the reference forbids."""

    rule: str


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The call is over, for a reason as Retell spells it."""

    reason: str


Order = SendFrame | Redial | CloseLine
Fact = (
    LineOpened
    | FrameReceived
    | Configured
    | PingAnswered
    | TurnAsked
    | ChunkArrived
    | TurnFinished
    | ResponseDropped
    | SpeechStarted
    | WordsHeard
    | SpeechFinished
    | SpeechCut
    | ActionTaken
    | ActionDiscarded
    | ToolCalled
    | ToolAnswered
    | AgentTuned
    | PageTold
    | RuleBroken
    | CallEnded
)
Step = Order | Fact
