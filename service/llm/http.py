"""HTTP/1.1 for streamed answers: one connection, a request at a time.

Written for the turn: the general clients spend more on a streamed chunk than all the rest of the service does
(README, performance). Bytes that arrive in one read are handed over in one piece.
Redirects, cookies, proxies and compression are left out: no model endpoint needs them.
"""

import asyncio
from collections.abc import Callable

import httptools

_READ_AHEAD = 1 << 20
"""Bytes that may wait unread before the server has to."""

GATHER_SECONDS = 0.1
"""So long may words wait for the next ones where nobody hears the difference: each frame has its price."""


class HttpFailed(Exception):
    """The exchange did not come to its end: there was no connection, or it broke, or it was not HTTP."""


class Connection(asyncio.Protocol):
    """One TCP (or TLS) connection: sends a request, then reads its response piece by piece."""

    def __init__(self, on_lost: Callable[["Connection"], None] = lambda _: None) -> None:
        self.is_open = False
        self._on_lost = on_lost
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
        self._gathering: asyncio.TimerHandle | None = None
        self._gathered: list[bytes] = []
        self._is_urgent: Callable[[bytes], object] | None = None
        self._error: Exception | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # of a stream, so it can write
        self._loop = asyncio.get_running_loop()
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        if self._is_urgent is not None and not self._is_urgent(data) and self._size <= _READ_AHEAD:
            self._gathered.append(data)
            self._size += len(data)
            if self._gathering is None:
                self._gathering = self._loop.call_later(GATHER_SECONDS, self._take_gathered)
            return
        self._take(data if not self._gathered else b"".join([*self._gathered, data]))

    def _take_gathered(self) -> None:
        self._take(b"".join(self._gathered))

    def _take(self, data: bytes) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        if self._gathered:
            self._gathered.clear()
            self._size = 0
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
        if self._gathered:
            self._take_gathered()
        if not self.is_complete:
            self._fail(HttpFailed("the connection was closed"))
        self._wake()
        self._on_lost(self)

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
        self.headers, self.status, self._is_urgent = {}, 0, None
        self._has_head = self.has_heard = self.is_complete = False
        self._error = None
        self._pieces.clear()
        self._size = 0
        self._transport.write(b"%scontent-length: %d\r\n\r\n%s" % (head, len(body), body))
        while not self._has_head:
            if self._error is not None:
                raise self._error
            await self._wait()

    def gather(self, is_urgent: Callable[[bytes], object]) -> None:
        """From now on, let bytes wait for those that come within GATHER_SECONDS, unless this says that they cannot."""
        self._is_urgent = is_urgent

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
        return self.is_open and self.is_complete and self._may_stay and not self._is_paused

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
