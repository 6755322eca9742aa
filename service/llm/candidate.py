"""One target as the policy sees it: its endpoint, how it answered of late, and whether it may be asked."""

from msgspec import Struct

from service.llm.breaker import Breaker, BreakerRules
from service.llm.hedge import Hedger, HedgeRules
from service.llm.model import AnswerFiltered, AnswerRan, Endpoint, KeyRejected, QuotaExhausted, RateLimited
from service.llm.switches import Switches


class AnswerRules(Struct, frozen=True, forbid_unknown_fields=True):
    """What an answer may take. Times are seconds to its first words."""

    slow_after: float = 2.5
    """A target that answered within `warm_for` is too slow after this."""
    cold_slow_after: float = 3.0
    """Any other: it may have to load its model first."""
    warm_for: float = 120.0
    longest: int = 4000
    """Characters; about five minutes of speech."""
    stalled_after: float = 1.0
    """A target that has been silent for so long in the middle of its answer when the turn ends counts as failing."""


class Rules(Struct, frozen=True, forbid_unknown_fields=True):
    """How a model is made dependable."""

    answer: AnswerRules = AnswerRules()
    hedge: HedgeRules = HedgeRules()
    breaker: BreakerRules = BreakerRules()


class Candidate:
    """One target of several. Moments are seconds on the loop's clock."""

    def __init__(self, endpoint: Endpoint, rules: Rules, switches: Switches) -> None:
        self.endpoint = endpoint
        self.name = endpoint.name
        self.breaker = Breaker(rules.breaker)
        self.hedger = Hedger(rules.hedge)
        self._limited_until = self._answered_at = float("-inf")
        self._rules, self._switches = rules, switches

    @property
    def is_disabled(self) -> bool:
        """Whether an operator switched it off."""
        return self.name in self._switches.targets_off

    @property
    def may_be_hedged(self) -> bool:
        """Whether an operator lets a second attempt begin beside a slow one of its."""
        return self._switches.may_hedge

    def slow_after(self, at: float) -> float:
        """Seconds after which an attempt that begins now is too slow."""
        rules = self._rules.answer
        return rules.slow_after if at - self._answered_at <= rules.warm_for else rules.cold_slow_after

    def takes_hedges(self, at: float) -> bool:
        """Not for a while after it said that there are too many requests."""
        return at >= self._limited_until

    def answered(self, at: float) -> None:
        """An attempt had its first words."""
        self._answered_at = at

    def ended(self, at: float, asked_at: float, *, silent_for: float) -> None:
        """An answer that began in time came to its end; or its turn did, after so long a silence of the target's."""
        if silent_for < self._rules.answer.stalled_after:
            self.breaker.went_well(at, asked_at)
        else:
            self.breaker.went_badly(at)

    def failed(self, error: Exception, at: float, *, was_slow: bool) -> None:
        """An attempt ended in an error, before its first words or after them. `was_slow`: that counted already."""
        match error:
            case KeyRejected() | QuotaExhausted():
                self.breaker.open(at)
            case RateLimited(retry_after=seconds):
                self._limited_until = at + self._rules.hedge.off_after_limit
                if seconds is not None:
                    self.breaker.open(at, seconds)
                elif not was_slow:
                    self.breaker.went_badly(at)
            case AnswerRan() | AnswerFiltered():  # a limit of ours or of the target's options; what a caller said
                self.breaker.told_nothing(at, is_outrun=False)
            case _ if not was_slow:
                self.breaker.went_badly(at)
