"""The connections to one origin, shared by all calls and kept open between requests."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from service.llm.http import Connection, HttpFailed

_PAUSE, _LONGEST_PAUSE = 0.2, 30.0
"""Seconds between looks at the connections that stand ready; the longest while there is no way to the server."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where connections go."""

    host: str
    port: int
    is_tls: bool


class Pool:
    """The connections to one origin, shared by all calls; the one used last is used next.

    Once warm, `spare` connections stand ready: those that the server dropped, that grew old or that are in use are
    replaced before a turn needs them.
    """

    def __init__(
        self, origin: Origin, *, connect_seconds: float = 5.0, idle_seconds: float = 55.0, spare: int = 2
    ) -> None:
        """`idle_seconds`: load balancers drop idle connections without a word, mostly after a minute or more."""
        self._origin = origin
        self._connect_seconds = connect_seconds
        self._idle_seconds = idle_seconds
        self._spare = spare
        self._idle: list[Connection] = []  # the one used last stands last
        self._is_short = asyncio.Event()
        self._tending: asyncio.Task[None] | None = None
        self._tls: ssl.SSLContext | None = None

    @asynccontextmanager
    async def exchange(self, head: bytes, body: bytes) -> AsyncIterator[Connection]:
        """Send a request; yields its connection once the response's head is there. Raises HttpFailed.

        A connection whose response was not read to its end is closed: the server sees that nobody listens any more.
        """
        connection = await self._begun(head, body)
        try:
            yield connection
        finally:
            self._give_back(connection)

    async def warm_up(self) -> None:
        """Have connections ready from now on. Raises HttpFailed when there is none yet."""
        if self._tending is None:
            self._tending = asyncio.get_running_loop().create_task(self._tend())
        if not self._idle:
            self._give_back(await self._connect())

    async def close(self) -> None:
        """Close what is kept."""
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.wait([self._tending])
        while self._idle:
            self._idle.pop().abort()

    async def _tend(self) -> None:
        pause = _PAUSE
        while True:
            await asyncio.sleep(pause)
            self._drop_old()
            try:
                for _ in range(self._spare - len(self._idle)):
                    self._give_back(await self._connect())
            except HttpFailed:
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            pause = _PAUSE
            if len(self._idle) < self._spare:  # some were taken or lost meanwhile
                continue
            self._is_short.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._idle[0].idle_since + self._idle_seconds):
                    await self._is_short.wait()

    def _drop_old(self) -> None:
        oldest = asyncio.get_running_loop().time() - self._idle_seconds
        while self._idle and self._idle[0].idle_since <= oldest:
            self._idle.pop(0).abort()

    def _lost(self, connection: Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
            self._is_short.set()

    async def _begun(self, head: bytes, body: bytes) -> Connection:
        kept = self._kept()
        if kept is not None:
            try:
                await _request(kept, head, body)
            except HttpFailed:
                if kept.has_heard:
                    raise
                # Closed by the server while it was kept, mostly: asked once more, and no more than once.
            else:
                return kept
        connection = await self._connect()
        await _request(connection, head, body)
        return connection

    def _kept(self) -> Connection | None:
        self._drop_old()
        kept = self._idle.pop() if self._idle else None
        if len(self._idle) < self._spare:
            self._is_short.set()
        return kept

    def _give_back(self, connection: Connection) -> None:
        if connection.is_reusable:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            connection.abort()

    async def _connect(self) -> Connection:
        origin = self._origin
        if origin.is_tls and self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        try:
            async with asyncio.timeout(self._connect_seconds):
                loop = asyncio.get_running_loop()
                _, connection = await loop.create_connection(self._made, origin.host, origin.port, ssl=self._tls)
        except (OSError, TimeoutError, UnicodeError) as error:  # a host name can be too long to be spelled
            raise HttpFailed(type(error).__name__) from error
        return connection

    def _made(self) -> Connection:
        return Connection(self._lost)


async def _request(connection: Connection, head: bytes, body: bytes) -> None:
    try:
        await connection.request(head, body)
    except BaseException:
        connection.abort()
        raise
