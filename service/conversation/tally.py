"""What a call comes to: how its turns were settled, and what was odd."""

from service.conversation.call import CallRecord, Outcome
from service.conversation.events import Oddity


class Tally:
    """The counts of one call."""

    __slots__ = ("_oddities", "_outcomes", "lines", "started_at", "turns")

    def __init__(self) -> None:
        self.started_at = 0.0
        self.lines = self.turns = 0
        self._outcomes: dict[Outcome, int] = {}
        self._oddities: dict[str, int] = {}

    def settled(self, outcome: Outcome) -> None:
        self._outcomes[outcome] = self._outcomes.get(outcome, 0) + 1

    def is_first(self, oddity: Oddity) -> bool:
        """Count an oddity; whether this call had none of its kind before."""
        seen = self._oddities[oddity.value] = self._oddities.get(oddity.value, 0) + 1
        return seen == 1

    def record(self, at: float) -> CallRecord:
        return CallRecord(self.started_at, at, self.lines, dict(self._outcomes), dict(self._oddities))
