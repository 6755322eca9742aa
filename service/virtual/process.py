"""A service in this process, without sockets: its ASGI app, lines to it, and requests.

In virtual time it is one of several processes of a world: it may be drained, and it may be killed.
"""

import asyncio
import contextvars
from collections.abc import Mapping
from typing import Any, Self

from litestar import Litestar

from service.transport import EXTENSION
from service.virtual.connection import LOST, MOST_UNREAD, Connection, Refused
from service.virtual.loop import OWNER, VirtualLoop

__all__ = ["LOST", "MOST_UNREAD", "Connection", "Lines", "Process", "Refused"]


class Lines:
    """Lines and requests to an app whose lifespan somebody else leads."""

    def __init__(self, app: Litestar, *, peer: str = "127.0.0.1") -> None:
        """`peer` is the address that its callers seem to come from."""
        self.app = app
        self.is_dead = False
        self._peer = peer
        self._context = contextvars.copy_context()
        self._connections: dict[Connection, None] = {}  # in their order: a set's would be another each time
        self._tasks: set[asyncio.Task[None]] = set()

    async def dial(self, path: str, *, query: str = "", headers: Mapping[str, str] | None = None) -> "Connection":
        """Open a WebSocket. Raises Refused, and ConnectionRefusedError once it is dead."""
        if self.is_dead:
            raise ConnectionRefusedError("the process is gone")
        connection = Connection(self._context.copy(), self._forget)
        scope = self._scope("websocket", path, query, headers) | {"subprotocols": []}
        scope["extensions"] = {EXTENSION: connection.far}
        self._connections[connection] = None
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

    def _forget(self, connection: "Connection") -> None:
        self._connections.pop(connection, None)

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


class Process(Lines):
    """`async with Process(app) as process`: its lifespan has begun, and it takes lines."""

    def __init__(self, app: Litestar, *, peer: str = "127.0.0.1") -> None:
        super().__init__(app, peer=peer)
        self._context.run(OWNER.set, self)
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
