"""TCP in memory, as asyncio's protocols know it."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from service.virtual.loop import VirtualLoop, run
from service.virtual.network import Network

PORT = 9000


class Peer(asyncio.Protocol):
    """Remembers what it is told, and answers as it is asked to."""

    def __init__(self, answer: Callable[["Peer", bytes], None] = lambda *_: None) -> None:
        self.told: list[object] = []
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        self.told.append(data)
        self._answer(self, data)

    def eof_received(self) -> None:
        self.told.append("eof")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")


def played(test: Callable[[Network, Peer, Peer], Coroutine[None, None, None]], far: Peer | None = None) -> None:
    """Connect two, and let the test play."""

    async def world() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        server_side = far or Peer()
        server = await loop.create_server(lambda: server_side, "127.0.0.1", PORT)
        _, near = await loop.create_connection(Peer, "127.0.0.1", PORT)
        await test(loop.network, near, server_side)
        server.close()
        await server.wait_closed()

    run(world())


def test_bytes_arrive_in_order_and_what_is_written_at_once_arrives_at_once() -> None:
    async def test(_: Network, near: Peer, far: Peer) -> None:
        near.transport.write(b"one ")
        near.transport.writelines([b"two", b" three"])
        await asyncio.sleep(0.1)
        near.transport.write(b"four")
        await asyncio.sleep(0.1)
        assert far.told == ["made", b"one two three", b"four"]

    played(test)


def test_an_answer_comes_back() -> None:
    async def test(_: Network, near: Peer, __: Peer) -> None:
        near.transport.write(b"ping")
        await asyncio.sleep(0.1)
        assert near.told == ["made", b"PING"]

    played(test, Peer(lambda peer, data: peer.transport.write(data.upper())))


def test_who_closes_is_heard_to_the_end() -> None:
    async def test(_: Network, near: Peer, far: Peer) -> None:
        near.transport.write(b"bye")
        near.transport.close()
        near.transport.write(b"too late")
        near.transport.close()
        await asyncio.sleep(0.1)
        assert far.told == ["made", b"bye", "eof", "lost"]
        assert near.told == ["made", "lost"]
        assert far.transport.is_closing()

    played(test)


def test_what_an_abort_leaves_unread_is_lost() -> None:
    async def test(_: Network, near: Peer, far: Peer) -> None:
        near.transport.write(b"never")
        near.transport.abort()
        await asyncio.sleep(0.1)
        assert far.told == ["made", "eof", "lost"]

    played(test)


def test_who_does_not_read_gets_it_later() -> None:
    async def test(_: Network, near: Peer, far: Peer) -> None:
        far.transport.pause_reading()
        near.transport.write(b"wait")
        near.transport.close()
        await asyncio.sleep(1)
        assert far.told == ["made"]
        assert not far.transport.is_reading()
        far.transport.resume_reading()
        await asyncio.sleep(0.1)
        assert far.told == ["made", b"wait", "eof", "lost"]

    played(test)


def test_nobody_answers_where_nobody_listens_and_elsewhere_is_nowhere() -> None:
    async def test(network: Network, *_: Peer) -> None:
        for host, port in (("127.0.0.1", PORT + 1), ("api.example.com", PORT)):
            with pytest.raises(ConnectionRefusedError, match=f"nothing answers at {host}:{port}"):
                await network.connect(Peer, host, port)
        network.routes["api.example.com", 443] = PORT
        await network.connect(Peer, "api.example.com", 443)

    played(test)


def test_a_port_is_one_servers_until_it_closes() -> None:
    async def test(network: Network, *_: Peer) -> None:
        with pytest.raises(OSError, match="is taken"):
            network.serve(Peer, "127.0.0.1", PORT)
        free = network.serve(Peer, "127.0.0.1", 0)
        port = free.sockets[0].getsockname()[1]
        assert port != PORT
        free.close()
        assert not free.is_serving()
        network.serve(Peer, "127.0.0.1", port)

    played(test)
