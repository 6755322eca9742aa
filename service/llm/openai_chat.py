"""Chat Completions of any OpenAI-compatible endpoint.

The `openai` package says where a request goes and with which headers, so that targets are set up as its users know
them. The stream itself is read here: the package's own stream handling costs more CPU than all the rest of the service.
The package is imported in a thread, once, when it is warmed up or first used.
"""

import asyncio
import importlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from service.llm.http import Connection, HttpFailed, Origin, Pool
from service.llm.model import Message, StreamBroken, Target, ToolExchange, Unreachable
from service.llm.wire import AnswerReader, refusal_of

_REFUSAL_BYTES = 65_536
_LINGER_SECONDS = 0.02
_DROPPED_HEADERS = {"accept-encoding", "connection", "content-length"}


@dataclass(frozen=True, slots=True)
class _Door:
    """The way to the endpoint: its connections, and a request's head but for its length."""

    pool: Pool
    head: bytes


class OpenAIChat:
    """One pool of connections, shared by all calls."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._door: _Door | None = None
        self._opening = asyncio.Lock()

    async def stream(self, messages: Sequence[Message | ToolExchange]) -> AsyncGenerator[str]:
        door = self._door or await self._opened()
        wire = [part for message in messages for part in _wire(message)]
        body = msgspec.json.encode({"model": self._target.model, "messages": wire, "stream": True})
        reader = AnswerReader()
        has_begun = False
        try:
            async with door.pool.exchange(door.head, body) as answer:
                if answer.status != 200:  # noqa: PLR2004
                    raise refusal_of(answer.status, await _refusal(answer))
                has_begun = True
                while data := await answer.read():
                    if text := reader.feed(data):
                        yield text
                    if reader.failure is not None:
                        raise reader.failure
                    if reader.is_done:
                        await _rest_of(answer)
                        break
        except HttpFailed as error:
            if reader.finish_reason is None:
                raise StreamBroken if has_begun else Unreachable from error
        if reader.finish_reason is None:  # a server that stops ends its chunks as if all were well
            raise StreamBroken

    async def warm_up(self) -> None:
        await (await self._opened()).pool.warm_up()

    async def close(self) -> None:
        if self._door is not None:
            self._door.pool.close()

    async def _opened(self) -> _Door:
        async with self._opening:
            if self._door is None:
                openai = await asyncio.to_thread(importlib.import_module, "openai")
                self._door = _door_of(openai, self._target)
            return self._door


def _door_of(openai: Any, target: Target) -> _Door:  # a module that was imported late
    """The target as the `openai` package understands it."""
    client = openai.AsyncOpenAI(api_key=target.api_key, base_url=target.base_url)
    options = openai._models.FinalRequestOptions.construct(method="post", url="/chat/completions", json_data={})  # noqa: SLF001
    request = client._build_request(options)  # noqa: SLF001 - private, but nothing public tells it; a test holds it
    url = request.url
    headers = {name: value for name, value in request.headers.items() if name.lower() not in _DROPPED_HEADERS}
    lines = [f"POST {url.raw_path.decode()} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), ""]
    is_tls = url.scheme == "https"
    origin = Origin(url.host, url.port or (443 if is_tls else 80), is_tls)
    return _Door(Pool(origin), "\r\n".join(lines).encode())


async def _rest_of(answer: Connection) -> None:
    """Let the response end, so that its connection can be kept; but no caller waits for a server that lingers."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_SECONDS):
            while await answer.read():
                pass


async def _refusal(answer: Connection) -> bytes:
    body = b""
    while len(body) < _REFUSAL_BYTES and (data := await answer.read()):
        body += data
    return body


def _wire(message: Message | ToolExchange) -> list[dict[str, object]]:
    if isinstance(message, Message):
        return [{"role": message.role.value, "content": message.text}]
    call = message.call
    function = {"name": call.name, "arguments": call.arguments}
    return [
        {"role": "assistant", "tool_calls": [{"id": call.id, "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": call.id, "content": message.result},
    ]
