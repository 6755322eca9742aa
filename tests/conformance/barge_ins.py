"""How long an answer goes on over the wire behind a newer request: the measure of a barge-in."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from random import Random

from tests.live import PlatformLine, Service, is_final


async def cancel_to_silence(service: Service, barge_ins: int, *, others: int, callers: int = 5) -> list[float]:
    """Seconds from each newer request to the last frame of the turn before it; 0 where none came any more.

    Measured at the platform's end, so both ways over the network are part of it. Callers barge in amid answers while
    others are answered without end. Each line is held to the rules of the wire: behind a frame of the newer turn, one
    of the turn before it is an AssertionError.
    """
    async with _talking(service, others):
        each = [_barging_in(service, f"barging_{number}", barge_ins // callers) for number in range(callers)]
        return [seconds for of_one in await asyncio.gather(*each) for seconds in of_one]


@asynccontextmanager
async def _talking(service: Service, calls: int) -> AsyncIterator[None]:
    """Other calls, answered again and again for as long as the context lasts."""

    async def talk(number: int) -> None:
        async with service.line(f"talking_{number}") as line:
            await line.greeted()
            for turn_id in count(1):
                await line.ask(turn_id, "", "Tell me more.")
                await line.answer(turn_id, within=30)

    async with asyncio.TaskGroup() as tasks:
        talks = [tasks.create_task(talk(number)) for number in range(calls)]
        yield
        for task in talks:
            task.cancel()


async def _barging_in(service: Service, call_id: str, barge_ins: int) -> list[float]:
    chance = Random(call_id)  # noqa: S311  wanted: the same again
    async with service.line(call_id) as line:
        await line.greeted()
        await _asked(line, 1)
        waits = []
        for turn_id in range(2, barge_ins + 2):
            await _listen(line, turn_id - 1, chance.uniform(0, 0.05))
            waits.append(await _asked(line, turn_id))
        return waits


async def _asked(line: PlatformLine, turn_id: int) -> float:
    """Ask, and read until the answer begins; returns how long the turn before it was heard."""
    now = asyncio.get_running_loop().time
    asked_at = silent_at = now()
    await line.ask(turn_id, "", "Tell me more.")
    while (await line.frame())["response_id"] != turn_id:
        silent_at = now()
    return silent_at - asked_at


async def _listen(line: PlatformLine, turn_id: int, seconds: float) -> None:
    """Hear an answer for a moment: it must not end in it."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                assert not is_final(turn_id)(await line.frame()), "it ended before the caller could barge in"
    except TimeoutError:
        return
