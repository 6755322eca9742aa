import asyncio
import threading
from functools import partial

from service.agents.threads import MOST_THREADS, in_thread


async def test_more_work_than_threads_is_done_all_the_same() -> None:
    work = [partial(abs, -number) for number in range(3 * MOST_THREADS)]
    assert await asyncio.gather(*map(in_thread, work)) == list(range(3 * MOST_THREADS))
    assert sum(thread.name.startswith("tool_") for thread in threading.enumerate()) <= MOST_THREADS


async def test_an_idle_thread_is_used_again() -> None:
    names = set()
    for _ in range(20):
        names.add(await in_thread(lambda: threading.current_thread().name))
        await asyncio.sleep(0.001)  # until it is idle
    assert len(names) < 20


async def test_threads_do_not_keep_the_process() -> None:
    assert await in_thread(lambda: threading.current_thread().daemon) is True


async def test_what_is_cancelled_before_a_thread_was_free_is_not_begun() -> None:
    release, begun = threading.Event(), list[int]()
    loop = asyncio.get_running_loop()
    busy = [loop.create_task(in_thread(lambda: release.wait(5))) for _ in range(MOST_THREADS)]
    waiting = loop.create_task(in_thread(lambda: begun.append(1)))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.wait((waiting,))
    release.set()
    await asyncio.gather(*busy)
    await in_thread(lambda: None)
    assert begun == []
