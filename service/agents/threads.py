"""Threads for tools that are not async. They are daemons: one that hangs must not keep the process from its end."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from threading import Semaphore, Thread

MOST_THREADS = 64

_work: SimpleQueue[Callable[[], None]] = SimpleQueue()
_idle = Semaphore(0)
_threads: list[Thread] = []


async def in_thread(function: Callable[[], object]) -> object:
    """What it returns. When cancelled, it is left to itself, or not begun where it waits for a thread."""
    future: Future[object] = Future()
    _work.put(partial(_carry_out, future, contextvars.copy_context(), function))
    if not _idle.acquire(blocking=False) and len(_threads) < MOST_THREADS:
        thread = Thread(target=_serve, name=f"tool_{len(_threads)}", daemon=True)
        _threads.append(thread)
        thread.start()
    return await asyncio.wrap_future(future)


def _serve() -> None:
    while True:
        _work.get()()
        _idle.release()


def _carry_out(future: Future[object], context: contextvars.Context, function: Callable[[], object]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = context.run(function)
    except StopIteration:  # no future takes one
        future.set_exception(RuntimeError("StopIteration"))
    except BaseException as error:  # noqa: BLE001 - a tool is user code: its failure, or its exit, is an answer
        future.set_exception(error)
    else:
        future.set_result(result)
