"""How long a caller waits for an answer that is slow, and what is said meanwhile (rules 15 to 17).

All of it is measured on words that the caller can hear: a stream that opened and says nothing is silence.
"""

from enum import Enum

from service.conversation.call import Deadlines
from service.conversation.reply import OpenTurn
from service.conversation.transcript import has_sentence


class Due(Enum):
    """What has to be done about a slow answer."""

    HOLD = "hold"
    GIVE_UP = "give_up"
    FINISH = "finish"


class Patience:
    """The patience with one turn. Its deadline is moved when it passes, not with each chunk."""

    __slots__ = ("_deadlines", "_may_hold", "_turn")

    def __init__(self, turn: OpenTurn, deadlines: Deadlines, *, may_hold: bool) -> None:
        self._turn = turn
        self._deadlines = deadlines
        self._may_hold = may_hold

    def until(self) -> float:
        """When to look again."""
        turn, deadlines = self._turn, self._deadlines
        if not turn.has_spoken:
            return turn.waits_since + (deadlines.hold_after if self._may_hold else deadlines.give_up_after)
        pause = turn.waits_since + deadlines.stall_after
        if not has_sentence(turn.text):  # the platform does not speak yet
            return max(pause, turn.asked_at + deadlines.give_up_after)
        return max(
            pause, min(turn.playout.runs_out_at() + deadlines.stall_after, turn.waits_since + deadlines.wire_silence)
        )

    def due(self, at: float) -> Due | None:
        """What is due at this moment; None when it is not yet, or a tool is at work."""
        turn = self._turn
        if turn.open_tools or at < self.until():
            return None
        if turn.has_spoken:
            return Due.FINISH
        if self._may_hold:
            self._may_hold = False
            return Due.HOLD
        return Due.GIVE_UP
