"""A turn between its request and its settlement, and how its reply ends on the wire (rules 4, 9 and 10)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from service.conversation.call import Policy, Prompt
from service.conversation.commands import Say
from service.conversation.parts import Action, HangUp, PressDigits, Transfer
from service.conversation.playout import Playout, heard_of
from service.conversation.transcript import Mark, Row, stops_in_mid_sentence, words_of

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
    playout: Playout = field(default_factory=Playout)
    first_words_at: float | None = None
    final_at: float | None = None
    failure: str | None = None
    action: Action | None = None

    @property
    def text(self) -> str:
        return "".join(self.said)

    @property
    def has_spoken(self) -> bool:
        return self.first_words_at is not None

    def say(self, text: str, at: float) -> None:
        self.said.append(text)
        self.playout.say(text, at)
        if self.first_words_at is None and text.strip():
            self.first_words_at = at

    def act(self, action: Action) -> None:
        """Take the action along, unless one is there that goes before it."""
        if self.action is None or _RANK[type(action)] < _RANK[type(self.action)]:
            self.action = action

    def finish(self, policy: Policy, at: float) -> Say:
        """The final frame of a reply that ended well."""
        return self._close(closing_words(self.action, policy, after=self.text), at)

    def fail(self, policy: Policy, reason: str, at: float) -> Say:
        """The final frame of a reply that did not."""
        self.failure, self.action = reason, None
        if self.has_spoken:
            return self._close(policy.lines.closing_line if stops_in_mid_sentence(self.text) else "", at)
        return self._close(
            policy.lines.fallback_greeting if self.prompt is Prompt.GREETING else policy.lines.apology, at
        )

    def _close(self, text: str, at: float) -> Say:
        text = _spaced(text, after=self.text)
        self.say(text, at)
        self.is_drafting, self.final_at = False, at
        is_uninterruptible = self.action is not None and self.action.is_uninterruptible
        return Say(self.turn_id, text, is_final=True, is_uninterruptible=is_uninterruptible, action=self.action)

    def words_heard(self, transcript: Sequence[Row]) -> int | None:
        """How many of its words the transcript shows; None when the two cannot be aligned."""
        said = words_of(self.text)
        return heard_of(said, self.mark.heard_since(transcript, at_most=4 * len(said) + 100))


def closing_words(action: Action | None, policy: Policy, *, after: str) -> str:
    """The words an action travels with; a farewell is never empty (rule 10)."""
    if action is None:
        return ""
    must_speak = isinstance(action, HangUp)
    return _spaced(action.words.strip() or (policy.lines.farewell if must_speak else ""), after=after)


def _spaced(text: str, *, after: str) -> str:
    return f" {text}" if text and after and not (after[-1].isspace() or text[0].isspace()) else text
