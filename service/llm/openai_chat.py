"""Chat Completions of any OpenAI-compatible endpoint, through the `openai` package.

Importing the package takes most of a second, so it is done in a thread, once, when it is warmed up or first used.
"""

from __future__ import annotations

import asyncio
import importlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from service.llm.model import (
    KeyRejected,
    Message,
    ModelError,
    QuotaExhausted,
    RateLimited,
    RequestRejected,
    ServerFailed,
    StreamBroken,
    Target,
    ToolExchange,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from openai import AsyncOpenAI, AsyncStream
    from openai.types.chat import ChatCompletionChunk

_CONNECT_SECONDS = 5.0
_SILENCE_SECONDS = 60.0
"""A guard against dead sockets. How long a caller may wait is the turn budget's to say."""


class OpenAIChat:
    """One shared client: connections are reused by all calls."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._client: AsyncOpenAI | None = None
        self._opening = asyncio.Lock()

    async def stream(self, messages: Sequence[Message | ToolExchange]) -> AsyncGenerator[str]:
        is_finished = False
        async with self._request(messages) as chunks:
            async for chunk in chunks:
                for choice in chunk.choices:
                    if choice.delta is not None and choice.delta.content:
                        yield choice.delta.content
                    is_finished = is_finished or choice.finish_reason is not None
        if not is_finished:  # a server that stops ends its chunks as if all were well
            raise StreamBroken

    @asynccontextmanager
    async def _request(
        self, messages: Sequence[Message | ToolExchange]
    ) -> AsyncIterator[AsyncStream[ChatCompletionChunk]]:
        client = await self._opened()
        has_begun = False
        try:
            wire: Any = [
                part for message in messages for part in _wire(message)
            ]  # the SDK's types are a union of dozens
            stream = await client.chat.completions.create(model=self._target.model, messages=wire, stream=True)
            has_begun = True
            try:
                yield stream
            finally:
                await stream.close()  # abandoning the iterator would keep the connection
        except ModelError:
            raise
        except Exception as error:
            raise (StreamBroken if has_begun else _class_of(error)) from error

    async def warm_up(self) -> None:
        await self._opened()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def _opened(self) -> AsyncOpenAI:
        async with self._opening:
            if self._client is None:
                openai = await asyncio.to_thread(importlib.import_module, "openai")
                self._client = openai.AsyncOpenAI(
                    api_key=self._target.api_key,
                    base_url=self._target.base_url,
                    max_retries=0,  # it would wait as long as the endpoint says, while a caller listens
                    timeout=openai.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS),
                )
            return self._client


def _wire(message: Message | ToolExchange) -> list[dict[str, object]]:
    if isinstance(message, Message):
        return [{"role": message.role.value, "content": message.text}]
    call = message.call
    function = {"name": call.name, "arguments": call.arguments}
    return [
        {"role": "assistant", "tool_calls": [{"id": call.id, "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": call.id, "content": message.result},
    ]


def _class_of(error: Exception) -> type[ModelError]:
    import openai  # noqa: PLC0415 - it raised the error, so it is loaded

    match error:
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            return KeyRejected
        case openai.RateLimitError():
            return QuotaExhausted if error.code == "insufficient_quota" else RateLimited
        case openai.InternalServerError():
            return ServerFailed
        case openai.APIStatusError():
            return RequestRejected
        case _:
            return Unreachable
