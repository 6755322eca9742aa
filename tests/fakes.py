"""Fakes of our own ports: a line that a test plays, an observer that remembers, a model that says what it is told."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from service.conversation import events
from service.conversation.commands import Command, Outgoing, Say
from service.conversation.events import Event
from service.llm.model import NO_TOOLS, Message, Messages, Occasion, ToolCall, ToolExchange, Toolset
from service.llm.records import AttemptRecord
from service.visit import LineClosed


class FakeLine:
    """A line without a socket: the test says what arrives and reads what was sent."""

    def __init__(self) -> None:
        self.close_code: int | None = None
        self.sent: list[Outgoing] = []
        self.is_aborted = False
        self.is_broken = self.is_slow = False
        self._arriving: asyncio.Queue[Event | None] = asyncio.Queue()

    def happens(self, event: Event) -> None:
        self._arriving.put_nowait(event)

    def closes(self, code: int | None = None) -> None:
        self.close_code = code
        self._arriving.put_nowait(None)

    async def listen(self, hear: Callable[[Sequence[Event]], None]) -> None:
        while (event := await self._arriving.get()) is not None:
            hear((event,))

    def try_send(self, command: Outgoing) -> bool:
        if self.is_broken or self.is_slow:
            return False
        self.sent.append(command)
        return True

    async def room(self) -> None:
        if self.is_broken:
            raise LineClosed
        self.is_slow = False

    def abort(self) -> None:
        if not self.is_aborted:
            self.is_aborted = True
            self._arriving.put_nowait(None)

    async def until_final(self, turn_id: int) -> list[Say]:
        """The words sent in a turn, once its final frame is out."""
        async with asyncio.timeout(5):
            while not any(isinstance(sent, Say) and sent.is_final and sent.turn_id == turn_id for sent in self.sent):
                await asyncio.sleep(0)
        return [sent for sent in self.sent if isinstance(sent, Say) and sent.turn_id == turn_id]


class Witness:
    """An observer that remembers what it saw."""

    def __init__(self) -> None:
        self.seen: list[tuple[Event, Sequence[Command]]] = []
        self.faults: list[Exception] = []
        self.breaks = False

    def saw(self, call_id: str, event: Event, answer: Sequence[Command]) -> None:
        assert call_id
        if self.breaks:
            raise RuntimeError("a broken observer")
        self.seen.append((event, answer))

    def failed(self, call_id: str, error: Exception) -> None:
        assert call_id
        self.faults.append(error)

    @property
    def events(self) -> list[type[Event]]:
        return [type(event) for event, _ in self.seen if not isinstance(event, events.ReplyDrafted)]


class FakeModel:
    """A chat model that streams the same deltas every time, or raises."""

    def __init__(self, *deltas: str, error: Exception | None = None) -> None:
        self.asked: list[list[Message | ToolExchange]] = []
        self.is_warm = self.is_closed = False
        self.open_streams = 0
        self._deltas = deltas
        self._error = error

    async def stream(
        self, messages: Messages, occasion: Occasion, tools: Toolset = NO_TOOLS
    ) -> AsyncGenerator[str | ToolCall]:
        self.asked.append(list(messages))
        self.open_streams += 1
        try:
            for delta in self._deltas:
                yield delta
            if self._error is not None:
                raise self._error
        finally:
            self.open_streams -= 1

    async def warm_up(self) -> None:
        self.is_warm = True

    async def close(self) -> None:
        self.is_closed = True


class AttemptMemory:
    """A witness that remembers the attempts."""

    def __init__(self) -> None:
        self.records: list[AttemptRecord] = []

    def attempted(self, record: AttemptRecord) -> None:
        self.records.append(record)

    def traceparent(self, occasion: Occasion) -> str | None:
        return None
