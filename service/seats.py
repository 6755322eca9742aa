"""How many calls there may be at once. A call that dials again has its place already."""

from collections import Counter
from collections.abc import Container, Iterator, Sized
from contextlib import contextmanager
from typing import Protocol

from service.access import Refused

_REMEMBERED = 4
"""So many times as many calls as may be open are known at most: those whose line has just closed are among them."""

FULL = "refused_capacity"


class Known(Container[object], Sized, Protocol):
    """The calls that are known by their ids."""


class Seats:
    """A place for each call that has a line, or is about to have one."""

    def __init__(self, most: int, known: Known) -> None:
        self._most, self._known = most, known
        self._taken: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._taken)

    @contextmanager
    def taken(self, call_id: str) -> Iterator[None]:
        """Take the call's place for one line. Raises Refused when there is none for a call that is new."""
        if not self.has_room_for(call_id):
            raise Refused(503, FULL, "There is no room for one more call.")
        self._taken[call_id] += 1
        try:
            yield
        finally:
            self._taken[call_id] -= 1
            if not self._taken[call_id]:
                del self._taken[call_id]

    def has_room_for(self, call_id: str) -> bool:
        """Whether a line of this call may come."""
        if call_id in self._taken or call_id in self._known:
            return True
        return len(self._taken) < self._most and len(self._known) < _REMEMBERED * self._most
