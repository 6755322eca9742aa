"""One line of a call: what is said over it, and the reply in flight on it."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Protocol

from service.conversation.commands import Outgoing
from service.conversation.events import Event
from service.outbox import Outbox


class Line(Protocol):
    """One socket of a call."""

    close_code: int | None
    """The code the peer closed with, once it has."""

    async def listen(self, hear: Callable[[Sequence[Event]], None]) -> None:
        """Tell what each frame says, at once and in order, until the line is closed. Raises what `hear` raises."""
        ...

    def try_send(self, command: Outgoing) -> bool:
        """Write one frame now; False when it has to wait, or nobody is there."""
        ...

    async def room(self) -> None:
        """Wait until the peer has read enough of what was written. Raises LineClosed."""
        ...

    def abort(self) -> None:
        """Cut the line without a close code, unsent bytes included."""
        ...


class LineClosed(Exception):
    """The peer is gone; there is nobody to write to."""


class Visit:
    """One line's share of a session: the reply in flight on it and, once its peer reads slowly, outbox and writer."""

    def __init__(self, line: Line, tasks: asyncio.TaskGroup, on_left: Callable[[], None]) -> None:
        self.line = line
        self.on_left = on_left
        self.outbox: Outbox | None = None
        self._is_muted = False
        self._tasks = tasks
        self._reply: asyncio.Task[None] | None = None
        self._writer: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        has_waiting = self.outbox is not None and self.outbox.is_waiting
        return has_waiting or (self._reply is not None and not self._reply.done())

    def send(self, command: Outgoing) -> None:
        """Hand over at once what need not wait; the rest goes through the outbox, in its order."""
        if self._is_muted:
            return
        if (self.outbox is not None and self.outbox.is_waiting) or not self.line.try_send(command):
            if self.outbox is None:  # made when it is needed: most peers read as fast as we write
                self.outbox = Outbox()
                self._writer = self._tasks.create_task(self._write(self.outbox))
            self.outbox.put(command)

    async def _write(self, outbox: Outbox) -> None:
        """Send what the outbox holds, until cancelled. What has to wait does so there: it may be stale by then."""
        try:
            while True:
                if self.line.try_send(await outbox.next()):
                    outbox.sent()
                else:
                    await self.line.room()
        except LineClosed:
            self._mute()  # the reader is told by the transport

    def _mute(self) -> None:
        self._is_muted = True
        if self.outbox is not None:
            self.outbox.mute()

    def start_reply(self, reply: Coroutine[None, None, None]) -> None:
        if self.outbox is not None:
            self.outbox.drop_interjections()  # they belong to turns before this one
        self._reply = self._tasks.create_task(reply)

    def cancel_reply(self, stale: int | None = None) -> None:
        """Stop the reply in flight and drop what waits of a stale turn. The TaskGroup awaits its end."""
        if self._reply is not None:
            self._reply.cancel()
        if stale is not None and self.outbox is not None:
            self.outbox.drop_words(stale)

    def replace(self) -> None:
        """Say nothing more on this line, and cut it."""
        self.cancel_reply()
        self._mute()
        if self._writer is not None:
            self._writer.cancel()
        self.line.abort()
