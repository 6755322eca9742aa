"""An event loop whose clock jumps: nothing is waited for, and what happens when is exact."""

import asyncio
import contextvars
import os
import random
import selectors
import sys
import weakref
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from service.virtual.network import Network

if TYPE_CHECKING:
    from types import FrameType

T = TypeVar("T")

OWNER: contextvars.ContextVar[object] = contextvars.ContextVar("owner", default=None)
"""Whose tasks and timers these are: the process's that would take them with it when it is killed."""

_urandom = os.urandom
_LATE = 1e-9
"""As a real clock, this one never shows a moment before the timer's."""


class Deadlock(Exception):
    """Every task waits, and no timer will wake one."""


class TasksLeft(Exception):
    """A world is over, and tasks of it are not. The message says which."""


class _Jumping(selectors.DefaultSelector):
    now = 0.0

    def __init__(self, on_jump: Callable[[float], None]) -> None:
        super().__init__()
        self._on_jump = on_jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout == 0:
            return []  # there is something to do, and nothing comes from outside of this world
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise Deadlock
        if timeout > 0:
            self.now += timeout + _LATE
            self._on_jump(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time begins at 0 and passes only while every task waits. Its network is in memory, and its threads are none.

    What would run in a thread runs at once, in no time: so nothing depends on which of two threads is faster.
    """

    def __init__(self, on_jump: Callable[[float], None] = lambda _: None) -> None:
        self._clock = _Jumping(on_jump)
        super().__init__(self._clock)
        self.network = Network(self)
        self._owned: weakref.WeakKeyDictionary[asyncio.Task[Any], object] = weakref.WeakKeyDictionary()
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        return self._clock.now

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **_more: Any) -> Any:
        """Connect to what serves in this world. Raises ConnectionRefusedError where nothing does."""
        return await self.network.connect(protocol_factory, str(host), int(port))

    async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **_options: Any) -> Any:
        return self.network.serve(protocol_factory, str(host), int(port or 0))

    def run_in_executor(self, executor, func, *args):  # type: ignore[no-untyped-def,override]  # noqa: ANN001,ANN002,ANN201,ARG002  as asyncio's
        future = self.create_future()
        try:
            future.set_result(contextvars.copy_context().run(func, *args))
        except StopIteration:  # no future takes one
            future.set_exception(RuntimeError("StopIteration"))
        except BaseException as error:  # noqa: BLE001 - whoever awaits it gets it
            future.set_exception(error)
        return future

    def kill(self, owner: object) -> list["asyncio.Task[Any]"]:
        """Take away the timers that this owner has set, and cancel its tasks: they are returned."""
        for handle in list(self._scheduled):  # type: ignore[attr-defined]  # asyncio's own list
            if handle._context.get(OWNER) is owner:  # noqa: SLF001
                handle.cancel()
        doomed = [task for task, whose in self._owned.items() if whose is owner and not task.done()]
        for task in doomed:
            task.cancel()
        return doomed

    def _make_task(self, loop: asyncio.AbstractEventLoop, body: Any, **options: Any) -> "asyncio.Task[Any]":
        task = asyncio.Task(body, loop=loop, **options)
        context = options.get("context")
        owner = OWNER.get() if context is None else context.get(OWNER)
        if owner is not None:
            self._owned[task] = owner
        return task


def run(world: Coroutine[Any, Any, T], *, starts: datetime | None = None, seed: int | None = None) -> T:
    """Run it in virtual time. Raises Deadlock, and TasksLeft for a task that it left behind.

    With `starts`, the wall clock of the whole process shows that moment at 0 and goes on with the loop's; with `seed`,
    what `random`, `secrets` and `uuid` draw is the same each time.
    """
    with ExitStack() as stack:
        if seed is not None:
            stack.enter_context(_drawing(seed))
        if starts is None:
            return _run(VirtualLoop, world)
        import time_machine  # noqa: PLC0415 - only who wants another day needs it

        clock = stack.enter_context(time_machine.travel(starts.astimezone(UTC), tick=False))
        return _run(lambda: VirtualLoop(clock.shift), world)


def draw_anew(seed: int) -> None:
    """From now on, draw as after the start of a world: what its making drew, of modules and indexes, is forgotten."""
    random.seed(seed)
    chance = random.Random(seed)  # noqa: S311  wanted: the same again

    def drawn(size: int) -> bytes:
        """Modules that draw as they are imported do so in the first world of a process alone: that is not counted."""
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001
        while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
            frame = frame.f_back
        return chance.randbytes(size) if frame is None else _urandom(size)

    os.urandom = random._urandom = drawn  # type: ignore[attr-defined]  # noqa: SLF001  where secrets draws


@contextmanager
def _drawing(seed: int) -> Iterator[None]:
    before = os.urandom
    draw_anew(seed)
    try:
        yield
    finally:
        os.urandom = random._urandom = before  # type: ignore[attr-defined]  # noqa: SLF001


def _run(make_loop: Callable[[], VirtualLoop], world: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=make_loop) as runner:
        return runner.run(_alone(world))


def _told(task: "asyncio.Task[Any]") -> str:
    frame = next(iter(task.get_stack(limit=1)), None)
    where = f" at {frame.f_code.co_filename}:{frame.f_lineno}" if frame else ""
    return f"{getattr(task.get_coro(), '__qualname__', task.get_name())}{where}"


async def _alone(world: Coroutine[Any, Any, T]) -> T:
    result = await world
    left = asyncio.all_tasks() - {asyncio.current_task()}
    if left:
        raise TasksLeft(f"tasks were left: {', '.join(sorted(map(_told, left)))}")
    return result
