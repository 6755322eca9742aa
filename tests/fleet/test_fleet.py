"""Deploys and crashes amid sixty calls: three real instances behind a real haproxy.

A longer form: `python -m tests.fleet.test_fleet CALLS`.
"""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from service.simulator.load_run import Spread
from service.simulator.probe import Notes
from tests.fleet.fleet import Fleet, fleet, sayings

MISSING = "there is no haproxy here (Debian: haproxy)"
CALLS = 60


async def replaced_one_by_one(fleet: Fleet) -> list[int]:
    """Crash the first, drain the others; each comes back before the next one goes. Return what they exited with."""
    codes = []
    for n, instance in enumerate(fleet.instances):
        codes.append(await instance.end(signal.SIGKILL if n == 0 else signal.SIGTERM))
        await instance.start()
        await asyncio.sleep(1)
    return codes


async def deploy_amid(calls: int, folder: Path) -> tuple[list[Notes], list[int], Counter[tuple[str, str]], list[str]]:
    async with fleet(folder, size=3) as running:
        is_done = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            held = [tasks.create_task(running.call(2.5 * n / calls, is_done)) for n in range(calls)]
            await asyncio.sleep(6.3)  # by then a third of the callers are having their second booking made
            codes = await replaced_one_by_one(running)
            await asyncio.sleep(3)  # each has one more turn
            is_done.set()
        return [task.result() for task in held], codes, running.bookings(), [each.log for each in running.instances]


def report(notes: list[Notes]) -> str:
    gaps = Spread.of(outage.gap or each.seconds for each in notes for outage in each.outages)
    waits = Spread.of(wait for each in notes for wait in each.waits)
    turns, lost = sum(each.asked for each in notes), sum(each.words_lost for each in notes)
    return f"{len(notes)} calls, {turns} turns, {lost} words lost\ntakeover gap, ms: {gaps}\nfirst words, ms: {waits}"


@pytest.mark.skipif(shutil.which("haproxy") is None and os.environ.get("CI") != "true", reason=MISSING)
async def test_deploys_and_crashes_lose_no_turn_and_repeat_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shutil.which("haproxy"), MISSING
    notes, codes, bookings, logs = await deploy_amid(CALLS, tmp_path)
    with capsys.disabled():
        sys.stdout.write(f"\n{report(notes)}\n")
    assert codes == [-signal.SIGKILL, 0, 0]
    assert [fault for each in notes for fault in each.faults()] == []
    assert {code for each in notes for code in each.close_codes} == {1000, 1006}
    assert all(each.close_codes.count(1000) == 1 for each in notes)  # the caller's own
    assert {each.greetings for each in notes} == {1}
    gaps = Spread.of(outage.gap or each.seconds for each in notes for outage in each.outages)
    assert gaps is not None
    assert gaps.n >= CALLS
    assert gaps.p99 <= 4000
    wished = Counter[tuple[str, str]]()
    for each in notes:
        for said, answer in zip(sayings(), each.answers, strict=False):
            day = said.split()[1] if said.startswith("Book") else ""
            assert answer == (f"The answer is booked {day}" if day else f"The answer is {said}")
            wished.update([(each.call_id, day)] if day else [])
    assert bookings == wished
    assert max(bookings.values()) == 1
    assert sum("service.drained" in log for log in logs) == 2


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        told = asyncio.run(deploy_amid(int(sys.argv[1]), Path(place)))[0]
    sys.stdout.write("\n".join([report(told), *(fault for each in told for fault in each.faults()), ""]))
