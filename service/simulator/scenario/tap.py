"""A hand on the line of a scenario: it lets frames in that no platform sends, and keeps others back."""

import asyncio
import math
from collections.abc import AsyncIterator

from service.simulator.line import Dial, Socket


class Tap:
    """A way to dial, through which all that is sent goes."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._socket: Socket | None = None
        self._muted_until = -math.inf

    async def __call__(self) -> Socket:
        self._socket = await self._dial()
        return _Tapped(self._socket, self)

    @property
    def is_muted(self) -> bool:
        return asyncio.get_running_loop().time() < self._muted_until

    def mute(self, seconds: float) -> None:
        """Lose what is sent from now on, for so long."""
        self._muted_until = asyncio.get_running_loop().time() + seconds

    async def push(self, frame: str | bytes) -> None:
        """Send this as it stands. Without a line it is lost."""
        if self._socket is not None:
            await self._socket.send(frame)  # type: ignore[arg-type]  # both ends take bytes, and the platform sends none


class _Tapped:
    """A line with a tap."""

    def __init__(self, socket: Socket, tap: Tap) -> None:
        self._socket, self._tap = socket, tap

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        return aiter(self._socket)

    @property
    def close_code(self) -> int | None:
        return self._socket.close_code

    async def send(self, frame: str) -> None:
        if not self._tap.is_muted:
            await self._socket.send(frame)

    async def close(self, code: int) -> None:
        await self._socket.close(code)

    def abort(self) -> None:
        self._socket.abort()
