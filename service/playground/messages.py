"""What the page and the service tell each other over one WebSocket: JSON objects, told apart by their `kind`."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from service.conversation.playout import WORDS_PER_SECOND
from service.platforms.retell.messages import CallObject
from service.simulator.retell_steps import Step

LONGEST = 64 * 1024
"""Characters of one message."""

_NUMBERS = ("from_number", "to_number")
_NUMBER = re.compile(r"\+[1-9][0-9]{1,14}")

Words = Annotated[str, Meta(max_length=4000)]
Mood = Literal["normal", "slow", "hangs", "breaks", "refuses", "empty"]
"""How the stand-in model behaves from its next answer on."""


class NotUnderstood(ValueError):
    """The page said what it should not. The message is plain sentences, for whoever looks at the page."""


# From the page.


class FromPage(Struct, frozen=True, tag_field="kind", forbid_unknown_fields=True):
    """A wish of the page's."""


class Start(FromPage, frozen=True, tag="start"):
    """Begin a call. `details` are of the call object, as Retell would have registered it; no agent: whoever answers."""

    agent: str = ""
    model: Literal["own", "stand-in"] = "own"
    words_per_second: Annotated[float, Meta(ge=1, le=20)] = WORDS_PER_SECOND
    details: dict[str, Any] = field(default_factory=dict)


class Type(FromPage, frozen=True, tag="type"):
    """The caller is speaking; all of this utterance so far."""

    text: Words


class Say(FromPage, frozen=True, tag="say"):
    """The caller has spoken, and waits for an answer."""

    text: Words


class Press(FromPage, frozen=True, tag="press"):
    """The caller presses keys."""

    digits: str


class Remind(FromPage, frozen=True, tag="remind"):
    """The caller has been silent for long."""


class Drop(FromPage, frozen=True, tag="drop"):
    """The network between the platform and the service breaks."""


class HangUp(FromPage, frozen=True, tag="hang_up"):
    """The caller hangs up."""


class SetMood(FromPage, frozen=True, tag="model"):
    """How the stand-in model behaves from now on."""

    mood: Mood


class ShowFrames(FromPage, frozen=True, tag="frames"):
    """Show the raw frames: the latest, and those that come. Or no longer."""

    on: bool


CallersAct = Type | Say | Press | Remind | Drop | HangUp
Wish = CallersAct | SetMood | ShowFrames
AnyFromPage = Start | Wish

# To the page.


class ToPage(Struct, frozen=True, tag_field="kind"):
    """Something for the page to show. Moments are seconds since the call began."""


class Hello(ToPage, frozen=True, tag="hello"):
    """Comes first: who can be called, the first of them if nobody is named."""

    agents: list[str]
    without_model: list[str]
    words_per_second: float = WORDS_PER_SECOND


class CallBegan(ToPage, frozen=True, tag="call_began"):
    """The line is about to be dialled."""

    call_id: str
    agent: str
    model: str


class Happened(ToPage, frozen=True, tag="step"):
    """What the simulated platform did or saw; `fact` has the fields of the step that `what` names."""

    at: float
    what: str
    fact: Step


class TurnSeen(ToPage, frozen=True, tag="turn"):
    """All that is known of a turn by now, in the words of the log's `turn.settled`; no outcome until it is settled."""

    call_id: str
    at: float
    facts: Mapping[str, object]


class FrameSeen(ToPage, frozen=True, tag="frame"):
    """A frame of the line; `cut` characters of a long one are left out."""

    at: float
    is_from_service: bool
    text: str
    cut: int = 0


class CallOver(ToPage, frozen=True, tag="call_over"):
    """Why, as Retell spells it; or in plain words, when it is no end that Retell knows."""

    reason: str = ""
    trouble: str = ""


class Trouble(ToPage, frozen=True, tag="trouble"):
    """Something cannot be done. What goes on goes on."""

    text: str


encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(AnyFromPage).decode


def read(message: str | bytes | None) -> AnyFromPage:
    """What the page says. Raises NotUnderstood."""
    if message is None or isinstance(message, bytes):
        raise NotUnderstood("The page sent bytes, but the playground is spoken to in text.")
    if len(message) > LONGEST:
        raise NotUnderstood(f"That was {len(message)} characters; a message has {LONGEST} at most.")
    try:
        wish: AnyFromPage = _decode(message)
    except (ValueError, RecursionError) as error:
        raise NotUnderstood(f"The page sent what is not understood here: {error}") from error
    if isinstance(wish, Press) and not re.fullmatch(r"[0-9*#]{1,32}", wish.digits):
        raise NotUnderstood("Keys to press are 1 to 32 of 0 to 9, * and #.")
    if isinstance(wish, Start):
        _check(wish.details)
    return wish


def _check(details: Mapping[str, Any]) -> None:
    """Raise NotUnderstood unless Retell could have registered a call so."""
    for name in _NUMBERS:
        number = details.get(name)
        if number and not (isinstance(number, str) and _NUMBER.fullmatch(number)):
            raise NotUnderstood(f"{name} is {number!r}, but a number has a + and 2 to 15 digits, such as +14155550123.")
    variables = details.get("retell_llm_dynamic_variables") or {}
    if isinstance(variables, dict) and (odd := [k for k, value in variables.items() if not isinstance(value, str)]):
        raise NotUnderstood(f"The variable {odd[0]!r} is no text: write its value in quotation marks.")
    try:
        msgspec.convert({**details, "call_id": "call"}, CallObject)
    except msgspec.ValidationError as error:
        raise NotUnderstood(f"These call details are none that Retell could send: {error}") from error
