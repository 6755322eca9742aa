"""How a process ends that holds calls: new ones go elsewhere, and those that are here go on.

It is asked ten times a second. So it needs no task, and who orders it, a signal's handler too, only leaves a note.
"""

import math
import time
from collections.abc import Callable

import structlog

from service.calls import Calls

GRACE_SECONDS = 5.0
"""How much longer than all others a call may stay whose agent is answering: the next process would begin anew."""


class Drain:
    """Whether new calls may come, and when the process may end. It begins open."""

    def __init__(
        self, calls: Calls, seconds: float, idle_exit: float = 0.0, now: Callable[[], float] = time.monotonic
    ) -> None:
        """`seconds` is how long calls may go on; after `idle_exit` seconds without any, 0 for never, it is over."""
        self._calls = calls
        self._seconds, self._idle_exit = seconds, idle_exit
        self.now = now
        self._idle_since: float | None = None
        self._began = self._until = 0.0
        self._is_told = False
        self.is_open = True

    @property
    def seconds_left(self) -> float:
        """Until the lines of those that are still here are cut; NaN while it is open."""
        return math.nan if self.is_open else max(0.0, self._until - self.now())

    def begin(self, seconds: float | None = None) -> None:
        """Let no new call in, and those that are here go on for so long. Once more: so long from now."""
        self._began = self.now()
        self._until = self._began + (self._seconds if seconds is None else seconds)
        self._is_told = self.is_open = False

    def is_over(self) -> bool:
        """Whether the process may end now. What is due is done."""
        now, log = self.now(), structlog.get_logger()
        if self.is_open:
            return self._is_idle_for_long(now)
        here = self._calls.connected
        if not self._is_told:
            self._is_told = True
            log.info("service.draining", calls=here, seconds=round(self._until - self._began, 1))
        if here and now >= self._until:
            self._calls.let_go(amid_turns=now >= self._until + GRACE_SECONDS)
            if here > (left := self._calls.connected):
                log.info("service.let_go", calls=here - left, left=left)
        if self._calls.connected:
            return False
        log.info("service.drained", seconds=round(now - self._began, 1))
        return True

    def _is_idle_for_long(self, now: float) -> bool:
        if not self._idle_exit or len(self._calls):
            self._idle_since = None
            return False
        self._idle_since = now if self._idle_since is None else self._idle_since
        if now - self._idle_since < self._idle_exit:
            return False
        self.is_open = False
        structlog.get_logger().info("service.idle", seconds=round(now - self._idle_since, 1))
        return True
