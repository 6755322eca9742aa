"""Plays Retell's side of a call over a line: dials, sends, keeps time, and dials again as Retell does.

A line is a WebSocket, unless whoever plays the call hands over another way to dial.
"""

import asyncio
import math
import secrets
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from service.simulator.retell import BROKEN, RetellCall
from service.simulator.retell_steps import CallEnded, CloseLine, Redial, SendFrame, Step

OPEN_TIMEOUT = 7.0
ATTEMPTS = 3
ATTEMPT_EVERY = 3.0
_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}


class NotConnected(Exception):
    """Nobody took the call. The message is one plain sentence that says what to do."""


class Socket(Protocol):
    """A line that stands. Iterating reads its frames, until it is closed."""

    def __aiter__(self) -> AsyncIterator[str | bytes]: ...

    @property
    def close_code(self) -> int | None:
        """Of the server's close frame; 1006 or None when the line broke."""
        ...

    async def send(self, frame: str) -> None:
        """Hand over one frame. On a closed line it is lost."""
        ...

    async def close(self, code: int) -> None:
        """Close it in good order."""
        ...

    def abort(self) -> None:
        """Cut it."""
        ...


Dial = Callable[[], Awaitable[Socket]]
"""Opens a line. Raises NotConnected."""


def url_of_call(url: str, call_id: str) -> str:
    """Where Retell dials for this call. Raises NotConnected when `url` cannot be dialled."""
    if "://" not in url:
        url = f"ws://{url}" if "/" in url else f"ws://{url}/llm-websocket"
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port or a bracket that is none
        is_address = False
    if not is_address:
        raise NotConnected("That is no address to call. One looks like ws://127.0.0.1:8080/llm-websocket.")
    path = f"{parts.path.rstrip('/')}/{call_id}"
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, path, parts.query, ""))


def fresh_call_id() -> str:
    """An id like Retell's own."""
    return f"call_{secrets.token_hex(14)}"


class SimulatedLine:
    """A RetellCall on the network. `see` is shown every step, in order, as it happens; `close_codes` are its lines'."""

    def __init__(self, call: RetellCall, dial: str | Dial, see: Callable[[Step], None] = lambda _: None) -> None:
        """`dial` is the address of the call, or another way to a line."""
        self.call = call
        self.close_codes: list[int] = []
        self.now = asyncio.get_running_loop().time
        self._open_line = partial(dial_websocket, dial) if isinstance(dial, str) else dial
        self._see = see
        self._woken = asyncio.Event()
        self._line: _Writer | None = None
        self._dialling: asyncio.Timeout | None = None

    def carry_out(self, steps: Sequence[Step]) -> None:
        """Do what a method of the call returned."""
        for step in steps:
            if self._line is not None and isinstance(step, SendFrame | Redial | CloseLine):
                self._line.carry_out(step)
            if isinstance(step, CallEnded) and self._dialling is not None:
                self._dialling.reschedule(self.now())
            self._see(step)
        self._woken.set()

    async def play(self, *, attempts: int = ATTEMPTS) -> str:
        """Hold the call to its end, and return the reason. Raises NotConnected when it cannot begin."""
        socket = await self._dial_until_ended(attempts)
        async with asyncio.TaskGroup() as tasks:
            clock = tasks.create_task(self._keep_time())
            while socket is not None:
                await self._hold(socket)
                socket = None if self.call.ended else await self._dial_again()
            clock.cancel()
        return self.call.ended or ""

    async def _hold(self, socket: Socket) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                self._line = _Writer(socket, tasks)
                self.carry_out(self.call.open(self.now()))
                async for frame in socket:
                    self.carry_out(self.call.receive(frame, self.now()))
                self._line.stop()
        finally:
            self._line = None
            socket.abort()  # no more than a formality, unless this was cancelled
        code = socket.close_code
        self.close_codes.append(BROKEN if code is None else code)
        self.carry_out(self.call.line_closed(self.close_codes[-1], self.now()))

    async def _dial_again(self) -> Socket | None:
        try:
            return await self._dial_until_ended(ATTEMPTS)
        except NotConnected:
            self.carry_out(self.call.line_lost())
            return None

    async def _dial_until_ended(self, attempts: int) -> Socket | None:
        """None when the caller hung up meanwhile. Raises NotConnected."""
        try:
            async with asyncio.timeout(None) as self._dialling:
                return await self._dial(attempts)
        except TimeoutError:
            return None
        finally:
            self._dialling = None

    async def _dial(self, attempts: int) -> Socket:
        while True:
            attempts -= 1
            try:
                return await self._open_line()
            except NotConnected:
                if attempts < 1:
                    raise
            await asyncio.sleep(ATTEMPT_EVERY)

    async def _keep_time(self) -> None:
        while True:
            self._woken.clear()
            due = self.call.wakes_at()
            try:
                async with asyncio.timeout_at(None if due == math.inf else due):
                    await self._woken.wait()
            except TimeoutError:  # perhaps a moment early: the call is told the moment it asked for
                self.carry_out(self.call.tick(max(due, self.now())))


