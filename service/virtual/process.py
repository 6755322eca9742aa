"""A service in this process, without sockets: its ASGI app, lines to it, and requests.

In virtual time it is one of several processes of a world: it may be drained, and it may be killed.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Self

from litestar import Litestar

from service.transport import EXTENSION
from service.virtual.loop import OWNER, VirtualLoop

MOST_UNREAD = 64 * 1024
"""Bytes that the service may have sent unread, before it has to wait."""

LOST = 1006


class Refused(Exception):
    """The handshake was answered with HTTP."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(f"HTTP {status}: {why}")
        self.status = status


class Process:
    """`async with Process(app) as process`: its lifespan has begun, and it takes lines."""

    def __init__(self, app: Litestar, *, peer: str = "127.0.0.1") -> None:
        """`peer` is the address that its callers seem to come from."""
        self.app = app
        self.is_dead = False
        self._peer = peer
        self._context = contextvars.copy_context()
        self._context.run(OWNER.set, self)
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_over = asyncio.Event()

    async def __aenter__(self) -> Self:
        began = asyncio.get_running_loop().create_future()
        self._living = asyncio.get_running_loop().create_task(self._live(began), context=self._context)
        await began
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Cut what lines there are, and end the lifespan, as a server does that was told to end. Once more: nothing."""
        for connection in tuple(self._connections):
            connection.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._is_over.set()
        await asyncio.wait([self._living])
        if not self.is_dead:
            self.is_dead = True
            self._living.result()

    async def _live(self, began: "asyncio.Future[None]") -> None:
        """The lifespan begins and ends in one task."""
        try:
            async with self.app.lifespan():
                began.set_result(None)
                await self._is_over.wait()
        except BaseException as error:
            if not began.done():
                began.set_exception(error)
                return
            raise

    async def dial(self, path: str, *, query: str = "", headers: Mapping[str, str] | None = None) -> "Connection":
        """Open a WebSocket. Raises Refused, and ConnectionRefusedError once it is dead."""
        if self.is_dead:
            raise ConnectionRefusedError("the process is gone")
        connection = Connection(self._context.copy(), self._forget)
        scope = self._scope("websocket", path, query, headers) | {"subprotocols": []}
        scope["extensions"] = {EXTENSION: connection.far}
        self._connections.add(connection)
        serving = asyncio.get_running_loop().create_task(self._serve(scope, connection), context=connection.context)
        self._tasks.add(serving)
        serving.add_done_callback(self._tasks.discard)
        await connection.opened()
        return connection

    async def _serve(self, scope: dict[str, Any], connection: "Connection") -> None:
        try:
            await self.app(scope, connection.far.receive, connection.far.send)  # type: ignore[arg-type]  # its own TypedDicts
        finally:
            connection.far.abort()

    async def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """Ask it over HTTP. Returns the status and the body. Raises ConnectionRefusedError once it is dead."""
        if self.is_dead:
            raise ConnectionRefusedError("the process is gone")
        status, parts, asked = 0, [], [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            return asked.pop() if asked else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            parts.append(message.get("body", b""))

        given = {"content-length": str(len(body)), **(headers or {})}
        scope = self._scope("http", path, "", given) | {"method": "POST"}
        running = asyncio.get_running_loop().create_task(self._ask(scope, receive, send), context=self._context.copy())
        await running
        return status, b"".join(parts)

    async def _ask(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)  # type: ignore[arg-type]  # its own TypedDicts

    def kill(self) -> None:
        """As SIGKILL: its lines break, its timers never fire, and nothing of it is tidied up.

        Its tasks are cancelled, and nothing that they do as they end reaches anybody over a line, nor is it seen.
        """
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)  # noqa: S101  elsewhere nobody knows whose timers are whose
        self.is_dead = True
        self.app.state.watch.show_to([])
        for connection in tuple(self._connections):
            connection.cut()
        loop.kill(self)

    def _forget(self, connection: "Connection") -> None:
        self._connections.discard(connection)

    def _scope(self, kind: str, path: str, query: str, headers: Mapping[str, str] | None) -> dict[str, Any]:
        return {
            "type": kind,
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "ws" if kind == "websocket" else "http",
            "server": ("127.0.0.1", 80),
            "client": (self._peer, 12345),
            "root_path": "",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
            "state": {},
        }


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
        self._news = asyncio.Event()
        self._opened: asyncio.Future[None] = self._loop.create_future()

    async def opened(self) -> None:
        """Wait until it is accepted. Raises Refused."""
        await self._opened

    async def __aiter__(self) -> AsyncGenerator[str | bytes]:
        while True:
            while self._frames:
                frame = self._frames.popleft()
                self.unread -= len(frame)
                self.far.has_room(self.unread < MOST_UNREAD)
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
        self._news.set()
        return self.unread < MOST_UNREAD

    def ended(self, code: int) -> None:
        self._gone(code)

    def _gone(self, code: int) -> None:
        if self.close_code is None:
            self.close_code = code
            self._news.set()
            if not self._opened.done():
                self._opened.set_exception(ConnectionResetError("the line broke amid the handshake"))
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
