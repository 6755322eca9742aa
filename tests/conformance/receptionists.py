"""The shipped receptionist over stand-in models, and what can be seen of it from outside: records and open replies."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime

from msgspec.structs import replace

from service.agents.folder import Folder, read_folder
from service.agents.library import SHIPPED
from service.agents.prompted import PromptedAgent, PromptedAnswerer
from service.conversation.call import Deadlines, Turn
from service.conversation.parts import Aside, Part
from service.llm.candidate import Rules
from service.llm.dependable import DependableModel
from service.llm.openai_chat import OpenAIChat
from service.llm.records import AttemptRecord
from service.llm.targets import Target
from service.settings import Settings
from service.simulator.model import StandInModel
from tests.fakes import AttemptMemory
from tests.live import Service, serving

LINES = read_folder(SHIPPED / "receptionist").script.lines


class Watched(PromptedAgent):
    """A receptionist whose replies are counted while they run."""

    open_replies = 0

    def take(self, call_id: str, aside: Callable[[Aside], None]) -> "WatchedAnswerer":
        return WatchedAnswerer(self, call_id, aside)


class WatchedAnswerer(PromptedAnswerer):
    """Counts its agent's replies."""

    def __init__(self, agent: Watched, call_id: str, aside: Callable[[Aside], None]) -> None:
        super().__init__(agent, call_id, aside)
        self._watched = agent

    async def reply(self, turn: Turn) -> AsyncGenerator[Part]:
        self._watched.open_replies += 1
        try:
            async with aclosing(super().reply(turn)) as parts:
                async for part in parts:
                    yield part
        finally:
            self._watched.open_replies -= 1


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
    """A service with targets of these names, all of them this stand-in; its words and rules are the receptionist's."""
    folder = read_folder(SHIPPED / "receptionist")
    script = folder.script
    script = replace(script, model=rules or script.model, deadlines=deadlines or script.deadlines, rescue=None)
    endpoints = [OpenAIChat(Target(name, base_url=model.base_url), "k") for name in targets]
    memory = AttemptMemory()
    asked = DependableModel(endpoints, script.model, memory)
    words = Folder(folder.name, folder.path, script, folder.prompt)  # no tools, knowledge or rescue
    agent = Watched(words, asked, lambda: datetime.now(UTC))
    async with serving(agent, Settings(reconnect_window=reconnect_window)) as service:
        await agent.warm_up()  # the service does it, too, but no caller has to wait for that
        yield Reception(service, agent, memory.records)
