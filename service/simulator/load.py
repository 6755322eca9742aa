"""`cuebox load`: plays many calls against a service at once, and measures it from outside. Needs `cuebox[load]`."""

import asyncio
import gc
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from random import Random

from service.simulator.line import NotConnected
from service.simulator.load_call import LoadCall
from service.simulator.load_host import Host, started
from service.simulator.load_line import Line
from service.simulator.load_run import KNEE_LIMIT, PATIENCE, Plan, Run, Tally, run_of
from service.simulator.load_talk import history

_SAMPLE_EVERY, _PROBE_EVERY = 0.5, 0.02
_DIALS_PER_SECOND = 100.0

OnBeat = Callable[[Tally, float], None]
"""Told now and then what was seen so far, and which share of the run is over."""


async def measure(
    plan: Plan,
    target: Host | None = None,
    *,
    on_beat: OnBeat = lambda _tally, _share: None,
    keeps_log: bool = False,
) -> Run:
    """Play one run against the target; without one, against a fresh service and stand-in model. Raises NotConnected."""
    with tempfile.TemporaryFile() as log:
        async with AsyncExitStack() as stack:
            if target is None:
                target = await stack.enter_async_context(started(plan, log))
            first = replace(plan, calls=1, seconds=plan.settle, turn_every=0.1, frames="tiny", barge_in=0.0, minute=0.0)
            await _played(Tally(first), target)  # does not count: a service loads this and that with its first turns
            run = await _played(Tally(plan), target, on_beat)
        if keeps_log:
            log.seek(0)
            run.tally.log = log.read().decode(errors="replace").splitlines()
        return run


@dataclass(frozen=True, slots=True)
class Knee:
    """The most calls that are known to be fine (0: none), and the fewest that are not; they end within a tenth."""

    calls: int
    too_many: int
    calls_per_core: int | None


async def find_knee(plan: Plan, one: Callable[[Plan], Awaitable[Run]]) -> tuple[list[Run], Knee]:
    """Run with more and more calls, beginning with the plan's. `one` is `measure`, with the rest of its arguments."""
    runs: list[Run] = []
    fine = too_many = 0
    share = None
    while not too_many or too_many - fine > max(1, fine // 10):
        calls = (fine + too_many) // 2 if too_many else max(plan.calls, 2 * fine)
        runs.append(run := await one(replace(plan, calls=calls)))
        if run.added and run.added.p99 <= KNEE_LIMIT and not run.errors:
            fine, share = calls, run.cpu_share
        else:
            too_many = calls
    # One event loop is one core, however idle.
    return runs, Knee(fine, too_many, None if share is None else int(fine / max(1.0, share)))


async def _played(tally: Tally, target: Host, on_beat: OnBeat = lambda _tally, _share: None) -> Run:
    plan, chance = tally.plan, Random(tally.plan.seed)  # noqa: S311  no secret
    past = history(plan.minute, chance)
    calls = [LoadCall(tally, Random(f"{plan.seed}/{number}"), past) for number in range(plan.calls)]  # noqa: S311
    tally.calls = frozenset(call.call_id for call in calls)
    probe = Line(tally, tally.lag)  # its pings wait exactly as long as the server's loop is busy
    await target.forget_draws()
    tally.empty = target.usage()
    try:
        await _dial([probe, *calls], target.url, chance)
        if all(call.is_over for call in calls):
            raise NotConnected(f"{target.url} takes no calls ({', '.join(tally.errors)}). Is a service there?")
        await asyncio.sleep(plan.settle)
        tally.idle = target.usage()
        gc.disable()  # a pause of ours would pass for one of the server's
        tally.began, client_cpu = time.monotonic(), time.process_time()
        for call in calls:
            call.talk(tally.began, tally.began + plan.seconds)
        probe.ping_every(_PROBE_EVERY, tally.began + 0.75 * plan.seconds)  # costs CPU, so not while that is measured
        await _watch(tally, target, on_beat)
        tally.ended, tally.client_cpu = time.monotonic(), time.process_time() - client_cpu
        await _until_idle(calls)
        tally.model = await target.draws()
        tally.errors.update(["the stand-in model was never asked"] if target.model and not tally.model else [])
        for call in calls:
            call.settle()
        return run_of(tally)
    finally:
        gc.enable()
        for line in (probe, *calls):
            line.hang_up()


async def _dial(lines: Sequence[Line], url: str, chance: Random) -> None:
    """Calls arrive as they please, too."""
    async with asyncio.TaskGroup() as tasks:
        for line in lines:
            tasks.create_task(line.dial(url))
            await asyncio.sleep(chance.expovariate(_DIALS_PER_SECOND))


async def _watch(tally: Tally, target: Host, on_beat: OnBeat) -> None:
    """Look now and then, until the callers cease to speak."""
    seconds = tally.plan.seconds
    while (share := (time.monotonic() - tally.began) / seconds) < 1:
        if (usage := target.usage(tally.asked)) is not None:
            tally.usage.append(usage)
        on_beat(tally, share)
        await asyncio.sleep(min(_SAMPLE_EVERY, seconds / 12, (1 - share) * seconds))


async def _until_idle(calls: Sequence[LoadCall]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while not all(call.is_idle for call in calls):  # noqa: ASYNC110  seldom, and nobody is in a hurry
                await asyncio.sleep(0.05)
