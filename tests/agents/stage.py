"""A prompted agent with a scripted model, and a call that a test leads, as a session would."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.agents.folder import Folder, Script
from service.agents.prompted import PromptedAgent
from service.agents.tools import Tool
from service.conversation.call import CallDetails, Prompt, Turn
from service.conversation.parts import Aside, Part, Speech
from service.conversation.transcript import Row, ToolAnswered, ToolCalled
from service.llm.model import NO_TOOLS, Message, Messages, Occasion, ToolCall, ToolExchange, Toolset
from tests.conversation.play import caller

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
CALL_ID = "call_1"

Piece = str | ToolCall | float | Exception


def calls(name: str, arguments: str = "{}", number: int = 1) -> ToolCall:
    """What a model streams to call a tool. Models repeat their ids; so does this."""
    return ToolCall(f"call_{number}", name, arguments)


class ScriptedModel:
    """A chat model that plays one round after the other: words, tool calls, seconds to wait, errors."""

    def __init__(self, *rounds: Sequence[Piece]) -> None:
        self.rounds = list(rounds)
        self.asked: list[list[Message | ToolExchange]] = []
        self.toolsets: list[Toolset] = []
        self.open_streams = 0
        self.is_warm = self.is_closed = False

    async def stream(
        self, messages: Messages, occasion: Occasion, tools: Toolset = NO_TOOLS
    ) -> AsyncGenerator[str | ToolCall]:
        assert occasion.call_id == CALL_ID
        self.asked.append(list(messages))
        self.toolsets.append(tools)
        self.open_streams += 1
        try:
            for piece in self.rounds.pop(0) if self.rounds else ("Well.",):
                match piece:
                    case float():
                        await asyncio.sleep(piece)
                    case Exception():
                        raise piece
                    case _:
                        yield piece
        finally:
            self.open_streams -= 1

    @property
    def exchanges(self) -> list[tuple[str, str]]:
        """The tools and answers that it was told of last."""
        told = (message for message in self.asked[-1] if isinstance(message, ToolExchange))
        return [(message.call.name, message.result) for message in told]

    async def warm_up(self) -> None:
        self.is_warm = True

    async def close(self) -> None:
        self.is_closed = True


def folder_of(*tools: Tool, prompt: str = "Be brief.", script: Script | None = None, **more: Any) -> Folder:
    return Folder("desk", Path(), script or Script(greeting="Hello."), prompt, tools, **more)


class Stage:
    """One call of an agent."""

    def __init__(self, folder: Folder, *rounds: Sequence[Piece], has_model: bool = True) -> None:
        self.model = ScriptedModel(*rounds)
        self.agent = PromptedAgent(folder, self.model if has_model else None, lambda: NOON)
        self.asides: list[Aside] = []
        self.answerer = self.agent.take(CALL_ID, self.asides.append)
        self.parts: list[Part] = []
        """All of the call."""
        self._turns = 0
        self._left: list[asyncio.Task[None]] = []

    async def turn(
        self,
        *history: Row | str,
        prompt: Prompt = Prompt.CALLER_SPOKE,
        details: CallDetails | None = None,
        cut_after: float | None = None,
        is_awaited: bool = True,
    ) -> list[Part]:
        """Ask for an answer, and overtake it after so many seconds; a session does not await its end then."""
        rows = tuple(caller(row) if isinstance(row, str) else row for row in history)
        turn = Turn(CALL_ID, self._turns, self._turns, prompt, rows, details)
        self._turns += 1
        before = len(self.parts)
        reply = asyncio.get_running_loop().create_task(self._hear(turn))
        await asyncio.wait((reply,), timeout=cut_after)
        if not reply.done():
            reply.cancel()
            self._left.append(reply)
            if is_awaited:
                await asyncio.wait((reply,))
        else:
            reply.result()
        return self.parts[before:]

    async def _hear(self, turn: Turn) -> None:
        async with aclosing(self.answerer.reply(turn)) as parts:
            async for part in parts:
                self.parts.append(part)

    async def close(self) -> None:
        if self._left:
            await asyncio.wait(self._left)
        await self.agent.close()

    def results(self, tool_call_id: str) -> list[ToolAnswered]:
        told = (*self.parts, *self.asides)
        return [part for part in told if isinstance(part, ToolAnswered) and part.tool_call_id == tool_call_id]

    @property
    def called(self) -> list[ToolCalled]:
        return [part for part in self.parts if isinstance(part, ToolCalled)]


def said(parts: Sequence[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, Speech))


def kinds(parts: Sequence[Part]) -> list[str]:
    return [type(part).__name__ for part in parts]


def rows_of(parts: Sequence[Part]) -> list[Row]:
    """What the platform shows of them."""
    return [part for part in parts if isinstance(part, ToolCalled | ToolAnswered)]
