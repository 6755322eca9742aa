"""A server that a load run calls: what it was sent, and whatever a test wants it to answer."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from msgspec import json
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from service.simulator.load_host import Host

Frame = dict[str, Any]
Answer = Callable[[Frame], Sequence[Frame | str]]

CONFIG = {"auto_reconnect": True, "call_details": True, "transcript_with_tool_calls": True}


class Called:
    """One line, seen from the server."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.sent: list[Frame] = []
        self.sent_at: list[float] = []

    def of(self, kind: str) -> list[Frame]:
        return [frame for frame in self.sent if frame["interaction_type"] == kind]


def says(turn_id: int, text: str, *, is_final: bool = True) -> Frame:
    """A response."""
    return {"response_type": "response", "response_id": turn_id, "content": text, "content_complete": is_final}


def answered(frame: Frame) -> list[Frame | str]:
    """What a faultless server answers."""
    match frame["interaction_type"]:
        case "ping_pong":
            return [{"response_type": "ping_pong", "timestamp": frame["timestamp"]}]
        case "response_required":
            return [says(frame["response_id"], "Yes. ", is_final=False), says(frame["response_id"], "Of course.")]
        case _:
            return []


@asynccontextmanager
async def called(
    answer: Answer = answered, *, config: Frame | None = CONFIG, greeting: str = "Hello."
) -> AsyncIterator[tuple[Host, list[Called]]]:
    """Serve, and answer as told on all lines but the first two, which warm up; "close" and "cut" end a line."""
    lines: list[Called] = []

    async def hold(socket: ServerConnection) -> None:
        line = Called(socket)
        lines.append(line)
        try:
            if config is not None:
                await socket.send(json.encode({"response_type": "config", "config": config}).decode())
            await socket.send(json.encode(says(0, greeting)).decode())
            async for text in socket:
                line.sent.append(json.decode(text))
                line.sent_at.append(time.monotonic())
                for frame in (answered if line in lines[:2] else answer)(line.sent[-1]):
                    await _send(socket, frame)
        except ConnectionClosed:
            pass

    async with serve(hold, "127.0.0.1", 0, ping_interval=None, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        yield Host(f"ws://127.0.0.1:{port}/llm-websocket"), lines


async def _send(socket: ServerConnection, frame: Frame | str) -> None:
    match frame:
        case "close":
            await socket.close(1011)
        case "cut":
            socket.transport.abort()
        case str():
            await socket.send(frame)
        case _:
            await socket.send(json.encode(frame).decode())
