import pytest

from service.conversation.verdict import CallConcluded, CallMeasured, Hearsay, LineMissed, WebhookPosted
from service.observability.logs import REFUSALS_EVERY, CallLog
from service.observability.metrics import Metrics
from service.observability.verdicts import VerdictMeter
from service.observability.watch import Watch
from service.platforms.retell.protocol import Retell
from service.platforms.retell.webhooks import REASONS

ENDED = CallConcluded("call_1", "error_other", "error_asr")


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"cuebox_{name}", labels)


def heard(*facts: Hearsay) -> Metrics:
    metrics = Metrics(reasons=REASONS)
    watch = Watch([VerdictMeter(metrics)])
    for fact in facts:
        watch.heard(fact)
    return metrics


def test_a_verdict_counts_where_its_webhook_was_accepted() -> None:
    metrics = heard(
        WebhookPosted("call_ended", "accepted", verdict=ENDED), WebhookPosted("call_ended", "duplicate", verdict=ENDED)
    )
    assert value(metrics, "platform_calls_total", disconnection_reason="error_other") == 1
    assert value(metrics, "webhooks_total", event="call_ended", result="accepted") == 1
    assert value(metrics, "webhooks_total", event="call_ended", result="duplicate") == 1


def test_what_the_platform_did_not_measure_is_not_observed() -> None:
    metrics = heard(WebhookPosted("call_analyzed", "accepted", verdict=CallMeasured("call_1", None, 1.5)))
    assert value(metrics, "platform_llm_latency_seconds_count") == 0
    assert value(metrics, "platform_e2e_latency_seconds_sum") == 1.5


def test_missed_lines_are_counted() -> None:
    assert value(heard(LineMissed("a"), LineMissed("b")), "platform_calls_without_line_total") == 2


def test_refusals_are_logged_once_a_minute_and_kind(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    log = CallLog(Retell().assumption_broken_by, clock=lambda: now)
    for why in ("stale", "stale", "wrong", "stale"):
        log.heard(WebhookPosted("unknown", "bad_signature", why))
    assert capsys.readouterr().out.count("webhook.refused") == 2
    now = REFUSALS_EVERY
    log.heard(WebhookPosted("unknown", "bad_signature", "stale"))
    told = capsys.readouterr().out
    assert "times=3" in told
    assert "why=stale" in told


def test_a_missed_line_is_logged_and_an_event_of_no_concern_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    log = CallLog(Retell().assumption_broken_by)
    log.heard(WebhookPosted("other", "accepted"))
    assert capsys.readouterr().out == ""
    log.heard(LineMissed("call_1"))
    assert "line.missed" in capsys.readouterr().out
