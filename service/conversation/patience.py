"""How long a caller waits for an answer that is slow, and what is said meanwhile (rules 15 to 17).

All of it is measured on words that the caller can hear: a stream that opened and says nothing is silence.
"""

from collections.abc import Sequence
from enum import Enum

from service.conversation.call import Deadlines
from service.conversation.reply import OpenTurn


class Due(Enum):
    """What has to be done about a slow answer."""

    HOLD = "hold"
    GIVE_UP = "give_up"
    FINISH = "finish"


TOOL_SECONDS = 10.0
"""The longest that a tool at work stops the clocks."""

GRACE = 0.5
"""Whoever is amid a first sentence may finish it for so much longer than one who has not begun (seconds)."""

LOOK_AGAIN = 0.1
"""The least time until a slow answer is looked at again (seconds)."""

OWN_STALL = 0.2
"""A look that comes this much later than it was due tells of a stall of our own (seconds)."""


class Holds:
    """The hold lines of a call: one after the other, and never in two turns running."""

    __slots__ = ("_has_held", "_next", "said")

    def __init__(self) -> None:
        self.said: frozenset[str] = frozenset()
        """Those that the caller was told."""
        self._next, self._has_held = 0, False

    def may_hold(self, lines: Sequence[str]) -> bool:
        """A turn begins: whether a hold line may be said in it."""
        has_held, self._has_held = self._has_held, False
        return bool(lines) and not has_held

    def draw(self, lines: Sequence[str]) -> str:
        """The next of the lines."""
        self._next += 1
        return lines[(self._next - 1) % len(lines)]

    def told(self, line: str) -> None:
        """A hold line was said in this turn: one of these, or the agent's own."""
        self._has_held = True
        self.said |= {line}


class Patience:
    """The patience with one turn. Its deadline is put off when it passes, not with each chunk."""

    __slots__ = ("_deadlines", "_look_at", "_may_hold", "_turn")

    def __init__(self, turn: OpenTurn, deadlines: Deadlines, *, may_hold: bool) -> None:
        self._turn = turn
        self._deadlines = deadlines
        self._may_hold = may_hold
        self._look_at = self._until()

    def look_at(self, at: float) -> float:
        """When to look again, from this moment on."""
        self._look_at = max(self._until(), at)
        return self._look_at

    @property
    def is_sooner(self) -> bool:
        """Whether to look sooner than was said. A tool's answer brings it: the wait for words begins anew."""
        return self._until() < self._look_at

    def due(self, at: float) -> Due | None:
        """What is due at this moment; None when it is not yet."""
        turn = self._turn
        if at > self._look_at + OWN_STALL or at < self._until():
            return None  # after a stall of our own, words may be there that were not taken in yet
        if turn.awaits_words and self._can_hold():
            self._may_hold = False
            return Due.HOLD
        if turn.open_tools and at < turn.tools_since + TOOL_SECONDS:
            return None
        return Due.GIVE_UP if turn.awaits_words else Due.FINISH

    def _can_hold(self) -> bool:
        return self._may_hold and self._turn.action is None

    def _until(self) -> float:
        turn, deadlines = self._turn, self._deadlines
        if turn.awaits_words:
            return turn.waits_since + (deadlines.hold_after if self._can_hold() else deadlines.give_up_after)
        # Whoever began to speak has at least the time of one who did not.
        least = max(turn.waits_since + deadlines.stall_after, turn.asked_at + deadlines.give_up_after)
        if turn.first_sentence_at is None:  # the platform does not speak yet
            return min(least, max(turn.asked_at, turn.tool_answered_at) + deadlines.give_up_after + GRACE)
        heard_out = turn.playout.runs_out_at() + deadlines.stall_after
        return max(least, min(heard_out, turn.waits_since + deadlines.wire_silence))
