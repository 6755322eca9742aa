"""A WebSocket in memory: the platform's end, and the service's end as ASGI and our transport have it."""

import asyncio
import contextvars
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any

MOST_UNREAD = 64 * 1024
"""Bytes that the service may have sent unread, before it has to wait."""

LOST = 1006


class Refused(Exception):
    """The handshake was answered with HTTP."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(f"HTTP {status}: {why}")
        self.status = status


class Connection:
    """The platform's end of a WebSocket: iterate to read its frames, until it is closed."""

    def __init__(self, context: contextvars.Context, on_gone: Callable[["Connection"], None]) -> None:
        self.context = context
        self.close_code: int | None = None
        """Why it is closed: the code of the service's close frame, 1006 when the line broke."""
        self.far = _Far(self)
        self._loop = asyncio.get_running_loop()
        self._on_gone = on_gone
        self._frames: deque[str] = deque()
        self.unread = 0
        self.most_unread = MOST_UNREAD
        self._see: Callable[[str], None] = lambda _: None
        self._news = asyncio.Event()
        self._opened: asyncio.Future[None] = self._loop.create_future()

    async def opened(self) -> None:
        """Wait until it is accepted. Raises Refused."""
        await self._opened

    def watch(self, see: Callable[[str], None]) -> None:
        """Show each frame in the moment in which the service writes it, beginning with those that wait already."""
        self._see = see
        for frame in self._frames:
            see(frame)

    async def __aiter__(self) -> AsyncGenerator[str | bytes]:
        while True:
            while self._frames:
                frame = self._frames.popleft()
                self.unread -= len(frame)
                self.far.has_room(self.unread < self.most_unread)
                yield frame
            if self.close_code is not None:
                return
            self._news.clear()
            await self._news.wait()

    async def send(self, frame: str | bytes) -> None:
        """Hand over one frame. What is sent to a closed line is lost, as on the way."""
        if self.close_code is None:
            self._loop.call_soon(self.far.hear, frame, context=self.context)

    async def close(self, code: int = 1000) -> None:
        """Close it in good order."""
        self._gone(code)

    def abort(self) -> None:
        """Cut it: the service is told of no code."""
        self._gone(LOST)

    def cut(self) -> None:
        """The service's end broke, or it aborted."""
        self._gone(LOST)

    def vanish(self, seconds: float) -> None:
        """Break it so that the service notices only after so many seconds. Until then it writes to nobody."""
        self.close_code = LOST if self.close_code is None else self.close_code
        self._news.set()
        self._loop.call_later(seconds, self._gone, LOST)

    # What the service's end tells this one.

    def accepted(self) -> None:
        if not self._opened.done():
            self._opened.set_result(None)

    def refused(self, status: int, why: str) -> None:
        if not self._opened.done():
            self._opened.set_exception(Refused(status, why))
        self._gone(LOST)

    def arrived(self, frame: str) -> bool:
        """Take one frame; whether there is room for more."""
        self._frames.append(frame)
        self.unread += len(frame)
        self._see(frame)
        self._news.set()
        return self.unread < self.most_unread

    def ended(self, code: int) -> None:
        self._gone(code)

    def _gone(self, code: int) -> None:
        if self.close_code is None:
            self.close_code = code
            self._news.set()
            if not self._opened.done():
                self._opened.set_exception(ConnectionResetError("the line broke amid the handshake"))
        if not self.far.is_gone:
            self.far.gone(None if code == LOST else code)
            self._on_gone(self)


class _Far:
    """The service's end: ASGI's channels, and what `CuttableWebSocket` adds to them."""

    on_text: Callable[[str], None] | None = None

    def __init__(self, near: Connection) -> None:
        self.close_code: int | None = None
        self.is_gone = False
        self._near = near
        self._messages: deque[dict[str, Any]] = deque([{"type": "websocket.connect"}])
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._is_accepted = False

    # ASGI.

    async def receive(self) -> dict[str, Any]:
        while not self._messages:
            self._news.clear()
            await self._news.wait()
        return self._messages.popleft()

    async def send(self, message: Any) -> None:
        match message["type"]:
            case "websocket.accept":
                self._is_accepted = True
                self._near.accepted()
            case "websocket.close" if not self._is_accepted:
                self._near.refused(403, "")
            case "websocket.close":
                self._near.ended(message.get("code", 1000))
            case _:
                raise ValueError(f"no {message['type']} here")

    # What the service asks of its transport.

    def try_send(self, text: bytes) -> bool:
        if self.is_gone or not self._room.is_set():
            return False
        if not self._near.arrived(text.decode()):
            self._room.clear()
        return True

    async def room(self) -> None:
        await self._room.wait()

    def refuse(self, status: int, why: str) -> None:
        self._near.refused(status, why)

    def forget_handshake(self) -> None:
        pass

    def abort(self) -> None:
        self._near.cut()

    # What the other end tells.

    def hear(self, frame: str | bytes) -> None:
        if self.is_gone:
            return
        if isinstance(frame, str) and self.on_text is not None and not self._messages:
            self.on_text(frame)
            return
        self._messages.append({"type": "websocket.receive", ("bytes" if isinstance(frame, bytes) else "text"): frame})
        self._news.set()

    def has_room(self, has_room: bool) -> None:
        if has_room:
            self._room.set()

    def gone(self, code: int | None) -> None:
        self.is_gone, self.close_code = True, code
        self._messages.append({"type": "websocket.disconnect", "code": code or LOST})
        self._news.set()
        self._room.set()
