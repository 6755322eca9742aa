"""The real `openai` package against a stand-in model on a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from msgspec import structs

from service.llm.model import (
    AnswerEnded,
    KeyRejected,
    Message,
    ModelError,
    QuotaExhausted,
    RateLimited,
    RequestRejected,
    Role,
    ServerFailed,
    StreamBroken,
    ToolCall,
    ToolCallBegun,
    ToolExchange,
    Toolset,
    ToolSpec,
    Unreachable,
)
from service.llm.openai_chat import OpenAIChat, _door_of
from service.llm.targets import Target
from service.simulator.model import StandInModel
from service.simulator.model_script import Cut, Fault, Garble, HangAfterRole, Refuse, Script

ASK = [Message(Role.SYSTEM, "Be brief."), Message(Role.USER, "Hi")]


@asynccontextmanager
async def chatting(script: Script | None = None) -> AsyncIterator[tuple[OpenAIChat, StandInModel]]:
    async with StandInModel(script) as model:
        chat = OpenAIChat(Target("m", base_url=model.base_url), "key")
        try:
            yield chat, model
        finally:
            await chat.close()


async def text_of(chat: OpenAIChat) -> str:
    return "".join([delta async for delta in chat.ask(ASK) if isinstance(delta, str)])


async def test_the_text_comes_as_the_model_makes_it() -> None:
    async with chatting(Script(("Good", " morning", "."))) as (chat, model):
        await chat.warm_up()
        assert await text_of(chat) == "Good morning."
        body = model.requests[0].chat
        assert (body.model, body.stream) == ("m", True)


async def test_words_after_the_first_come_together_unless_a_sentence_ends() -> None:
    async with chatting(Script(("One", " two", " three", " four. ", "Five"), gap=0.005)) as (chat, _):
        pieces = [delta async for delta in chat.ask(ASK) if isinstance(delta, str)]
    assert pieces == ["One", " two three four. ", "Five"]


async def test_a_tool_call_and_its_answer_go_out_as_a_pair() -> None:
    async with chatting(Script("Yes.")) as (chat, model):
        exchange = ToolExchange(ToolCall("t1", "find", '{"a":1}'), "none")
        assert [delta async for delta in chat.ask([*ASK, exchange])]
        assert b'"tool_call_id":"t1"' in model.requests[0].body.replace(b" ", b"")


async def test_tools_go_out_with_the_question() -> None:
    async with chatting(Script("Yes.")) as (chat, model):
        tools = Toolset((ToolSpec("find", "Find.", {"type": "object"}),), may_call=False)
        assert [delta async for delta in chat.ask(ASK, tools=tools)]
        body = json.loads(model.requests[0].body)
        assert (body["tools"][0]["function"]["name"], body["tool_choice"]) == ("find", "none")


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
            _ = [delta async for delta in chat.ask(ASK)]
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
        chat = OpenAIChat(Target("m", base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"), "key")
        yield chat
        await chat.close()
        await asyncio.sleep(0.01)  # the server's side of the connections


WE = {"choices": [{"index": 0, "delta": {"content": "We are open."}, "finish_reason": None}]}
STOP = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


async def test_an_answer_without_its_end_is_broken() -> None:
    """As a server does that stops: it ends its chunks as if all were well."""
    async with hand_written(WE, ending=b"0\r\n\r\n") as chat:
        with pytest.raises(StreamBroken):
            _ = [delta async for delta in chat.ask(ASK)]


@pytest.mark.parametrize("lingers", [False, True])
async def test_an_answer_that_came_to_its_end_is_whole_however_the_response_ends(*, lingers: bool) -> None:
    async with hand_written(WE, STOP, "[DONE]", ending=b"", lingers=lingers) as chat:
        async with asyncio.timeout(1):
            assert await text_of(chat) == "We are open."


async def test_a_model_that_is_not_there_is_unreachable() -> None:
    async with chatting() as (_, model):
        gone = model.base_url
    chat = OpenAIChat(Target("m", base_url=gone), "key")
    with pytest.raises(Unreachable):
        _ = [delta async for delta in chat.ask(ASK)]
    with pytest.raises(Unreachable):
        await chat.warm_up()
    await chat.close()


async def test_closing_the_stream_closes_the_request() -> None:
    async with chatting(Script("One two three.", fault=HangAfterRole())) as (chat, model):
        stream = chat.ask(ASK)
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(anext(stream))
            await model.until(lambda: model.open_streams == 1)
            waiting.cancel()
        await model.quiet()
        assert model.closed_by_client == 1


async def test_a_chat_that_was_never_used_closes_without_loading_the_sdk() -> None:
    await OpenAIChat(Target("m"), "key").close()


# The head of a request, as the `openai` package builds it.


async def test_a_key_is_in_no_words_about_it() -> None:
    import openai  # noqa: PLC0415

    async with chatting(Script("No.", fault=Refuse(401))) as (chat, _):
        with pytest.raises(KeyRejected) as raised:
            await text_of(chat)
        door = await _door_of(openai, Target("m"), "sk-key")
        told = [repr(each) for each in (chat, door, raised.value, raised.value.__cause__, raised.value.__context__)]
    assert not any("sk-key" in text or "Bearer" in text for text in told)


async def test_a_request_carries_its_trace() -> None:
    async with chatting(Script("Yes.")) as (chat, model):
        for header in ("00-1-2-01", None):
            assert [delta async for delta in chat.ask(ASK, header)]
        assert [request.headers.get("traceparent") for request in model.requests] == ["00-1-2-01", None]


# What goes out, byte by byte: providers keep what begins alike.


async def bodies(*conversations: list[Message | ToolExchange], target: Target) -> list[bytes]:
    """What is sent of each, by an object of its own."""
    async with StandInModel(Script("Yes.")) as model:
        for messages in conversations:
            chat = OpenAIChat(structs.replace(target, base_url=model.base_url), "key")
            assert [delta async for delta in chat.ask(messages)]
            await chat.close()
        return [request.body for request in model.requests]


async def test_requests_are_the_same_bytes_up_to_the_first_message_that_differs() -> None:
    tool = ToolExchange(ToolCall("t1", "find", '{"b":1,"a":2}'), "none")
    common: list[Message | ToolExchange] = [Message(Role.SYSTEM, "Be brief. Grüße!"), Message(Role.USER, "Hi"), tool]
    target = Target("m", options={"temperature": 0.4, "stop": ["\n"], "max_completion_tokens": 60})
    first, again, longer = await bodies(
        common, common, [*common, Message(Role.ASSISTANT, "Yes."), Message(Role.USER, "Bye")], target=target
    )
    assert first == again
    assert longer.startswith(first.removesuffix(b"]}"))


async def test_a_request_says_what_the_target_says() -> None:
    target = Target("m", options={"temperature": 0.4, "reasoning_effort": "low"}, counts_tokens=False)
    [body] = await bodies([*ASK], target=target)
    assert json.loads(body) == {
        "model": "m",
        "stream": True,
        "temperature": 0.4,
        "reasoning_effort": "low",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    }


async def test_tokens_are_counted_unless_the_target_does_not() -> None:
    [body] = await bodies([*ASK], target=Target("m"))
    assert json.loads(body)["stream_options"] == {"include_usage": True}


# Tool calls.


def calling(*deltas: object, finish: str = "tool_calls") -> list[dict[str, object]]:
    chunks: list[dict[str, object]] = [
        {"choices": [{"index": 0, "delta": {"tool_calls": [delta]}}]} for delta in deltas
    ]
    return [*chunks, {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}]


async def test_a_tool_call_begins_before_it_is_whole() -> None:
    name = {"index": 0, "id": "t1", "function": {"name": "book", "arguments": ""}}
    rest = {"index": 0, "function": {"arguments": "{}"}}
    async with hand_written(*calling(name, rest), "[DONE]", ending=b"0\r\n\r\n") as chat:
        _, *deltas = [delta async for delta in chat.ask(ASK)]
    assert deltas == [ToolCallBegun(), ToolCall("t1", "book", "{}"), AnswerEnded("tool_calls")]


async def test_a_tool_call_without_a_name_never_begins() -> None:
    async with hand_written(*calling({"index": 0, "id": "t1"}), "[DONE]", ending=b"0\r\n\r\n") as chat:
        _, *deltas = [delta async for delta in chat.ask(ASK)]
    assert deltas == [AnswerEnded("tool_calls")]


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_half_of_a_tool_call_is_none(reason: str) -> None:
    cut = calling({"index": 0, "id": "t1", "function": {"name": "cancel"}}, finish=reason)
    async with hand_written(*cut, "[DONE]", ending=b"0\r\n\r\n") as chat:
        _, *deltas = [delta async for delta in chat.ask(ASK)]
    assert deltas == [ToolCallBegun(), AnswerEnded(reason)]
