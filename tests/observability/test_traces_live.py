"""The real service and a real collector: what arrives there, and what never does."""

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client.openmetrics.exposition import generate_latest

from service.observability import spans
from service.settings import Settings, read_settings
from service.simulator.model import StandInModel
from service.simulator.model_script import HangBeforeHeaders, Refuse, Script
from tests.live import PlatformLine, Service, serving, words
from tests.otlp import Collector, Got, collector

ANSWER = "We open at nine and close at five."
SECRETS = ("quarantine", "velvet", "+15551234567", "+15559990000")
TURN = {
    "gen_ai.operation.name",
    "gen_ai.agent.name",
    "gen_ai.conversation.id",
    "cuebox.turn.id",
    "cuebox.turn.index",
    "cuebox.turn.prompt",
    "cuebox.turn.outcome",
    "cuebox.turn.audible_gap",
    "cuebox.turn.words_said",
    "cuebox.turn.words_heard",
    "cuebox.turn.heard_share",
    "cuebox.turn.heard_unknown",
    "cuebox.turn.chunks",
}
ANSWERED = TURN | {
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "cuebox.turn.time_to_first_chunk",
    "cuebox.turn.time_to_first_sentence",
}
FAILED = TURN | {"cuebox.turn.reason", "cuebox.turn.fallback", "error.type"}
CHAT = {
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "gen_ai.request.stream",
    "gen_ai.conversation.id",
    "server.address",
    "server.port",
    "cuebox.attempt.target",
    "cuebox.attempt.cause",
    "cuebox.attempt.result",
    "cuebox.attempt.breaker",
}
CHAT_ANSWERED = CHAT | {
    "gen_ai.response.finish_reasons",
    "gen_ai.response.time_to_first_chunk",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.reasoning.output_tokens",
    "cuebox.attempt.request_id",
}


