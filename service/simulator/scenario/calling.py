"""Plays scenarios against an address, in real time."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from pathlib import Path

import msgspec

from service.simulator.line import NotConnected, dial_websocket, epoch_of_loop, fresh_call_id, url_of_call
from service.simulator.scenario.judging import judged
from service.simulator.scenario.player import Player
from service.simulator.scenario.reach import why_inside
from service.simulator.scenario.reading import BrokenScenario, read_scenario
from service.simulator.scenario.script import Scenario
from service.simulator.scenario.telling import Played, played


async def played_over(
    files: Sequence[Path], url: str, *, repeat: int = 1, at_once: int = 4
) -> AsyncGenerator[Played | BrokenScenario]:
    """Play each so often, so many at once. The results come in the order of the files."""
    places = asyncio.Semaphore(at_once)

    async def play(file: Path) -> Played | BrokenScenario:
        async with places:
            try:
                return await _often(file, read_scenario(file), url, repeat)
            except BrokenScenario as broken:
                return broken

    loop = asyncio.get_running_loop()  # no TaskGroup: whoever reads may do so from one task after the other
    playing = [loop.create_task(play(file)) for file in files]
    try:
        for task in playing:
            yield await task
    finally:
        for task in playing:
            task.cancel()
        await asyncio.gather(*playing, return_exceptions=True)


async def _often(file: Path, scenario: Scenario, url: str, repeat: int) -> Played:
    if (why := why_inside(scenario)) is not None:
        return Played(str(file), scenario.name, skipped=why)
    began = time.perf_counter()
    for _ in range(repeat):
        result = await _once(file, scenario, url)
        if result.failures:
            break
    return msgspec.structs.replace(result, took=time.perf_counter() - began)


async def _once(file: Path, scenario: Scenario, url: str) -> Played:
    call_id = fresh_call_id()
    try:
        player = Player(
            scenario,
            lambda call_id: partial(dial_websocket, url_of_call(url, call_id)),
            call_id=call_id,
            epoch=epoch_of_loop(),
        )
        timeline = await player.play()
    except NotConnected as error:
        return Played(str(file), scenario.name, (str(error),))
    return played(file, scenario, timeline, judged(scenario, timeline), keeps_log=False)
