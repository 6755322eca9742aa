"""One socket of a simulated call, as Retell keeps track of it: what was wished for on it, its pings, what was read."""

import math

from service.simulator.retell_frames import Wishes

PING_EVERY = 2.0
ANSWERED_WITHIN = 5.0


class RetellLine:
    """A socket from its handshake to its end."""

    def __init__(self, *, is_again: bool) -> None:
        self.is_again = is_again
        self.wishes = Wishes()
        self.read_turn = -1  # the newest turn that the server has shown to have read
        self.ping_at = self._dies_at = math.inf
        self._pings: dict[int, tuple[float, int]] = {}

    def configure(self, wishes: Wishes, at: float) -> None:
        self.wishes = wishes
        self.ping_at = at + PING_EVERY if wishes.auto_reconnect else math.inf
        self._dies_at = at + ANSWERED_WITHIN if wishes.auto_reconnect else math.inf

    def pinged(self, timestamp: int, turn_id: int, at: float) -> None:
        self._pings[timestamp] = at, turn_id
        self.ping_at = at + PING_EVERY

    def pong(self, timestamp: int, at: float) -> float | None:
        """How long the answer took; None when it is not the echo of a ping.

        Frames are read in order: who answers a ping has read the requests before it.
        """
        if self._dies_at < math.inf:
            self._dies_at = at + ANSWERED_WITHIN
        pinged_at, turn_id = self._pings.pop(timestamp, (None, -1))
        self.read_turn = max(self.read_turn, turn_id)
        return None if pinged_at is None else at - pinged_at

    def is_dead(self, at: float) -> bool:
        return at >= self._dies_at

    def wakes_at(self) -> float:
        return min(self.ping_at, self._dies_at)


def reason_of_close(code: int) -> str:
    """Why the call ended, when the server closed its line with this code."""
    return {1000: "agent_hangup", 1005: "error_llm_websocket_open"}.get(code, "error_llm_websocket_runtime")
