"""The one Litestar WebSocket handler, for every platform. It knows who may come in, and nothing of turns."""

import asyncio
import re
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from litestar.handlers import WebsocketRouteHandler

from service.access import Access, Refused
from service.calls import Calls
from service.conversation.commands import AnswerPing, Say
from service.conversation.events import Event, Pinged, ReplyRequested
from service.conversation.parts import HangUp
from service.line import Onlooker, Socket, SocketLine, transport_of
from service.platforms.platform import Platform
from service.seats import FULL, Seats
from service.session import Session

CALL_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")

MOST_BUSY = 100
"""Lines that are told at once that there is no room for their calls."""

BUSY_SECONDS = 20.0
"""How long such a line may take to be over."""


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

    def busy_line(self, call_id: str, agent: str = "") -> str:
        """What a call is told that there is no room for."""
        ...


@dataclass(frozen=True, slots=True)
class Door:
    """What a line has to pass."""

    access: Access
    seats: Seats
    is_open: Callable[[str], bool]
    """Whether this call may come."""
    tells_busy: bool = False
    """Whether one for which there is no room is told so, instead of being refused."""
    frames_per_second: float = 0.0
    on_refusal: Callable[[str], None] = lambda _: None
    """Told why a call was not taken."""
    onlooker: Callable[[str], Onlooker | None] = lambda _: None
    """Who sees the frames of a new line, by its call."""


def line_endpoint(
    platforms: Mapping[str, Platform],
    calls: Calls,
    desk: Desk,
    door: Door,
    on_fault: Callable[[str, Exception], None],
) -> WebsocketRouteHandler:
    """The handler of `/{base}[/{secret}][/{agent}]/{call_id}` for each platform's base."""
    busy = Seats(MOST_BUSY, ())

    async def take_call(socket: Socket) -> None:
        try:
            base, agent, call_id = _admitted(socket, desk, door)
            is_busy = door.tells_busy and not door.seats.has_room_for(call_id)
            with busy.taken(hex(id(socket))) if is_busy else door.seats.taken(call_id):
                await hold_call(socket, platforms[base], agent, call_id, is_busy=is_busy)
        except Refused as refused:
            transport_of(socket).refuse(refused.status, str(refused))
            door.on_refusal(refused.result)

    async def hold_call(socket: Socket, platform: Platform, agent: str, call_id: str, *, is_busy: bool) -> None:
        onlooker = None if is_busy else door.onlooker(call_id)
        line = SocketLine(socket, platform, door.frames_per_second, onlooker)
        try:
            await socket.accept()
            line.open()
            if is_busy:
                door.on_refusal(FULL)
                await _tell_busy(line, desk.busy_line(call_id, agent))
            else:
                await desk.refresh()
                await calls.serve(call_id, line, partial(desk.open_session, agent=agent))
        except OSError:
            pass  # gone before the first frame
        except Exception as error:  # noqa: BLE001 - Litestar would close with 4500, which ends the call (A13)
            on_fault(call_id, error)
        finally:
            line.abort()

    paths = [path for base in platforms for path in (f"/{base}", f"/{base}/{{rest:path}}")]
    return WebsocketRouteHandler(paths)(take_call)


def _admitted(socket: Socket, agents: Container[object], door: Door) -> tuple[str, str, str]:
    """The platform's base, the agent that is named, if any, and the call id. Raises Refused.

    The id is the path's last segment, or the query's where the configured address has a query (A20). A variable that
    the platform had no value for stays as it is, `{{name}}`: it names nobody.
    """
    scope = socket.scope
    door.access.check_address(scope["client"][0] if scope["client"] else None, scope["headers"])
    _, base, *segments = scope["path"].rstrip("/").split("/")
    rest = door.access.check_secret(segments)
    _, slash, appended = scope["query_string"].decode("latin-1").rstrip("/").rpartition("/")
    if slash and (not rest or rest[-1] in agents or "{{" in rest[-1]):  # a query alone may be a secret
        rest.append(appended)
    *named, call_id = rest or [""]
    agent = "/".join(segment for segment in named if "{{" not in segment)
    if not CALL_ID.fullmatch(call_id) or (agent and agent not in agents):
        why = f"The address of a call is /{base}/[an agent's name/] and its id: 1 to 128 of A-Z a-z 0-9 _ -"
        raise Refused(404, "refused_path", why)
    if not door.is_open(call_id):
        why = "This process is about to end: dial again, and another takes the call"
        raise Refused(503, "refused_draining", why)
    return base, agent, call_id


async def _tell_busy(line: SocketLine, words: str) -> None:
    """Say it, also to whatever is asked, until the platform has hung up."""

    def say(turn_id: int) -> None:
        line.try_send(Say(turn_id, words, is_final=True, is_uninterruptible=True, action=HangUp(words)))

    def hear(arrived: Sequence[Event]) -> None:
        for event in arrived:
            match event:
                case Pinged():
                    line.try_send(AnswerPing(event.timestamp))
                case ReplyRequested():
                    say(event.turn_id)
                case _:
                    pass

    say(0)
    with suppress(TimeoutError):
        async with asyncio.timeout(BUSY_SECONDS):
            await line.listen(hear)
