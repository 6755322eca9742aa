"""Calls that are recorded, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from service.recording.reading import Recording, read_recording
from service.settings import Settings
from service.simulator.line import SimulatedLine
from service.simulator.model import StandInModel
from service.simulator.model_script import Script
from service.simulator.retell import RetellCall
from service.virtual.loop import run
from service.world import World, settings_of_world, world
from tests.agents.folders import written

MORNING = datetime(2026, 3, 2, 9, tzinfo=UTC)
TOOLS = '''"""Tools."""

from service.agents.tools import tool


@tool(effect="read")
async def opening_hours(day: str) -> str:
    """Tell when we are open.

    Args:
        day: A weekday.
    """
    return f"{day}: 9 to 5"
'''
GREETING = 'greeting = "Hello, this is the bakery."\n'


class Caller:
    """Somebody on the line of a world. Everything takes as long as it would."""

    def __init__(self, made: World, call_id: str, details: Mapping[str, Any]) -> None:
        self.call = RetellCall(call_id, dict(details), epoch=MORNING.timestamp())
        self.line = SimulatedLine(self.call, made.way_in(f"/llm-websocket/{call_id}", call_id), lambda _: None)
        self.model = made.model

    async def says(self, text: str, then_waits: float = 9.0) -> None:
        self.line.carry_out(self.call.caller_speaks(text, self.line.now()))
        await asyncio.sleep(then_waits)


Play = Callable[[Caller], Awaitable[None]]


async def one_question(caller: Caller) -> None:
    await caller.says("When are you open, my number is 0151 four two seven")


def bakery(place: Path, **files: str) -> Path:
    """The folder of agents, with one in it."""
    written(place / "bakery", **{"agent_toml": GREETING, "tools_py": TOOLS, **files})
    return place


def settings_of(agents: Path, folder: Path, *, has_model: bool = True, **changes: Any) -> Settings:
    own = {"agents_dir": str(agents), "agent": "bakery", "record_dir": str(folder), **changes}
    return settings_of_world(msgspec.structs.replace(Settings(), **own), has_model=has_model)


def recorded(
    folder: Path,
    play: Play = one_question,
    *,
    details: Mapping[str, Any] | None = None,
    model: StandInModel | None = None,
    on_world: Callable[[World], None] = lambda _: None,
    silent_for: float = 6.0,
    **changes: Any,
) -> list[Path]:
    """Play a call, to its end and a minute beyond, and return what was recorded of it."""
    agents = bakery(folder.parent / "agents")

    async def played() -> None:
        answering = model or StandInModel(Script("We open at nine. And we close at 5.", 0.4, 0.02), seed=1)
        async with world(settings_of(agents, folder, **changes), answering) as made:
            on_world(made)
            caller = Caller(made, "call_1", details or {})
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(caller.line.play())
                await asyncio.sleep(silent_for)
                await play(caller)
                caller.line.carry_out(caller.call.hang_up(caller.line.now()))
            await asyncio.sleep(70)

    run(played(), starts=MORNING, seed=1)
    return sorted(folder.glob("*.jsonl"))


def recording(folder: Path, play: Play = one_question, **named: Any) -> Recording:
    """The same, read back."""
    (path,) = recorded(folder, play, **named)
    return read_recording(path)
