"""The Agent port: a turn in, a stream of parts out."""

from collections.abc import AsyncGenerator
from typing import Protocol

from service.conversation.call import Deadlines, SpokenLines, Turn
from service.conversation.parts import Part


class Agent(Protocol):
    """Whatever answers callers. One object serves all calls, so it keeps no state of a call on itself."""

    name: str
    lines: SpokenLines
    deadlines: Deadlines

    def reply(self, turn: Turn) -> AsyncGenerator[Part]:
        """Answer a turn, or greet when its prompt is GREETING (nothing lets the caller start).

        An async generator: it is closed when the turn is overtaken, and must close what it holds open then. What it
        raises ends the turn with an apology, or a closing line when words were spoken.
        """
        ...

    async def warm_up(self) -> None:
        """Pay slow imports and connections, right after the service is ready. May raise; a turn must do without."""
        ...

    async def close(self) -> None:
        """Release what the agent holds."""
        ...
