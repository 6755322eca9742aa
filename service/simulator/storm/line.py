"""A line in bad weather: it stalls, its platform reads slowly, and rubbish comes in between."""

import asyncio
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Protocol

from service.simulator.line import Socket
from service.simulator.storm.findings import Findings

BROKEN = 1006
_PING, _PONG = '{"interaction_type":"ping_pong"', '{"response_type":"ping_pong"'

Seen = Callable[[str, bool], None]
"""Shown each frame that the service writes, and whether the platform is slow to read."""


class Watched(Socket, Protocol):
    """A line of which every frame is seen in the moment in which the service writes it."""

    most_unread: int
    """Characters that the service may have sent unread, before it has to wait."""

    def vanish(self, seconds: float) -> None:
        """Break it so that the service notices only after so many seconds."""
        ...

    def watch(self, see: Callable[[str], None]) -> None:
        """Show each frame, beginning with those that wait already."""
        ...


class RoughLine:
    """One line of a call, as the platform has it."""

    def __init__(self, socket: Watched, call_id: str, chance: Random, findings: Findings, seen: Seen) -> None:
        self._socket, self._call_id, self._chance, self._findings = socket, call_id, chance, findings
        self._now = asyncio.get_running_loop().time
        self._seen = seen
        self._stalls_until = self._slow_until = 0.0
        self._was_slow = self._is_done = False  # whether what it waits for may be its own fault; whether it is over
        self._pinged: dict[str, float] = {}
        socket.watch(self._wrote)

    # What happens to it.

    def stall(self, seconds: float) -> None:
        """Nothing gets through to the service for so long; then all of it, in order."""
        self._stalls_until = self._now() + seconds

    def read_slowly(self, seconds: float) -> None:
        """The platform reads one frame now and then for so long, and there is little room for those that wait."""
        self._slow_until = self._now() + seconds
        self._socket.most_unread = 300
        self._was_slow = True

    def vanish(self, seconds: float) -> None:
        """It breaks, and for so long the service does not know. Meanwhile the platform dials again."""
        self._is_done = True
        self._socket.vanish(seconds)

    @property
    def is_stalled(self) -> bool:
        return self._now() < self._stalls_until

    async def throw_in(self, frame: str | bytes, times: int = 1) -> None:
        """Send something that the platform would not. Who sends it often may not be listened to for a while."""
        self._was_slow = self._was_slow or times > 1
        for _ in range(times):
            await self._socket.send(frame)  # type: ignore[arg-type]  # a binary frame is one of them

    # The line itself.

    @property
    def close_code(self) -> int | None:
        return self._socket.close_code

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        async for frame in self._socket:
            if self._now() < self._slow_until and not self._is_done:
                await asyncio.sleep(self._chance.uniform(0.1, 1.0))
            yield frame
        if self._socket.close_code != BROKEN and not self._is_done:
            detail = f"the service closed the line with code {self._socket.close_code}"
            self._findings.broken("never closed", self._call_id, detail)

    async def send(self, frame: str) -> None:
        if (wait := self._stalls_until - self._now()) > 0:
            await asyncio.sleep(wait)
        if frame.startswith(_PING) and self._socket.close_code is None:
            self._ping(frame)
        await self._socket.send(frame)

    async def close(self, code: int) -> None:
        self._is_done = True
        await self._socket.close(code)

    def abort(self) -> None:
        if self._is_done and self._socket.close_code is not None:
            return  # perhaps the service does not know yet
        self._is_done = True
        self._socket.abort()

    def _ping(self, frame: str) -> None:
        if self._pinged and not self._was_slow:
            waited = self._now() - min(self._pinged.values())
            if waited > 0:
                self._findings.broken("pings answered", self._call_id, f"no answer to a ping for {waited:.2f} s")
        self._pinged[frame.partition('"timestamp":')[2]] = self._now()

    def _wrote(self, frame: str) -> None:
        if frame.startswith(_PONG):
            self._pinged.pop(frame.partition('"timestamp":')[2], None)
        else:
            self._seen(frame, self._was_slow)
