"""TCP in memory, for a loop that has no other: what one end writes, the other reads in the same moment, in order."""

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any

_HERE = ("127.0.0.1", "localhost", "::1")

Factory = Callable[[], asyncio.Protocol]


class Network:
    """Who listens where. All that listen do so on this machine; `routes` are other hosts that stand for a port here.

    A connection by a route may be meant for TLS: nothing is encrypted here.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._servers: dict[int, Server] = {}
        self.routes: dict[tuple[str, int], int] = {}

    def serve(self, factory: Factory, host: str, port: int) -> "Server":
        """Listen. Port 0 takes a free one. Raises OSError when somebody else has it."""
        port = port or next(free for free in range(40_000, 65_536) if free not in self._servers)
        if port in self._servers:
            raise OSError(f"port {port} of this world is taken")
        self._servers[port] = Server(factory, host, port, lambda: self._servers.pop(port, None))
        return self._servers[port]

    async def connect(self, factory: Factory, host: str, port: int) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Raises ConnectionRefusedError where nobody listens."""
        at = port if host in _HERE else self.routes.get((host, port))
        server = None if at is None else self._servers.get(at)
        if server is None:
            raise ConnectionRefusedError(f"in virtual time nothing answers at {host}:{port}")
        protocol = factory()
        near, far = _End(self._loop, protocol, port), server.context.run(server.accept, self._loop)
        near.peer, far.peer = far, near
        far.begin()
        near.begin()
        await asyncio.sleep(0)
        return near, protocol


class Server:
    """As `asyncio.Server`, for as much as a listener's owner asks of it."""

    def __init__(self, factory: Factory, host: str, port: int, on_close: Callable[[], object]) -> None:
        self.context = contextvars.copy_context()
        self.sockets = [_Listening(host, port)]
        self._factory, self._on_close, self._is_serving = factory, on_close, True

    def accept(self, loop: asyncio.AbstractEventLoop) -> "_End":
        return _End(loop, self._factory(), 0)

    def is_serving(self) -> bool:
        return self._is_serving

    def close(self) -> None:
        self._is_serving = False
        self._on_close()

    async def wait_closed(self) -> None:
        pass


class _Listening:
    """What is asked of a listening socket."""

    def __init__(self, host: str, port: int) -> None:
        self._name = host, port

    def getsockname(self) -> tuple[str, int]:
        return self._name

    def fileno(self) -> int:
        return 1 << 30  # no descriptor that a selector knows


class _End(asyncio.Transport):
    """One end of a connection. What is told to its protocol is told in the context that it was made in."""

    peer: "_End"

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol, port: int) -> None:
        super().__init__({"peername": ("127.0.0.1", port), "sockname": ("127.0.0.1", 0)})
        self._loop, self._protocol = loop, protocol
        self._context = contextvars.copy_context()
        self._arrived = bytearray()
        self._is_closing = self._is_over = self._is_reading_paused = self._is_told = self._has_ended = False

    def begin(self) -> None:
        self._context.run(self._protocol.connection_made, self)

    # What a protocol may ask.

    def write(self, data: Any) -> None:
        if not self._is_closing and data:
            self.peer.arrive(data)

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return self._is_closing

    def is_reading(self) -> bool:
        return not (self._is_reading_paused or self._is_closing)

    def pause_reading(self) -> None:
        self._is_reading_paused = True

    def resume_reading(self) -> None:
        self._is_reading_paused = False
        self._wake()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol  # type: ignore[assignment]  # of a stream, or it would not be here

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def close(self) -> None:
        """What was written arrives still."""
        if not self._is_closing:
            self._is_closing = True
            self._arrived.clear()
            self._wake()
            self.peer.end()

    def abort(self) -> None:
        """What was written and has not arrived is lost."""
        if not self._is_closing:
            self.peer.lose()
        self.close()

    # What arrives.

    def arrive(self, data: Any) -> None:
        self._arrived += data
        self._wake()

    def lose(self) -> None:
        self._arrived.clear()

    def end(self) -> None:
        self._has_ended = True
        self._wake()

    def _wake(self) -> None:
        if not self._is_told and not self._is_over:
            self._is_told = True
            self._loop.call_soon(self._tell, context=self._context)

    def _tell(self) -> None:
        self._is_told = False
        if self._arrived and self.is_reading():
            data, self._arrived = bytes(self._arrived), bytearray()
            self._protocol.data_received(data)
        if self._has_ended and not self._arrived and not self._is_closing:
            self._protocol.eof_received()
            self.close()
        if self._is_closing and not self._is_over:
            self._is_over = True
            self._protocol.connection_lost(None)
