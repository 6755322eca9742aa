"""The real service and a real collector: what arrives there, and what never does."""

import asyncio
import json
import time

import pytest

from infra.gameday_faults import DESK, looking_up
from service.simulator.model import StandInModel
from service.simulator.model_script import HangBeforeHeaders, Refuse, Script
from tests.observability.tracing import ANSWER, talk, the, traced
from tests.otlp import Collector

SECRETS = ("quarantine", "velvet", "+15551234567", "+15559990000")
TURN = {
    "gen_ai.operation.name",
    "gen_ai.agent.name",
    "gen_ai.agent.version",
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
    "cuebox.knowledge.result",
    "cuebox.knowledge.waited",
}
FOUND = {"cuebox.knowledge.ids", "cuebox.knowledge.scores", "cuebox.knowledge.took"}
RESCUED = {"cuebox.turn.action", "cuebox.turn.rescued"}
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


async def test_a_turn_is_one_trace_with_a_span_for_its_request_to_the_model(tempo: Collector) -> None:
    async with StandInModel(Script(ANSWER)) as model:
        before = time.time()
        async with traced(model) as service, service.line() as line:
            await talk(line, "When do you open?", "Thanks.")
        asked = model.requests[0]
    root = next(each for each in tempo.named("invoke_agent receptionist") if each.attributes["cuebox.turn.id"] == 1)
    chat = the([each for each in tempo.named("chat gpt-4.1") if each.trace_id == root.trace_id])
    handshake = the(tempo.named("GET /llm-websocket/{call_id}"))
    assert set(root.attributes) - FOUND == ANSWERED
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
    assert set(root.attributes) - FOUND == FAILED | RESCUED
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


async def test_a_tool_has_a_span_between_the_two_requests_to_the_model_and_no_words(tempo: Collector) -> None:
    async with StandInModel(Script(ANSWER)) as model, traced(model, **DESK, CUEBOX_TRACE_SHARE="0") as service:
        model.scripts += [looking_up(9)]  # nobody listens there
        async with service.line() as line:
            await talk(line, "When?")
    root, tool = the(tempo.named("invoke_agent desk")), the(tempo.named("execute_tool look_up"))
    first, second = sorted(tempo.named("chat"), key=lambda each: each.wire.start_time_unix_nano)
    assert {each.trace_id for each in (root, tool, first, second)} == {root.trace_id}
    assert tool.parent_id == root.span_id
    assert (tool.is_error, tool.attributes["error.type"]) == (True, "raised")
    assert not {
        name for name in tool.attributes if "arguments" in name or (name.endswith(".result") and "call" in name)
    }
    assert first.wire.end_time_unix_nano <= tool.wire.start_time_unix_nano
    assert tool.wire.end_time_unix_nano <= second.wire.start_time_unix_nano


async def test_a_tools_backend_is_told_of_the_tools_span(tempo: Collector) -> None:
    asked = asyncio.Queue[str]()

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.put_nowait((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.close()

    async with await asyncio.start_server(backend, "127.0.0.1") as server, StandInModel(Script(ANSWER)) as model:
        model.scripts += [looking_up(server.sockets[0].getsockname()[1])]
        async with traced(model, **DESK) as service, service.line() as line:
            await talk(line, "When?")
    tool = the(tempo.named("execute_tool look_up"))
    assert f"traceparent: 00-{tool.trace_id}-{tool.span_id}-01\r\n" in await asked.get()
    assert (tool.is_error, tool.attributes["cuebox.tool.result"]) == (False, "ok")
