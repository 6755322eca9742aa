"""What a turn's caller is owed: words in time (the core's rules 8 and 15 to 17), as they are seen on the wire.

Silence is time without a word of the turn in a frame that the service wrote. It is counted from the moment at which
the service read the request, from the latest word, or from the latest result of a tool, whichever came last. Excused is
a turn that was overtaken, a tool at work (for 10 s from its call, once the hold line was said), and a line whose
platform does not read.
"""

from service.conversation.call import Deadlines
from service.conversation.patience import GRACE, TOOL_SECONDS
from service.conversation.transcript import has_sentence

SLACK = 0.15
"""The service looks at a slow turn ten times a second."""


class Pledge:
    """One turn's. Each method takes the moment it happens, and returns what is wrong, empty for nothing."""

    __slots__ = (
        "_answered_at",
        "_asked_at",
        "_deadlines",
        "_has_sentence",
        "_lead",
        "_may_hold",
        "_since",
        "_tools_since",
        "_until",
        "_words_at",
        "has_held",
        "tools",
    )

    def __init__(
        self, asked_at: float, deadlines: Deadlines, budget: float, *, may_hold: bool, tools: frozenset[str]
    ) -> None:
        """`tools` are those at work since the turn before."""
        self._asked_at = self._since = self._tools_since = self._answered_at = asked_at
        self._deadlines, self._until = deadlines, asked_at + budget
        self._may_hold, self.has_held = may_hold, False
        self._words_at: float | None = None
        self._lead, self._has_sentence = "", False
        self.tools = tools

    def says(self, text: str, at: float) -> str:
        """Words of the answer, or the blanks between them."""
        late = self.over(at)
        self._words_at = at if text.strip() else self._words_at
        if not self._has_sentence:
            self._lead += text
            self._has_sentence = has_sentence(self._lead)
        return late

    def holds(self, at: float) -> str:
        """A hold line."""
        late = self.over(at)
        self.has_held = True
        return late

    def calls(self, tool_call_id: str, at: float) -> str:
        """A tool begins to work."""
        late = self.over(at)
        self.tools |= {tool_call_id}
        self._tools_since = at
        return late

    def answers(self, tool_call_id: str, at: float) -> str:
        """A tool of this turn, or one that outlived the turn before, has answered."""
        if tool_call_id not in self.tools:
            return ""
        late = self.over(at)
        self.tools -= {tool_call_id}
        self._since = self._answered_at = at
        self._words_at = None
        return late

    def over(self, at: float) -> str:
        """The turn is final, or overtaken."""
        due, why = min((self._until, "the turn budget"), self._due())
        if at <= due + SLACK:
            return ""
        return (
            f"nothing came for {at - max(self._since, self._words_at or 0.0):.2f} s: {why} ended {at - due:.2f} s ago"
        )

    def _due(self) -> tuple[float, str]:
        deadlines = self._deadlines
        excused_until = self._tools_since + TOOL_SECONDS if self.tools else 0.0
        if self._words_at is None:
            if self._may_hold and not self.has_held:
                return self._since + deadlines.hold_after, "the time for a hold line"
            return max(self._since + deadlines.give_up_after, excused_until), "the time to give up"
        began_by = self._asked_at + deadlines.give_up_after
        if not self._has_sentence:
            sentence_by = max(self._asked_at, self._answered_at) + deadlines.give_up_after + GRACE
            due = min(max(self._words_at + deadlines.stall_after, began_by), sentence_by)
            return max(due, excused_until), "the time for a first sentence"
        due = max(self._words_at + deadlines.wire_silence, self._words_at + deadlines.stall_after, began_by)
        return max(due, excused_until), "the longest pause between words"
