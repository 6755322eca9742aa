"""uvicorn's protocols: WebSocket minus the close codes, as any code that we send ends the call at the platform (A13).

And HTTP with bounds on what anybody may send before we know who it is.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, apply_mask  # type: ignore[attr-defined]  # its version in C, where there is one
from websockets.http11 import Request

EXTENSION = "cuebox"
"""The ASGI extension under which a handler finds its `CuttableWebSocket`."""

HEAD_WITHIN = 10.0
"""Seconds for a request's head to come. Its body, where it has one, is waited for by whoever reads it."""

MOST_HEAD = 64 * 1024
"""Bytes of a head, and some of what comes with them."""

MOST_PIECES = 1024
"""Frames of one message: what is in them is bounded, their number is not."""

_FINAL_TEXT = 0x81
_IS_MASKED = 0x80
_SHORTEST = 6
"""Bytes of a masked frame with nothing in it."""


class BoundedHttp(HttpToolsProtocol):
    """Cuts a connection whose request does not begin as one: uvicorn would wait, and keep what comes, for ever."""

    _hurry: asyncio.TimerHandle | None = None
    _size = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's signature
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.get_protocol() is not self:
            return  # it has become a WebSocket
        if self._hurry is None and self.cycle is not None and self.cycle.response_complete:
            self._await_head()  # what came is of a body that nobody reads: uvicorn counts no time from here on
        if self._hurry is not None:
            self._size += len(data)
            if self._size > MOST_HEAD:
                self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._hurry is None:  # a further request on the same connection
            self._await_head()

    def on_headers_complete(self) -> None:
        self._has_come()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_come()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._size = 0
        self._hurry = self.loop.call_later(HEAD_WITHIN, self.transport.abort)

    def _has_come(self) -> None:
        if self._hurry is not None:
            self._hurry.cancel()
            self._hurry = None


class CuttableWebSocket(WebSocketsSansIOProtocol):
    """Lets the handler cut the connection or refuse it, and cuts it at shutdown instead of closing with 1012."""

    on_text: Callable[[str], None] | None = None
    """Takes in whole text frames at once; without it, and all other frames, `receive` tells them."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._unread = bytearray()

    def data_received(self, data: bytes) -> None:
        """Read plain text frames past ASGI and the `websockets` package, which is given whatever else comes."""
        unread, at = self._unread, 0
        unread += data
        while self.on_text is not None and len(unread) - at >= _SHORTEST:
            body, end = _extent(unread, at)
            if unread[at + 1] < _IS_MASKED or end - body > self.config.ws_max_size:
                self.on_text = None  # a fault: from here on the package reads, and answers it
                break
            if end > len(unread):
                break
            if not self._is_told(at, body, end):
                super().data_received(bytes(unread[at:end]))
            at = end
        if self.on_text is None:
            super().data_received(bytes(unread[at:]))
            at = len(unread)
        del unread[:at]
        if not self.handshake_initiated:  # its head comes in one piece, and is none: uvicorn would leave it at that
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def _is_told(self, at: int, body: int, end: int) -> bool:
        """Whether this frame is one that `on_text` takes in, and no other that came before it waits."""
        if self.on_text is None or self._unread[at] != _FINAL_TEXT or self.frames or not self.queue.empty():
            return False
        try:
            text = apply_mask(self._unread[body:end], self._unread[body - 4 : body]).decode()
        except UnicodeDecodeError:
            return False
        self.on_text(text)
        return True

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        scope: dict[str, Any] | None = getattr(self, "scope", None)  # none when the handshake was not one
        if scope is not None:
            scope["extensions"][EXTENSION] = self

    def handle_cont(self, event: Frame) -> None:
        super().handle_cont(event)
        if len(self.frames) > MOST_PIECES:
            self.abort()

    def handle_ping(self) -> None:
        if self.writable.is_set():
            super().handle_ping()
        else:  # it does not read its answers: they would pile up
            self.conn.data_to_send()

    def forget_handshake(self) -> None:
        """Give its memory back, 4 kB: a call is long, and once it is accepted nobody asks for its headers."""
        self.request = self.response = None  # type: ignore[assignment]  # uvicorn reads them before this alone
        self.scope["headers"] = []

    def abort(self) -> None:
        """Cut the connection: the peer sees 1006, unsent bytes are lost."""
        self.transport.abort()

    def try_send(self, text: bytes) -> bool:
        """Write a text frame now, unless the peer reads too slowly or is gone.

        Past ASGI and the `websockets` package, because this runs once a chunk: a frame of a server is not masked, and
        without extensions it is its length and its payload (RFC 6455, section 5.2).
        """
        if not self.writable.is_set() or self.is_gone:
            return False
        size = len(text)
        if size < 126:  # noqa: PLR2004
            head = bytes((_FINAL_TEXT, size))
        elif size < 1 << 16:
            head = _FINAL_TEXT.to_bytes(1, "big") + b"\x7e" + size.to_bytes(2, "big")
        else:
            head = _FINAL_TEXT.to_bytes(1, "big") + b"\x7f" + size.to_bytes(8, "big")
        self.transport.write(head + text)
        return True

    @property
    def is_gone(self) -> bool:
        """Whether nothing can be sent any more."""
        return self.disconnected or self.close_sent or self.transport.is_closing()

    async def room(self) -> None:
        """Wait until the peer has read enough, or is gone."""
        await self.writable.wait()

    @property
    def close_code(self) -> int | None:
        """The code of the peer's close frame; None when it sent none. uvicorn reports 1005 for a cut, too."""
        return None if self.conn.close_rcvd is None else self.conn.close_rcvd.code

    def refuse(self, status: int, why: str) -> None:
        """Answer the handshake with HTTP: a close code after it would count as the end of a call."""
        self.conn.send_response(self.conn.reject(status, f"{why}\n"))
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.handshake_complete = self.close_sent = True

    def shutdown(self) -> None:
        self.abort()


def _extent(data: bytearray, at: int) -> tuple[int, int]:
    """Where the payload of the masked frame at this place begins and ends (RFC 6455, section 5.2)."""
    size = data[at + 1] & 0x7F
    if size < 126:  # noqa: PLR2004
        return at + 6, at + 6 + size
    body = at + (8 if size == 126 else 14)  # noqa: PLR2004
    return body, body + int.from_bytes(data[at + 2 : body - 4], "big")
