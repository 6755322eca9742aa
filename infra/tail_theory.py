"""What a second attempt can do for the tail, by theory.

A turn asks again after a delay, with some chance, if it has not been answered; the first answer counts. Asking more
often does no better for a percentile: Kaler, He and Elnikety, "Optimal Reissue Policies for Reducing Tail Latencies",
SPAA 2017. Times are seconds, percentiles and budgets shares from 0 to 1.
"""

from dataclasses import dataclass

from service.simulator.model_times import Times

_LONGEST = 60.0
_DELAYS = 80


@dataclass(frozen=True, slots=True)
class Reissue:
    """Ask a second time after so many seconds, with this chance."""

    delay: float
    chance: float = 1.0

    def share_above(self, seconds: float, of: Times) -> float:
        """The share of turns that wait longer than this."""
        above = 1 - of.share_below(seconds)
        return above * (1 - self.chance * of.share_below(seconds - self.delay)) if seconds > self.delay else above

    def spends(self, of: Times) -> float:
        """The share of turns that ask twice."""
        return self.chance * (1 - of.share_below(self.delay))

    def percentile(self, share: float, of: Times) -> float:
        """The seconds that this share of turns does not exceed."""
        low, high = 0.0, _LONGEST
        while high - low > 1e-4:  # noqa: PLR2004  a tenth of a millisecond
            middle = (low + high) / 2
            low, high = (middle, high) if self.share_above(middle, of) > 1 - share else (low, middle)
        return high


NEVER = Reissue(0.0, 0.0)


def best(share: float, of: Times, budget: float) -> tuple[float, Reissue]:
    """The least that a percentile can be when this share of turns may ask twice, and how to get there."""
    if budget <= 0:
        return NEVER.percentile(share, of), NEVER
    latest = NEVER.percentile(1 - min(budget, 0.99), of)  # any later, and the budget is not used up
    delays = [latest * step / _DELAYS for step in range(1, _DELAYS + 1)]
    policies = [Reissue(delay, min(1.0, budget / Reissue(delay).spends(of))) for delay in delays]
    return min(((policy.percentile(share, of), policy) for policy in policies), key=lambda found: found[0])
