"""Chat Completions of any OpenAI-compatible endpoint, and of Azure's.

The `openai` package says where a request goes and with which headers, so that targets are set up as its users know
them. The stream itself is read here: the package's own stream handling costs more CPU than all the rest of the service.
The package is imported in a thread, once, when it is warmed up or first used.
"""

import asyncio
import importlib
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from service.llm.http import Connection, HttpFailed
from service.llm.model import (
    NO_TOOLS,
    AnswerBegun,
    AnswerEnded,
    Delta,
    Messages,
    StreamBroken,
    ToolCall,
    ToolCallBegun,
    Toolset,
    Unreachable,
)
from service.llm.pool import Origin, Pool
from service.llm.question import QuestionSpelling
from service.llm.targets import Target
from service.llm.wire import AnswerReader, begun_of, may_end_a_sentence, refusal_of

_REFUSAL_BYTES = 65_536
_LINGER_SECONDS = 0.02
_CUT_SHORT = {"length", "content_filter"}
_DROPPED_HEADERS = {"accept-encoding", "connection", "content-length"}


@dataclass(frozen=True, slots=True)
class _Door:
    """The way to the endpoint: its connections, and a request's head but for its length."""

    pool: Pool
    head: bytes = field(repr=False)  # it holds the key


class OpenAIChat:
    """One pool of connections, shared by all calls."""

    def __init__(self, target: Target, key: str) -> None:
        self.name, self.model = target.label, target.model
        self.provider, self.address = target.provider, target.address
        self._target, self._key = target, key
        self._spelling = QuestionSpelling(target)
        self._door: _Door | None = None
        self._opening = asyncio.Lock()

    async def ask(
        self, messages: Messages, traceparent: str | None = None, tools: Toolset = NO_TOOLS
    ) -> AsyncGenerator[Delta]:
        door = self._door or await self._opened()
        head = door.head if traceparent is None else b"%btraceparent: %b\r\n" % (door.head, traceparent.encode())
        reader = AnswerReader()
        has_begun = is_calling = False
        try:
            async with door.pool.exchange(head, self._spelling.body(messages, tools)) as answer:
                begun = await _accepted(answer)
                has_begun = True
                yield begun
                while data := await answer.read():
                    if text := reader.feed(data):
                        yield text
                        answer.gather(may_end_a_sentence)
                    if reader.tool_calls.has_begun and not is_calling:
                        is_calling = True
                        yield ToolCallBegun()
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
        for call in _calls_of(reader):
            yield call
        yield AnswerEnded(reader.finish_reason, reader.usage)

    async def warm_up(self) -> None:
        try:
            await (await self._opened()).pool.warm_up()
        except HttpFailed as error:
            raise Unreachable from error

    async def close(self) -> None:
        if self._door is not None:
            await self._door.pool.close()

    async def _opened(self) -> _Door:
        async with self._opening:
            if self._door is None:
                openai = await asyncio.to_thread(importlib.import_module, "openai")
                self._door = await _door_of(openai, self._target, self._key)
            return self._door


async def _door_of(openai: Any, target: Target, key: str) -> _Door:  # a module that was imported late
    """The target as the `openai` package understands it."""
    client = await asyncio.to_thread(_client_of, openai, target, key)  # it reads the authorities' certificates
    about: dict[str, object] = {"model": target.model}  # Azure's address holds the deployment's name
    options = openai._models.FinalRequestOptions.construct(method="post", url="/chat/completions", json_data=about)  # noqa: SLF001
    # Private, but nothing public tells it; a test holds it.
    request = client._build_request(await client._prepare_options(options))  # noqa: SLF001
    url = request.url
    headers = {name: value for name, value in request.headers.items() if name.lower() not in _DROPPED_HEADERS}
    lines = [f"POST {url.raw_path.decode()} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), ""]
    is_tls = url.scheme == "https"
    origin = Origin(url.host, url.port or (443 if is_tls else 80), is_tls)
    return _Door(Pool(origin), "\r\n".join(lines).encode())


def _client_of(openai: Any, target: Target, key: str) -> Any:
    about = {"api_key": key, "organization": target.organization, "default_headers": target.headers}
    if target.provider == "azure":
        client = openai.AsyncAzureOpenAI(azure_endpoint=target.address, api_version=target.api_version, **about)
    else:
        client = openai.AsyncOpenAI(base_url=target.address, project=target.project, **about)
    if target.provider != "openai":  # what the package read of its own variables is nobody else's affair
        client.organization, client.project = target.organization, target.project
        client._custom_headers = target.headers  # noqa: SLF001 - private, like the request below
    return client


def _calls_of(reader: AnswerReader) -> list[ToolCall]:
    """None where the answer was cut short: half of a call would act on half of what was meant."""
    return [] if reader.finish_reason in _CUT_SHORT else reader.tool_calls.whole()


async def _rest_of(answer: Connection) -> None:
    """Let the response end, so that its connection can be kept; but no caller waits for a server that lingers."""
    if answer.is_complete:
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_SECONDS):
            while await answer.read():
                pass


async def _accepted(answer: Connection) -> AnswerBegun:
    """What the response's head tells. Raises the ModelError of one that refuses."""
    if answer.status == 200:  # noqa: PLR2004
        return begun_of(answer.headers)
    body = b""
    while len(body) < _REFUSAL_BYTES and (data := await answer.read()):
        body += data
    raise refusal_of(answer.status, answer.headers, body)
