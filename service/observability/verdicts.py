"""The part of telemetry that counts what the platform tells of calls beside their lines."""

from typing import assert_never

from service.conversation.verdict import CallConcluded, CallMeasured, Hearsay, LineMissed, Verdict, WebhookPosted
from service.observability.metrics import Metrics
from service.observability.watch import Part


class VerdictMeter(Part):
    """Updates the platform's metrics."""

    name = "metrics"

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics.platform

    def heard(self, fact: Hearsay) -> None:
        match fact:
            case WebhookPosted():
                self._metrics.webhooks[fact.event, fact.result].inc()
                if fact.result == "accepted" and fact.verdict is not None:
                    self._judge(fact.verdict)
            case LineMissed():
                self._metrics.missed.inc()
            case _:
                assert_never(fact)

    def _judge(self, verdict: Verdict) -> None:
        match verdict:
            case CallConcluded():
                self._metrics.calls[verdict.reason].inc()
            case CallMeasured():
                for histogram, median in ((self._metrics.llm, verdict.llm), (self._metrics.e2e, verdict.e2e)):
                    if median is not None:
                        histogram.observe(median)
            case _:
                pass
