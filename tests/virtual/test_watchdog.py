import asyncio
import signal
import time
from contextlib import suppress

import pytest

from service.virtual.loop import run
from service.virtual.watchdog import Endless, no_longer_than


def spin() -> None:
    while True:
        pass


def test_what_never_ends_is_ended_and_told_where() -> None:
    with (
        pytest.raises(Endless, match=r"not over after 0.1 s of this machine, at .*test_watchdog.py:1[34]"),
        no_longer_than(0.1),
    ):
        spin()


def test_whoever_catches_it_is_interrupted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.virtual.watchdog.AGAIN", 0.05)

    def stubborn() -> None:
        with suppress(Endless):
            spin()
        spin()

    with pytest.raises(Endless), no_longer_than(0.05):
        stubborn()


def test_a_loop_of_tasks_is_ended_too() -> None:
    async def world() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Endless), no_longer_than(0.1):
        run(world())


def test_what_ends_is_left_alone_and_nothing_remains() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with no_longer_than(0.05):
        pass
    time.sleep(0.1)
    assert signal.getsignal(signal.SIGALRM) is before


async def test_in_a_thread_there_is_no_watch() -> None:
    def waits() -> str:
        with no_longer_than(0.01):
            time.sleep(0.05)
        return "done"

    assert await asyncio.to_thread(waits) == "done"
