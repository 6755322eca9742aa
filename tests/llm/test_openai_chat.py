"""The real `openai` package against a stand-in model on a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from service.llm.model import (
    KeyRejected,
    Message,
    ModelError,
    QuotaExhausted,
    RateLimited,
    RequestRejected,
    Role,
    ServerFailed,
    StreamBroken,
    Target,
    ToolCall,
    ToolExchange,
    Unreachable,
)
from service.llm.openai_chat import OpenAIChat
from service.simulator.model import StandInModel
from service.simulator.model_script import Cut, Fault, Garble, HangAfterRole, Refuse, Script

ASK = [Message(Role.SYSTEM, "Be brief."), Message(Role.USER, "Hi")]


@asynccontextmanager
async def chatting(script: Script | None = None) -> AsyncIterator[tuple[OpenAIChat, StandInModel]]:
    async with StandInModel(script) as model:
        chat = OpenAIChat(Target("m", "key", model.base_url))
        try:
            yield chat, model
        finally:
            await chat.close()


async def test_the_text_comes_as_the_model_makes_it() -> None:
    async with chatting(Script(("Good", " morning", "."))) as (chat, model):
        await chat.warm_up()
        assert "".join([delta async for delta in chat.stream(ASK)]) == "Good morning."
        body = model.requests[0].chat
        assert (body.model, body.stream) == ("m", True)


async def test_a_tool_call_and_its_answer_go_out_as_a_pair() -> None:
    async with chatting(Script("Yes.")) as (chat, model):
        exchange = ToolExchange(ToolCall("t1", "find", '{"a":1}'), "none")
        assert [delta async for delta in chat.stream([*ASK, exchange])]
        assert b'"tool_call_id":"t1"' in model.requests[0].body.replace(b" ", b"")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Refuse(401), KeyRejected),
        (Refuse(403), KeyRejected),
        (Refuse(400), RequestRejected),
        (Refuse(404), RequestRejected),
        (Refuse(429, code="insufficient_quota"), QuotaExhausted),
        (Refuse(429), RateLimited),
        (Refuse(503), ServerFailed),
        (Cut(after=2), StreamBroken),
        (Garble(after=1), StreamBroken),
    ],
    ids=repr,
)
async def test_each_fault_has_its_class(fault: Fault, error: type[ModelError]) -> None:
    async with chatting(Script("One two three four.", fault=fault)) as (chat, model):
        with pytest.raises(error):
            _ = [delta async for delta in chat.stream(ASK)]
        await model.quiet()


@asynccontextmanager
async def hand_written(
    *events: Mapping[str, object] | str, ending: bytes, lingers: bool = False
) -> AsyncIterator[OpenAIChat]:
    """A server that sends these events in one chunk, and then ends the response as no library would."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        data = b"".join(b"data: %s\n\n" % (e if isinstance(e, str) else json.dumps(e)).encode() for e in events)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        writer.write(b"%x\r\n%s\r\n%s" % (len(data), data, ending))
        await writer.drain()
        if lingers:
            await reader.read()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        chat = OpenAIChat(Target("m", "key", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"))
        yield chat
        await chat.close()
        await asyncio.sleep(0.01)  # the server's side of the connections


WE = {"choices": [{"index": 0, "delta": {"content": "We are open."}, "finish_reason": None}]}
STOP = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


async def test_an_answer_without_its_end_is_broken() -> None:
    """As a server does that stops: it ends its chunks as if all were well."""
    async with hand_written(WE, ending=b"0\r\n\r\n") as chat:
        with pytest.raises(StreamBroken):
            _ = [delta async for delta in chat.stream(ASK)]


@pytest.mark.parametrize("lingers", [False, True])
async def test_an_answer_that_came_to_its_end_is_whole_however_the_response_ends(*, lingers: bool) -> None:
    async with hand_written(WE, STOP, "[DONE]", ending=b"", lingers=lingers) as chat:
        async with asyncio.timeout(1):
            assert [delta async for delta in chat.stream(ASK)] == ["We are open."]


async def test_a_model_that_is_not_there_is_unreachable() -> None:
    async with chatting() as (_, model):
        gone = model.base_url
    chat = OpenAIChat(Target("m", "key", gone))
    with pytest.raises(Unreachable):
        _ = [delta async for delta in chat.stream(ASK)]
    await chat.close()


async def test_closing_the_stream_closes_the_request() -> None:
    async with chatting(Script("One two three.", fault=HangAfterRole())) as (chat, model):
        stream = chat.stream(ASK)
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(anext(stream))
            await model.until(lambda: model.open_streams == 1)
            waiting.cancel()
        await model.quiet()
        assert model.closed_by_client == 1


async def test_a_chat_that_was_never_used_closes_without_loading_the_sdk() -> None:
    await OpenAIChat(Target("m", "key")).close()
