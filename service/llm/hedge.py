"""When a second attempt begins beside one that is slow, and when it may not.

The rule is a single reissue after a high quantile of the first words (Dean and Barroso, "The Tail at Scale", 2013;
Kaler, He and Elnikety, "Optimal Reissue Policies", 2017), held by a budget so that it never feeds an overload.
"""

from bisect import bisect_left, insort
from collections import deque

from msgspec import Struct


class HedgeRules(Struct, frozen=True, forbid_unknown_fields=True):
    """When a slow answer gets a second attempt. Times are seconds."""

    is_on: bool = True
    quantile: float = 0.93
    """The share of a target's first words that come before the second attempt begins. What is left of it is about the
    share of turns that ask twice."""
    least: float = 0.6
    most: float = 1.3
    """A later second attempt seldom speaks before the hold line does (`infra/tail.py` has the figures)."""
    at_first: float = 1.2
    """The delay until `least_known` turns tell a better one."""
    window: int = 200
    least_known: int = 20
    bucket: float = 10.0
    """So many hedges may come in a row; `refill` of one is earned by each turn."""
    refill: float = 0.1
    off_above: float = 0.25
    """No second attempt at the same target while more than this share of turns reaches the delay."""
    off_window: int = 40
    off_after_limit: float = 60.0
    """No second attempt at a target for so long after it said that there are too many requests."""


class Hedger:
    """How long to wait for one target's first words, as it answers of late, and what may be spent on not waiting."""

    def __init__(self, rules: HedgeRules) -> None:
        self._rules = rules
        self._latest: deque[float] = deque()
        self._sorted: list[float] = []
        self._tokens = rules.bucket
        self._reached: deque[bool] = deque(maxlen=rules.off_window)

    def turn_began(self) -> float:
        """A turn earns its share of a hedge. Returns the seconds until its second attempt."""
        rules, known = self._rules, len(self._sorted)
        self._tokens = min(self._tokens + rules.refill, rules.bucket)
        if known < rules.least_known:
            return rules.at_first
        return min(max(self._sorted[min(int(rules.quantile * known), known - 1)], rules.least), rules.most)

    def spoke(self, seconds: float) -> None:
        """The target's first words came after this time; or had not come yet, when another spoke first."""
        if len(self._latest) == self._rules.window:
            del self._sorted[bisect_left(self._sorted, self._latest.popleft())]
        self._latest.append(seconds)
        insort(self._sorted, seconds)

    def waited(self, *, reached: bool) -> None:
        """A turn waited for its first words: for the whole delay, or less. One overtaken before that tells nothing."""
        self._reached.append(reached)

    def may_feed(self) -> bool:
        """Whether the same target may be asked twice: not while it is slow with most."""
        known = len(self._reached)
        return known < self._rules.least_known or sum(self._reached) <= self._rules.off_above * known

    def take(self) -> bool:
        """Spend one hedge, if there is one."""
        if not self._rules.is_on or self._tokens < 1:
            return False
        self._tokens -= 1
        return True
