import asyncio
import logging

import pytest

from service.agents.errands import Errands
from service.virtual.loop import run


def test_an_errand_s_result_can_be_awaited() -> None:
    async def play() -> None:
        errands = Errands()
        assert await errands.start(asyncio.sleep(1, "done")) == "done"

    run(play())


def test_what_an_errand_raises_is_logged_with_its_class_and_felt_by_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise KeyError("a name")

    async def play() -> None:
        errands = Errands()
        errands.start(fail())
        await errands.close()

    with caplog.at_level(logging.WARNING):
        run(play())
    (line,) = caplog.records
    assert line.exc_info is not None
    assert line.exc_info[0] is KeyError
    assert "a name" not in line.getMessage()


def test_closing_awaits_what_is_under_way_and_what_that_starts() -> None:
    async def play() -> list[str]:
        errands, ended = Errands(), list[str]()

        async def second() -> None:
            await asyncio.sleep(2)
            ended.append("second")

        async def first() -> None:
            await asyncio.sleep(2)
            errands.start(second())

        errands.start(first())
        await errands.close()
        return ended

    assert run(play()) == ["second"]


def test_closing_cancels_what_takes_too_long() -> None:
    async def play() -> tuple[bool, float]:
        errands = Errands()
        errand = errands.start(asyncio.sleep(3600))
        await errands.close()
        return errand.cancelled(), asyncio.get_running_loop().time()

    was_cancelled, took = run(play())
    assert was_cancelled
    assert took == pytest.approx(5)


def test_an_errand_that_will_not_be_cancelled_is_left() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await asyncio.sleep(3)

    async def play() -> float:
        errands = Errands()
        errand = errands.start(stubborn())
        await errands.close(grace=0.5)
        took = asyncio.get_running_loop().time()
        await errand
        return took

    assert run(play()) == pytest.approx(1.5)
