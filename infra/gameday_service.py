"""A service to break: its process, its model, its callers."""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Self

from service.simulator.load import measure
from service.simulator.load_host import Host
from service.simulator.load_run import Plan
from service.simulator.model import StandInModel

WEBHOOK_KEY = "key_of_the_game_day"
_TURN_EVERY = 6.0
"""Seconds: longer than the service tries for an answer, or else callers would overtake what is about to fail."""


class Subject:
    """One service in a process of its own, with a model of its own that may change at any time."""

    def __init__(self, app: str, environ: Mapping[str, str] | None = None) -> None:
        self.app = app
        self.port, self.metrics_port = _port(), _port()
        self.model = StandInModel()
        self._environ = environ or {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where its calls go."""
        return f"ws://127.0.0.1:{self.port}/llm-websocket"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Start it, and have it killed at the end."""
        async with self.model:
            try:
                await self.start()
                yield self
            finally:
                self.kill()

    async def start(self) -> None:
        """Start the process, and wait until it listens. Raises RuntimeError when it ends instead."""
        own = {
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "CUEBOX_METRICS_PORT": str(self.metrics_port),
            "CUEBOX_CONTROL_SOCKET": "off",
            "CUEBOX_AGENT": "receptionist",
            "OPENAI_API_KEY": "stand-in",
            "OPENAI_BASE_URL": self.model.base_url,
            "RETELL_API_KEY": WEBHOOK_KEY,
        }
        self._process = subprocess.Popen(  # noqa: ASYNC220  it is no more than a fork
            (sys.executable, "-m", "service", "serve"),
            env={**os.environ, **own, **self._environ},
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C leaves it to us to end it
        )
        async with asyncio.timeout(30):
            for port in (self.port, self.metrics_port):
                while not await _listens(port):
                    if self._process.poll() is not None:
                        raise RuntimeError("The service ended instead of starting; it says why above.")
                    await asyncio.sleep(0.05)

    def kill(self) -> None:
        """End it as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def tell_to_end(self) -> None:
        """Stop it as a deploy does."""
        if self._process is not None:
            self._process.terminate()

    async def stand_still(self, seconds: float) -> None:
        """Let nothing of it run for so long."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(seconds)
            self._process.send_signal(signal.SIGCONT)

    async def talk(self, calls: int, seconds: float = 600.0) -> None:
        """So many callers talk, until this is cancelled."""
        plan = Plan(calls, seconds, frames="tiny", turn_every=_TURN_EVERY, barge_in=0.0, settle=0.1)
        await measure(plan, Host(self.url))


def _port() -> int:
    """A free port of those that outgoing connections do not take, for it may be a minute until it is used."""
    while True:
        port = random.randrange(20_000, 32_000)  # noqa: S311  no secret
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
