"""The example to copy: an agent that answers with a chat model. Its words are in `prompt.md` and `agent.toml`."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import datetime
from pathlib import Path

import msgspec

from service.agents.chat import chat_of
from service.agents.speakable import SpeakableText
from service.conversation.call import Deadlines, Prompt, SpokenLines, Turn
from service.conversation.parts import Part, Speech
from service.llm.model import ChatModel, NothingSaid

_HERE = Path(__file__).parent


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in `agent.toml`."""

    greeting: str = ""
    lines: SpokenLines = SpokenLines()
    deadlines: Deadlines = Deadlines()


class Receptionist:
    """Answers callers with a chat model and the prompt beside this file."""

    name = "receptionist"

    def __init__(self, model: ChatModel, now: Callable[[], datetime]) -> None:
        script = msgspec.toml.decode((_HERE / "agent.toml").read_bytes(), type=Script)
        self.lines = script.lines
        self.deadlines = script.deadlines
        self._greeting = script.greeting
        self._prompt = (_HERE / "prompt.md").read_text(encoding="utf-8")
        self._model = model
        self._now = now

    async def reply(self, turn: Turn) -> AsyncGenerator[Part]:
        if turn.prompt is Prompt.GREETING:
            yield Speech(self._greeting)
            return
        speakable, has_spoken = SpeakableText(), False
        async with aclosing(self._model.stream(chat_of(turn, self._instructions()))) as deltas:
            async for delta in deltas:
                if text := speakable.feed(delta):
                    has_spoken = has_spoken or not text.isspace()
                    yield Speech(text)
        if text := speakable.flush():
            yield Speech(text)
        elif not has_spoken:
            raise NothingSaid

    async def warm_up(self) -> None:
        await self._model.warm_up()

    async def close(self) -> None:
        await self._model.close()

    def _instructions(self) -> str:
        """The prompt with the date last: what stands before it stays the same, so a provider can cache it."""
        return f"{self._prompt}\nToday is {self._now():%A, %d %B %Y} ({self._now().tzname()}).\n"
