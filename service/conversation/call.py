"""What is known of a call and of a turn."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from service.conversation.parts import Action, Transfer
from service.conversation.transcript import Transcript


@dataclass(frozen=True, slots=True)
class CallDetails:
    """What the platform tells of a call. Every field but the id may be missing: a web call has no numbers."""

    call_id: str
    direction: str | None = None
    from_number: str | None = None
    to_number: str | None = None
    is_web_call: bool = False
    is_ongoing: bool = False
    started_at: float | None = None
    """Seconds since the epoch; None while the call is only registered."""
    may_store_content: bool = True
    """False when the call's storage setting forbids keeping words or numbers."""
    variables: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, object] = field(default_factory=dict)


class Prompt(StrEnum):
    """Why the agent is asked to speak."""

    GREETING = "greeting"
    CALLER_SPOKE = "caller_spoke"
    CALLER_SILENT = "caller_silent"


@dataclass(frozen=True, slots=True)
class Turn:
    """What an agent is asked to answer.

    `index` counts the turns of a call from 0 and never repeats; `turn_id` is the platform's and may,
    on another line of the same call.
    """

    call_id: str
    index: int
    turn_id: int
    prompt: Prompt
    history: Transcript = ()
    call: CallDetails | None = None


@dataclass(frozen=True, slots=True)
class SpokenLines:
    """What is said for an agent that cannot say it itself."""

    fallback_greeting: str = "Hello, how may I help you?"
    apology: str = "I am sorry, I had a problem just now. Could you say that again?"
    apologies: Mapping[str, str] = field(default_factory=dict)
    """Said instead of `apology`, by the reason of the failure: the class of its error, such as `RateLimited`."""
    closing_line: str = "— I am sorry, I lost my thread."
    farewell: str = "Goodbye."
    give_up: str = "I am sorry, this takes longer than it should. Could you ask me that again?"
    offer: str = "Shall I put you through to a colleague?"
    """Follows `give_up` where the agent may transfer; blank for none."""
    busy: str = "I am sorry, all our lines are busy. Please call again in a few minutes."
    """For a call that there is no room for, where it is told so."""
    limit: str = "I am sorry, I have to end our call here."
    """For a call that went beyond one of its limits; the farewell follows."""
    hold: tuple[str, ...] = ("One moment.", "Just a second.")
    """Said in turn while an answer is slow; none at all turns holding off."""
    by_language: Mapping[str, "SpokenLines"] = field(default_factory=dict)
    """The lines of other languages, by their codes, such as `de`."""

    def spoken_in(self, language: str) -> "SpokenLines":
        """The lines of a language, or of the one it is a kind of (`de` for `de-AT`); these where there are none."""
        code = language.strip().replace("_", "-").casefold()
        return self.by_language.get(code) or self.by_language.get(code.partition("-")[0]) or self


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a caller waits for words, in seconds. All count speakable text alone."""

    hold_after: float = 1.8
    """Without any words by then, a hold line is spoken."""
    give_up_after: float = 4.5
    """Without a first sentence by then, the turn is given up, and says so."""
    stall_after: float = 1.0
    """When the caller has had nothing left to hear for so long, what was said is finished."""
    wire_silence: float = 8.0
    """The longest pause between words, however much the caller has still to hear."""

    def __post_init__(self) -> None:
        seconds = (self.hold_after, self.give_up_after, self.stall_after, self.wire_silence)
        if not all(0 < each <= 3600 for each in seconds):  # noqa: PLR2004 - an hour
            raise ValueError("deadlines are seconds, more than 0 and at most 3600")


@dataclass(frozen=True, slots=True)
class Rescue:
    """Whom the caller is handed over to when the agent cannot answer."""

    transfer: Transfer
    """Its words follow the apology."""
    at_once: frozenset[str] = frozenset()
    """Reasons of failures after which it is not tried again; after others, at the second failed turn running."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How a conversation is led. Deadlines are seconds."""

    details_expected: bool = True
    """Whether the platform tells call details: the greeting waits for them, at most `greeting_wait`."""
    greeting_wait: float = 0.3
    turn_budget: float = 25.0
    lines: SpokenLines = SpokenLines()
    deadlines: Deadlines = Deadlines()
    rescue: Rescue | None = None

    def spoken_in(self, details: CallDetails) -> "Policy":
        """The same in the language of a call, which its variable `language` tells."""
        return replace(self, lines=self.lines.spoken_in(details.variables.get("language", "")))


class Outcome(StrEnum):
    """How a turn was settled, exactly one of these."""

    COMPLETED = "completed"
    INTERRUPTED = "interrupted"
    SUPERSEDED = "superseded"
    FAILED = "failed"
    DISCONNECTED = "disconnected"


class Fallback(StrEnum):
    """The line of ours that ended a turn which failed. None of them is an answer."""

    APOLOGY = "apology"
    GIVE_UP = "give_up"
    CLOSING_LINE = "closing_line"
    FALLBACK_GREETING = "fallback_greeting"


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """One settled turn. Moments are seconds on the shell's clock; None for what did not happen."""

    index: int
    turn_id: int
    prompt: Prompt
    outcome: Outcome
    asked_at: float
    first_words_at: float | None
    """The answer's own: neither a hold line nor a fallback counts."""
    final_at: float | None
    settled_at: float
    words_said: int
    words_heard: int
    is_heard_unknown: bool = False
    """What was heard could not be aligned with what was said; the turn counts as completed."""
    reason: str | None = None
    """Why it failed, or what overtook it."""
    first_sentence_at: float | None = None
    """When there was enough for the platform to begin to speak: a sentence of the answer, or all of it."""
    held_at: float | None = None
    """When a hold line was spoken."""
    fallback: Fallback | None = None
    chunks: int = 0
    """Parts of the answer that were handed over as they came; the final frame is not among them."""
    audible_gap: float = 0.0
    """The longest that the caller had nothing left to hear in mid-answer, in seconds: an estimate, by the playout."""
    action: Action | None = None
    """What its final frame asked of the platform."""

    @property
    def is_rescued(self) -> bool:
        """Whether it failed, and the caller was handed over instead."""
        return self.outcome is Outcome.FAILED and self.action is not None

    @property
    def waited(self) -> float:
        """How long the caller waited for a sentence, or in vain, in seconds."""
        ends = (self.first_sentence_at, self.final_at, self.settled_at)
        return next(at for at in ends if at is not None) - self.asked_at

    @property
    def heard_share(self) -> float:
        """The share of the words said that the caller heard, 0 to 1; 1 when there were none."""
        return self.words_heard / self.words_said if self.words_said else 1.0


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call, from its first line to its end."""

    started_at: float
    ended_at: float
    lines: int
    outcomes: Mapping[Outcome, int]
    oddities: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Ending:
    """What is known of a call that is over, by the platform and by us. Any of it may be missing."""

    reason: str = ""
    """Why it ended, of the platform's closed set of reasons; empty when it did not tell."""
    details: CallDetails | None = None
    transcript: Transcript = ()
    """All that was said, tools included where the platform was shown them. Empty when it did not tell."""
    ended_at: float | None = None
    """Seconds since the epoch."""
    record: CallRecord | None = None
    """How it went in this process; None when another held the call."""
