"""The example to copy: an agent that answers with a chat model. Its words are in `prompt.md` and `agent.toml`."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import datetime

from service.agents.agent import Stateless
from service.agents.chat import chat_of
from service.agents.folder import Folder
from service.conversation.call import Prompt, Turn
from service.conversation.parts import Part, Speech
from service.llm.model import ChatModel, NothingSaid, Occasion


class Receptionist(Stateless):
    """Answers callers with a chat model and the files beside this one."""

    name = "receptionist"

    def __init__(self, folder: Folder, model: ChatModel, now: Callable[[], datetime]) -> None:
        self.lines = folder.script.lines
        self.deadlines = folder.script.deadlines
        self._greeting = folder.script.greeting
        self._prompt = folder.prompt
        self._model = model
        self._now = now

    async def reply(self, turn: Turn) -> AsyncGenerator[Part]:
        if turn.prompt is Prompt.GREETING:
            yield Speech(self._greeting)
            return
        asked, has_spoken = chat_of(turn, self._instructions()), False
        async with aclosing(self._model.stream(asked, Occasion(turn.call_id, turn.index))) as pieces:
            async for piece in pieces:
                if isinstance(piece, str):  # it has no tools: a call of one is nothing
                    has_spoken = True
                    yield Speech(piece)
        if not has_spoken:
            raise NothingSaid

    async def warm_up(self) -> None:
        await self._model.warm_up()

    async def close(self) -> None:
        await self._model.close()

    def _instructions(self) -> str:
        """The prompt with the date last: what stands before it stays the same, so a provider can cache it."""
        now = self._now()
        return f"{self._prompt}\nToday is {now:%A, %d %B %Y} ({now.tzname()}).\n"
