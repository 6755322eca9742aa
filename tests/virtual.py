"""An event loop whose clock jumps: tests of deadlines wait for nothing, and what happens when is exact."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_LATE = 1e-9
"""As a real clock, this one never shows a moment before the timer's."""


class Deadlock(Exception):
    """Every task waits, and no timer will wake one."""


class _Jumping(selectors.DefaultSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise Deadlock
        self.now += timeout + _LATE if timeout > 0 else 0
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time begins at 0 and passes only while every task waits."""

    def __init__(self) -> None:
        self._clock = _Jumping()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run(test: Coroutine[Any, Any, T]) -> T:
    """Run it in virtual time. Raises Deadlock, and AssertionError for a task that it left behind."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_alone(test))


async def _alone(test: Coroutine[Any, Any, T]) -> T:
    result = await test
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"tasks were left: {left}"
    return result
