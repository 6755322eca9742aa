"""Agents for tests: they let the caller start, and then do one thing."""

import asyncio
from collections.abc import AsyncGenerator, Callable

from service.conversation.call import Prompt, Turn
from service.conversation.parts import Part, Speech
from tests.live import ScriptedAgent

Reply = Callable[[Turn], AsyncGenerator[Part]]


def replying(reply: Reply, greeting: str = "") -> ScriptedAgent:
    """An agent that answers as the generator says, and greets with these words or not at all."""

    async def whole(turn: Turn) -> AsyncGenerator[Part]:
        if turn.prompt is Prompt.GREETING:
            yield Speech(greeting)
            return
        parts = reply(turn)
        try:
            async for part in parts:
                yield part
        finally:
            await parts.aclose()

    return ScriptedAgent(whole)


def saying(*parts: Part | str) -> ScriptedAgent:
    """An agent that answers everything with these parts."""

    async def reply(_: Turn) -> AsyncGenerator[Part]:
        for part in parts:
            yield Speech(part) if isinstance(part, str) else part

    return replying(reply)


def failing(error: BaseException, *words: str) -> ScriptedAgent:
    """An agent that says these words and fails."""

    async def reply(_: Turn) -> AsyncGenerator[Part]:
        for word in words:
            yield Speech(word)
        raise error

    return replying(reply)


class Gate:
    """An agent that answers turn 1 with a word and waits there, and says what became of it."""

    def __init__(self, *first: str) -> None:
        self.is_closed = asyncio.Event()
        self.is_reached = asyncio.Event()
        self.opens = asyncio.Event()
        self._first = first
        self.agent = replying(self._reply)

    async def _reply(self, turn: Turn) -> AsyncGenerator[Part]:
        if turn.index > 1:
            yield Speech(f"Answer {turn.turn_id}.")
            return
        try:
            for word in self._first:
                yield Speech(word)
            self.is_reached.set()
            await self.opens.wait()
            yield Speech("late words")
        finally:
            self.is_closed.set()