@pytest.fixture
def tempo(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collector() as got:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", got.endpoint)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        monkeypatch.setenv("CUEBOX_TRACE_SHARE", "1")
        yield got


@asynccontextmanager
async def traced(model: StandInModel | None = None, **more: str) -> AsyncIterator[Service]:
    """A service that sends its spans where the environment says."""
    asked = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": model.base_url} if model else {"CUEBOX_AGENT": "dummy"}
    settings = read_settings({**os.environ, "CUEBOX_RECONNECT_WINDOW": "0", **asked, **more})
    async with serving(settings=settings) as service:
        async with asyncio.timeout(10):
            while counted(service, "telemetry ready") == 0:
                await asyncio.sleep(0.01)
        yield service


def counted(service: Service, what: str) -> float:
    """How many spans; or whether the way out for them is open."""
    if what == "telemetry ready":
        return float(service.app.state.spans.is_open)
    value = service.app.state.metrics.registry.get_sample_value("cuebox_spans_total", {"result": what})
    assert value is not None
    return float(value)


async def talk(line: PlatformLine, *turns: str) -> None:
    """The agent answers all of this, and is heard."""
    said = [words(await line.greeted(), 0)]
    for turn_id, asked in enumerate(turns, 1):
        said.append(asked)
        await line.ask(turn_id, *said)
        said.append(await line.answer(turn_id))


def the(found: list[Got]) -> Got:
    (only,) = found
    return only


async def test_a_turn_is_one_trace_with_a_span_for_its_request_to_the_model(tempo: Collector) -> None:
    async with StandInModel(Script(ANSWER)) as model:
        before = time.time()
        async with traced(model) as service, service.line() as line:
            await talk(line, "When do you open?", "Thanks.")
        asked = model.requests[0]
    root = next(each for each in tempo.named("invoke_agent receptionist") if each.attributes["cuebox.turn.id"] == 1)
    chat = the([each for each in tempo.named("chat gpt-4.1") if each.trace_id == root.trace_id])
    handshake = the(tempo.named("GET /llm-websocket/{call_id}"))
    assert set(root.attributes) == ANSWERED
    assert root.attributes["cuebox.turn.outcome"] == "completed"
    assert set(chat.attributes) == CHAT_ANSWERED
    assert chat.parent_id == root.span_id
    assert root.parent_id == ""
    assert asked.headers["traceparent"] == f"00-{root.trace_id}-{chat.span_id}-01"
    assert root.links == [(handshake.span_id, "handshake")]
    assert handshake.seconds == 0
    assert root.events == ["cuebox.first_chunk"]
    assert before - 1 < root.wire.start_time_unix_nano / 1e9 < time.time() + 1
    assert root.wire.start_time_unix_nano <= chat.wire.start_time_unix_nano < chat.wire.end_time_unix_nano
    assert 0 < root.seconds < 2
    assert not root.is_error
    assert set(handshake.attributes) == {
        "http.request.method",
        "http.route",
        "http.response.status_code",
        "network.protocol.name",
        "gen_ai.conversation.id",
    }
    assert {each.attributes["gen_ai.conversation.id"] for each in tempo.spans} == {"call_1"}
    assert root.resource["service.name"] == "cuebox"


async def test_an_interruption_is_no_error_and_the_next_turn_points_to_it(tempo: Collector) -> None:
    async with StandInModel(Script(ANSWER)) as model, traced(model) as service, service.line() as line:
        await talk(line, "When?")
        await line.ask(2, "Hello.", "When?", "We open at nine", "Stop.")
        await line.answer(2)
        await line.ask(3, "Hello.", "When?", "We open at nine", "Stop.", ANSWER, "Thanks.")
        await tempo.until(lambda got: len(got.named("invoke_agent")) == 3)
    _, cut, next_one, *_ = sorted(tempo.named("invoke_agent"), key=lambda each: each.attributes["cuebox.turn.index"])
    assert cut.attributes["cuebox.turn.outcome"] == "interrupted"
    assert cut.attributes["cuebox.turn.reason"] == "caller_spoke"
    assert cut.events == ["cuebox.first_chunk", "cuebox.interruption"]
    assert not cut.is_error
    assert (cut.span_id, "interrupted_turn") in next_one.links


async def test_a_failed_turn_is_an_error_and_each_of_its_attempts_is_seen(tempo: Collector) -> None:
    async with StandInModel(Script(ANSWER)) as model, traced(model, CUEBOX_TRACE_SHARE="0") as service:
        model.scripts += [Script("", fault=Refuse(503)), Script("", fault=Refuse(503))]
        async with service.line() as line:
            await talk(line, "When?")
    root = the(tempo.named("invoke_agent"))
    first, second = sorted(tempo.named("chat"), key=lambda each: each.wire.start_time_unix_nano)
    assert set(root.attributes) == FAILED
    assert (root.is_error, root.attributes["error.type"]) == (True, "ServerFailed")
    assert root.events == ["cuebox.retry", "cuebox.fallback"]
    assert [each.attributes["cuebox.attempt.cause"] for each in (first, second)] == ["first", "retry"]
    assert set(first.attributes) - {"cuebox.attempt.request_id"} == CHAT | {"error.type"}
    assert first.is_error
    assert {first.trace_id, second.trace_id} == {root.trace_id}
    assert first.span_id != second.span_id


async def test_an_attempt_that_is_taken_back_after_its_turn_was_settled_is_a_span_of_its_trace(
    tempo: Collector,
) -> None:
    async with StandInModel(Script(ANSWER)) as model, traced(model) as service, service.line() as line:
        await talk(line)
        model.scripts.append(Script(ANSWER, fault=HangBeforeHeaders()))
        await line.ask(1, "Hello.", "When?")
        await model.until(lambda: model.open_streams == 1, within=5)
        await line.ask(2, "Hello.", "When? Hello?")
        await line.answer(2)
        await tempo.until(lambda got: got.named("chat"))
        taken_back = tempo.named("chat")[0]
        root = next(each for each in tempo.named("invoke_agent") if each.trace_id == taken_back.trace_id)
    assert root.attributes["cuebox.turn.outcome"] == "superseded"
    assert (taken_back.attributes["cuebox.attempt.result"], taken_back.is_error) == ("cancelled", False)
    assert taken_back.parent_id == root.span_id


@pytest.mark.parametrize(
    "call", [{"data_storage_setting": "basic_attributes_only"}, {"opt_out_sensitive_data_storage": True}]
)
async def test_words_and_numbers_of_a_call_that_may_not_be_kept_are_never_sent(
    tempo: Collector, call: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "span_only")
    await tell_secrets(call)
    assert len(tempo.named("invoke_agent")) == 3
    assert not any(secret.encode() in body for body in tempo.bodies for secret in SECRETS)


async def test_without_being_asked_for_words_are_never_sent(tempo: Collector) -> None:
    await tell_secrets({"data_storage_setting": "everything"})
    assert len(tempo.named("invoke_agent")) == 3
    assert not any(secret.encode() in body for body in tempo.bodies for secret in SECRETS)


async def test_words_are_sent_where_they_are_asked_for_and_may_be_kept(
    tempo: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    await tell_secrets({"data_storage_setting": "everything"})
    root = next(each for each in tempo.named("invoke_agent") if each.attributes["cuebox.turn.id"] == 1)
    (heard,), (said,) = (json.loads(root.attributes[f"gen_ai.{way}.messages"]) for way in ("input", "output"))
    assert heard == {"role": "user", "parts": [{"type": "text", "content": "My word is quarantine."}]}
    assert said == {"role": "assistant", "parts": [{"type": "text", "content": "Yours is velvet."}]}
    assert not any(b"+15559990000" in body for body in tempo.bodies)


async def tell_secrets(call: dict[str, object]) -> None:
    """A call full of words that nobody else may read, one turn of it failed and one interrupted."""
    async with StandInModel(Script("Yours is velvet.")) as model, traced(model) as service, service.line() as line:
        await line.frame()
        about = {"call_id": "call_1", "from_number": "+15559990000", "call_type": "phone_call", **call}
        await line.send({"interaction_type": "call_details", "call": about})
        await line.until(lambda frame: frame.get("content_complete") is True)
        await line.ask(1, "Hello.", "My word is quarantine.")
        await line.answer(1)
        model.scripts.append(Script("", fault=Refuse(400)))
        await line.ask(2, "Hello.", "My word is quarantine.", "Yours", "My number is +15551234567.")
        await line.answer(2)


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
