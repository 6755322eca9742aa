"""What waits to be sent on one line: bounded, pongs first, stale words dropped."""

import asyncio
from collections import deque
from collections.abc import Callable

from service.conversation.commands import AnswerPing, Interject, Outgoing, Say, ShowToolCall, ShowToolResult, TellPage

ROOM = 65_536
"""Characters that may wait before the reply that makes them has to wait too."""

MAX_PONGS = 64
"""A peer that pings this often without reading its answers has no use for the oldest."""


class Outbox:
    """A queue between the session, which never waits, and the line, which may."""

    def __init__(self) -> None:
        self._pongs: deque[AnswerPing] = deque(maxlen=MAX_PONGS)
        self._rest: deque[Outgoing] = deque()
        self._size = 0
        self._is_muted = False
        self._has_mail = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    @property
    def is_waiting(self) -> bool:
        """Whether something waits, so that what comes after it has to wait as well; also once it is muted."""
        return bool(self._rest or self._pongs or self._is_muted)

    @property
    def is_full(self) -> bool:
        """Whether so much waits that the reply that makes it has to wait for `room`."""
        return self._size >= ROOM

    def put(self, command: Outgoing) -> None:
        """Queue a command; pongs overtake everything else."""
        if self._is_muted:
            return
        if isinstance(command, AnswerPing):
            self._pongs.append(command)
        else:
            self._rest.append(command)
            self._resize(_size(command))
        self._has_mail.set()

    def drop_words(self, turn_id: int) -> None:
        """Forget the words of a turn that wait: they are stale."""
        self._keep(lambda command: not (isinstance(command, Say) and command.turn_id == turn_id))

    def drop_interjections(self) -> None:
        """Forget the interjections that wait."""
        self._keep(lambda command: not isinstance(command, Interject))

    def mute(self) -> None:
        """Forget everything and take in nothing more: another line replaced this one."""
        self._is_muted = True
        self._pongs.clear()
        self._rest.clear()
        self._size = 0
        self._has_room.set()

    async def next(self) -> Outgoing:
        """The next command to send; waits for one. It stays here until it is `sent`: meanwhile another may be next."""
        while not (self._pongs or self._rest):
            self._has_mail.clear()
            await self._has_mail.wait()
        return self._pongs[0] if self._pongs else self._rest[0]

    def sent(self) -> None:
        """The next command was sent, just now."""
        if self._pongs:
            self._pongs.popleft()
        else:
            self._resize(-_size(self._rest.popleft()))

    async def room(self) -> None:
        """Wait until the peer has read enough of what waits."""
        await self._has_room.wait()

    def _keep(self, is_fresh: Callable[[Outgoing], bool]) -> None:
        if self._rest:
            self._rest = deque(filter(is_fresh, self._rest))
            self._size = 0
            self._resize(sum(map(_size, self._rest)))

    def _resize(self, by: int) -> None:
        self._size += by
        if self._size < ROOM:
            self._has_room.set()
        else:
            self._has_room.clear()


def _size(command: Outgoing) -> int:
    """Characters, and something for the frame around them."""
    match command:
        case Say() | Interject():
            return 64 + len(command.text)
        case ShowToolCall():
            return 256 + len(command.call.arguments)
        case ShowToolResult():
            return 256 + len(command.answer.content)
        case TellPage():
            return 256 + len(command.message.json)
        case _:
            return 256
