"""The stand-in model seen through real sockets: answers in one piece, directives, HTTP and connections."""

import asyncio
import gc
import io
import json
import re
import runpy
import shlex
import signal
import socket
import sys
from contextlib import AsyncExitStack
from typing import Any

import openai
import pytest

from service.simulator import model as module
from service.simulator.model import StandInModel
from service.simulator.model_script import (
    FAULTS,
    Cut,
    Empty,
    Fault,
    Garble,
    HangAfterHeaders,
    HangBeforeHeaders,
    OnlyComments,
    Refuse,
    Script,
    Stall,
    directed,
)
from tests.simulator.wired import (
    DELTAS,
    SOON,
    THREE,
    decoded,
    deltas,
    events,
    posted,
    said,
    sdk_for,
    spelt,
    wire_to,
)

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
    monkeypatch.setattr(sys, "argv", ["model", "--port", "0", "--seed", "5", "--chunks", "9", "--fault", "4%cut"])
    monkeypatch.setattr(gc, "freeze", lambda: None)  # the tests' own objects shall go on being collected
    runpy.run_path(str(module.__file__), run_name="__main__")
    address, seed, *_ = terminal.getvalue().splitlines()
    assert address.startswith("http://127.0.0.1:")
    assert seed == "seed 5"


async def test_the_printed_example_works(capsys: pytest.CaptureFixture[str]) -> None:
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(module._serve(StandInModel()))
        while not (printed := capsys.readouterr().out):
            await asyncio.sleep(0.001)
        _, _, _, _, example = shlex.split(printed.partition("curl")[2].join(["curl", ""]))
        chat = json.loads(example)
        serving.cancel()
    assert directed(THREE, chat["messages"][0]["content"]) == Script("One two three four.", gap=0.2, fault=Stall(3))


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--first-token", "soon"], "'soon' is not seconds"),
        (["--gap", "-1"], "0 or more"),
        (["--fault", "4%explode"], "no fault is named explode"),
    ],
)
def test_by_hand_a_mistake_is_named(arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        module.main(arguments)
    assert why in capsys.readouterr().err


def test_the_help_names_every_fault_and_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        module.main(["--help"])
    printed = capsys.readouterr().out
    assert all(re.search(rf"^  {name} .*\S", printed, re.MULTILINE) for name in FAULTS)
    assert re.search(r"^  huge after=0 size=1000000 +\S", printed, re.MULTILINE)


def test_chunks_are_words_ten_a_sentence() -> None:
    words = module._sentences(20)
    assert len(words) == 20
    assert "".join(words).count(".") == 2
    assert words[9] == " word10."
