"""How late the event loop is: a timer that looks at how much later than due it fires."""

import asyncio
import time
from collections.abc import Callable

EVERY = 0.1
"""Seconds between two looks."""

_SLOT = 5.0
_SLOTS = 12
"""A minute is remembered as the longest of each five seconds."""

OVERLOADED = 0.5
"""Seconds that the loop is late again and again, when it has more to do than it can."""

_SHARE, _MOST_TOLD = 0.1, 2.0
"""What one look counts, and the most that it tells: a single stall, however long, is no overload."""

_JUST_NOW = 0.02
"""After a stall the timer may fire before the sockets that waited, too, are read."""


class LoopMonitor:
    """Lags and stalls of the running loop, in seconds. What it tells may be asked from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """The clock is finer than the loop's own: uvloop's ticks in milliseconds."""
        self.on_lag: Callable[[float], None] = lambda _: None
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        self._last_look = self._last_lag = self._usual_lag = 0.0
        self._longest: dict[int, float] = {}

    def start(self) -> None:
        """Watch the running loop."""
        self._due = self._clock() + EVERY
        self._timer = asyncio.get_running_loop().call_later(EVERY, self.look)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._due = None

    def look(self) -> None:
        """What the timer does. It is set anew before anything can go wrong."""
        now = self._clock()
        lag = 0.0 if self._due is None else max(0.0, now - self._due)
        self.start()
        self._last_look, self._last_lag = now, lag
        self._usual_lag += _SHARE * (min(lag, _MOST_TOLD) - self._usual_lag)
        slot = int(now / _SLOT)
        if slot not in self._longest:
            self._longest = {at: longest for at, longest in self._longest.items() if at > slot - _SLOTS} | {slot: 0.0}
        self._longest[slot] = max(self._longest[slot], lag)
        self.on_lag(lag)

    @property
    def is_overloaded(self) -> bool:
        """Whether it is late all the time."""
        return self._usual_lag > OVERLOADED

    def overdue(self) -> float:
        """How long what is handled now may have waited for the loop."""
        now = self._clock()
        last = self._last_lag if now - self._last_look < _JUST_NOW else 0.0
        return max(last, self._going_on(now))

    def longest_stall(self) -> float:
        """The longest lag of the last minute, one that still goes on included."""
        return max(self._going_on(self._clock()), *self._longest.copy().values(), 0.0)

    def _going_on(self, now: float) -> float:
        return 0.0 if self._due is None else max(0.0, now - self._due)
