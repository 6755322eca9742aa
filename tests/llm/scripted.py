"""Endpoints that do what a script says, and the turns that a DependableModel makes of them, in virtual time."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from service.llm.attempt import Piece
from service.llm.candidate import Rules
from service.llm.dependable import DependableModel
from service.llm.model import NO_TOOLS, AnswerBegun, AnswerEnded, Delta, Message, Messages, Occasion, Role, Toolset
from service.llm.records import AttemptRecord
from service.llm.switches import Switches
from service.virtual.loop import run

HANG = float("inf")
Script = list[float | Delta | Exception]
"""Seconds to wait, what to say, what to raise. It ends with a finish_reason of "stop" unless it says another."""

ASKED = [Message(Role.USER, "Hi")]


class Scripted:
    """An endpoint that plays one script after the other; the last one again and again."""

    model = "m"

    def __init__(self, name: str, *scripts: Script) -> None:
        self.name = name
        self._scripts = scripts
        self.asked_at: list[float] = []
        self.closed_at: list[float] = []
        self.is_warm = self.is_closed = False
        self.warming_fails: Exception | None = None

    @property
    def asks(self) -> int:
        return len(self.asked_at)

    @property
    def open(self) -> int:
        return len(self.asked_at) - len(self.closed_at)

    async def ask(
        self, messages: Messages, traceparent: str | None = None, tools: Toolset = NO_TOOLS
    ) -> AsyncGenerator[Delta]:
        now = asyncio.get_running_loop().time
        script = self._scripts[min(self.asks, len(self._scripts) - 1)]
        self.asked_at.append(now())
        try:
            for step in script:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, float | int):
                    await (asyncio.sleep(step) if step < HANG else asyncio.get_running_loop().create_future())
                else:
                    yield step
            if not any(isinstance(step, AnswerEnded) for step in script):
                yield AnswerEnded("stop")
        finally:
            self.closed_at.append(now())

    async def warm_up(self) -> None:
        if self.warming_fails is not None:
            raise self.warming_fails
        self.is_warm = True

    async def close(self) -> None:
        self.is_closed = True


@dataclass
class Turn:
    """What came of one turn. Times are seconds from its beginning, to the microsecond."""

    pieces: list[Piece] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    error: type[BaseException] | None = None
    ended_after: float = 0.0
    records: list[AttemptRecord] = field(default_factory=list)

    @property
    def words(self) -> str:
        return "".join(piece for piece in self.pieces if isinstance(piece, str))

    @property
    def told(self) -> list[str]:
        """Each attempt as `target cause result` and its error, sorted as they were asked."""
        records = sorted(self.records, key=lambda record: record.asked_at)
        return [
            f"{each.target} {each.cause.value} {each.result.value}{f' {each.error}' if each.error else ''}"
            for each in records
        ]


class Stage:
    """A DependableModel over scripted endpoints, and everything that it tells."""

    def __init__(self, *endpoints: Scripted, rules: Rules | None = None) -> None:
        self.endpoints = endpoints
        self.records: list[AttemptRecord] = []
        self.is_blind = False
        self.switches = Switches()
        self.model = DependableModel(endpoints, rules or Rules(), self, self.switches)

    def attempted(self, record: AttemptRecord) -> None:
        if self.is_blind:
            raise RuntimeError("a broken witness")
        self.records.append(record)

    def traceparent(self, occasion: Occasion) -> str | None:
        if self.is_blind:
            raise RuntimeError("a broken witness")
        return f"00-{occasion.call_id}"

    async def turn(self, index: int = 0, *, cancelled_after: float | None = None) -> Turn:
        """Ask once and listen to the end, or until the turn is overtaken."""
        now = asyncio.get_running_loop().time
        turn, began = Turn(), now()
        listening = asyncio.get_running_loop().create_task(self._listen(turn, Occasion("call", index)))
        await asyncio.wait([listening], timeout=cancelled_after)
        listening.cancel()
        await asyncio.wait([listening])
        turn.ended_after = round(now() - began, 6)
        turn.records = [record for record in self.records if record.occasion.turn_index == index]
        return turn

    async def turns(self, number: int, *, gap: float = 1.0, cancelled_after: float | None = None) -> list[Turn]:
        """So many turns, one after the other."""
        begun: list[Turn] = []
        for _ in range(number):
            begun.append(await self.turn(len(begun), cancelled_after=cancelled_after))
            await asyncio.sleep(gap)
        return begun

    async def _listen(self, turn: Turn, occasion: Occasion) -> None:
        now = asyncio.get_running_loop().time
        began = now()
        stream = self.model.stream(ASKED, occasion)
        try:
            async for piece in stream:
                turn.pieces.append(piece)
                turn.times.append(round(now() - began, 6))
        except BaseException as error:  # noqa: BLE001 - a turn is looked at, however it ends
            turn.error = type(error)
        finally:
            await stream.aclose()


def played(*endpoints: Scripted, rules: Rules | None = None, cancelled_after: float | None = None) -> Turn:
    """One turn of a model that was never asked before."""
    return run(Stage(*endpoints, rules=rules).turn(cancelled_after=cancelled_after))


def begun(request_id: str) -> AnswerBegun:
    return AnswerBegun(request_id, 9, 99)
