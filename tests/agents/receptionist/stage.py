"""Scripted callers and a scripted model, on the shipped receptionist and the real server.

The model is a stubborn one: asked again for the same words, it begins anew and calls its tools once more.
"""

import asyncio
import json
import sqlite3
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from service.agents.folder import Folder, Limits, read_folder
from service.agents.library import SHIPPED
from service.agents.prompted import PromptedAgent
from service.agents.receptionist.appointments import ZONE, Book, Location, Visit, is_closed, now
from service.llm.model import NO_TOOLS, Message, Messages, Occasion, Role, ToolCall, ToolExchange, Toolset
from service.settings import Settings
from tests.live import Frame, PlatformLine, Service, is_final, serving

Round = str | ToolCall | tuple[str | ToolCall, ...]
Row = tuple[str, str, str, str]
"""An appointment: name, visit, location and time, such as `mon 09:30`."""

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
SETTLE_DELAY = 0.06  # seconds: as the real one, but shorter


@dataclass(frozen=True)
class Says:
    """What a caller says, and what the model does about it, round by round."""

    words: str
    rounds: tuple[Round, ...]
    asked: int = 1
    """How often the platform asks for an answer to it."""
    until: str = ""
    """The caller waits no longer than for the first frame of this type, or not at all for `nothing`."""
    pause: float = 0
    """And so many seconds. The platform asks again after as many."""
    then_dies: bool = False
    """The line breaks, and the call goes on in another process."""


def says(
    words: str, *rounds: Round, asked: int = 1, until: str = "", pause: float = 0, then_dies: bool = False
) -> Says:
    return Says(words, rounds, asked, until, pause, then_dies)


def use(tool: str, **arguments: object) -> ToolCall:
    """The model calls a tool."""
    return ToolCall("call_0", tool, json.dumps(arguments))


def monday() -> datetime:
    """Of the next whole week without a holiday, at least three days ahead."""
    today = now().date()
    weeks = (today + timedelta(7 * n - today.weekday()) for n in range(1, 9))
    free = (day for day in weeks if not any(is_closed(day + timedelta(n)) for n in range(7)))
    return datetime.combine(next(day for day in free if (day - today).days > 2), datetime.min.time())


def at(when: str) -> str:
    """`mon 09:30` as tools take it."""
    day, time = when.split()
    return f"{monday() + timedelta(DAYS.index(day)):%Y-%m-%d}T{time}"


def book(when: str, name: str = "Ann Lee", location: str = "Northgate", **more: object) -> ToolCall:
    """The model books."""
    wish = {"location": location, "start": at(when), "visit": "check-up", "name": name, **more}
    return use("book_appointment", **wish)


class ScriptedModel:
    """Plays the rounds of what the caller said last, from the first for each turn."""

    def __init__(self, scripts: Sequence[Sequence[Says]]) -> None:
        self._scripts = scripts
        self._rounds = Counter[tuple[str, int]]()
        self.learned: list[str] = []
        """What tools answered."""
        self.prompts: list[str] = []

    async def stream(
        self, messages: Messages, occasion: Occasion, tools: Toolset = NO_TOOLS
    ) -> AsyncGenerator[str | ToolCall]:
        self.learned += [message.result for message in messages if isinstance(message, ToolExchange)]
        self.prompts += [message.text for message in messages[:1] if isinstance(message, Message)]
        heard = [message.text for message in messages if isinstance(message, Message) and message.role is Role.USER]
        script = self._scripts[int(occasion.call_id.rpartition("_")[2])]
        rounds = next(said.rounds for said in script if heard[-1].endswith(said.words))
        number = self._rounds[occasion.call_id, occasion.turn_index]
        self._rounds[occasion.call_id, occasion.turn_index] += 1
        played = rounds[min(number, len(rounds) - 1)]
        for piece in played if isinstance(played, tuple) else (played,):
            yield piece

    def begin_anew(self) -> None:
        """Another process counts its turns anew."""
        self._rounds.clear()

    async def warm_up(self) -> None:
        pass

    async def close(self) -> None:
        pass


