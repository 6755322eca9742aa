"""A backend that tools write to, and a stage whose agent has them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from service.agents.call import Call
from service.agents.tools import Tool, tool
from tests.agents.stage import Piece, Stage, calls, folder_of

BOOK, CANCEL, FIND = calls("book", '{"day": "Monday"}'), calls("cancel"), calls("find")


@dataclass
class Diary:
    """A backend, and tools that write to it."""

    takes: float = 0.1
    fails: int = 0
    """How often a booking fails at first."""
    done: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    stopped: int = 0

    @property
    def tools(self) -> tuple[Tool, ...]:
        @tool(hold="I am booking.", hold_after=0.8, timeout=6)
        async def book(call: Call, day: str) -> str:
            """Book an appointment."""
            self.keys.append(call.key)
            await asyncio.sleep(self.takes)
            if self.fails:
                self.fails -= 1
                raise RuntimeError
            self.done.append(f"book {day}")
            return f"booked {day}"

        @tool
        async def cancel() -> str:
            """Cancel the appointment."""
            self.done.append("cancel")
            return "cancelled"

        @tool(effect="read")
        async def find() -> str:
            """Find an appointment."""
            try:
                await asyncio.sleep(self.takes)
            except asyncio.CancelledError:
                self.stopped += 1
                raise
            return "found"

        return (book, cancel, find)

    def stage(self, *rounds: Sequence[Piece]) -> Stage:
        return Stage(folder_of(*self.tools), *rounds)