class _Writer:
    """One line, and the orders for it."""

    def __init__(self, socket: Socket, tasks: asyncio.TaskGroup) -> None:
        self._socket = socket
        self._tasks = tasks
        self._frames: asyncio.Queue[str] = asyncio.Queue()
        self._writing = tasks.create_task(self._write())

    def carry_out(self, order: SendFrame | Redial | CloseLine) -> None:
        """Cutting and closing do not wait for frames that nobody reads."""
        match order:
            case SendFrame():
                self._frames.put_nowait(order.text)
            case Redial():
                self._socket.abort()
            case CloseLine():
                self._tasks.create_task(self._socket.close(order.code))

    def stop(self) -> None:
        self._writing.cancel()

    async def _write(self) -> None:
        while True:
            await self._socket.send(await self._frames.get())


async def dial_websocket(url: str) -> Socket:
    """Open a WebSocket. Raises NotConnected."""
    try:
        connection = await connect(
            url,
            open_timeout=OPEN_TIMEOUT,
            ping_interval=None,  # Retell pings with frames of its own
            compression=None,
            max_size=None,
            close_timeout=1,
        )
    except (OSError, WebSocketException) as error:
        raise NotConnected(_sentence(url, error)) from error
    return _WebSocket(connection)


class _WebSocket:
    """A WebSocket as a Socket: that it was lost is told by its close code alone."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    @property
    def close_code(self) -> int | None:
        return self._connection.close_code

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        with suppress(ConnectionClosed):
            async for frame in self._connection:
                yield frame

    async def send(self, frame: str) -> None:
        with suppress(ConnectionClosed):
            await self._connection.send(frame)

    async def close(self, code: int) -> None:
        await self._connection.close(code)

    def abort(self) -> None:
        self._connection.transport.abort()


def epoch_of_loop() -> float:
    """What the running loop's clock calls 0, in seconds since 1970."""
    return time.time() - asyncio.get_running_loop().time()


def _sentence(url: str, error: Exception) -> str:
    parts = urlsplit(url)
    match error:
        case InvalidStatus():
            return _refusal(parts.netloc, parts.path, error.response.status_code)
        case ConnectionRefusedError():
            return f"Nothing answers at {parts.netloc}. Is the service running? Start it with: cuebox serve"
        case socket.gaierror():
            return f"No host is called {parts.hostname}. Check the address."
        case TimeoutError():
            return f"{parts.netloc} did not answer within {OPEN_TIMEOUT:g} s. Check the address, and the way to it."
        case ssl.SSLError():
            return f"{parts.netloc} does not speak TLS as it should ({error.reason}). Without TLS, dial ws:// instead."
        case _:
            return f"{parts.netloc} did not take the call: {error}. Does a WebSocket server listen there?"


def _refusal(host: str, path: str, status: int) -> str:
    base, slash, _ = path.rpartition("/")[0].removeprefix("/").partition("/")
    where = f"/{base}/…" if slash else f"/{base}"  # what stands behind the base may be a secret
    why = {
        404: f"nothing takes calls at {where}; Cuebox does at /llm-websocket",
        401: "it wants a secret in the address",
        403: "it does not let you in; a secret in the address may be missing or wrong",
    }
    return f"{host} refused the call (HTTP {status}): {why.get(status, 'is it the service, or a proxy before it?')}."