class Caller:
    """The platform's side of one call: it keeps the transcript, and tells it with the tools' rows."""

    def __init__(self, number: int, phone: str | None) -> None:
        self.call_id = f"call_{number}"
        self._phone = phone
        self._rows: list[Frame] = []
        self._turn = 0
        self.actions: list[object] = []

    async def play(self, service: Service, script: Sequence[Says]) -> None:
        """Say all of it, on one line."""
        details = {"from_number": self._phone, "direction": "inbound"} if self._phone else {}
        async with service.line(self.call_id) as line:
            if self._rows:
                await line.frame()  # the config
                await line.send({"interaction_type": "call_details", "call": {"call_id": self.call_id, **details}})
            else:
                await line.greeted(**details)
            for said in script:
                await self._say(line, said)
            if script[-1].then_dies:
                line.cut()

    async def _say(self, line: PlatformLine, said: Says) -> None:
        self._rows.append({"role": "user", "content": said.words})
        for _ in range(said.asked):
            self._turn += 1
            spoken = [row for row in self._rows if row["role"] in ("agent", "user")]
            rows = {"transcript": spoken, "transcript_with_tool_calls": self._rows}
            await line.send({"interaction_type": "response_required", "response_id": self._turn, **rows})
            await asyncio.sleep(said.pause)
        if said.until == "nothing":
            return
        is_over = is_final(self._turn)
        for frame in await line.until(lambda frame: frame["response_type"] == said.until or is_over(frame)):
            self._hear(frame)
        await asyncio.sleep(said.pause)

    def _hear(self, frame: Frame) -> None:
        self.actions += [frame[key] for key in ("transfer_number", "digit_to_press") if key in frame]
        self.actions += ["end_call"] if frame.get("end_call") else []
        if frame["response_type"] in ("tool_call_invocation", "tool_call_result"):
            self._rows.append({"role": frame["response_type"], **frame})
        elif frame.get("response_id") == self._turn and frame["content"]:
            self._rows.append({"role": "agent", "content": frame["content"]})


@dataclass
class Played:
    """What is left when the calls are over."""

    rows: list[Row]
    references: list[int]
    calls: list[str]
    actions: list[object]
    model: ScriptedModel


def receptionist() -> Folder:
    """Without its knowledge, which these tasks do not need."""
    folder = read_folder(SHIPPED / "receptionist")
    script = msgspec.structs.replace(folder.script, limits=Limits(settle_delay=SETTLE_DELAY))
    return replace(folder, script=script, knowledge=None)


async def play(
    file: Path,
    scripts: Sequence[Sequence[Says]],
    given: Sequence[Row] = (),
    phone: str | None = "+12075550150",
    busy_for: float = 0,
) -> Played:
    """Let callers call, all at once, and see what is left of the book. `busy_for` seconds nobody can write in it."""
    for name, visit, location, when in given:
        _given(Book(file), name, visit, location, when)  # type: ignore[arg-type]  # a table's words
    model = ScriptedModel(scripts)
    callers = [Caller(number, phone) for number in range(len(scripts))]
    for part in range(max(len(_parts(script)) for script in scripts)):
        model.begin_anew()
        agent = PromptedAgent(receptionist(), model, lambda: datetime.now(ZONE))
        async with serving(agent, Settings(agent="dummy")) as service, asyncio.TaskGroup() as tasks:
            tasks.create_task(_occupy(file, busy_for if part == 0 else 0))
            for caller, script in zip(callers, scripts, strict=True):
                if part < len(_parts(script)):
                    tasks.create_task(caller.play(service, _parts(script)[part]))
    with closing(sqlite3.connect(file)) as db:
        query = "SELECT name, visit, location, start, reference FROM appointments WHERE reference > 0"
        found = db.execute(f"{query} ORDER BY start, name").fetchall()
        calls = [call_id for (call_id,) in db.execute("SELECT call_id FROM calls ORDER BY call_id")]
    rows = [(name, visit, location, _when(start)) for name, visit, location, start, _ in found]
    return Played(rows, [row[-1] for row in found], calls, [a for c in callers for a in c.actions], model)


def _given(made: Book, name: str, visit: Visit, location: Location, when: str) -> None:
    slot = made.slot(location, datetime.fromisoformat(at(when)))
    made.book("", slot, visit, name, "2075550150")


async def _occupy(file: Path, seconds: float) -> None:
    with Book(file)._writing():
        await asyncio.sleep(seconds)


def _parts(script: Sequence[Says]) -> list[list[Says]]:
    """What is said in one process after the other."""
    parts: list[list[Says]] = [[]]
    for said in script:
        parts[-1].append(said)
        if said.then_dies:
            parts.append([])
    return parts


def _when(start: str) -> str:
    moment = datetime.fromisoformat(start)
    assert monday() <= moment < monday() + timedelta(7)
    return f"{DAYS[moment.weekday()]} {moment:%H:%M}"
