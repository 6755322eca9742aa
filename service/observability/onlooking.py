"""Who looks on while a process runs: which calls there are, and what happens in one of them. Never a word of it."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from service.conversation import events
from service.conversation.call import CallRecord, Turn, TurnRecord
from service.conversation.commands import Command
from service.conversation.events import Event
from service.llm.records import AttemptRecord
from service.observability.frames import FRAMES_IN, FRAMES_OUT
from service.observability.tools import SeenTool
from service.observability.watch import Part, SeenTurn, ServedBy

MOST_LINES = 500
"""Lines that wait for an onlooker; one that reads too slowly loses what comes then."""

Line = dict[str, object]


@dataclass(slots=True)
class Present:
    """A call that is here."""

    agent: str
    since: float
    """When it came: seconds since the epoch."""
    turns: int = 0
    turn: SeenTurn | None = None
    """The latest."""

    @property
    def tool(self) -> str | None:
        """What the latest turn waits for."""
        tools = () if self.turn is None else self.turn.tools
        return next((tool.name for tool in tools if tool.ended_at is None), None)


class Roster(Part):
    """Which calls there are."""

    name = "control"

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.calls: dict[str, Present] = {}
        self._clock = clock

    def took(self, call_id: str, served_by: ServedBy) -> None:
        self.calls[call_id] = Present(served_by.agent, self._clock())

    def began(self, turn: SeenTurn, asked: Turn) -> None:  # noqa: ARG002
        if (call := self.calls.get(turn.call_id)) is not None:
            call.turns, call.turn = call.turns + 1, turn

    def ended(self, call_id: str, record: CallRecord | None) -> None:  # noqa: ARG002
        self.calls.pop(call_id, None)


class Onlooker(Part):
    """Sees one call, from now on to its end."""

    name = "control"
    hears_chunks = True

    def __init__(self, call_id: str, most: int = MOST_LINES) -> None:
        self._call_id = call_id
        self._lines: deque[Line] = deque()
        self._most, self._lost = most, 0
        self._is_over = False
        self._news = asyncio.Event()

    async def lines(self) -> AsyncGenerator[Line]:
        """What happens, as it does; where some is missing, how much. `at` is seconds on the process's own clock."""
        while self._lines or self._lost or not self._is_over:
            await self._news.wait()
            self._news.clear()
            while self._lines:
                yield self._lines.popleft()
            if self._lost:
                lost, self._lost = self._lost, 0
                yield {"what": "lost", "lines": lost}

    def saw(self, call_id: str, event: Event, answer: Sequence[Command]) -> None:
        if (kind := FRAMES_IN.get(type(event))) is not None:
            rows = getattr(event, "transcript", None) or ()
            self._note(call_id, event.at, "in", frame=kind, turn_id=getattr(event, "turn_id", None), rows=len(rows))
        for command in answer:
            if (kind := FRAMES_OUT.get(type(command))) is not None:
                turn_id, size = getattr(command, "turn_id", None), len(getattr(command, "text", ""))
                is_final = getattr(command, "is_final", None)
                self._note(call_id, event.at, "out", frame=kind, turn_id=turn_id, characters=size, final=is_final)
        match event:
            case events.CallResumed():
                self._note(call_id, event.at, "line", is_open=True)
            case events.CallDisconnected():
                self._note(call_id, event.at, "line", is_open=False, close_code=event.code)
            case _:
                pass

    def settled(self, turn: SeenTurn, record: TurnRecord) -> None:
        words, took = _since(record.asked_at, record.first_words_at), _since(record.asked_at, record.final_at)
        about = {"outcome": record.outcome.value, "reason": record.reason, "first_words": words, "took": took}
        self._note(turn.call_id, record.settled_at, "turn", index=turn.index, prompt=turn.prompt.value, **about)

    def attempted(self, attempt: AttemptRecord, turn: SeenTurn | None) -> None:  # noqa: ARG002
        about = {"cause": attempt.cause.value, "result": attempt.result.value, "error": attempt.error}
        words, call_id = _since(attempt.asked_at, attempt.first_words_at), attempt.occasion.call_id
        self._note(call_id, attempt.ended_at, "attempt", target=attempt.target, **about, first_words=words)

    def used(self, tool: SeenTool, turn: SeenTurn) -> None:
        at = tool.asked_at if tool.ended_at is None else tool.ended_at
        self._note(turn.call_id, at, "tool", tool=tool.name, result=tool.result, took=_since(tool.asked_at, at))

    def ended(self, call_id: str, record: CallRecord | None) -> None:  # noqa: ARG002
        if call_id == self._call_id:
            self._is_over = True
            self._news.set()

    def _note(self, call_id: str, at: float, what: str, **about: object) -> None:
        if call_id != self._call_id:
            return
        if self._lost or len(self._lines) >= self._most:
            self._lost += 1  # until those that wait are told: so what is missing is missing in one place
        else:
            known = {name: value for name, value in about.items() if value is not None}
            self._lines.append({"at": round(at, 3), "what": what, **known})
        self._news.set()


def _since(start: float, end: float | None) -> float | None:
    return None if end is None else round(end - start, 3)
