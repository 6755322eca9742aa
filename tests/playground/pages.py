"""A page of the playground's without a browser: what it says, and what it is told, in virtual time."""

import json
from collections.abc import Callable
from typing import Any

from msgspec import structs

from service.app import create_app
from service.settings import Settings
from service.virtual.process import Connection, Process

HOST = "127.0.0.1:8080"
OURS = {"host": HOST, "origin": f"http://{HOST}"}
DEVELOPMENT = Settings(dev=True, metrics_port=0, agent="receptionist")

Told = dict[str, Any]


class Page:
    """A page that is open."""

    def __init__(self, line: Connection) -> None:
        self.line = line
        self.told: list[Told] = []
        self._frames = line.__aiter__()

    async def say(self, kind: str, **fields: Any) -> None:
        await self.line.send(json.dumps({"kind": kind, **fields}))

    async def until(self, is_it: Callable[[Told], bool]) -> Told:
        """Hear on until this is told."""
        while True:
            message = json.loads(await anext(self._frames))
            self.told.append(message)
            if is_it(message):
                return dict(message)

    async def until_kind(self, kind: str) -> Told:
        return await self.until(lambda told: told["kind"] == kind)

    async def until_step(self, what: str, **fact: Any) -> Told:
        return await self.until(
            lambda told: told.get("what") == what and all(told["fact"][name] == value for name, value in fact.items())
        )

    async def until_settled(self, turn_index: int) -> Told:
        def is_it(told: Told) -> bool:
            return bool(
                told["kind"] == "turn" and told["facts"]["turn_index"] == turn_index and told["facts"]["outcome"]
            )

        return dict((await self.until(is_it))["facts"])

    async def call(self, **start: Any) -> None:
        """Start a call, and hear its greeting to the end."""
        await self.say("start", **start)
        await self.until_step("speech_finished", turn_id=0)

    def steps(self, what: str) -> list[Told]:
        return [told["fact"] for told in self.told if told.get("what") == what]


def service(**settings: Any) -> Process:
    """A service in development."""
    return Process(create_app(structs.replace(DEVELOPMENT, **settings)))


async def opened(process: Process) -> Page:
    page = Page(await process.dial("/playground/line", headers=OURS))
    await page.until_kind("hello")
    return page
