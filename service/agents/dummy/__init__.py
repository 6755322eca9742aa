"""The fixed agent of Retell's guide, word for word: works with no key and shows that the line does."""

from collections.abc import AsyncGenerator

from service.agents.agent import Stateless
from service.conversation.call import Deadlines, Prompt, SpokenLines, Turn
from service.conversation.parts import Part, Speech

GREETING = "How may I help you?"
ANSWER = "I am sorry, can you say that again?"


class Dummy(Stateless):
    """Greets, and asks to say everything again."""

    name = "dummy"
    lines = SpokenLines(fallback_greeting=GREETING)
    deadlines = Deadlines()

    async def reply(self, turn: Turn) -> AsyncGenerator[Part]:
        yield Speech(GREETING if turn.prompt is Prompt.GREETING else ANSWER)
