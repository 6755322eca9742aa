import asyncio
import time

import pytest

from service.observability.loop import EVERY, LoopMonitor


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def watched() -> tuple[Clock, LoopMonitor, list[float]]:
    """A monitor whose looks the test makes, a clock that it turns, and the lags that were told."""
    clock, lags = Clock(), list[float]()
    monitor = LoopMonitor(clock)
    monitor.on_lag = lags.append
    monitor.start()
    monitor.look()
    lags.clear()
    return clock, monitor, lags


Watched = tuple[Clock, LoopMonitor, list[float]]


async def test_a_look_on_time_tells_no_lag(watched: Watched) -> None:
    clock, monitor, lags = watched
    clock.now += EVERY
    monitor.look()
    assert lags == [pytest.approx(0)]
    assert monitor.longest_stall() == pytest.approx(0)


async def test_a_late_look_tells_how_late(watched: Watched) -> None:
    clock, monitor, lags = watched
    clock.now += EVERY + 3
    assert monitor.overdue() == pytest.approx(3)  # what waited is handled before the timer fires
    assert monitor.longest_stall() == pytest.approx(3)  # asked by a scrape meanwhile
    monitor.look()
    assert monitor.overdue() == pytest.approx(3)  # or just after it
    assert lags == [pytest.approx(3)]
    clock.now += 0.05
    assert monitor.overdue() == 0


async def test_the_longest_stall_is_remembered_for_a_minute(watched: Watched) -> None:
    clock, monitor, _ = watched
    clock.now += EVERY + 2
    monitor.look()
    for _ in range(55):
        clock.now += 1
        monitor._due = clock.now  # the timer was on time
        monitor.look()
    assert monitor.longest_stall() == pytest.approx(2)
    for _ in range(15):
        clock.now += 1
        monitor._due = clock.now
        monitor.look()
    assert monitor.longest_stall() == pytest.approx(0)
    assert len(monitor._longest) <= 13


async def test_a_monitor_that_stopped_tells_of_nothing(watched: Watched) -> None:
    clock, monitor, _ = watched
    monitor.stop()
    monitor.stop()
    clock.now += 10
    assert monitor.overdue() == 0
    assert monitor.longest_stall() == 0


async def test_the_loop_is_watched_even_after_a_look_went_wrong() -> None:
    seen = list[float]()
    told = asyncio.Event()

    def on_lag(lag: float) -> None:
        seen.append(lag)
        if len(seen) == 1:
            raise ValueError
        told.set()

    monitor = LoopMonitor()
    monitor.on_lag = on_lag
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    monitor.start()
    time.sleep(EVERY + 0.15)  # noqa: ASYNC251 - the stall
    async with asyncio.timeout(5):
        await told.wait()
    monitor.stop()
    assert 0.1 < seen[0] < 1
    assert 0.1 < monitor.longest_stall() < 1


async def test_a_loop_that_is_late_all_the_time_is_overloaded_until_it_is_not(watched: Watched) -> None:
    clock, monitor, _ = watched

    def look(late: float, times: int = 1) -> bool:
        for _ in range(times):
            clock.now += EVERY + late
            monitor.look()
        return monitor.is_overloaded

    assert not look(late=0.4, times=100)  # it is only slow
    assert not look(late=0, times=50)
    assert not look(late=60)  # once is a stall
    assert look(late=1.0, times=10)
    assert not look(late=0.0, times=10)
    monitor.stop()
