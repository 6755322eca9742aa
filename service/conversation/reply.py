"""A turn between its request and its settlement, and how its reply ends on the wire (rules 4, 9 and 10)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

from service.conversation.call import Policy, Prompt, SpokenLines
from service.conversation.commands import Command, Say, ShowToolCall, ShowToolResult, TellPage, TuneVoice
from service.conversation.parts import Action, HangUp, PageMessage, PressDigits, Speech, Transfer, VoiceSettings
from service.conversation.playout import Playout, heard_of
from service.conversation.transcript import Mark, Row, ToolAnswered, ToolCalled, stops_in_mid_sentence, words_of

TOO_SLOW = "too_slow"
STALLED = "stalled"
TIMEOUT = "timeout"

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
    playout: Playout = field(default_factory=Playout)
    first_words_at: float | None = None
    final_at: float | None = None
    failure: str | None = None
    action: Action | None = None
    open_tools: set[str] = field(default_factory=set)
    tools_since: float = 0.0
    awaits_words: bool = True
    """Whether no word came since the request, or since a tool's answer."""
    waits_since: float = 0.0
    """When the last word came, or the request or the tool's answer."""

    @property
    def text(self) -> str:
        return "".join(self.said)

    @property
    def has_spoken(self) -> bool:
        return self.first_words_at is not None

    def say(self, text: str, at: float) -> None:
        self.said.append(text)
        self.playout.say(text, at)
        if text and not text.isspace():
            self.waits_since, self.awaits_words = at, False
            self.first_words_at = at if self.first_words_at is None else self.first_words_at

    def hold(self, line: str, at: float) -> Say:
        """A line that bridges the wait for the first words (rule 15)."""
        self.held = _spaced(f"{line} ", after=self.text)
        self.playout.say(self.held, at)
        return Say(self.turn_id, self.held)

    def take(
        self, part: Speech | Action | ToolCalled | ToolAnswered | VoiceSettings | PageMessage, at: float
    ) -> list[Command]:
        """What a part of the reply brings."""
        match part:
            case Speech():
                if not part.text:
                    return []
                self.say(part.text, at)
                return [Say(self.turn_id, part.text, is_uninterruptible=part.is_uninterruptible)]
            case HangUp() | Transfer() | PressDigits():
                if self.action is None or _RANK[type(part)] < _RANK[type(self.action)]:
                    self.action = part
                return []
            case ToolCalled():
                self.open_tools.add(part.tool_call_id)
                self.tools_since = at
                return [ShowToolCall(part)]
            case ToolAnswered():
                self.open_tools.discard(part.tool_call_id)
                self.waits_since, self.awaits_words = at, True
                return [ShowToolResult(part)]
            case VoiceSettings():
                return [TuneVoice(part)]
            case PageMessage():
                return [TellPage(part)]
            case _:
                assert_never(part)

    def finish(self, policy: Policy, at: float) -> Say:
        """The final frame of a reply that ended well."""
        return self._close(closing_words(self.action, policy, after=self.text), at)

    def fail(self, policy: Policy, reason: str, at: float) -> Say:
        """The final frame of a reply that did not."""
        self.failure, self.action = reason, None
        return self._close(self._ending(policy.lines), at)

    def _ending(self, lines: SpokenLines) -> str:
        if stops_in_mid_sentence(self.text):
            return lines.closing_line
        if self.failure == TOO_SLOW and self.has_spoken:
            return lines.give_up
        if self.has_spoken:
            return ""
        if self.prompt is Prompt.GREETING:
            return lines.fallback_greeting
        return lines.give_up if self.failure == TOO_SLOW else lines.apology

    def _close(self, text: str, at: float) -> Say:
        text = _spaced(text, after=self.text)
        self.say(text, at)
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
        return None if heard is None else max(0, heard - len(words_of(self.held)))

    def _heard(self, transcript: Sequence[Row]) -> int | None:
        said = words_of(self.held + self.text)
        return heard_of(said, self.mark.heard_since(transcript, at_most=4 * len(said) + 100))


def closing_words(action: Action | None, policy: Policy, *, after: str) -> str:
    """The words an action travels with; a farewell is never empty (rule 10)."""
    if action is None:
        return ""
    must_speak = isinstance(action, HangUp)
    return _spaced(action.words.strip() or (policy.lines.farewell if must_speak else ""), after=after)


def _spaced(text: str, *, after: str) -> str:
    return f" {text}" if text and after and not (after[-1].isspace() or text[0].isspace()) else text
