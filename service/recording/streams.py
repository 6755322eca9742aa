"""What a model streams, noted as it passes."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, assert_never

import msgspec
from msgspec import structs

from service.llm.model import (
    NO_TOOLS,
    AnswerBegun,
    AnswerEnded,
    Delta,
    Endpoint,
    Messages,
    ToolCall,
    ToolCallBegun,
    Toolset,
)
from service.recording.lines import ModelStream, StreamError

Opened = tuple[ModelStream, Callable[[ModelStream], None]]
"""A stream that begins, still blank, and whom to tell when it is over."""


class ListenedEndpoint:
    """An endpoint whose answers are noted."""

    def __init__(self, endpoint: Endpoint, opened: Callable[[Endpoint], Opened | None]) -> None:
        self.name, self.model = endpoint.name, endpoint.model
        self._endpoint, self._opened = endpoint, opened

    def ask(
        self, messages: Messages, traceparent: str | None = None, tools: Toolset = NO_TOOLS
    ) -> AsyncGenerator[Delta]:
        stream = self._endpoint.ask(messages, traceparent, tools)
        opened = self._opened(self._endpoint)
        return stream if opened is None else _noted(stream, *opened)

    async def warm_up(self) -> None:
        await self._endpoint.warm_up()

    async def close(self) -> None:
        await self._endpoint.close()


async def _noted(
    stream: AsyncGenerator[Delta], blank: ModelStream, tell: Callable[[ModelStream], None]
) -> AsyncGenerator[Delta]:
    now = asyncio.get_running_loop().time
    asked_at, deltas = now(), list[tuple[float, Delta]]()
    end, error = "closed", None
    try:
        async with aclosing(stream):
            async for delta in stream:
                deltas.append((now() - asked_at, delta))
                yield delta
        end = "whole"
    except Exception as raised:
        end, error = "failed", StreamError(type(raised).__name__, getattr(raised, "retry_after", None))
        raise
    finally:
        tell(structs.replace(blank, deltas=deltas, took=round(now() - asked_at, 6), end=end, error=error))


def spelled(delta: Delta) -> Any:  # what JSON holds
    """A delta, as a line has it."""
    match delta:
        case str():
            return delta
        case AnswerBegun():
            return {"begun": msgspec.to_builtins(delta)}
        case ToolCallBegun():
            return {"calling": True}
        case ToolCall():
            return {"call": msgspec.to_builtins(delta)}
        case AnswerEnded():
            return {"ended": msgspec.to_builtins(delta)}
        case _:
            assert_never(delta)


def read_delta(told: Any) -> Delta:
    """Raises ValidationError."""
    if isinstance(told, str):
        return told
    fields = msgspec.convert(told, dict[str, Any])
    for name, kind in {"begun": AnswerBegun, "call": ToolCall, "ended": AnswerEnded}.items():
        if name in fields:
            read: Delta = msgspec.convert(fields[name], kind)
            return read
    return ToolCallBegun()
