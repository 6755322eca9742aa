"""What a process still holds: the sizes of all that its state can reach, and the tasks and timers of the loop.

Nobody has to name what may grow: whatever hangs on the service's own objects is counted, by the attribute it hangs on.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from types import FunctionType, MethodType
from typing import Any

Sizes = Counter[str]

_OURS = ("service.simulator", "service.virtual")
_CONTAINERS = (dict, list, set, deque, OrderedDict)
_LIMITS = {
    "Breaker._seen": 1_000,
    "DependableModel._hedged": 1_000,
    "Guard._callers": 100_000,  # for an hour
    "Hedger._": 1_000,
    "LoopMonitor._longest": 13,
    "Meter._unpriced": 100,  # models
    "Pool._idle": 10,
    "Vocabulary._": 10_000,  # one for each word of the knowledge
    "_Desk._seen": 10_000,  # webhooks that were posted
}
"""How much more than at the beginning there may be of what is bounded by itself."""


def taken(roots: Iterable[object]) -> Sizes:
    """Count what hangs on these."""
    sizes, seen = Sizes(), set[int]()
    waiting: list[tuple[str, object]] = [("", root) for root in roots]
    keep: list[object] = []  # so that no address is used twice
    while waiting:
        place, found = waiting.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        keep.append(found)
        if isinstance(found, _CONTAINERS):
            sizes[place] += len(found)
        waiting += _next(place, found)
    return sizes


def _next(place: str, found: object) -> Iterator[tuple[str, object]]:
    match found:
        case dict():
            yield from ((place, each) for each in found.values())
        case list() | set() | tuple() | deque() | frozenset():
            yield from ((place, each) for each in found)
        case MethodType():
            yield place, found.__self__
        case FunctionType():
            yield from ((place, cell.cell_contents) for cell in found.__closure__ or () if _is_full(cell))
        case partial():
            yield from ((place, each) for each in (found.func, *found.args, *found.keywords.values()))
        case _ if type(found).__module__.startswith("service.") and not type(found).__module__.startswith(_OURS):
            name = type(found).__name__
            yield from ((f"{name}.{field}", value) for field, value in _fields_of(found))
        case _:
            pass


def _is_full(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018  it raises
    except ValueError:
        return False
    return True


def _fields_of(found: object) -> Iterator[tuple[str, object]]:
    yield from getattr(found, "__dict__", {}).items()
    for kind in type(found).__mro__:
        slots = getattr(kind, "__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            private = f"_{kind.__name__.lstrip('_')}{name}" if name.startswith("__") else name
            if hasattr(found, private):
                yield name, getattr(found, private)


def grown(before: Mapping[str, int], after: Mapping[str, int]) -> list[str]:
    """What is larger than it may be, in words."""
    told = []
    for place, size in sorted(after.items()):
        limit = max((most for name, most in _LIMITS.items() if place.startswith(name)), default=0)
        if size > before.get(place, 0) + limit:
            told.append(f"{place} holds {size}, and held {before.get(place, 0)} before the first call")
    return told


def going_on() -> Counter[str]:
    """The tasks and the timers of the running loop, by what they run."""
    loop = asyncio.get_running_loop()
    tasks = [f"task {getattr(task.get_coro(), '__qualname__', '?')}" for task in asyncio.all_tasks()]
    handles = loop._scheduled  # type: ignore[attr-defined]  # noqa: SLF001  asyncio's own list
    timers = [f"timer {getattr(each._callback, '__qualname__', '?')}" for each in handles if not each.cancelled()]  # noqa: SLF001
    return Counter([*tasks, *timers])


def left_over(idle: Mapping[str, int], now: Mapping[str, int], *, processes: tuple[int, int]) -> list[str]:
    """Whether more goes on than when nothing had happened yet, in words. `processes` is how many there were and are."""
    told = []
    for kind in ("task", "timer"):
        before, after = (sum(count for what, count in each.items() if what.startswith(kind)) for each in (idle, now))
        if after * processes[0] > before * max(processes):
            told.append(f"{after} {kind}s go on, and {before} did before the first call: {dict(now)}")
    return told


class Held:
    """What some processes hold before their first call, and after their last."""

    def __init__(self) -> None:
        self._before: list[Sizes] = []

    def before(self, roots: Iterable[object]) -> None:
        """One more process is about to start, and this is its state."""
        self._before.append(taken(roots))

    def after(self, number: int, roots: Iterable[object]) -> list[str]:
        """What is larger than it may be in the process of this number."""
        return grown(self._before[number], taken(roots))
