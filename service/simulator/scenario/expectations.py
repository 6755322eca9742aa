"""What may be expected in a scenario's file: of one answer, and of a call as a whole."""

from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct, field

Texts = str | list[str]
Outcome = Literal["completed", "interrupted", "superseded", "failed", "disconnected"]
Carried = Literal["transfer_number", "digit_to_press"]
Reason = Literal[
    "agent_hangup",
    "user_hangup",
    "call_transfer",
    "error_llm_websocket_open",
    "error_llm_websocket_lost_connection",
    "error_llm_websocket_runtime",
    "error_llm_websocket_corrupt_payload",
]
_Ms = Annotated[float, Meta(ge=0, le=86_400_000)]
_Count = Annotated[int, Meta(ge=0, le=100_000)]


class Part(Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping of the file."""


class Within(Part, frozen=True):
    """Milliseconds from the request."""

    first_words: Annotated[_Ms | None, Meta(description="To the first words, a hold line's included.")] = None
    first_sentence: Annotated[_Ms | None, Meta(description="To when the platform can begin to speak.")] = None
    final: Annotated[_Ms | None, Meta(description="To the final frame.")] = None


class Words(Part, frozen=True):
    """Of what the agent says."""

    contains: Annotated[Texts, Meta(description="Words, or a list of them, in any case of letters.")] = ""
    matches: Annotated[Texts, Meta(description="A regular expression, or a list of them.")] = ""
    absent: Annotated[Texts, Meta(description="What must not be in it, as for `contains`.")] = ""


class Reply(Words, frozen=True):
    """What is expected of one answer."""

    exactly: Annotated[str | None, Meta(description="All words of it; how they are spaced does not matter.")] = None
    heard: Annotated[str | None, Meta(description="All words of it that the caller heard.")] = None
    within_ms: Annotated[
        _Ms | Within | None, Meta(description="Milliseconds to the first words, or to several moments.")
    ] = None
    not_before_ms: Annotated[_Ms | None, Meta(description="The first words come no sooner.")] = None
    tools: Annotated[
        dict[str, dict[str, Any] | None],
        Meta(
            description="Tools that are called, with arguments that they are called with; other ones may be there. "
            "They go well, unless `tool_results` says what they answer."
        ),
    ] = field(default_factory=dict)
    tool_results: Annotated[dict[str, str], Meta(description="Words in what tools answer, by the tools' names.")] = (
        field(default_factory=dict)
    )
    no_tools: Annotated[bool | Texts, Meta(description="Tools that are not called; `true` for none at all.")] = False
    action: Annotated[
        Literal["end_call", "none", Carried] | dict[Carried, str] | None,
        Meta(
            description="What is done at its end: `end_call`, `none`, or `{transfer_number: …}`, `{digit_to_press: …}`."
        ),
    ] = None
    overtaken: Annotated[bool | None, Meta(description="Whether something newer came before it was complete.")] = None
    reminder: Annotated[bool | None, Meta(description="Whether it answers a silence.")] = None
    outcome: Annotated[Outcome | None, Meta(description="How the turn was settled.")] = None
    reason: Annotated[str | None, Meta(description="Why it failed, or what overtook it.")] = None
    history: Annotated[
        list[dict[Literal["caller", "agent", "tool", "note"], str]],
        Meta(description="What the model was told last, in order: each row contains these words."),
    ] = field(default_factory=list)
    history_absent: Annotated[Texts, Meta(description="What is not in what the model was told so.")] = ""
    model_asked: Annotated[_Count | None, Meta(description="How often the model was asked for it.")] = None

    INSIDE: ClassVar = ("outcome", "reason", "history", "history_absent", "model_asked")


class Call(Words, frozen=True):
    """What is expected of a call as a whole."""

    ended: Annotated[Reason | None, Meta(description="Why it ended, as the platform spells it.")] = None
    refused: Annotated[int | None, Meta(description="The HTTP status with which the line was refused.")] = None
    greetings: Annotated[_Count | None, Meta(description="How often the caller was greeted.")] = None
    turns: Annotated[_Count | None, Meta(description="How many answers were asked for, reminders among them.")] = None
    reminders: Annotated[_Count | None, Meta(description="How many reminders were asked for.")] = None
    lines: Annotated[_Count | None, Meta(description="How many lines it took.")] = None
    pings_within_ms: Annotated[
        _Ms | None, Meta(description="Milliseconds to the slowest echo of a ping; each ping has one.")
    ] = None
    tool_calls: Annotated[dict[str, _Count], Meta(description="How often tools were called, by their names.")] = field(
        default_factory=dict
    )
    rules_broken: Annotated[
        list[str], Meta(description="Rules of the platform that are broken: regular expressions. All others hold.")
    ] = field(default_factory=list)
    model_asked: Annotated[_Count | None, Meta(description="How often the model was asked.")] = None
    outcomes: Annotated[dict[Outcome, _Count], Meta(description="How many turns were settled so.")] = field(
        default_factory=dict
    )
    log: Annotated[dict[str, _Count], Meta(description="How many lines of the log there are, by their events.")] = (
        field(default_factory=dict)
    )

    INSIDE: ClassVar = ("model_asked", "outcomes", "log")


def is_within(wanted: object, found: object) -> bool:
    """Whether it is the same, or has the same in it: of a mapping, all that is wanted."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(
            name in found and is_within(value, found[name]) for name, value in wanted.items()
        )
    return wanted == found
