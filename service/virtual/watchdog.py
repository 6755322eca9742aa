"""Ends what runs for ever: the clock of a virtual loop stands still until everybody waits."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

AGAIN = 2.0
"""Seconds until whoever goes on nevertheless is interrupted once more."""


class Endless(KeyboardInterrupt):
    """The message says where. An interrupt, because asyncio lets nothing else through from amid a task."""


@contextmanager
def no_longer_than(seconds: float) -> Iterator[None]:
    """Raise Endless in what runs after so many seconds of this machine; without signals, or in a thread, never."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    told: list[str] = []

    def interrupt(_number: int, frame: FrameType | None) -> None:
        where = f", at {frame.f_code.co_filename}:{frame.f_lineno}" if frame else ""
        told.append(f"it was not over after {seconds:g} s of this machine{where}")
        raise Endless(told[0])

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
    except BaseException as error:
        if told and not isinstance(error, Endless):  # a loop that is interrupted amid its own work does not end well
            raise Endless(told[0]) from error
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
