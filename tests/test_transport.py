"""What comes before anybody knows who it is: heads of requests, on real sockets."""

import asyncio

import pytest

from tests.live import Service, serving

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


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
