"""The loop whose clock jumps."""

import asyncio
import contextvars
import random
import time
from datetime import UTC, datetime

import pytest

from service.virtual.loop import OWNER, Deadlock, TasksLeft, VirtualLoop, run


def test_an_hour_is_over_at_once() -> None:
    async def sleep() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    began = time.perf_counter()
    assert run(sleep()) == pytest.approx(3600, abs=1e-6)
    assert time.perf_counter() - began < 60  # an hour was not waited for


def test_what_is_due_first_happens_first() -> None:
    async def world() -> list[int]:
        told: list[int] = []

        async def tell(after: int) -> None:
            await asyncio.sleep(after)
            told.append(after)

        await asyncio.gather(*(tell(after) for after in (30, 10, 20)))
        return told

    assert run(world()) == [10, 20, 30]


def test_who_waits_for_nothing_is_told_so() -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        run(wait())


def test_a_task_left_behind_is_a_fault() -> None:
    async def world() -> None:
        asyncio.get_running_loop().create_task(asyncio.sleep(1))

    with pytest.raises(TasksLeft, match="tasks were left"):
        run(world())


def test_the_wall_clock_goes_along() -> None:
    async def world() -> tuple[datetime, datetime]:
        before = datetime.now(UTC)
        await asyncio.sleep(90)
        return before, datetime.now(UTC)

    before, after = run(world(), starts=datetime(2026, 3, 2, 9, tzinfo=UTC))
    assert before == datetime(2026, 3, 2, 9, tzinfo=UTC)
    assert (after - before).total_seconds() == pytest.approx(90, abs=1e-3)
    assert time.time() > after.timestamp()  # and it is today again


def test_chance_is_the_same_each_time() -> None:
    async def draw() -> float:
        return random.random()  # noqa: S311  wanted: the same again

    assert run(draw(), seed=7) == run(draw(), seed=7) != run(draw(), seed=8)


def test_a_thread_takes_no_time_and_its_error_is_told() -> None:
    asked = contextvars.ContextVar("asked", default="")

    def work(times: int) -> str:
        return asked.get() * times

    async def world() -> str:
        asked.set("x")
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        done = await asyncio.to_thread(work, 3)
        assert asyncio.get_running_loop().time() == 0
        return done

    assert run(world()) == "xxx"


def test_who_is_killed_takes_its_tasks_and_timers_along_and_nobody_elses() -> None:
    async def world() -> list[str]:
        loop, told = asyncio.get_running_loop(), list[str]()
        assert isinstance(loop, VirtualLoop)

        async def tell(what: str) -> None:
            await asyncio.sleep(1)
            told.append(what)

        def begin(what: str, owner: object) -> "asyncio.Task[None]":
            OWNER.set(owner)
            loop.call_later(2, told.append, f"{what}'s timer")
            return loop.create_task(tell(what))

        doomed, spared = object(), object()
        tasks = [
            contextvars.copy_context().run(begin, name, owner) for name, owner in (("one", doomed), ("other", spared))
        ]
        await asyncio.sleep(0.5)
        assert loop.kill(doomed) == [tasks[0]]
        await asyncio.sleep(5)
        return told

    assert run(world()) == ["other", "other's timer"]
