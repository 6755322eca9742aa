"""One WebSocket as the session's Line: a platform's frames over an ASGI socket."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

from litestar import WebSocket

from service.conversation.commands import Outgoing
from service.conversation.events import Event, Oddity, OddityNoticed
from service.platforms.platform import Platform
from service.transport import EXTENSION, CuttableWebSocket
from service.visit import LineClosed

BURST = 10.0
"""Seconds' worth of frames that may come at once; as many again are dropped before the line is cut."""

_TRANSPORT_FAULTS = {1009: Oddity.FRAME_TOO_LARGE, 1007: Oddity.NOT_UTF8}

Socket = WebSocket[Any, Any, Any]


class Onlooker(Protocol):
    """Sees the frames of one line."""

    def heard(self, frame: str | bytes, told: Sequence[Event]) -> None:
        """A frame came in, and says this."""
        ...

    def sent(self, frame: bytes) -> None:
        """A frame was handed over."""
        ...

    def closed(self, code: int | None) -> None:
        """The line is closed, with the code of the peer's, if it sent one. May come again."""
        ...


class SocketLine:
    """One socket. A peer that sends more frames a second than it may, for long, is not listened to, and then cut."""

    def __init__(
        self, socket: Socket, platform: Platform, frames_per_second: float = 0.0, onlooker: Onlooker | None = None
    ) -> None:
        """Without a number of frames, as many as it likes."""
        self._onlooker = onlooker
        self._receive = socket.receive
        self._platform = platform
        self._now = asyncio.get_running_loop().time
        self._is_closed = False
        self._fault: Exception | None = None
        self.close_code: int | None = None
        self._transport = transport_of(socket)
        self._rate = frames_per_second
        self._room = self._patience = BURST * frames_per_second
        self._heard_at = 0.0

    async def listen(self, hear: Callable[[Sequence[Event]], None]) -> None:
        """Text frames come in on the stack of the transport; the others, and the end, through ASGI."""

        def on_text(frame: str) -> None:
            try:
                hear(self._told(frame))
            except Exception as error:  # noqa: BLE001 - the task that serves the call shall fail, not the transport
                self._fault, self._transport.on_text = error, None
                self._transport.abort()

        self._transport.on_text = on_text
        try:
            while not self._is_closed:
                message = await self._receive()
                if self._fault is not None:
                    raise self._fault
                hear(self._events_of(message))
        finally:
            self._transport.on_text = None

    def _events_of(self, message: Any) -> Sequence[Event]:
        if message["type"] == "websocket.receive":
            text = message.get("text")
            return self._told(message["bytes"] or b"" if text is None else text)
        self._is_closed = True
        code = cast("int", message.get("code"))
        fault = _TRANSPORT_FAULTS.get(code)
        self.close_code = self._transport.close_code if fault is None else code
        return () if fault is None else (OddityNoticed(self._now(), fault),)

    def _told(self, frame: str | bytes) -> Sequence[Event]:
        told = self._events_in(frame)
        if self._onlooker is not None:
            self._onlooker.heard(frame, told)
        return told

    def _events_in(self, frame: str | bytes) -> Sequence[Event]:
        """What a frame says; of one too many, that it came."""
        now = self._now()
        if self._rate:
            self._room = min(self._room + (now - self._heard_at) * self._rate, BURST * self._rate) - 1
            self._heard_at = now
            if self._room < 0:
                return self._flooded(now)
        return self._platform.decode(frame, now)

    def _flooded(self, now: float) -> Sequence[Event]:
        self._room = 0.0
        self._patience -= 1
        if self._patience >= 0:
            return (OddityNoticed(now, Oddity.FLOODED),)
        if self._patience == -1:
            self._transport.on_text = None
            self._transport.abort()
            return (OddityNoticed(now, Oddity.FLOODED, CUT),)
        return ()

    def try_send(self, command: Outgoing) -> bool:
        return self._try_write(self._platform.encode(command))

    async def room(self) -> None:
        if self._transport.is_gone:
            raise LineClosed
        await self._transport.room()

    def _try_write(self, frame: bytes) -> bool:
        is_sent = self._transport.try_send(frame)
        if is_sent and self._onlooker is not None:
            self._onlooker.sent(frame)
        return is_sent

    def open(self) -> None:
        """Send what comes first. The socket is new, so there is room for it."""
        for frame in self._platform.opening():
            self._try_write(frame)
        self._transport.forget_handshake()

    def abort(self) -> None:
        if self._onlooker is not None:
            self._onlooker.closed(self.close_code)
        if not self._is_closed:  # the closing handshake of a peer that left in good order goes out whole
            self._transport.abort()


CUT = "the line is cut"
"""The detail of a flood's last oddity."""


def transport_of(socket: Socket) -> CuttableWebSocket:
    """The transport below a socket."""
    return cast("CuttableWebSocket", cast("dict[str, object]", socket.scope["extensions"])[EXTENSION])
