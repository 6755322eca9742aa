"""Retell's side of a call on a real socket: the service at the other end, or a server that misbehaves."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest
from websockets.asyncio.server import ServerConnection, serve

from service.simulator import line as line_module
from service.simulator import retell_steps as steps
from service.simulator.line import NotConnected, SimulatedLine, epoch_of_loop, fresh_call_id, url_of_call
from service.simulator.retell import RetellCall
from service.simulator.retell_steps import Step
from tests.live import serving

Fact = TypeVar("Fact")
CONFIG = '{"response_type":"config","config":{"auto_reconnect":true}}'
OPENING = '{"response_type":"response","response_id":0,"content":"","content_complete":true}'


class Caller:
    """Plays a call, and remembers what happened."""

    def __init__(self, url: str, words_per_second: float = math.inf) -> None:
        self.steps: list[Step] = []
        self._changed = asyncio.Event()
        self.call = RetellCall("call_1", words_per_second=words_per_second, epoch=epoch_of_loop())
        self.line = SimulatedLine(self.call, url, self._see)

    def _see(self, step: Step) -> None:
        self.steps.append(step)
        self._changed.set()

    async def turn(self) -> None:
        """Wait for the caller's turn."""
        async with asyncio.timeout(5):
            while not self.call.is_listening:
                self._changed.clear()
                await self._changed.wait()

    async def says(self, text: str) -> None:
        self.line.carry_out(self.call.caller_says(text, self.line.now()))
        await self.turn()

    def all(self, kind: type[Fact]) -> list[Fact]:
        return [step for step in self.steps if isinstance(step, kind)]


@asynccontextmanager
async def server(hold: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[str]:
    """A server that does this on each line."""
    async with serve(hold, "127.0.0.1", 0) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/llm-websocket/call_1"


async def talk(caller: Caller) -> None:
    """Two turns with a reconnect between them."""
    await caller.turn()
    await caller.says("Hello.")
    caller.line.carry_out(caller.call.drop(caller.line.now()))
    await caller.turn()
    await caller.says("Are you back?")
    caller.line.carry_out(caller.call.hang_up(caller.line.now()))


async def test_a_whole_call_with_a_reconnect_against_the_service() -> None:
    async with serving() as service:
        caller = Caller(f"ws://{service.address}/llm-websocket/call_1")
        async with asyncio.TaskGroup() as tasks:
            playing = tasks.create_task(caller.line.play())
            await talk(caller)
        assert playing.result() == "user_hangup"
        spoken = [fact.text for fact in caller.all(steps.TurnFinished)]
        again = "I am sorry, can you say that again?"
        assert spoken == ["How may I help you?", again, again]
        assert [fact.is_again for fact in caller.all(steps.LineOpened)] == [False, True]
        assert caller.all(steps.RuleBroken) == []


async def test_the_clock_runs_speech_and_pings_in_real_time() -> None:
    async with serving() as service:
        caller = Caller(f"ws://{service.address}/llm-websocket/call_1", words_per_second=50)
        async with asyncio.TaskGroup() as tasks:
            playing = tasks.create_task(caller.line.play())
            async with asyncio.timeout(5):
                while not caller.all(steps.PingAnswered):
                    await asyncio.sleep(0.02)
            caller.line.carry_out(caller.call.hang_up(caller.line.now()))
        assert playing.result() == "user_hangup"
        assert [fact.count for fact in caller.all(steps.WordsHeard)] == [1, 2, 3, 4, 5]


async def test_a_server_that_breaks_every_line_is_given_up() -> None:
    async def cut(connection: ServerConnection) -> None:
        await connection.send(CONFIG)
        connection.transport.abort()

    async with server(cut) as url:
        caller = Caller(url)
        assert await caller.line.play() == "error_llm_websocket_runtime"
    assert len(caller.all(steps.LineOpened)) == 5


async def test_a_server_that_closes_with_a_code_ends_the_call() -> None:
    async def close(connection: ServerConnection) -> None:
        await connection.close(1011)

    async with server(close) as url:
        caller = Caller(url)
        assert await caller.line.play() == "error_llm_websocket_runtime"
    assert len(caller.all(steps.RuleBroken)) == 1


async def test_a_hang_up_closes_with_1000_and_a_binary_frame_with_1007() -> None:
    codes: list[int | None] = []

    async def binary(connection: ServerConnection) -> None:
        await connection.send(b"\x00")
        await connection.wait_closed()
        codes.append(connection.close_code)

    async def bye(connection: ServerConnection) -> None:
        await connection.send(OPENING.replace('"content_complete"', '"end_call":true,"content_complete"'))
        await connection.wait_closed()
        codes.append(connection.close_code)

    for hold, reason in ((binary, "error_llm_websocket_corrupt_payload"), (bye, "agent_hangup")):
        async with server(hold) as url:
            assert await Caller(url).line.play() == reason
    assert codes == [1007, 1000]


async def test_a_line_that_cannot_be_opened_again_ends_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "ATTEMPT_EVERY", 0.01)

    async def cut(connection: ServerConnection) -> None:
        listening.close(close_connections=False)
        connection.transport.abort()

    async with serve(cut, "127.0.0.1", 0) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        caller = Caller(f"ws://127.0.0.1:{port}/llm-websocket/call_1")
        assert await caller.line.play() == "error_llm_websocket_open"


