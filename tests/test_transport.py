"""What comes before anybody knows who it is: heads of requests, on real sockets."""

import asyncio

import pytest
from websockets.http11 import Request

from service.transport import MOST_PIECES, CuttableWebSocket
from tests.live import Service, serving

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
UPGRADE = (
    b"Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
DIAL = b"GET /llm-websocket/call_1 HTTP/1.1\r\n" + UPGRADE
PING = b"\x89\xfd" + bytes(4) + b"x" * 125


async def told(service: Service, *sent: bytes) -> bytes:
    """What is answered until the service closes."""
    host, port = service.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(3):
            for each in sent:
                writer.write(each)
                await writer.drain()
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("begun", [b"", b"G", HEALTH, HEALTH + b"X-Long: "])
async def test_a_head_that_does_not_come_is_not_waited_for(begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.transport.HEAD_WITHIN", 0.1)
    async with serving() as service:
        assert await told(service, begun) == b""


async def test_a_second_head_on_the_same_connection_is_not_waited_for_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.transport.HEAD_WITHIN", 0.1)
    async with serving() as service:
        answer = await told(service, HEALTH + b"\r\n", b"GET /healthz HT")
    assert answer.count(b"200 OK") == 1


@pytest.mark.parametrize("begun", [b"GET /", HEALTH + b"X-Long: ", HEALTH + b"X: y\r\n"])
async def test_a_head_without_end_is_not_kept(begun: bytes) -> None:
    async with serving() as service:
        assert await told(service, begun, *[b"x" * 16_384] * 10) == b""


async def test_a_line_and_an_answer_outlast_the_time_of_their_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.transport.HEAD_WITHIN", 0.1)
    async with serving() as service, service.line() as line:
        await line.greeted()
        await asyncio.sleep(0.2)
        await line.ask(1, "Hello.", "Are you there?")
        assert await line.answer(1)
        assert (await told(service, HEALTH + b"Connection: close\r\n\r\n")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /llm-websocket/" + b"x" * 9000 + b" HTTP/1.1\r\n" + UPGRADE, b"414"),
        (DIAL + b"X-Long: " + b"x" * 9000 + b"\r\n", b"431"),
        (DIAL + b"X: y\r\n" * 200, b"431"),
        (DIAL.replace(b"GET", b"POST"), b"405"),
        (DIAL.replace(b"Version: 13", b"Version: 7"), b"400"),
        (DIAL.replace(b"/llm-websocket", b"/\xc3\xa9"), b"400"),
    ],
    ids=["path", "header", "headers", "method", "version", "letters"],
)
async def test_a_handshake_that_is_none_is_answered_and_its_connection_is_closed(head: bytes, status: bytes) -> None:
    async with serving() as service:
        assert (await told(service, head + b"\r\n")).split()[1] == status


async def test_what_follows_an_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.transport.HEAD_WITHIN", 0.1)
    async with serving() as service:
        reader, writer = await asyncio.open_connection(*service.address.split(":"))
        writer.write(HEALTH + b"Content-Length: 99\r\n\r\n")
        assert b"200 OK" in await reader.readuntil(b"alive\n")
        writer.write(b"x")  # from now on uvicorn counts no time
        async with asyncio.timeout(3):
            assert await rest(reader) == b""
        writer.close()


async def test_a_body_that_comes_after_the_answer_is_not_taken_in_without_bound() -> None:
    async with serving() as service:
        reader, writer = await asyncio.open_connection(*service.address.split(":"))
        writer.write(HEALTH + b"Content-Length: 9999999\r\n\r\n")
        await reader.readuntil(b"alive\n")
        for _ in range(10):
            writer.write(b"x" * 16_384)
            await asyncio.sleep(0.01)
        async with asyncio.timeout(3):
            assert await rest(reader) == b""
        writer.close()


async def test_a_line_on_a_connection_that_was_used_before_outlasts_the_time_of_a_head(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.transport.HEAD_WITHIN", 0.1)
    async with serving() as service:
        reader, writer = await asyncio.open_connection(*service.address.split(":"))
        writer.write(HEALTH + b"\r\n")
        await reader.readuntil(b"alive\n")
        writer.write(DIAL + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.2)
        writer.write(PING)
        async with asyncio.timeout(3):
            await reader.readuntil(b"\x8a\x7d" + b"x" * 125)
        writer.close()


async def test_answers_to_pings_that_nobody_reads_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[CuttableWebSocket] = []
    connect = CuttableWebSocket.handle_connect

    def noting(line: CuttableWebSocket, request: Request) -> None:
        lines.append(line)
        connect(line, request)

    monkeypatch.setattr(CuttableWebSocket, "handle_connect", noting)
    async with serving() as service:
        reader, writer = await asyncio.open_connection(*service.address.split(":"), limit=1024)
        writer.write(DIAL + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        (line,) = lines
        async with asyncio.timeout(20):
            for _ in range(200):
                writer.write(PING * 400)
                await writer.drain()
                await asyncio.sleep(0)
            while line.writable.is_set():
                writer.write(PING * 400)
                await asyncio.sleep(0)
        assert line.transport.get_write_buffer_size() < 2**20
        writer.transport.abort()


async def test_a_message_in_endless_pieces_is_cut() -> None:
    async with serving() as service, service.line() as line:
        await line.greeted()
        line.socket.transport.write(b"\x01\x80" + bytes(4) + (b"\x00\x80" + bytes(4)) * (MOST_PIECES + 1))
        assert await line.closed() == 1006


async def rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""
