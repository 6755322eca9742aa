"""The real service with a stand-in model: turns of every outcome, read over HTTP as Prometheus reads them."""

import asyncio
import http.client
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics_of
from prometheus_client.parser import text_string_to_metric_families as plain_metrics_of
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from service.observability import meter
from service.settings import Settings
from service.simulator.model import StandInModel
from service.simulator.model_script import HangBeforeHeaders, Refuse, Script
from service.telemetry import serve_metrics
from tests.live import PlatformLine, Service, serving
from tests.test_cli import free_port

ANSWER = "We open at nine and close at five."
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


def scrape(port: int, accept: str = "text/plain") -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/metrics", headers={"Accept": accept})
    answer = connection.getresponse()
    assert (answer.getheader("Content-Type") or "").startswith(accept)
    text = answer.read().decode()
    connection.close()
    return text


class Found(dict[frozenset[str], float]):
    """What a scrape found: series by their name and the values of their labels."""

    def at(self, *words: str) -> float:
        return self[frozenset(words)]


async def values(port: int) -> Found:
    families = plain_metrics_of(await asyncio.to_thread(scrape, port))
    samples = [sample for family in families for sample in family.samples]
    return Found({frozenset((sample.name, *sample.labels.values())): sample.value for sample in samples})


@asynccontextmanager
async def measured(model: StandInModel) -> AsyncIterator[tuple[Service, int]]:
    """A service that forgets calls at once, and the port of its metrics."""
    settings = Settings(
        agent="receptionist",
        openai_api_key="k",
        openai_base_url=model.base_url,
        metrics_port=free_port(),
        reconnect_window=0,
    )
    async with serving(settings=settings) as service:
        stop = serve_metrics(service.app.state.metrics, settings)
        try:
            yield service, settings.metrics_port
        finally:
            await asyncio.to_thread(stop)


async def talk(model: StandInModel, line: PlatformLine) -> None:
    """A turn of each outcome; the last waits for its words when this returns."""
    await line.greeted()
    await line.ask(1, "Hello.", "When?")
    assert await line.answer(1) == ANSWER
    await line.ask(2, "Hello.", "When?", ANSWER, "And then?")  # the first was heard
    await line.answer(2)
    model.scripts.append(Script(ANSWER, fault=HangBeforeHeaders()))
    await line.ask(3, "Hello.", "When?", ANSWER, "And then?", "We open at nine", "Stop.")  # the second was cut off
    await model.until(lambda: model.open_streams == 1, within=5)
    model.scripts.append(Script(ANSWER, fault=Refuse(401)))
    await line.ask(4, "Hello.", "When?", ANSWER, "And then?", "We open at nine", "Stop. Well?")  # the third: no words
    await line.answer(4)
    model.scripts.append(Script(ANSWER, fault=HangBeforeHeaders()))
    await line.ask(5, "Hello.", "Still there?")
    await line.ping(1)


async def test_turns_of_every_outcome_are_found_by_prometheus_in_both_formats() -> None:
    async with StandInModel(Script(ANSWER)) as model, measured(model) as (service, port):
        before = await values(port)
        async with service.line() as line:
            await talk(model, line)
            during = await values(port)
        with pytest.raises(InvalidStatus):
            await connect(f"ws://{service.address}/llm-websocket/no!id")
        after = before
        async with asyncio.timeout(5):
            while not (
                after.at("cuebox_call_duration_seconds_count") and after.at("cuebox_event_loop_lag_seconds_count")
            ):
                await asyncio.sleep(0.02)
                after = await values(port)
        exposed = await asyncio.to_thread(scrape, port, OPEN_METRICS)
    turns = "cuebox_turns_total"
    assert during.at("cuebox_calls_open") == during.at("cuebox_turns_in_progress") == 1
    outcomes = ("completed", "interrupted", "superseded", "failed", "disconnected")
    assert [after.at(turns, "caller_spoke", outcome) for outcome in outcomes] == [1, 1, 1, 1, 1]
    assert after.at("cuebox_turn_failures_total", "KeyRejected") == 1
    assert [after.at("cuebox_turn_first_chunk_total", result) for result in ("sent", "failed")] == [2, 1]
    assert after.at("cuebox_cancel_to_silence_seconds_count") == 1
    assert after.at("cuebox_overhead_seconds_bucket", "0.5") == 2
    attempts = ("cuebox_model_attempts_total", "gpt-4.1", "gpt-4.1", "first")
    assert [after.at(*attempts, result) for result in ("answered", "failed", "cancelled")] == [2, 1, 2]
    assert after.at("cuebox_model_tokens_total", "gpt-4.1", "gpt-4.1", "output") > 0
    assert after.at("cuebox_model_cost_dollars_total", "gpt-4.1", "gpt-4.1") > 0
    assert after.at("cuebox_model_breaker_state", "gpt-4.1") == 2  # a wrong key takes the target out
    assert after.at("cuebox_calls_abandoned_total") == after.at("cuebox_calls_total", "refused_path") == 1
    assert after.at("cuebox_lines_closed_total", "platform", "normal") == 1
    assert before.keys() == after.keys()
    families = {family.name: family for family in open_metrics_of(exposed)}  # type: ignore[no-untyped-call]  # it has no types
    assert "call_1" not in exposed
    assert exposed.endswith("# EOF\n")
    assert sum(sample.value for sample in families["cuebox_turns"].samples) == 6
    assert not any(sample.name.endswith("_created") for family in families.values() for sample in family.samples)


async def test_a_stall_of_ours_is_seen_and_so_is_the_ping_that_it_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "PONG_LATE", 0.3)
    async with StandInModel(Script(ANSWER)) as model, measured(model) as (service, port), service.line() as line:
        await line.greeted()
        await line.send({"interaction_type": "ping_pong", "timestamp": 1})
        time.sleep(0.6)  # noqa: ASYNC251 - the loop stands still while the ping waits
        await line.ping(2)
        found = await values(port)
    assert found.at("cuebox_pongs_late_total") >= 1
    assert 0.4 < found.at("cuebox_event_loop_stall_max_seconds") < 2
