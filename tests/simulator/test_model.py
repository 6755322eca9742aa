"""The stand-in model is seen through real sockets: by the OpenAI SDK, and by bare bytes where the SDK hides things."""

import asyncio
import io
import json
import runpy
import shlex
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from service.simulator import model as module
from service.simulator.model import StandInModel
from service.simulator.model_script import (
    Cut,
    Empty,
    Fault,
    Garble,
    HangAfterHeaders,
    HangAfterRole,
    HangBeforeHeaders,
    OnlyComments,
    Refuse,
    Script,
    Stall,
    directed,
)
from service.simulator.model_wire import ChatRequest

THREE = Script("One two three.")
SOON = 0.03


def spelt(content: Any = "Hi.", **more: Any) -> bytes:
    body = {"model": "any", "stream": True, "messages": [{"role": "user", "content": content}], **more}
    return posted(json.dumps(body).encode())


def posted(body: bytes, extra: str = "") -> bytes:
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: here\r\nContent-LENGTH:  {len(body)} \r\n{extra}\r\n"
    return head.encode() + body


@dataclass
class Wire:
    """A client which sees every byte."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, content: Any = "Hi.", **more: Any) -> None:
        self.writer.write(spelt(content, **more))
        await self.writer.drain()

    async def until(self, end: bytes) -> str:
        async with asyncio.timeout(2):
            return (await self.reader.readuntil(end)).decode()

    async def rest(self) -> str:
        async with asyncio.timeout(2):
            return (await self.reader.read()).decode()

    async def is_silent(self) -> bool:
        try:
            async with asyncio.timeout(SOON):
                await self.reader.read(1)
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def wire_to(model: StandInModel) -> AsyncIterator[Wire]:
    port = int(model.base_url.removesuffix("/v1").rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


@asynccontextmanager
async def sdk_for(model: StandInModel) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=model.base_url, api_key="any", max_retries=0, timeout=2) as client:
        yield client


async def said(client: openai.AsyncOpenAI, content: str = "Hi.") -> str:
    stream = await client.chat.completions.create(
        model="any", stream=True, messages=[{"role": "user", "content": content}]
    )
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


def events(text: str) -> list[Any]:
    """The data lines of a chunked body, decoded, [DONE] as None, broken JSON as itself."""
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [None if line == "[DONE]" else decoded(line) for line in data]


def decoded(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return line


def deltas(text: str) -> list[Any]:
    return [event["choices"][0]["delta"] for event in events(text) if isinstance(event, dict) and event["choices"]]


ROLE = {"role": "assistant", "content": "", "refusal": None}
DELTAS = [ROLE, {"content": "One"}, {"content": " two"}, {"content": " three."}, {}]


# Whole answers.


async def test_a_stream_is_spelt_as_openai_spells_it() -> None:
    async with StandInModel(THREE) as model, wire_to(model) as wire:
        await wire.ask()
        head, _, body = (await wire.until(b"0\r\n\r\n")).partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 ")
    assert "content-type: text/event-stream" in head
    assert deltas(body) == DELTAS
    *chunks, done = events(body)
    assert done is None
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, None, "stop"]
    assert {chunk["id"] for chunk in chunks} == {"chatcmpl-1"}
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert all("usage" not in chunk for chunk in chunks)


async def test_usage_comes_in_a_chunk_of_its_own_to_those_who_ask() -> None:
    async with StandInModel(THREE) as model, wire_to(model) as wire:
        await wire.ask("Four words it is.", stream_options={"include_usage": True})
        *chunks, usage, done = events(await wire.until(b"0\r\n\r\n"))
    assert done is None
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}
    assert [chunk["usage"] for chunk in chunks] == [None] * 5


async def test_the_sdk_hears_the_words_over_one_connection() -> None:
    async with StandInModel(THREE) as model, sdk_for(model) as client:
        assert [await said(client) for _ in range(3)] == ["One two three."] * 3
        assert model.open_connections == 1
        assert (model.open_streams, model.peak_streams, model.closed_by_client) == (0, 1, 0)


async def test_chunks_are_sent_as_given() -> None:
    async with StandInModel(Script(("On", "e. ", " Two"))) as model, wire_to(model) as wire:
        await wire.ask()
        assert deltas(await wire.until(b"0\r\n\r\n"))[1:-1] == [{"content": c} for c in ("On", "e. ", " Two")]


async def test_without_stream_the_answer_is_one_piece_of_json() -> None:
    async with StandInModel(THREE) as model, sdk_for(model) as client:
        answer = await client.chat.completions.create(model="any", messages=[{"role": "user", "content": "Hi."}])
    assert answer.choices[0].message.content == "One two three."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage
    assert answer.usage.completion_tokens == 3


async def test_the_models_are_listed() -> None:
    async with StandInModel() as model, sdk_for(model) as client:
        assert [listed.id async for listed in client.models.list()] == ["stand-in"]


async def test_the_role_comes_at_once_and_the_words_at_their_times() -> None:
    clock = asyncio.get_running_loop().time
    async with StandInModel(Script(("a", "b"), first_token_after=0.1, gap=0.05)) as model, wire_to(model) as wire:
        start = clock()
        await wire.ask()
        await wire.until(b'"role"')
        assert clock() - start < 0.08
        await wire.until(b'"content":"a"')
        assert clock() - start >= 0.09
        await wire.until(b'"content":"b"')
        assert clock() - start >= 0.14
        await wire.until(b"[DONE]")
        assert clock() - start >= 0.19
        assert model.requests[0].at == pytest.approx(start, abs=0.05)


# Scripts.


async def test_queued_scripts_are_used_once_each_then_the_standing_one() -> None:
    async with StandInModel(Script("standing")) as model, sdk_for(model) as client:
        model.scripts.append(Script("first"))
        model.scripts.append(Script("second"))
        assert [await said(client) for _ in range(3)] == ["first", "second", "standing"]
        model.script = Script("changed")
        assert await said(client) == "changed"


async def test_a_function_may_answer_from_the_request() -> None:
    def echo(chat: ChatRequest) -> Script:
        return Script(f"You said {chat.last_user_text}")

    async with StandInModel(echo) as model, sdk_for(model) as client:
        assert await said(client, "so") == "You said so"


async def test_a_function_that_fails_is_answered_with_its_error() -> None:
    def broken(chat: ChatRequest) -> Script:
        raise KeyError(chat.model)

    async with StandInModel(broken) as model, sdk_for(model) as client:
        with pytest.raises(openai.InternalServerError, match=r"the script failed: KeyError\('any'\)"):
            await said(client)


# Faults.


@pytest.mark.parametrize(
    ("fault", "heard"),
    [
        (HangBeforeHeaders(), None),
        (HangAfterHeaders(), []),
        (HangAfterRole(), DELTAS[:1]),
        (Stall(0), DELTAS[:1]),
        (Stall(2), DELTAS[:3]),
        (Stall(99), DELTAS[:4]),
    ],
    ids=repr,
)
async def test_a_silent_answer_keeps_its_connection_until_the_client_goes(fault: Fault, heard: list[Any]) -> None:
    async with StandInModel(Script("One two three.", fault=fault)) as model:
        async with wire_to(model) as wire:
            await wire.ask()
            if heard is not None:
                await wire.until(b"x-request-id: req_1\r\n\r\n")
                assert deltas("".join([await wire.until(b"\n\n\r\n") for _ in heard])) == heard
            assert await wire.is_silent()
            assert (model.open_streams, model.open_connections, model.closed_by_client) == (1, 1, 0)
        await model.quiet()
        await model.until(lambda: model.open_connections == 0)
        assert (model.open_streams, model.peak_streams, model.closed_by_client) == (0, 1, 1)


async def test_only_comments_come_for_ever() -> None:
    async with StandInModel(Script(fault=OnlyComments(every=0.001))) as model:
        async with wire_to(model) as wire:
            await wire.ask()
            await wire.until(b"\r\n\r\n")
            assert [await wire.until(b"\n\n\r\n") for _ in range(5)] == ["e\r\n: keep-alive\n\n\r\n"] * 5
        await model.quiet()
        assert model.closed_by_client == 1


@pytest.mark.parametrize(("after", "heard"), [(0, DELTAS[:1]), (2, DELTAS[:3]), (99, DELTAS[:4])])
async def test_a_cut_ends_the_connection_amid_the_body(after: int, heard: list[Any]) -> None:
    async with StandInModel(Script("One two three.", fault=Cut(after))) as model, wire_to(model) as wire:
        await wire.ask()
        text = await wire.rest()
        assert deltas(text) == heard
        assert "0\r\n\r\n" not in text
        assert (model.open_streams, model.closed_by_client) == (0, 0)


async def test_the_sdk_takes_a_cut_for_a_broken_connection() -> None:
    async with StandInModel(Script("One two.", gap=0.01, fault=Cut(1))) as model, sdk_for(model) as client:
        with pytest.raises(openai.APIConnectionError):
            await said(client)


@pytest.mark.parametrize(("after", "place"), [(0, 1), (2, 3), (99, 4)])
async def test_a_garbled_chunk_stands_among_good_ones(after: int, place: int) -> None:
    async with StandInModel(Script("One two three.", fault=Garble(after))) as model, wire_to(model) as wire:
        await wire.ask()
        text = await wire.until(b"0\r\n\r\n")
        assert deltas(text) == DELTAS
        assert isinstance(events(text)[place], str)


async def test_an_empty_answer_stops_without_a_word() -> None:
    async with StandInModel(Script(fault=Empty())) as model, wire_to(model) as wire:
        await wire.ask()
        text = await wire.until(b"0\r\n\r\n")
        assert deltas(text) == [ROLE, {}]
        assert events(text)[1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("fault", "error", "code", "kind"),
    [
        (Refuse(400), openai.BadRequestError, None, "invalid_request_error"),
        (Refuse(401), openai.AuthenticationError, "invalid_api_key", "invalid_request_error"),
        (Refuse(404), openai.NotFoundError, "model_not_found", "invalid_request_error"),
        (Refuse(429), openai.RateLimitError, "rate_limit_exceeded", "requests"),
        (Refuse(429, "insufficient_quota"), openai.RateLimitError, "insufficient_quota", "insufficient_quota"),
        (Refuse(500), openai.InternalServerError, None, "server_error"),
        (Refuse(503, retry_after=1.5), openai.InternalServerError, None, "server_error"),
    ],
    ids=repr,
)
async def test_a_refusal_reaches_the_sdk_as_its_error(
    fault: Refuse, error: type[openai.APIStatusError], code: str | None, kind: str
) -> None:
    async with StandInModel(Script(fault=fault)) as model, sdk_for(model) as client:
        with pytest.raises(error) as raised:
            await said(client)
        assert (raised.value.status_code, raised.value.code, raised.value.type) == (fault.status, code, kind)
        assert raised.value.response.headers.get("retry-after") == ("1.5" if fault.retry_after else None)
        assert model.open_connections == 1


# Faults of an answer in one piece.


@pytest.mark.parametrize("fault", [HangBeforeHeaders(), OnlyComments(), Stall(1)], ids=repr)
async def test_an_answer_in_one_piece_may_never_come(fault: Fault) -> None:
    async with StandInModel(Script(fault=fault)) as model, wire_to(model) as wire:
        await wire.ask(stream=False)
        assert await wire.is_silent()


async def test_an_answer_in_one_piece_may_be_cut_garbled_empty_or_refused() -> None:
    async with StandInModel() as model, wire_to(model) as wire:
        model.scripts.extend(Script(fault=fault) for fault in (Garble(0), Empty(), Refuse(503), Cut(0)))
        for _ in range(4):
            await wire.ask(stream=False)
        garbled, empty, refused = (await wire.rest()).split("HTTP/1.1 ")[1:]
    assert isinstance(decoded(garbled.partition("\r\n\r\n")[2]), str)
    assert decoded(empty.partition("\r\n\r\n")[2])["choices"][0]["message"]["content"] == ""
    assert refused.startswith("503 ")


# Directives.


async def test_a_broken_directive_is_answered_with_what_is_wrong() -> None:
    async with StandInModel() as model, sdk_for(model) as client:
        with pytest.raises(openai.BadRequestError, match="broken directive: no fault is named explode"):
            await said(client, "[[explode]]")


async def test_only_the_last_user_message_directs() -> None:
    def user(words: Any) -> dict[str, Any]:
        return {"role": "user", "content": words}

    parts = [{"type": "text", "text": "[[text="}, {"type": "image"}, {"type": "text", "text": "parts]]"}]
    system = {"role": "system", "content": "[[text=system]]"}
    async with StandInModel(THREE) as model, wire_to(model) as wire:
        await wire.ask(messages=[user("[[text=old]]"), user(parts), system, {"role": "assistant", "content": None}])
        assert deltas(await wire.until(b"0\r\n\r\n"))[1] == {"content": "parts"}
        await wire.ask(messages=[user("[[text=old]]"), user("Hi."), system])
        assert deltas(await wire.until(b"0\r\n\r\n")) == DELTAS
        await wire.ask(messages=[system])
        assert deltas(await wire.until(b"0\r\n\r\n")) == DELTAS


# HTTP.


async def test_requests_are_remembered_as_they_came_and_not_without_end() -> None:
    async with StandInModel(THREE, remembered=2) as model, wire_to(model) as wire:
        for content in ("one", "two", "three"):
            await wire.ask(content, temperature=0.5)
            await wire.until(b"0\r\n\r\n")
    assert [received.chat.last_user_text for received in model.requests] == ["two", "three"]
    assert model.answered == 3
    assert model.requests[-1].headers["host"] == "here"
    assert json.loads(model.requests[-1].body)["temperature"] == 0.5


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_requests_may_come_in_pieces_or_together(size: int) -> None:
    sent = spelt("a") + spelt("b") + spelt("c")
    async with StandInModel(Script("x", gap=0.001)) as model, wire_to(model) as wire:
        for start in range(0, len(sent), size):
            wire.writer.write(sent[start : start + size])
            await asyncio.sleep(0)
        answers = [events(await wire.until(b"0\r\n\r\n"))[0]["id"] for _ in range(3)]
        assert answers == ["chatcmpl-1", "chatcmpl-2", "chatcmpl-3"]
        assert [received.chat.last_user_text for received in model.requests] == ["a", "b", "c"]
        assert model.peak_streams == 1


async def test_a_client_that_asks_for_a_close_gets_it() -> None:
    async with StandInModel() as model, wire_to(model) as wire:
        wire.writer.write(b"GET /v1/models?limit=1 HTTP/1.1\r\nconnection: Close\r\n\r\n")
        assert '"stand-in"' in await wire.rest()


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"hello\r\n\r\n", "not an HTTP/1.1 request"),
        (b"GET /v1/models HTTP/1.0\r\n\r\n", "not an HTTP/1.1 request"),
        (b"x" * 65_537, "not an HTTP/1.1 request"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", "not a header field"),
        (b"GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", "content-length"),
        (b"GET / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", "content-length"),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", "content-length"),
    ],
)
async def test_what_is_not_http_gets_400_and_a_close(sent: bytes, why: str) -> None:
    async with StandInModel() as model, wire_to(model) as wire:
        wire.writer.write(sent)
        answer = await wire.rest()
        assert answer.startswith("HTTP/1.1 400 ")
        assert why in answer
        assert (model.open_streams, model.peak_streams) == (0, 0)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /v1/chat/completions HTTP/1.1\r\n\r\n", 404),
        (b"GET /nowhere HTTP/1.1\r\n\r\n", 404),
        (posted(b"{"), 400),
        (posted(b"\xff"), 400),
        (posted(b'{"model": "any"}'), 400),
    ],
)
async def test_a_request_that_makes_no_sense_keeps_its_connection(sent: bytes, status: int) -> None:
    async with StandInModel(THREE) as model, wire_to(model) as wire:
        wire.writer.write(sent)
        assert (await wire.until(b"\r\n\r\n")).startswith(f"HTTP/1.1 {status} ")
        await wire.until(b"}}")
        await wire.ask()
        assert deltas(await wire.until(b"0\r\n\r\n")) == DELTAS
        assert len(model.requests) == 1


# Streams and connections.


async def test_a_client_that_leaves_amid_the_words_is_noticed() -> None:
    async with StandInModel(Script("One two three.", gap=0.2)) as model:
        async with sdk_for(model) as client:
            stream = await client.chat.completions.create(
                model="any", stream=True, messages=[{"role": "user", "content": "Hi."}]
            )
            await anext(aiter(stream))
            assert model.open_streams == 1
            await stream.close()
            await model.quiet(within=0.15)
        assert model.closed_by_client == 1


async def test_streams_at_one_time_are_counted_at_their_peak() -> None:
    async with StandInModel(Script(fault=HangAfterHeaders())) as model:
        async with wire_to(model) as one, wire_to(model) as two, wire_to(model):
            await one.ask()
            await two.ask()
            await model.until(lambda: model.open_streams == 2)
            assert model.open_connections == 3
        await model.until(lambda: model.open_connections == 0)
        assert (model.open_streams, model.peak_streams, model.closed_by_client) == (0, 2, 2)


async def test_waiting_for_quiet_has_an_end() -> None:
    async with StandInModel(Script(fault=Stall(0))) as model, wire_to(model) as wire:
        await wire.ask()
        await model.until(lambda: model.open_streams == 1)
        with pytest.raises(TimeoutError):
            await model.quiet(within=SOON)


async def test_leaving_closes_what_is_open_and_blames_no_client() -> None:
    async with AsyncExitStack() as clients:
        async with StandInModel(Script(gap=0.01)) as model:
            stalled, speaking, idle = [await clients.enter_async_context(wire_to(model)) for _ in range(3)]
            await stalled.ask("[[stall after=1]]")
            await speaking.ask()
            await model.until(lambda: (model.open_streams, model.open_connections) == (2, 3))
        assert (model.open_streams, model.open_connections, model.closed_by_client) == (0, 0, 0)
        assert "[DONE]" not in await stalled.rest() + await speaking.rest()
        assert await idle.rest() == ""


@pytest.mark.parametrize("steps", range(6))
async def test_a_connection_that_comes_in_the_moment_of_leaving_is_closed(steps: int) -> None:
    model = StandInModel()
    async with model:
        late = socket.create_connection(("127.0.0.1", int(model.base_url[17:-3])))
        for _ in range(steps):
            await asyncio.sleep(0)
    for _ in range(6):
        await asyncio.sleep(0)
    assert model.open_connections == 0
    late.close()


# By hand.


class Terminal(io.StringIO):
    """A terminal at which someone presses Ctrl-C once they have read enough."""

    def flush(self) -> None:
        signal.raise_signal(signal.SIGINT)


def test_by_hand_it_prints_where_it_is_and_serves_until_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "argv", ["model", "--port", "0", "--gap", "0.1"])
    runpy.run_path(str(module.__file__), run_name="__main__")
    assert terminal.getvalue().startswith("http://127.0.0.1:")


async def test_the_printed_example_works(capsys: pytest.CaptureFixture[str]) -> None:
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(module._serve(Script(), 0))
        while not (printed := capsys.readouterr().out):
            await asyncio.sleep(0.001)
        _, _, _, _, example = shlex.split(printed.partition("\n")[2])
        chat = json.loads(example)
        serving.cancel()
    assert directed(THREE, chat["messages"][0]["content"]) == Script("One two three four.", gap=0.2, fault=Stall(3))
