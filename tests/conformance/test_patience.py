"""Slow agents through the real server: the clocks themselves are tested without one (tests/conversation)."""

import asyncio
from collections.abc import AsyncGenerator

from service.conversation.call import Deadlines, Prompt, SpokenLines, Turn
from service.conversation.parts import Part, Speech
from tests.live import ScriptedAgent, serving

LINES = SpokenLines()


class Slow(ScriptedAgent):
    """Says what it has to say, and then nothing for ever."""

    deadlines = Deadlines(hold_after=0.03, give_up_after=0.08, stall_after=0.03, wire_silence=0.1)

    def __init__(self, *words: str) -> None:
        super().__init__(self._slowly)
        self._words = words
        self.closed: list[int] = []

    async def _slowly(self, turn: Turn) -> AsyncGenerator[Part]:
        if turn.prompt is Prompt.GREETING:
            yield Speech("Hello.")
            return
        try:
            for word in self._words:
                yield Speech(word)
            await asyncio.Event().wait()
        finally:
            self.closed.append(turn.turn_id)


async def test_case_34_an_agent_that_says_nothing_is_held_for_and_then_given_up() -> None:
    slow = Slow()
    async with serving(slow) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "Hello.", "Hi.")
        assert await line.answer(1) == f"{LINES.hold[0]} {LINES.give_up}"
        await line.nothing()
        assert slow.closed == [1]


async def test_case_34_an_agent_that_stalls_has_its_sentence_closed() -> None:
    slow = Slow("We are open. On ", "Monday")
    async with serving(slow) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "Hello.", "Hi.")
        assert await line.answer(1) == f"We are open. On Monday {LINES.closing_line}"
        await line.nothing()
        assert slow.closed == [1]
