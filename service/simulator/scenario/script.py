"""What may stand in a scenario's file. Times are milliseconds where the name says so, and seconds elsewhere.

Rules of the language: a step has one verb and at most one moment. What a caller does, and what the model does from now
on, waits until the agent has spoken, unless a moment is given; everything else happens at once.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct, field, json

from service.conversation.playout import WORDS_PER_SECOND
from service.simulator.scenario.expectations import Call, Part, Reply, Texts

Event = Literal[
    "asked",
    "reminder",
    "first_words",
    "first_sentence",
    "final",
    "spoken",
    "cut",
    "tool",
    "tool_result",
    "action",
    "opened",
    "lost",
    "ended",
]
_Seconds = Annotated[float, Meta(ge=0, le=86_400)]
_Ms = Annotated[float, Meta(ge=0, le=86_400_000)]
_Positive = Annotated[int, Meta(ge=1)]
MONDAY = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)


# What the model does.


class Answer(Part, frozen=True):
    """One answer of the model. Without `if_said`, `if_result` and `times` it is given once; the last one, again."""

    say: Annotated[Texts, Meta(description="Its words; a list is sent in these pieces.")] = ""
    call: Annotated[
        dict[str, dict[str, Any] | str],
        Meta(description="Tools that it calls, with their arguments, before it says anything but `say`."),
    ] = field(default_factory=dict)
    then: Annotated["str | Answer | None", Meta(description="What it answers to the tools' results.")] = None
    if_said: Annotated[str, Meta(description="Only when this regular expression is in the caller's last words.")] = ""
    if_result: Annotated[str, Meta(description="Only when this regular expression is in a tool's result.")] = ""
    times: Annotated[_Positive | None, Meta(description="How often it is given.")] = None
    fault: Annotated[
        str, Meta(description="What goes wrong, as for `cuebox load --fault`: `cut after=2`, `refuse status=429`, …")
    ] = ""
    first_token_after: Annotated[float | str | None, Meta(description="Seconds, or `lognormal:0.5,1.2`.")] = None
    gap: Annotated[float | str | None, Meta(description="Seconds from chunk to chunk, likewise.")] = None


class Model(Part, frozen=True):
    """What the model does. Each request takes an answer, a retry's and a hedge's too."""

    answers: Annotated[
        list[str | Answer],
        Meta(description="The first one that fits is given. A text is an answer that says it."),
    ] = field(default_factory=list)
    first_token_after: Annotated[float | str, Meta(description="Seconds to the first words, of all answers.")] = 0.3
    gap: Annotated[float | str, Meta(description="Seconds from chunk to chunk, of all answers.")] = 0.02


# Steps.


class Step(Part, frozen=True, tag_field="do"):
    """One thing that happens."""

    when: Annotated[Event | None, Meta(description="At the next such event since the step before.")] = None
    after_ms: Annotated[
        _Ms | None, Meta(description="So long after the step before; with `when`, after that event.")
    ] = None
    after_words: Annotated[
        _Positive | None, Meta(description="When so many words of what the agent says are heard.")
    ] = None

    WAITS: ClassVar = False
    """Whether it waits until the agent has spoken, where no moment is given."""
    IS_CALLERS: ClassVar = False
    IS_INSIDE: ClassVar = False

    @property
    def told(self) -> str:
        """In a few words: its verb, and what stands behind it."""
        verb = str(self.__struct_config__.tag)
        value = getattr(self, verb)
        return verb if value is True or isinstance(value, Struct) else f"{verb}: {str(value)[:60]}"

    @property
    def has_moment(self) -> bool:
        return (self.when, self.after_ms, self.after_words) != (None, None, None)


class Asking(Step, frozen=True):
    """A step that brings a request."""

    expect: Annotated[Reply | None, Meta(description="What is expected of the answer to it.")] = None
    WAITS: ClassVar = True
    IS_CALLERS: ClassVar = True


class Say(Asking, frozen=True, kw_only=True, tag="say"):
    """The caller says this, word by word as people speak, and waits for an answer."""

    say: Annotated[str, Meta(description="No words: they were not understood.")]
    instantly: Annotated[bool, Meta(description="All in one moment.")] = False
    asked_early_after: Annotated[
        list[_Positive],
        Meta(description="After so many words the platform takes a pause for the end, and asks: the caller goes on."),
    ] = field(default_factory=list)


class Type(Step, frozen=True, kw_only=True, tag="type"):
    """The caller is speaking; this is all of the utterance so far. Nothing is asked."""

    type: str
    WAITS: ClassVar = True
    IS_CALLERS: ClassVar = True


class Press(Asking, frozen=True, kw_only=True, tag="press"):
    """The caller presses keys."""

    press: Annotated[str, Meta(pattern="^[0-9*#]+$")]


class Listen(Step, frozen=True, kw_only=True, tag="listen"):
    """Wait until the agent has spoken. What is expected is of the newest answer."""

    listen: Reply | Literal[True]


class Wait(Step, frozen=True, kw_only=True, tag="wait"):
    """So many seconds pass; the caller is silent."""

    wait: _Seconds


class Remind(Asking, frozen=True, kw_only=True, tag="remind"):
    """The platform asks for a reminder now. By itself it does so when the caller is silent for long."""

    remind: Literal[True]


class HangUp(Step, frozen=True, kw_only=True, tag="hang_up"):
    """The caller hangs up. Without this step the call is over when the agent has answered the last one."""

    hang_up: Literal[True]
    WAITS: ClassVar = True


class Drop(Step, frozen=True, kw_only=True, tag="drop"):
    """The line breaks, and the platform dials again."""

    drop: Literal[True]


class Mute(Step, frozen=True, kw_only=True, tag="mute"):
    """For so many seconds nothing that the platform sends arrives."""

    mute: _Seconds


class Frame(Step, frozen=True, kw_only=True, tag="frame"):
    """A frame that the platform would not send."""

    frame: Annotated[str | dict[str, Any], Meta(description="Text as it stands, or what becomes JSON.")]
    spelt_in: Annotated[Literal["text", "hex"], Meta(description="`hex` is for a binary frame.")] = "text"
    padding: Annotated[
        int,
        Meta(ge=0, le=10_000_000, description="So many characters more, in a field `padding` of what becomes JSON."),
    ] = 0
    repeat: Annotated[int, Meta(ge=1, le=100_000, description="How often.")] = 1

    def spelt(self) -> str | bytes:
        """What is sent. Raises ValueError for hexadecimal digits that are none."""
        if not isinstance(self.frame, str):
            more = {"padding": "x" * self.padding} if self.padding else {}
            return json.encode({**self.frame, **more}).decode()
        try:
            return bytes.fromhex(self.frame) if self.spelt_in == "hex" else self.frame
        except ValueError:
            raise ValueError("`hex` is for pairs of the digits 0-9 and a-f, such as `00ff`") from None


class Webhook(Step, frozen=True, kw_only=True, tag="webhook"):
    """The platform posts this event."""

    webhook: Literal["call_started", "call_ended", "call_analyzed", "call_inbound"]
    call: Annotated[dict[str, Any], Meta(description="Of the call object, beside what is known of it.")] = field(
        default_factory=dict
    )
    status: Annotated[int, Meta(description="The HTTP status that comes back.")] = 204
    answer: Annotated[dict[str, Any], Meta(description="What stands in the answer; other fields may be there.")] = (
        field(default_factory=dict)
    )
    badly_signed: Annotated[bool, Meta(description="Signed with another key.")] = False
    IS_INSIDE: ClassVar = True


class Change(Step, frozen=True, kw_only=True, tag="model"):
    """From now on the model does this."""

    model: Model
    WAITS: ClassVar = True
    IS_INSIDE: ClassVar = True


Which = Literal["home", "other"]


class Kill(Step, frozen=True, kw_only=True, tag="kill"):
    """A process dies, as by SIGKILL: the one that holds the call, or another one."""

    kill: Which
    IS_INSIDE: ClassVar = True


class Drain(Step, frozen=True, kw_only=True, tag="drain"):
    """A process is told to end, as by SIGTERM."""

    drain: Which
    seconds: Annotated[_Seconds, Meta(description="How long its calls may go on.")] = 5.0
    IS_INSIDE: ClassVar = True


class Start(Step, frozen=True, kw_only=True, tag="start"):
    """So many more processes start."""

    start: Annotated[int, Meta(ge=1, le=8)]
    IS_INSIDE: ClassVar = True


AnyStep = (
    Say | Type | Press | Listen | Wait | Remind | HangUp | Drop | Mute | Frame | Webhook | Change | Kill | Drain | Start
)


class Scenario(Part, frozen=True):
    """A file: one call, and what is expected of it."""

    name: Annotated[str, Meta(description="What it shows, in a sentence; the file's name unless given.")] = ""
    agent: Annotated[
        str,
        Meta(
            description="An agent's name, or its folder, seen from this file. In an agent's own folder `scenarios`, "
            "that agent; else the receptionist."
        ),
    ] = ""
    now: Annotated[datetime, Meta(tz=True, description="The date and time when it begins, with its zone.")] = MONDAY
    settings: Annotated[
        dict[str, str | float | bool], Meta(description="Settings of the service, by their variables: `CUEBOX_…`.")
    ] = field(default_factory=dict)
    environment: Annotated[
        dict[Annotated[str, Meta(pattern=r"^[A-Za-z_]\w*$")], Annotated[str, Meta(pattern=r"^[^\x00]*$")]],
        Meta(description="Variables that the agent's tools read. `{folder}` is an empty folder, gone afterwards."),
    ] = field(default_factory=dict)
    processes: Annotated[int, Meta(ge=1, le=8, description="How many of the service there are.")] = 1
    others: Annotated[int, Meta(ge=0, le=1000, description="Callers who are on the line already, and silent.")] = 0
    seed: Annotated[int, Meta(description="Of all that is drawn.")] = 1
    words_per_second: Annotated[float, Meta(gt=0, le=100, description="How fast both speak.")] = WORDS_PER_SECOND
    call_id: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,128}$")] = "call_scenario"
    call: Annotated[
        dict[str, Any],
        Meta(
            description="Of the call object that the platform tells: `from_number`, `retell_llm_dynamic_variables`, …"
        ),
    ] = field(default_factory=dict)
    path: Annotated[
        str,
        Meta(
            pattern="^(/.*)?$",
            description="Where it dials, instead of where the service takes calls; `{call_id}` is the call's.",
        ),
    ] = ""
    headers: Annotated[dict[str, str], Meta(description="Sent when it dials.")] = field(default_factory=dict)
    model: Annotated[
        Model | Literal["none"], Meta(description="What the model does; `none`: there is no key for one.")
    ] = field(default_factory=Model)
    steps: Annotated[list[AnyStep], Meta(description="What happens, in order.")] = field(default_factory=list)
    expect: Annotated[Call, Meta(description="What is expected of the call as a whole.")] = field(default_factory=Call)
