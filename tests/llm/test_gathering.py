"""Words that nobody waits for are gathered for a moment; those that somebody waits for are not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from service.llm.http import GATHER_SECONDS, Connection, HttpFailed
from service.llm.pool import Origin, Pool

HEAD = b"POST /x HTTP/1.1\r\nhost: x\r\n"


@asynccontextmanager
async def answering(*pieces: bytes, pause: float = 0.003) -> AsyncIterator[Connection]:
    """A response whose first piece was read, and whose others come one after the other, each in a write of its own."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for piece in pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await asyncio.sleep(pause)
        writer.write(b"0\r\n\r\n")
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        pool = Pool(Origin("127.0.0.1", server.sockets[0].getsockname()[1], is_tls=False))
        async with pool.exchange(HEAD, b"{}") as response:
            assert await response.read() == pieces[0]
            response.gather(lambda data: b"!" in data)
            yield response
            with suppress(HttpFailed):
                await rest_of(response)
        await pool.close()
        await asyncio.sleep(0.02)  # the server's side of the connection


async def rest_of(response: Connection) -> list[bytes]:
    read = []
    while data := await response.read():
        read.append(data)
    return read


async def test_what_is_gathered_keeps_its_order_and_comes_in_few_pieces() -> None:
    async with answering(b"one ", b"two ", b"three ", b"four ", b"five") as response:
        read = await rest_of(response)
    assert b"".join(read) == b"two three four five"
    assert len(read) < 4


async def test_what_cannot_wait_does_not_and_brings_along_what_was_gathered() -> None:
    async with answering(b"one ", b"two ", b"three! ", b"four", pause=GATHER_SECONDS / 4) as response:
        assert await response.read() == b"two three! "
