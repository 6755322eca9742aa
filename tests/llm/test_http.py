"""Connections to real sockets: the stand-in model where it is well behaved, a hand-written server where it is not."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

import pytest

from service.llm.http import HttpFailed
from service.llm.pool import Origin, Pool

HEAD = b"POST /x HTTP/1.1\r\nhost: x\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Answering = Callable[[Reader, Writer], Coroutine[None, None, None]]


class Server:
    """Answers each request as the test says, and counts its connections."""

    def __init__(self, answer: Answering) -> None:
        self._answer = answer
        self.connections = 0
        self._open: set[asyncio.Event] = set()

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        self.connections += 1
        left = asyncio.Event()
        self._open.add(left)
        try:
            while await asked(reader):
                await self._answer(reader, writer)
                if writer.is_closing():
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            left.set()

    async def until_left(self) -> None:
        async with asyncio.timeout(2):
            for left in list(self._open):
                await left.wait()


async def asked(reader: Reader) -> bool:
    """Take in one request; False when the peer left."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return False
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    await reader.readexactly(length)
    return True


@asynccontextmanager
async def pool_to(answer: Answering, *, idle_seconds: float = 55.0) -> AsyncIterator[tuple[Pool, Server]]:
    server = Server(answer)
    async with await asyncio.start_server(server, "127.0.0.1", 0) as listening:
        pool = Pool(Origin("127.0.0.1", listening.sockets[0].getsockname()[1], is_tls=False), idle_seconds=idle_seconds)
        yield pool, server
        await pool.close()
        await server.until_left()


async def fetched(pool: Pool) -> bytes:
    body = b""
    async with pool.exchange(HEAD, b"{}") as answer:
        while data := await answer.read():
            body += data
    return body


async def ok(_: Reader, writer: Writer) -> None:
    writer.write(OK)


async def test_a_connection_is_used_again() -> None:
    async with pool_to(ok) as (pool, server):
        await pool.warm_up()
        await pool.warm_up()
        assert [await fetched(pool) for _ in range(5)] == [b"ok"] * 5
        assert server.connections == 1


async def test_exchanges_at_one_time_have_a_connection_each() -> None:
    async with pool_to(ok) as (pool, server):
        async with asyncio.TaskGroup() as tasks:
            bodies = [tasks.create_task(fetched(pool)) for _ in range(5)]
        assert [body.result() for body in bodies] == [b"ok"] * 5
        assert server.connections == 5


async def test_a_body_in_chunks_comes_as_it_arrives() -> None:
    async def chunks(_: Reader, writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (b"Good ", b"morn", b"ing"):
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(0.001)
        writer.write(b"0\r\n\r\n")

    async with pool_to(chunks) as (pool, server):
        assert [await fetched(pool) for _ in range(2)] == [b"Good morning"] * 2
        assert server.connections == 1


async def test_a_kept_connection_that_the_server_closed_is_replaced_unseen() -> None:
    async def once(_: Reader, writer: Writer) -> None:
        writer.write(OK)
        await writer.drain()
        writer.close()

    async with pool_to(once) as (pool, server):
        assert [await fetched(pool) for _ in range(3)] == [b"ok"] * 3
        assert server.connections == 3


async def test_a_connection_that_is_told_to_close_or_kept_too_long_is_not_used_again() -> None:
    async def last(_: Reader, writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")

    async with pool_to(last) as (pool, server):
        assert [await fetched(pool) for _ in range(2)] == [b"ok"] * 2
        assert server.connections == 2
    async with pool_to(ok, idle_seconds=0) as (pool, server):
        assert [await fetched(pool) for _ in range(2)] == [b"ok"] * 2
        assert server.connections == 2


async def test_leaving_before_the_end_closes_the_connection() -> None:
    async def endless(reader: Reader, writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n")
        assert await reader.read() == b""

    async with pool_to(endless) as (pool, server):
        async with pool.exchange(HEAD, b"{}") as answer:
            assert (answer.status, await answer.read()) == (200, b"ab")
        await server.until_left()


async def test_a_caller_that_gives_up_waiting_closes_the_connection() -> None:
    async def silent(reader: Reader, _: Writer) -> None:
        assert await reader.read() == b""

    async with pool_to(silent) as (pool, server):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(fetched(pool), 0.02)
        await server.until_left()


async def test_a_server_that_sends_faster_than_we_read_has_to_wait() -> None:
    sent = 0

    async def floods(_: Reader, writer: Writer) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n")
        for _piece in range(100):
            writer.write(b"x" * 1_000_000)
            await writer.drain()
            sent += 1

    async with pool_to(floods) as (pool, _), pool.exchange(HEAD, b"{}") as answer:
        await asyncio.sleep(0.1)
        assert sent < 50
        total = 0
        while data := await answer.read():
            total += len(data)
        assert total == 100_000_000


@pytest.mark.parametrize(
    "rubbish",
    [
        b"220 mail.example ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok",
        b"HTTP/1.1 200",
        b"",
    ],
    ids=["no-http", "bad-chunk", "cut-body", "cut-head", "nothing"],
)
async def test_what_is_no_response_fails(rubbish: bytes) -> None:
    async def answer(_: Reader, writer: Writer) -> None:
        writer.write(rubbish)
        await writer.drain()
        writer.close()

    async with pool_to(answer) as (pool, _):
        with pytest.raises(HttpFailed):
            await fetched(pool)


async def test_an_interim_response_is_not_the_answer() -> None:
    async def hints(_: Reader, writer: Writer) -> None:
        writer.write(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.write(OK)

    async with pool_to(hints) as (pool, server):
        assert [await fetched(pool) for _ in range(2)] == [b"ok"] * 2
        assert server.connections == 1


async def test_a_request_that_a_server_took_and_did_not_answer_is_sent_once_more_at_most() -> None:
    answered = 0

    async def falters(_: Reader, writer: Writer) -> None:
        nonlocal answered
        answered += 1
        if answered <= 5:
            await asyncio.sleep(0.01)  # so that all five are open at one time
            writer.write(OK)
        else:
            writer.close()

    async with pool_to(falters) as (pool, _):
        async with asyncio.TaskGroup() as tasks:
            for _i in range(5):
                tasks.create_task(fetched(pool))
        with pytest.raises(HttpFailed):
            await fetched(pool)
        assert answered == 7


async def test_a_connection_left_under_back_pressure_is_not_used_again() -> None:
    async def large(_: Reader, writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1070000\r\n\r\n" + b"x" * 1_070_000)

    async with pool_to(large) as (pool, server):
        async with pool.exchange(HEAD, b"{}"):
            await asyncio.sleep(0.05)
        assert len(await asyncio.wait_for(fetched(pool), 2)) == 1_070_000
        assert server.connections == 2


async def test_bytes_that_nobody_asked_for_close_the_connection() -> None:
    async def twice(_: Reader, writer: Writer) -> None:
        writer.write(OK)
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.write(OK)

    async with pool_to(twice) as (pool, server):
        assert await fetched(pool) == b"ok"
        await asyncio.sleep(0.03)
        assert await fetched(pool) == b"ok"
        assert server.connections == 2


async def test_nobody_there_and_no_tls_fail() -> None:
    with pytest.raises(HttpFailed):
        await fetched(Pool(Origin("127.0.0.1", 1, is_tls=False)))
    async with pool_to(ok) as (pool, _):
        with pytest.raises(HttpFailed):
            await fetched(Pool(Origin("127.0.0.1", pool._origin.port, is_tls=True), connect_seconds=1))
    with pytest.raises(HttpFailed):
        await fetched(Pool(Origin("x" * 300, 80, is_tls=False)))
