"""A call played to the core and seen by telemetry, as a session would show it."""

from collections.abc import Sequence

from service.conversation import events
from service.conversation.call import Policy
from service.conversation.commands import Command
from service.conversation.events import Event
from service.llm.breaker import State
from service.llm.model import Occasion, Usage
from service.llm.records import AttemptRecord, Cause, Result
from service.observability.metrics import Metrics
from service.observability.watch import Watch
from tests.conversation.play import CALL_ID, EPOCH, Play, agent, caller

HEARD = (agent("Hello."), caller("Hi."))


class SeenPlay(Play):
    """A play whose events a watch sees."""

    def __init__(self, watch: Watch, policy: Policy | None = None) -> None:
        super().__init__(policy)
        self.watch = watch

    def happens(self, event: Event) -> list[Command]:
        answer = super().happens(event)
        self.watch.saw(CALL_ID, event, answer)
        return answer

    def shown(self, event: Event, answer: Sequence[Command] = ()) -> None:
        """An event that the core need not know of."""
        self.watch.saw(CALL_ID, event, answer)

    def greets(self) -> None:
        self.happens(events.CallStarted(self.at, EPOCH))
        self.says("Hello.")

    def leaves(self, code: int | None = 1000, *, by_fault: bool = False) -> None:
        self.happens(events.CallDisconnected(self.at, code, by_fault))

    def attempts(
        self,
        index: int = 1,
        *,
        target: str = "first",
        cause: Cause = Cause.FIRST,
        result: Result = Result.ANSWERED,
        took: float | None = 0.3,
        ago: float = 0.3,
        error: str | None = None,
        usage: Usage | None = None,
        finish_reason: str | None = "stop",
        breaker: State = State.CLOSED,
        left: int | None = None,
    ) -> AttemptRecord:
        """An attempt is over now. It was asked `ago`, and its first words took so long."""
        asked_at = self.at - ago
        record = AttemptRecord(
            Occasion(CALL_ID, index),
            target,
            f"model of {target}",
            cause,
            result,
            asked_at,
            None if took is None else asked_at + took,
            self.at,
            error,
            finish_reason,
            usage,
            requests_left=left,
            tokens_left=left,
            breaker=breaker,
        )
        self.watch.attempted(record)
        return record


TARGETS = [("first", "model of first"), ("second", "model of second")]


def value(metrics: Metrics, name: str, **labels: str) -> float:
    """A series of the registry; there is one from the start for everything that can be told."""
    found = metrics.registry.get_sample_value(name, labels)
    assert found is not None, f"no {name}{labels}"
    return found
