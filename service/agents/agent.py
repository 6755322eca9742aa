"""The Agent port: a call in, and for each of its turns a stream of parts out."""

from collections.abc import AsyncGenerator, Callable
from typing import Protocol, Self

from service.conversation.call import CallRecord, Deadlines, Ending, Rescue, SpokenLines, Turn
from service.conversation.parts import Aside, Part
from service.conversation.transcript import Transcript


class Answerer(Protocol):
    """What answers one call, on whichever lines it comes. It may keep what it knows of the call."""

    def reply(self, turn: Turn) -> AsyncGenerator[Part]:
        """Answer a turn, or greet when its prompt is GREETING (nothing lets the caller start).

        An async generator: it is closed when the turn is overtaken, and must close what it holds open then. What it
        raises ends the turn with an apology, or a closing line when words were spoken.
        """
        ...

    def hear(self, transcript: Transcript) -> None:
        """Somebody is speaking; no answer is asked for yet. Comes several times a second: return at once."""
        ...

    def end(self, record: CallRecord) -> None:
        """The call has ended in this process, and all its turns are settled. It may go on in another."""
        ...

    def conclude(self, ending: Ending) -> None:
        """The call is over everywhere: the time for accounts. Comes once a call, behind `end`.

        It comes without anything before it where another process held the call and did not live to its end.
        """
        ...


class Agent(Protocol):
    """Whatever answers callers. One object serves all calls."""

    name: str
    lines: SpokenLines
    deadlines: Deadlines
    rescue: Rescue | None

    def take(self, call_id: str, aside: Callable[[Aside], None]) -> Answerer:
        """A call begins in this process, or has ended in another.

        `aside` does something on its line, where it has one, outside of the replies.
        """
        ...

    async def warm_up(self) -> None:
        """Pay slow imports and connections, right after the service is ready. May raise; a turn must do without."""
        ...

    async def close(self) -> None:
        """Release what the agent holds, when all calls are over."""
        ...


class Stateless:
    """An agent that keeps nothing of a call: add `name`, `lines`, `deadlines` and `reply`."""

    rescue: Rescue | None = None

    def take(self, call_id: str, aside: Callable[[Aside], None]) -> Self:  # noqa: ARG002
        return self

    def hear(self, transcript: Transcript) -> None:
        pass

    def end(self, record: CallRecord) -> None:
        pass

    def conclude(self, ending: Ending) -> None:
        pass

    async def warm_up(self) -> None:
        pass

    async def close(self) -> None:
        pass
