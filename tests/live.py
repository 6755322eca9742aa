"""The real service on a real socket, and the least of a platform to talk to it: what the conformance tests stand on."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from service.agents.agent import Agent, Stateless
from service.app import create_app
from service.calls import Calls
from service.conversation.call import Deadlines, SpokenLines, Turn
from service.conversation.parts import Part
from service.server import Server, bind, server_of
from service.settings import Settings
from tests.conformance import strict

Frame = strict.Frame
PATIENCE = 20.0
"""Seconds that a slow machine may take. Only a test that fails waits for so long."""


class ScriptedAgent(Stateless):
    """An agent that answers as a test says: `reply` is an async generator over a turn."""

    name = "scripted"
    lines = SpokenLines()
    deadlines = Deadlines()

    def __init__(self, reply: Callable[[Turn], AsyncGenerator[Part]]) -> None:
        self._reply = reply
        self.turns: list[Turn] = []

    def reply(self, turn: Turn) -> AsyncGenerator[Part]:
        self.turns.append(turn)
        return self._reply(turn)


class Service:
    """One running service."""

    def __init__(self, app: Litestar, address: str) -> None:
        self.app = app
        self.address = address

    @property
    def calls(self) -> Calls:
        calls: Calls = self.app.state.calls
        return calls

    async def forgets(self) -> None:
        """Wait until no call is known any more."""
        async with asyncio.timeout(PATIENCE):
            while len(self.calls):
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def line(self, call_id: str = "call_1", *, path: str | None = None) -> AsyncIterator["PlatformLine"]:
        """A line of a call, opened as the platform opens it."""
        url = f"ws://{self.address}{path or f'/llm-websocket/{call_id}'}"
        async with connect(url, ping_interval=None, compression=None, max_size=None, close_timeout=1) as socket:
            yield PlatformLine(socket, call_id)


class PlatformLine:
    """The platform's end of a line: plain frames out and in, nothing done by itself."""

    def __init__(self, socket: ClientConnection, call_id: str) -> None:
        self.socket = socket
        self.call_id = call_id
        self.frames: list[Frame] = []
        self._rules = strict.StrictLine()

    def cut(self) -> None:
        """Break the line without a close code, as a network does."""
        self.socket.transport.abort()

    async def send(self, frame: Frame | str | bytes) -> None:
        await self.socket.send(json.dumps(frame) if isinstance(frame, dict) else frame)

    async def frame(self, within: float = PATIENCE) -> Frame:
        """The next frame, checked strictly (cases 14 and 41)."""
        async with asyncio.timeout(within):
            text = await self.socket.recv()
        frame = self._rules.take(text)
        self.frames.append(frame)
        return frame

    async def until(self, matches: Callable[[Frame], bool], within: float = PATIENCE) -> list[Frame]:
        """The frames up to and with the first that matches."""
        frames: list[Frame] = []
        async with asyncio.timeout(within):
            while not frames or not matches(frames[-1]):
                frames.append(await self.frame(within))
        return frames

    async def nothing(self, for_seconds: float = 0.06) -> None:
        """Nothing arrives for a moment."""
        try:
            frame = await self.frame(for_seconds)
        except TimeoutError:
            return
        raise AssertionError(f"an unexpected frame: {frame}")

    async def closed(self, within: float = PATIENCE) -> int:
        """The code the line was closed with, 1006 for a cut; what arrives until then is kept in `frames`."""
        try:
            while True:
                await self.frame(within)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006

    async def greeted(self, **call: Any) -> list[Frame]:
        """Open the call: take the config, tell the details, take the greeting."""
        config = await self.frame()
        assert config["response_type"] == "config"
        await self.send({"interaction_type": "call_details", "call": {"call_id": self.call_id, **call}})
        return [config, *await self.until(is_final(0))]

    async def ask(self, turn_id: int, *said: str, kind: str = "response_required", **fields: Any) -> None:
        """Ask for a response; `said` alternates agent, caller, agent, …"""
        await self.send({"interaction_type": kind, "response_id": turn_id, "transcript": transcript(*said), **fields})

    async def update(self, *said: str, **fields: Any) -> None:
        await self.send({"interaction_type": "update_only", "transcript": transcript(*said), **fields})

    async def ping(self, timestamp: int, within: float = PATIENCE) -> list[Frame]:
        """Ping, and return what came before the answer."""
        await self.send({"interaction_type": "ping_pong", "timestamp": timestamp})
        pong = {"response_type": "ping_pong", "timestamp": timestamp}
        return (await self.until(lambda frame: frame == pong, within))[:-1]

    async def answer(self, turn_id: int, within: float = PATIENCE) -> str:
        """The words of a turn, to its final frame."""
        frames = await self.until(is_final(turn_id), within)
        return words(frames, turn_id)


def transcript(*said: str) -> list[Frame]:
    """Utterances that alternate, the agent's first; an empty one is left out."""
    roles = ("agent", "user")
    return [{"role": roles[i % 2], "content": text, "words": []} for i, text in enumerate(said) if text]


def is_final(turn_id: int) -> Callable[[Frame], bool]:
    """Whether a frame completes a turn."""
    return lambda frame: frame.get("response_id") == turn_id and frame["content_complete"] is True


def words(frames: list[Frame], turn_id: int) -> str:
    """What the frames say in a turn."""
    return "".join(frame["content"] for frame in frames if frame.get("response_id") == turn_id)


@asynccontextmanager
async def serving(agent: Agent | None = None, settings: Settings | None = None) -> AsyncIterator[Service]:
    """Run the real service on a free port of this machine: `Server.serve` without its signals and its 0.1 s ticks."""
    settings = settings or Settings(agent="dummy")
    listener = bind(settings, port=0)
    app = create_app(settings, agent)
    server = server_of(app, settings, lambda: None)
    server.config.load()
    server.config.timeout_graceful_shutdown = 1  # an agent that will not be cancelled does not hold a test for long
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup(sockets=[listener])
    try:
        yield Service(app, f"127.0.0.1:{listener.getsockname()[1]}")
    finally:
        await _stop(server, listener)


async def _stop(server: Server, listener: socket.socket) -> None:
    """Do as `Server.shutdown`, without its pause of 0.1 s where nothing is open that may need it."""
    if server.server_state.connections or server.server_state.tasks:
        await server.shutdown(sockets=[listener])
        return
    for listening in server.servers:
        listening.close()
    listener.close()
    await server.lifespan.shutdown()
