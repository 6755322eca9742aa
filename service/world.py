"""A world in virtual time: processes of the service, a stand-in for all their models, and the way in for callers.

Scenarios, storms and recordings are played in one. Each process is the whole service, made as `cuebox serve` makes it.
"""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from litestar import Litestar
from msgspec import structs

from service.app import create_app
from service.choice import choice_of
from service.settings import Settings
from service.simulator.line import Dial, NotConnected, Socket
from service.simulator.model import StandInModel
from service.virtual.loop import VirtualLoop
from service.virtual.process import Process, Refused

WEBHOOK_KEY = "key_of_this_world"
DRAIN_TICK = 0.1
"""How often a server asks whether its drain is over."""


def settings_of_world(settings: Settings, *, has_model: bool = True) -> Settings:
    """The settings, for a world: no metrics, no control socket, open doors, and a key for every target of its agents.

    Raises SettingsError.
    """
    own = {
        "metrics_port": 0,
        "host": "127.0.0.1",
        "path_secret": None,
        "allowed_ips": None,
        "retell_api_key": WEBHOOK_KEY,
    }
    calm = structs.replace(settings, **own, dev=True, openai_api_key=None, other_keys={})
    if not has_model:
        return calm
    targets = [target for folder in choice_of(calm).folders.values() for target in folder.script.targets]
    keys = {target.key_variable: "stand-in" for target in targets if target.key_variable}
    return structs.replace(calm, dev=False, openai_api_key="stand-in", other_keys=keys)


class World:
    """Its processes, in the order in which they were started, dead ones included."""

    def __init__(self, settings: Settings, model: StandInModel, on_app: Callable[[Litestar], None]) -> None:
        self.model = model
        self.processes: list[Process] = []
        self._settings, self._on_app = settings, on_app
        self._stack = AsyncExitStack()
        self._next = 0
        self._homes: dict[str, Process] = {}
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)  # noqa: S101  it would be a world of real sockets
        self._network = loop.network

    async def start(self) -> Process:
        """Start one more process. Raises SettingsError."""
        port = urlsplit(self.model.base_url).port or 0
        for endpoint in choice_of(self._settings).endpoints:
            where = urlsplit(endpoint.address)
            tls_port = 443 if where.scheme == "https" else 80
            self._network.routes[where.hostname or "", where.port or tls_port] = port
        app = create_app(self._settings)
        app.state.drain.now = asyncio.get_running_loop().time
        self._on_app(app)
        process = await self._stack.enter_async_context(Process(app))
        self.processes.append(process)
        return process

    @property
    def ready(self) -> list[Process]:
        """The processes that take new calls."""
        return [each for each in self.processes if not each.is_dead and each.app.state.drain.is_open]

    def way_in(self, path: str, call_id: str, headers: Mapping[str, str] | None = None) -> Dial:
        """How a caller dials this path: each time the next process that is ready, as behind a load balancer."""

        async def dial() -> Socket:
            if not (ready := self.ready):
                raise NotConnected("no process takes calls now")
            self._next += 1
            process = ready[self._next % len(ready)]
            try:
                socket = await process.dial(path, headers=headers)
            except (Refused, OSError) as error:
                raise NotConnected(str(error)) from error
            self._homes[call_id] = process
            return socket

        return dial

    def home_of(self, call_id: str) -> Process | None:
        """The process that took this call's latest line."""
        return self._homes.get(call_id)

    async def post(self, path: str, event: Mapping[str, Any], *, key: str = WEBHOOK_KEY) -> int:
        """Post a webhook, signed as Retell signs it, to a process that is ready. Returns the HTTP status."""
        return (await self.ask(path, event, key=key))[0]

    async def ask(self, path: str, event: Mapping[str, Any], *, key: str = WEBHOOK_KEY) -> tuple[int, bytes]:
        """Post one that is answered. Returns the HTTP status and the answer."""
        body, moment = json.dumps(event).encode(), round(time.time() * 1000)
        digest = hmac.new(key.encode(), body + str(moment).encode(), hashlib.sha256).hexdigest()
        headers = {"content-type": "application/json", "x-retell-signature": f"v={moment},d={digest}"}
        return await self.ready[0].post(path, body, headers)

    async def drain(self, process: Process, seconds: float | None = None) -> None:
        """As SIGTERM: no new calls, and the end when the last has gone or after so long."""
        drain = process.app.state.drain
        drain.begin(seconds)
        while not drain.is_over():  # noqa: ASYNC110 - as a server asks
            await asyncio.sleep(DRAIN_TICK)
        await process.stop()

    async def close(self) -> None:
        await self._stack.aclose()


@asynccontextmanager
async def world(
    settings: Settings,
    model: StandInModel,
    *,
    processes: int = 1,
    on_app: Callable[[Litestar], None] = lambda _: None,
) -> AsyncIterator[World]:
    """A world with so many processes. `on_app` is shown each before it begins. Raises SettingsError."""
    async with model:
        made = World(settings, model, on_app)
        try:
            for _ in range(processes):
                await made.start()
            yield made
        finally:
            await made.close()
