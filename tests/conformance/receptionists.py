"""The shipped receptionist over stand-in models, and what can be seen of it from outside: records and open replies."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime

from msgspec.structs import replace

from service.agents.agent import Stateless
from service.agents.folder import Folder, read_folder
from service.agents.receptionist import Receptionist
from service.agents.registry import FOLDERS
from service.conversation.call import Deadlines, Turn
from service.conversation.parts import Part
from service.llm.candidate import Rules
from service.llm.dependable import DependableModel
from service.llm.openai_chat import OpenAIChat
from service.llm.records import AttemptRecord
from service.llm.targets import Target
from service.settings import Settings
from service.simulator.model import StandInModel
from tests.fakes import AttemptMemory
from tests.live import Service, serving

LINES = read_folder(FOLDERS / "receptionist").script.lines


class Watched(Stateless):
    """A receptionist whose replies are counted while they run."""

    def __init__(self, receptionist: Receptionist) -> None:
        self.name, self.lines, self.deadlines = receptionist.name, receptionist.lines, receptionist.deadlines
        self.open_replies = 0
        self._receptionist = receptionist

    async def warm_up(self) -> None:
        await self._receptionist.warm_up()

    async def close(self) -> None:
        await self._receptionist.close()

    async def reply(self, turn: Turn) -> AsyncGenerator[Part]:
        self.open_replies += 1
        try:
            async with aclosing(self._receptionist.reply(turn)) as parts:
                async for part in parts:
                    yield part
        finally:
            self.open_replies -= 1


class Reception:
    """A running service whose receptionist asks the stand-in model."""

    def __init__(self, service: Service, agent: Watched, records: list[AttemptRecord]) -> None:
        self.service, self.records = service, records
        self.line = service.line
        self._agent = agent

    @property
    def open_replies(self) -> int:
        return self._agent.open_replies


@asynccontextmanager
async def reception(
    model: StandInModel,
    *targets: str,
    rules: Rules | None = None,
    deadlines: Deadlines | None = None,
    reconnect_window: float = 60,
) -> AsyncIterator[Reception]:
    """A service with targets of these names, all of them this stand-in; the rest is as in its agent.toml."""
    folder = read_folder(FOLDERS / "receptionist")
    script = folder.script
    script = replace(script, model=rules or script.model, deadlines=deadlines or script.deadlines)
    endpoints = [OpenAIChat(Target(name, base_url=model.base_url), "k") for name in targets]
    memory = AttemptMemory()
    asked = DependableModel(endpoints, script.model, memory)
    agent = Watched(Receptionist(Folder(script, folder.prompt), asked, lambda: datetime.now(UTC)))
    async with serving(agent, Settings(reconnect_window=reconnect_window)) as service:
        await asked.warm_up()  # the service does it, too, but no caller has to wait for that
        yield Reception(service, agent, memory.records)
