"""The stand-in model's other end: the OpenAI SDK, and bare bytes where the SDK hides things."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import openai

from service.simulator.model import StandInModel
from service.simulator.model_script import Script

THREE = Script("One two three.")
SOON = 0.03


def seeded(seed: int = 1) -> Random:
    return Random(seed)  # noqa: S311  wanted: the same again


def spelt(content: Any = "Hi.", **more: Any) -> bytes:
    body = {"model": "any", "stream": True, "messages": [{"role": "user", "content": content}], **more}
    return posted(json.dumps(body).encode())


def posted(body: bytes, extra: str = "") -> bytes:
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: here\r\nContent-LENGTH:  {len(body)} \r\n{extra}\r\n"
    return head.encode() + body


@dataclass
class Wire:
    """A client which sees every byte."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, content: Any = "Hi.", **more: Any) -> None:
        self.writer.write(spelt(content, **more))
        await self.writer.drain()

    async def until(self, end: bytes) -> str:
        async with asyncio.timeout(2):
            return (await self.reader.readuntil(end)).decode()

    async def rest(self) -> str:
        async with asyncio.timeout(2):
            return (await self.reader.read()).decode()

    async def is_silent(self) -> bool:
        try:
            async with asyncio.timeout(SOON):
                await self.reader.read(1)
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def wire_to(model: StandInModel) -> AsyncIterator[Wire]:
    port = int(model.base_url.removesuffix("/v1").rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


@asynccontextmanager
async def sdk_for(model: StandInModel) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=model.base_url, api_key="any", max_retries=0, timeout=2) as client:
        yield client


async def said(client: openai.AsyncOpenAI, content: str = "Hi.") -> str:
    stream = await client.chat.completions.create(
        model="any", stream=True, messages=[{"role": "user", "content": content}]
    )
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


def events(text: str) -> list[Any]:
    """The data lines of a chunked body, decoded, [DONE] as None, broken JSON as itself."""
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [None if line == "[DONE]" else decoded(line) for line in data]


def decoded(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return line


def deltas(text: str) -> list[Any]:
    return [event["choices"][0]["delta"] for event in events(text) if isinstance(event, dict) and event["choices"]]


ROLE = {"role": "assistant", "content": "", "refusal": None}
DELTAS = [ROLE, {"content": "One"}, {"content": " two"}, {"content": " three."}, {}]
