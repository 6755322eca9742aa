"""Spans on their way to a collector: one that hangs, refuses, or is not there, and what the environment says."""

import asyncio
import re
import subprocess
import sys
import time

import pytest
from prometheus_client.openmetrics.exposition import generate_latest

from service.environment import read_settings
from service.observability import spans
from service.settings import Settings
from service.simulator.model import StandInModel
from service.simulator.model_script import Script
from tests.live import serving
from tests.observability.tracing import ANSWER, counted, talk, traced
from tests.otlp import Collector


async def test_an_exporter_that_hangs_delays_no_turn_and_the_service_stops_all_the_same(
    tempo: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "FLUSH_SECONDS", 0.2)
    monkeypatch.setattr(spans, "MOST_WAITING", 8)
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    tempo.delay = 3
    async with StandInModel(Script(ANSWER)) as model, traced(model) as service:
        async with service.line() as line:
            await talk(line, "When?")
        for number in range(6):
            async with service.line(f"call_{number + 2}") as line:
                await line.greeted()
        async with service.line("call_last") as line:
            await line.greeted()
            began = time.monotonic()
            await line.ask(1, "Hello.", "When?")
            assert await line.answer(1, within=1) == ANSWER
            assert time.monotonic() - began < 0.5
        assert counted(service, "dropped") > 0
        stopping = time.monotonic()
    assert time.monotonic() - stopping < 2
    assert tempo.spans == []


async def test_spans_that_a_collector_refuses_are_counted_and_make_room_for_others(
    tempo: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "MOST_WAITING", 4)
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2")
    tempo.status = 400
    async with traced() as service:
        for number in range(1, 6):
            async with service.line(f"call_{number}") as line:
                await line.greeted()
            async with asyncio.timeout(5):
                while counted(service, "failed") < 2 * number:
                    await asyncio.sleep(0.01)
    assert counted(service, "exported") == counted(service, "dropped") == 0


async def test_an_exemplar_points_to_a_trace_that_is_there(tempo: Collector) -> None:
    async with StandInModel(Script(ANSWER)) as model, traced(model) as service:
        async with service.line() as line:
            await talk(line, "When?")
        metrics = generate_latest(service.app.state.metrics.registry).decode()  # type: ignore[no-untyped-call]  # it has no types
    exemplars = set(re.findall(r'# \{trace_id="([0-9a-f]+)"\}', metrics))
    assert exemplars
    assert exemplars <= {each.trace_id for each in tempo.named("invoke_agent")}


async def test_what_waits_is_sent_when_the_service_stops(tempo: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    async with traced() as service, service.line() as line:
        await line.greeted()
    assert len(tempo.named("invoke_agent dummy")) == 1
    assert counted(service, "exported") == 2


async def test_the_standard_variables_name_the_service_and_carry_headers(
    tempo: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "front-desk")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20x")
    async with traced() as service, service.line() as line:
        await line.greeted()
    found = tempo.spans[0].resource
    assert (found["service.name"], found["deployment.environment.name"]) == ("front-desk", "test")
    assert tempo.headers[0]["authorization"] == "Basic x"


async def test_http_routes_have_spans_without_their_queries_and_calls_and_health_have_none(tempo: Collector) -> None:
    async with traced() as service, service.line() as line:
        await line.greeted()
        for path in ("/?token=secret", "/healthz", "/readyz"):
            await fetch(service.address, path)
    routes = [each for each in tempo.spans if not each.name.startswith(("invoke_agent", "GET /llm"))]
    assert [each.name for each in routes] == ["GET /"]
    assert not any(b"secret" in body for body in tempo.bodies)


async def fetch(address: str, path: str) -> None:
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert b" 200 " in await reader.read()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("more", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}])
async def test_without_an_endpoint_there_are_no_traces(more: dict[str, str]) -> None:
    settings = read_settings({"OPENAI_API_KEY": "k", **more})
    assert not settings.is_traced
    async with StandInModel(Script(ANSWER)) as model:
        about = Settings(agent="receptionist", openai_api_key="k", openai_base_url=model.base_url)
        async with serving(settings=about) as service, service.line() as line:
            await talk(line, "When?")
        assert "traceparent" not in model.requests[-1].headers
        assert counted(service, "dropped") == 0


def test_what_nobody_asked_for_is_not_imported() -> None:
    code = (
        "import sys; from service.app import create_app; from service.settings import Settings;"
        "create_app(Settings(agent='receptionist', openai_api_key='k', metrics_port=0));"
        "print({'opentelemetry.sdk', 'opentelemetry.exporter', 'prometheus_client', 'openai'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
