"""Tasks that may outlive the turn that began them, and their owner, who awaits them."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_LOG = logging.getLogger(__name__)


class Errands:
    """Whoever starts a task here may leave it: its failure is logged, by its class and place, and felt by nobody."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, errand: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run it as a task, which can be awaited or cancelled as any other."""
        task = asyncio.get_running_loop().create_task(errand)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.warning("an errand of an agent failed", exc_info=error)

    async def close(self, grace: float = 5.0) -> None:
        """Await all of them, and cancel those that take longer than `grace` seconds. No more may be started."""
        await self._wait(grace)
        for task in self._tasks:
            task.cancel()
        await self._wait(1.0)  # a task that will not be cancelled is left to the loop's end

    async def _wait(self, seconds: float) -> None:
        """Until there are none: one that ends may have started another."""
        until = asyncio.get_running_loop().time() + seconds
        while self._tasks and (left := until - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(self._tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)
