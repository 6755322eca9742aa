"""Threads for tools that are not async. They are daemons: one that hangs must not keep the process from its end."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import Any

MOST_THREADS = 64

_work: SimpleQueue[Callable[[], None]] = SimpleQueue()
_idle = Semaphore(0)
_threads: list[Thread] = []


class _Daemons(Executor):
    """As an executor, so that a loop which has no threads can run what is meant for one."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        _work.put(partial(_carry_out, future, partial(function, *args, **kwargs)))
        if not _idle.acquire(blocking=False) and len(_threads) < MOST_THREADS:
            thread = Thread(target=_serve, name=f"tool_{len(_threads)}", daemon=True)
            _threads.append(thread)
            thread.start()
        return future


_DAEMONS = _Daemons()


async def in_thread(function: Callable[[], object]) -> object:
    """What it returns. When cancelled, it is left to itself, or not begun where it waits for a thread."""
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_DAEMONS, context.run, function)


def _serve() -> None:
    while True:
        _work.get()()
        _idle.release()


def _carry_out(future: Future[Any], function: Callable[[], object]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = function()
    except StopIteration:  # no future takes one
        future.set_exception(RuntimeError("StopIteration"))
    except BaseException as error:  # noqa: BLE001 - a tool is user code: its failure, or its exit, is an answer
        future.set_exception(error)
    else:
        future.set_result(result)
