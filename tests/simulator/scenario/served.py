"""A server at the other end of a scenario's line, whose mistakes a test chooses."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any

from service.simulator.line import Dial, NotConnected, Socket
from service.simulator.scenario.judging import judged
from service.simulator.scenario.player import Inside, Player
from service.simulator.scenario.reading import read_scenario
from service.simulator.scenario.script import Scenario
from service.simulator.scenario.timeline import Timeline
from service.virtual.loop import run

Frame = dict[str, Any]
Answer = Callable[[Frame], Sequence[Frame]]

CONFIG = {"response_type": "config", "config": {"auto_reconnect": False, "call_details": True}}


def says(turn_id: int, text: str, *, is_final: bool = True, **others: object) -> Frame:
    """A response."""
    spelt = {"response_type": "response", "response_id": turn_id, "content": text, "content_complete": is_final}
    return {**spelt, **others}


def polite(frame: Frame) -> Sequence[Frame]:
    """What a faultless server answers."""
    return [says(frame["response_id"], "Of course.")] if "response_id" in frame else []


class FakeSocket:
    """A line that stands until it is closed."""

    def __init__(self, answer: Answer, greeting: Sequence[Frame]) -> None:
        self.sent: list[str | bytes] = []
        self.close_code: int | None = None
        self._answer = answer
        self._frames: asyncio.Queue[str | None] = asyncio.Queue()
        self._put(greeting)

    async def __aiter__(self) -> AsyncGenerator[str | bytes]:
        while (frame := await self._frames.get()) is not None:
            yield frame

    async def send(self, frame: str) -> None:
        self.sent.append(frame)
        if isinstance(frame, str) and frame.startswith('{"'):
            self._put(self._answer(json.loads(frame)))

    async def close(self, code: int) -> None:
        self.close_code = code
        self._frames.put_nowait(None)

    def abort(self) -> None:
        self._frames.put_nowait(None)

    def _put(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            self._frames.put_nowait(json.dumps(frame))


class Server:
    """Takes lines, or does not."""

    def __init__(self, answer: Answer = polite, *, greeting: Sequence[Frame] = (CONFIG, says(0, "Hello."))) -> None:
        self.lines: list[FakeSocket] = []
        self.refuses = False
        self._answer, self._greeting = answer, greeting

    def way_in(self, _: str) -> Dial:
        async def dial() -> Socket:
            if self.refuses:
                raise NotConnected("nobody is there")
            self.lines.append(FakeSocket(self._answer, self._greeting))
            return self.lines[-1]

        return dial


def scenario_of(text: str, folder: Path) -> Scenario:
    """A scenario as it stands in a file."""
    file = folder / "scenario.yaml"
    file.write_text(text, encoding="utf-8")
    return read_scenario(file)


def played(text: str, folder: Path, server: Server | None = None, inside: Inside | None = None) -> Timeline:
    """Play it in virtual time with that server."""
    at_the_end = server or Server()

    async def play() -> Timeline:
        return await Player(scenario_of(text, folder), at_the_end.way_in, inside, epoch=1_700_000_000).play()

    return run(play())


def failures(text: str, folder: Path, server: Server | None = None) -> list[str]:
    """What is wrong with the call, in sentences."""
    return [str(failure) for failure in judged(scenario_of(text, folder), played(text, folder, server))]
