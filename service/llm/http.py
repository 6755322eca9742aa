"""HTTP/1.1 for streamed answers: one connection a request at a time, kept open between them.

Written for the turn: the general clients spend more on a streamed chunk than all the rest of the service does
(README, performance). Bytes that arrive in one read are handed over in one piece, and nothing is copied on the way.
Redirects, cookies, proxies and compression are left out: no model endpoint needs them.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httptools

_READ_AHEAD = 1 << 20
"""Bytes that may wait unread before the server has to."""


class HttpFailed(Exception):
    """The exchange did not come to its end: there was no connection, or it broke, or it was not HTTP."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where connections go."""

    host: str
    port: int
    is_tls: bool


class Connection(asyncio.Protocol):
    """One TCP (or TLS) connection: sends a request, then reads its response piece by piece."""

    def __init__(self) -> None:
        self.is_open = False
        self.has_heard = False
        """Whether anything of the present response arrived."""
        self.idle_since = 0.0
        self.status = 0
        self.headers: dict[str, str] = {}
        self.is_complete = True
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._size = 0
        self._is_paused = False
        self._has_head = False
        self._may_stay = True
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # of a stream, so it can write
        self._loop = asyncio.get_running_loop()
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        if self.is_complete:
            self.abort()  # bytes that nobody asked for
            return
        self.has_heard = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(HttpFailed(type(error).__name__))
            self.abort()
        if self._size > _READ_AHEAD and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, _: Exception | None) -> None:
        self.is_open = False
        if not self.is_complete:
            self._fail(HttpFailed("the connection was closed"))
        self._wake()

    # What httptools calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._has_head = True

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)
        self._size += len(body)

    def on_message_complete(self) -> None:
        if self.status < 200:  # noqa: PLR2004 - an interim response: the answer is still to come
            self.headers, self._has_head = {}, False
            return
        self.is_complete = True
        self._may_stay = self._parser.should_keep_alive()  # asked a moment later, the parser has forgotten

    # What the caller calls.

    async def request(self, head: bytes, body: bytes) -> None:
        """Send a request and wait for the response's head. Raises HttpFailed."""
        self._parser = httptools.HttpResponseParser(self)
        self.headers, self.status = {}, 0
        self._has_head = self.has_heard = self.is_complete = False
        self._error = None
        self._pieces.clear()
        self._transport.write(b"%scontent-length: %d\r\n\r\n%s" % (head, len(body), body))
        while not self._has_head:
            if self._error is not None:
                raise self._error
            await self._wait()

    async def read(self) -> bytes:
        """What arrived since the last read, waiting for some; empty at the response's end. Raises HttpFailed."""
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self.is_complete:
                return b""
            await self._wait()
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()
        return data

    def abort(self) -> None:
        """Close at once: the server sees that nobody listens any more."""
        if self.is_open:
            self._transport.abort()

    @property
    def is_reusable(self) -> bool:
        return self.is_open and self.is_complete and self._may_stay and not (self._pieces or self._is_paused)

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        self._error = self._error or error


class Pool:
    """The connections to one origin, shared by all calls; the one used last is used next."""

    def __init__(self, origin: Origin, *, connect_seconds: float = 5.0, idle_seconds: float = 55.0) -> None:
        """`idle_seconds`: load balancers drop idle connections without a word, mostly after a minute or more."""
        self._origin = origin
        self._connect_seconds = connect_seconds
        self._idle_seconds = idle_seconds
        self._idle: list[Connection] = []
        self._tls: ssl.SSLContext | None = None

    @asynccontextmanager
    async def exchange(self, head: bytes, body: bytes) -> AsyncIterator[Connection]:
        """Send a request; yields its connection once the response's head is there. Raises HttpFailed.

        A connection whose response was not read to its end is closed: the server sees that nobody listens any more.
        """
        connection = await self._begun(head, body)
        try:
            yield connection
        finally:
            self._give_back(connection)

    async def warm_up(self) -> None:
        """Have one connection open before it is needed. Raises HttpFailed."""
        if not any(connection.is_open for connection in self._idle):
            self._give_back(await self._connect())

    def close(self) -> None:
        """Close what is kept."""
        while self._idle:
            self._idle.pop().abort()

    async def _begun(self, head: bytes, body: bytes) -> Connection:
        kept = self._kept()
        if kept is not None:
            try:
                await _request(kept, head, body)
            except HttpFailed:
                if kept.has_heard:
                    raise
                # Closed by the server while it was kept, mostly: asked once more, and no more than once.
            else:
                return kept
        connection = await self._connect()
        await _request(connection, head, body)
        return connection

    def _kept(self) -> Connection | None:
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and now - connection.idle_since <= self._idle_seconds:
                return connection
            connection.abort()
        return None

    def _give_back(self, connection: Connection) -> None:
        if connection.is_reusable:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            connection.abort()

    async def _connect(self) -> Connection:
        origin = self._origin
        if origin.is_tls and self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        try:
            async with asyncio.timeout(self._connect_seconds):
                loop = asyncio.get_running_loop()
                _, connection = await loop.create_connection(Connection, origin.host, origin.port, ssl=self._tls)
        except (OSError, TimeoutError, UnicodeError) as error:  # a host name can be too long to be spelled
            raise HttpFailed(type(error).__name__) from error
        return connection


async def _request(connection: Connection, head: bytes, body: bytes) -> None:
    try:
        await connection.request(head, body)
    except BaseException:
        connection.abort()
        raise
