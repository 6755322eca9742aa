"""uvicorn, set up so that nothing of it closes a call."""

import asyncio
import errno
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import FrameType
from typing import Protocol

import uvicorn
from litestar import Litestar

from service.settings import Settings, SettingsError
from service.transport import BoundedHttp, CuttableWebSocket

LAST_SECONDS = 9.0
"""How long the process may take to end once no call is left, agents' errands and the last spans included."""


class WayOut(Protocol):
    """How the process ends while it holds calls."""

    def begin(self) -> None:
        """Take no new calls, and let those that are here go on for a while."""
        ...

    def is_over(self) -> bool:
        """Whether the process may end now; asked ten times a second."""
        ...


class Server(uvicorn.Server):
    """uvicorn's server, which says when it listens, and which a signal lets end by the way out."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None], way_out: WayOut) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._way_out = way_out
        self._is_told_to_end = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Drain at the first signal, cut what is left at the second, and tidy up no more at the third.

        uvicorn would close its listeners and sockets at the first, and raise the signal again.
        """
        if not self._is_told_to_end:
            self._is_told_to_end = True
            self._way_out.begin()
            return
        self.force_exit = self.should_exit
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._way_out.is_over()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Tidy up. What never comes to its end, such as an agent's own `close`, would keep off all further signals."""
        try:
            async with asyncio.timeout(LAST_SECONDS):
                await super().shutdown(sockets)
        except TimeoutError:
            logging.getLogger(__name__).warning("not all could be closed in time; the process ends without it")


def server_of(app: Litestar, settings: Settings, on_ready: Callable[[], None]) -> Server:
    """A server for the app. One process, one worker: a call lives in one process."""
    config = uvicorn.Config(
        app,
        http=BoundedHttp,
        ws=CuttableWebSocket,
        ws_max_size=settings.max_frame_bytes,
        ws_ping_interval=None,  # its keepalive closes with 1011, which ends the call (A13)
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,  # its own lines print paths and queries, secrets included
        access_log=False,
        proxy_headers=False,
        timeout_graceful_shutdown=5,  # an agent that will not be cancelled does not hold the service
        server_header=False,
    )
    return Server(config, on_ready, app.state.drain)


def serve_until_signal(server: Server, listener: socket.socket) -> None:
    """Serve until a signal. A task that will not be cancelled does not keep the process."""
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(_serve(server, listener))


async def _serve(server: Server, listener: socket.socket) -> None:
    await server.serve(sockets=[listener])
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left and (await asyncio.wait(left, timeout=1))[1]:
        logging.getLogger(__name__).warning("an agent would not be cancelled; the process ends without it")
        sys.stdout.flush()
        os._exit(0)


@asynccontextmanager
async def running(app: Litestar, settings: Settings) -> AsyncIterator[str]:
    """Serve in this event loop, on a free port, for as long as the context lasts; yields the address, host:port."""
    listener = bind(settings, port=0)
    ready = asyncio.Event()
    server = server_of(app, settings, ready.set)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(server.serve(sockets=[listener]))
        await ready.wait()
        try:
            yield address_of(listener)
        finally:
            server.should_exit = True
            await serving
            listener.close()


def address_of(listener: socket.socket) -> str:
    """Where a socket listens, as a URL spells it."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bind(settings: Settings, port: int | None = None) -> socket.socket:
    """Take the port (0 for a free one). Raises SettingsError when somebody else has it."""
    port = settings.port if port is None else port
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or the second word waits for the first's ACK
    try:
        listener.bind((settings.host, port))
        listener.listen(2048)  # or two services could both believe that the port is theirs
    except OSError as error:
        listener.close()
        is_taken = error.errno == errno.EADDRINUSE
        remedy = "stop the other program there, or set PORT" if is_taken else "set HOST and PORT to an address of here"
        raise SettingsError(
            f"Cannot listen on {settings.host}:{port} ({error.strerror or error}): {remedy}."
        ) from error
    listener.set_inheritable(True)
    return listener
