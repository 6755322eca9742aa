"""The one Litestar WebSocket handler, for every platform. It knows frames and sockets, and nothing of turns."""

import asyncio
import re
from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, cast

from litestar import WebSocket
from litestar.handlers import WebsocketRouteHandler

from service.calls import Calls
from service.conversation.commands import Outgoing
from service.conversation.events import Event, Oddity, OddityNoticed
from service.platforms.platform import Platform
from service.session import LineClosed, Session
from service.transport import EXTENSION, CuttableWebSocket

CALL_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_TRANSPORT_FAULTS = {1009: Oddity.FRAME_TOO_LARGE, 1007: Oddity.NOT_UTF8}

Socket = WebSocket[Any, Any, Any]


class SocketLine:
    """One WebSocket as the session's Line: a platform's frames over an ASGI socket."""

    def __init__(self, socket: Socket, platform: Platform) -> None:
        self._receive = socket.receive
        self._platform = platform
        self._now = asyncio.get_running_loop().time
        self._is_closed = False
        self._fault: Exception | None = None
        self.close_code: int | None = None
        self._transport = _transport_of(socket)

    async def listen(self, hear: Callable[[Sequence[Event]], None]) -> None:
        """Text frames come in on the stack of the transport; the others, and the end, through ASGI."""

        def on_text(frame: str) -> None:
            try:
                hear(self._platform.decode(frame, self._now()))
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
            return self._platform.decode(message["bytes"] or b"" if text is None else text, self._now())
        self._is_closed = True
        code = cast("int", message.get("code"))
        fault = _TRANSPORT_FAULTS.get(code)
        self.close_code = self._transport.close_code if fault is None else code
        return () if fault is None else (OddityNoticed(self._now(), fault),)

    def try_send(self, command: Outgoing) -> bool:
        return self._transport.try_send(self._platform.encode(command))

    async def send(self, command: Outgoing) -> None:
        frame = self._platform.encode(command)
        while not self._transport.try_send(frame):
            if self._transport.is_gone:
                raise LineClosed
            await self._transport.room()

    def open(self) -> None:
        """Send what comes first. The socket is new, so there is room for it."""
        for frame in self._platform.opening():
            self._transport.try_send(frame)
        self._transport.forget_handshake()

    def abort(self) -> None:
        if not self._is_closed:  # the closing handshake of a peer that left in good order goes out whole
            self._transport.abort()


class Desk(Protocol):
    """Knows the agents, and hands calls to them."""

    def __contains__(self, agent: object) -> bool:
        """Whether an address may name this agent."""
        ...

    async def refresh(self) -> None:
        """A call is about to be taken."""
        ...

    def open_session(self, call_id: str, agent: str = "") -> Session:
        """Take a call, for the agent that its address names or, without one, for whoever it falls to."""
        ...


def line_endpoint(
    platforms: Mapping[str, Platform],
    calls: Calls,
    desk: Desk,
    on_fault: Callable[[str, Exception], None],
    on_refusal: Callable[[str], None],
) -> WebsocketRouteHandler:
    """The handler of `/{base}[/{agent}]/{call_id}` for each platform's base.

    `on_refusal` is told why a call was not taken.
    """

    async def hold_call(socket: Socket) -> None:
        base, agent, call_id = _address_of(socket, desk)
        if not CALL_ID.fullmatch(call_id) or (agent and agent not in desk):
            why = f"The address of a call is /{base}/[an agent's name/] and its id: 1 to 128 of A-Z a-z 0-9 _ -"
            _transport_of(socket).refuse(404, why)
            on_refusal("refused_path")
            return
        line = SocketLine(socket, platforms[base])
        try:
            await socket.accept()
            line.open()
            await desk.refresh()
            await calls.serve(call_id, line, partial(desk.open_session, agent=agent))
        except OSError:
            pass  # gone before the first frame
        except Exception as error:  # noqa: BLE001 - Litestar would close with 4500, which ends the call (A13)
            on_fault(call_id, error)
        finally:
            line.abort()

    paths = [path for base in platforms for path in (f"/{base}", f"/{base}/{{rest:path}}")]
    return WebsocketRouteHandler(paths)(hold_call)


def _address_of(socket: Socket, agents: Container[object]) -> tuple[str, str, str]:
    """The platform's base, the agent that is named, if any, and the call id.

    The id is the path's last segment, or the query's where the configured address has a query (A20).
    """
    _, base, *rest = socket.scope["path"].rstrip("/").split("/")
    _, slash, appended = socket.scope["query_string"].decode("latin-1").rstrip("/").rpartition("/")
    if slash and (not rest or rest[-1] in agents):  # a query alone may be a secret
        rest.append(appended)
    *agent, call_id = rest or [""]
    return base, "/".join(agent), call_id


def _transport_of(socket: Socket) -> CuttableWebSocket:
    return cast("CuttableWebSocket", cast("dict[str, object]", socket.scope["extensions"])[EXTENSION])
