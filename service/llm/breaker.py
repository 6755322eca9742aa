"""Whether a target is asked at all: after too many failures it is left alone for a while (a circuit breaker)."""

from collections import deque
from enum import Enum

from msgspec import Struct


class BreakerRules(Struct, frozen=True, forbid_unknown_fields=True):
    """When a target is left alone. Times are seconds."""

    share: float = 0.5
    """The share of failed or slow attempts that opens it."""
    window: int = 20
    """Over so many of the latest attempts, none older than `memory`."""
    least: int = 5
    """And never on fewer attempts than this."""
    memory: float = 60.0
    open_for: float = 10.0
    """Then one real turn tries; each failed try doubles the time, up to `open_at_most`."""
    open_at_most: float = 60.0


class State(Enum):
    """What a breaker lets through: all, nothing, or one attempt that decides."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """The breaker of one target. Moments are seconds on the caller's clock."""

    def __init__(self, rules: BreakerRules) -> None:
        self._rules = rules
        self._seen: deque[tuple[float, bool]] = deque(maxlen=rules.window)
        self._opens_for = rules.open_for
        self.is_closed = True
        self.open_until = 0.0
        self._opened_at = float("-inf")
        self._is_trying = False

    def state(self, at: float) -> State:
        if self.is_closed:
            return State.CLOSED
        return State.OPEN if at < self.open_until else State.HALF_OPEN

    def admits(self, at: float) -> bool:
        """Whether an attempt may begin; one at a time while it is half open."""
        state = self.state(at)
        return state is State.CLOSED or (state is State.HALF_OPEN and not self._is_trying)

    def begun(self, at: float) -> None:
        """An attempt begins."""
        self._is_trying = self.state(at) is State.HALF_OPEN

    def went_well(self, at: float, asked_at: float) -> None:
        """An attempt had its first words in time, and did not break after them."""
        if not self.is_closed:
            if asked_at < self._opened_at:
                return  # it tells how the target was before
            self._seen.clear()
        self.is_closed, self._is_trying, self._opens_for = True, False, self._rules.open_for
        self._seen.append((at, True))

    def went_badly(self, at: float) -> None:
        """An attempt failed, or was too slow."""
        self._seen.append((at, False))
        if not self.is_closed:
            if self._is_trying:
                self._opens_for = min(2 * self._opens_for, self._rules.open_at_most)
                self.open(at, self._opens_for)
            return
        recent = [went_well for moment, went_well in self._seen if at - moment <= self._rules.memory]
        if len(recent) >= self._rules.least and recent.count(False) >= self._rules.share * len(recent):
            self.open(at, self._opens_for)

    def told_nothing(self, at: float, *, is_outrun: bool) -> None:
        """An attempt was taken back before it could tell. `is_outrun`: it was slow, though not yet too slow."""
        if is_outrun:
            self.went_badly(at)  # else a target that hangs would be tried turn after turn
        self._is_trying = False

    def open(self, at: float, seconds: float | None = None) -> None:
        """Leave the target alone from now on: for so many seconds, or the longest time."""
        longest = self._rules.open_at_most
        self.is_closed, self._is_trying, self._opened_at = False, False, at
        self.open_until = max(self.open_until, at + min(longest if seconds is None else seconds, longest))
