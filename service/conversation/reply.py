"""A turn between its request and its settlement, and how its reply ends on the wire (rules 4, 9 and 10)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

from service.conversation.call import Fallback, Policy, Prompt, SpokenLines
from service.conversation.commands import Command, Say, ShowToolCall, ShowToolResult, TellPage, TuneVoice
from service.conversation.parts import (
    Action,
    HangUp,
    KnowledgeSought,
    PageMessage,
    PressDigits,
    Speech,
    Transfer,
    VoiceSettings,
)
from service.conversation.playout import Playout, heard_of
from service.conversation.transcript import (
    Mark,
    Row,
    ToolAnswered,
    ToolCalled,
    has_sentence,
    stops_in_mid_sentence,
    words_of,
)

TOO_SLOW = "too_slow"
STALLED = "stalled"
TIMEOUT = "timeout"

_LONGEST_LEAD = 1000
"""Characters after which no end of a sentence is waited for."""

_RANK = {HangUp: 0, Transfer: 1, PressDigits: 2}


@dataclass(slots=True)
class OpenTurn:
    """A turn between its request and its settlement."""

    index: int
    turn_id: int
    prompt: Prompt
    asked_at: float
    mark: Mark
    is_drafting: bool = True
    """Whether a reply is in flight: from the request to the final frame or the overtaking."""
    said: list[str] = field(default_factory=list)
    held: str = ""
    """The hold line that was spoken meanwhile. It never counts as the answer."""
    held_at: float | None = None
    said_before_hold: int = 0
    """How many pieces of the answer had been said by then."""
    playout: Playout = field(default_factory=Playout)
    first_words_at: float | None = None
    """The answer's own: no line of ours counts."""
    first_sentence_at: float | None = None
    _lead: str = ""
    """The words up to there."""
    final_at: float | None = None
    chunks: int = 0
    audible_gap: float = 0.0
    """The longest that the caller had nothing left to hear between two parts of it, in seconds."""
    failure: str | None = None
    fallback: Fallback | None = None
    action: Action | None = None
    open_tools: frozenset[str] = frozenset()
    """The ids of tools at work: its own, and those that outlived the turn it overtook."""
    tools_since: float = 0.0
    awaits_words: bool = True
    """Whether no word came since the request, or since a tool's answer."""
    tool_answered_at: float = 0.0
    waits_since: float = 0.0
    """When the last word came, or the request or the tool's answer."""
    _words: list[str] | None = None
    """Of all that was handed over."""
    _shown: list[str] = field(default_factory=list)
    """What the transcript showed of it at the last look, and how many words that was."""
    _known_heard: int | None = None

    @property
    def text(self) -> str:
        return "".join(self.said)

    @property
    def has_spoken(self) -> bool:
        return self.first_words_at is not None

    def say(self, text: str, at: float) -> None:
        """Words of the answer."""
        self._hand_over(text, at)
        self.said.append(text)
        if text and not text.isspace():
            self.waits_since, self.awaits_words = at, False
            self.first_words_at = at if self.first_words_at is None else self.first_words_at
        if self.first_sentence_at is None and self.has_spoken:
            self._lead += text
            if len(self._lead) > _LONGEST_LEAD or has_sentence(self._lead):
                self.first_sentence_at = at

    def hold(self, line: str, at: float) -> Say:
        """A line that bridges the wait for the first words (rule 15)."""
        self.held, self.held_at = _spaced(f"{line} ", after=self.text), at
        self.said_before_hold = len(self.said)
        self._hand_over(self.held, at)
        return Say(self.turn_id, self.held)

    def _hand_over(self, text: str, at: float) -> None:
        if self.first_sentence_at is not None and text and not text.isspace():
            self.audible_gap = max(self.audible_gap, at - self.playout.runs_out_at())
        self._words = None
        self.playout.say(text, at)

    def take(
        self,
        part: Speech | Action | ToolCalled | ToolAnswered | VoiceSettings | PageMessage | KnowledgeSought,
        at: float,
    ) -> list[Command]:
        """What a part of the reply brings."""
        match part:
            case Speech():
                if not part.text:
                    return []
                self.say(part.text, at)
                self.chunks += 1
                return [Say(self.turn_id, part.text, is_uninterruptible=part.is_uninterruptible)]
            case HangUp() | Transfer() | PressDigits():
                if self.action is None or _RANK[type(part)] < _RANK[type(self.action)]:
                    self.action = part
                return []
            case ToolCalled():
                self.open_tools |= {part.tool_call_id}
                self.tools_since = at
                return [ShowToolCall(part)]
            case ToolAnswered():
                self.tool_answered(part, at)
                return [shown(part)]
            case VoiceSettings() | PageMessage():
                return [shown(part)]
            case KnowledgeSought():
                return []
            case _:
                assert_never(part)

    def tool_answered(self, answer: ToolAnswered, at: float) -> None:
        """The wait for words begins anew."""
        self.open_tools -= {answer.tool_call_id}
        self.waits_since = self.tool_answered_at = at
        self.awaits_words = True

    def finish(self, policy: Policy, at: float) -> Say:
        """The final frame of a reply that ended well."""
        text = closing_words(self.action, policy, after=self.text)
        self.say(text, at)
        if self.has_spoken and self.first_sentence_at is None:  # the platform speaks what it has
            self.first_sentence_at = at
        return self._final(text, at)

    def fail(self, policy: Policy, reason: str, at: float, *, is_rescued: bool = False) -> Say:
        """The final frame of a reply that did not; `is_rescued` hands the caller over to whom the policy names."""
        self.failure, self.action = reason, None
        self.fallback = self._fallback()
        line = self._line(policy.lines)
        if is_rescued and policy.rescue is not None:
            self.action = policy.rescue.transfer
            # Who is handed over shall not be asked to say it again.
            line = f"{line} {self.action.words}" if self.has_spoken else self.action.words or line
        text = _spaced(line.strip(), after=self.text)
        self._hand_over(text, at)
        self.said.append(text)
        return self._final(text, at)

    def _fallback(self) -> Fallback | None:
        if stops_in_mid_sentence(self.text):
            return Fallback.CLOSING_LINE
        if self.has_spoken:
            return Fallback.GIVE_UP if self.failure == TOO_SLOW else None
        if self.prompt is Prompt.GREETING:
            return Fallback.FALLBACK_GREETING
        return Fallback.GIVE_UP if self.failure == TOO_SLOW else Fallback.APOLOGY

    def _line(self, lines: SpokenLines) -> str:
        return {
            None: "",
            Fallback.APOLOGY: lines.apologies.get(self.failure or "", lines.apology),
            Fallback.GIVE_UP: lines.give_up,
            Fallback.CLOSING_LINE: lines.closing_line,
            Fallback.FALLBACK_GREETING: lines.fallback_greeting,
        }[self.fallback]

    def _final(self, text: str, at: float) -> Say:
        self.is_drafting, self.final_at = False, at
        is_uninterruptible = self.action is not None and self.action.is_uninterruptible
        return Say(self.turn_id, text, is_final=True, is_uninterruptible=is_uninterruptible, action=self.action)

    def hear(self, transcript: Sequence[Row], at: float) -> None:
        """Correct the playout by what the transcript shows."""
        heard = self._heard(transcript)
        if heard is not None:
            self.playout.correct(heard, at)

    def words_heard(self, transcript: Sequence[Row]) -> int | None:
        """How many of its words the transcript shows; None when the two cannot be aligned."""
        heard = self._heard(transcript)
        if heard is None or not self.held:
            return heard
        before = len(words_of("".join(self.said[: self.said_before_hold])))
        return heard if heard <= before else max(before, heard - len(words_of(self.held)))

    def _heard(self, transcript: Sequence[Row]) -> int | None:
        shown = self.mark.agent_texts_since(transcript)
        if self._words is None or shown != self._shown:  # while the caller speaks, nothing of ours changes
            self._words = words_of(self._handed_over()) if self._words is None else self._words
            heard = self.mark.heard_since(transcript, at_most=4 * len(self._words) + 100)
            self._shown, self._known_heard = shown, heard_of(self._words, heard)
        return self._known_heard

    @property
    def words_said(self) -> int:
        """How many words the answer has."""
        return len(words_of(self.text) if self.held or self._words is None else self._words)

    def _handed_over(self) -> str:
        """All that the caller was to hear, the hold line where it was said."""
        at = self.said_before_hold
        return "".join((*self.said[:at], self.held, *self.said[at:]))


def shown(part: ToolAnswered | VoiceSettings | PageMessage) -> Command:
    """The command that carries a part which is no words, within a reply and beside it."""
    match part:
        case ToolAnswered():
            return ShowToolResult(part)
        case VoiceSettings():
            return TuneVoice(part)
        case PageMessage():
            return TellPage(part)
        case _:
            assert_never(part)


def closing_words(action: Action | None, policy: Policy, *, after: str) -> str:
    """The words an action travels with; a farewell is never empty (rule 10)."""
    if action is None:
        return ""
    must_speak = isinstance(action, HangUp)
    return _spaced(action.words.strip() or (policy.lines.farewell if must_speak else ""), after=after)


def _spaced(text: str, *, after: str) -> str:
    return f" {text}" if text and after and not (after[-1].isspace() or text[0].isspace()) else text