async def test_hanging_up_ends_the_dialling() -> None:
    caller = Caller("ws://127.0.0.1:1/llm-websocket/call_1")
    async with asyncio.TaskGroup() as tasks:
        playing = tasks.create_task(caller.line.play(attempts=3))
        await asyncio.sleep(0.05)
        caller.line.carry_out(caller.call.hang_up(caller.line.now()))
    assert playing.result() == "user_hangup"


@pytest.mark.parametrize(
    ("given", "dialled"),
    [
        ("wss://example.com/llm-websocket", "wss://example.com/llm-websocket/call_1"),
        ("https://example.com/llm-websocket/", "wss://example.com/llm-websocket/call_1"),
        ("http://localhost:8080/a/b?token=x", "ws://localhost:8080/a/b/call_1?token=x"),
        ("localhost:8080", "ws://localhost:8080/llm-websocket/call_1"),
        ("localhost:8080/other", "ws://localhost:8080/other/call_1"),
        ("ws://[::1]:8080/llm-websocket", "ws://[::1]:8080/llm-websocket/call_1"),
    ],
)
def test_the_call_id_is_the_last_segment_of_the_address(given: str, dialled: str) -> None:
    assert url_of_call(given, "call_1") == dialled


@pytest.mark.parametrize("wrong", ["ftp://host/x", "ws://", "ws://host:port/x", "ws://[::1/x", ""])
def test_what_is_no_address_is_refused(wrong: str) -> None:
    with pytest.raises(NotConnected, match="is no address to call"):
        url_of_call(wrong, "call_1")


def test_call_ids_differ_and_fit_the_service() -> None:
    assert fresh_call_id() != fresh_call_id()
    assert len(fresh_call_id()) <= 128


@pytest.mark.parametrize(
    ("status", "sentence"),
    [(404, "nothing takes calls at /x; Cuebox does"), (403, "a secret in the address"), (502, "a proxy before it")],
)
async def test_a_refusal_says_what_to_do(status: int, sentence: str) -> None:
    async with serve(_never, "127.0.0.1", 0, process_request=lambda line, _: line.respond(status, "")) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        with pytest.raises(NotConnected, match=sentence):
            await Caller(f"ws://127.0.0.1:{port}/x/call_1").line.play(attempts=1)


async def test_a_refusal_does_not_tell_the_secret_of_the_address() -> None:
    async with serve(_never, "127.0.0.1", 0, process_request=lambda line, _: line.respond(404, "")) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        with pytest.raises(NotConnected, match="nothing takes calls at /llm-websocket/…; Cuebox") as refused:
            await Caller(f"ws://127.0.0.1:{port}/llm-websocket/a-secret/call_1").line.play(attempts=1)
        assert "a-secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("ws://127.0.0.1:1/x/call_1", "Is the service running"),
        ("ws://no-such-host.invalid/x/call_1", "No host is called no-such-host.invalid"),
    ],
)
async def test_nobody_there_says_what_to_do(url: str, sentence: str) -> None:
    with pytest.raises(NotConnected, match=sentence):
        await Caller(url).line.play(attempts=1)


@pytest.mark.parametrize(
    ("scheme", "sentence"), [("wss", "does not speak TLS"), ("ws", "did not take the call|did not answer")]
)
async def test_what_is_no_websocket_says_so(scheme: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "OPEN_TIMEOUT", 0.5)
    left = asyncio.Event()

    async def grumble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"220 mail.example ESMTP\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        left.set()

    listening = await asyncio.start_server(grumble, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        with pytest.raises(NotConnected, match=sentence):
            await Caller(f"{scheme}://127.0.0.1:{port}/x/call_1").line.play(attempts=1)
        await left.wait()


async def test_silence_at_the_other_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "OPEN_TIMEOUT", 0.1)
    left = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        left.set()

    listening = await asyncio.start_server(wait, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        with pytest.raises(NotConnected, match=r"did not answer within 0\.1 s"):
            await Caller(f"ws://127.0.0.1:{port}/x/call_1").line.play(attempts=1)
        await left.wait()


async def _never(connection: ServerConnection) -> None:
    raise AssertionError(connection)
