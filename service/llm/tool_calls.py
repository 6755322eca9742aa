"""Tool calls put together from their deltas.

The protocol numbers parallel calls by index, and endpoints do not all keep to it: indices that are all 0 or missing,
ids that are empty, on the first delta alone or new on each, names repeated or in pieces. So a delta belongs to the
call with its id. Otherwise one with a name begins a call, unless the latest with its index still wants its own; and one
without goes on with that call, or with the last.
"""

from collections.abc import Iterable
from uuid import uuid4

import msgspec
from msgspec import Struct

from service.llm.model import StreamBroken, ToolCall

_MOST_CALLS = 32
_MOST_CHARACTERS = 1 << 18


class _Function(Struct, frozen=True):
    name: str | None = None
    arguments: str | None = None


class ToolCallDelta(Struct, frozen=True):
    """A piece of a tool call, as endpoints stream it."""

    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Open(Struct):
    index: int | None
    id: str
    name: str = ""
    arguments: str = ""


class ToolCalls:
    """The tool calls of one answer."""

    def __init__(self) -> None:
        self._calls: list[_Open] = []
        self.has_begun = False
        """Whether there is a call with a name: one without calls nothing."""

    def take_all(self, deltas: Iterable[ToolCallDelta]) -> None:
        """Take in the deltas of a chunk. Raises StreamBroken for more than any honest answer holds."""
        for delta in deltas:
            self._take(delta)
        self.has_begun = any(call.name for call in self._calls)

    def _take(self, delta: ToolCallDelta) -> None:
        function = delta.function or _Function()
        call = self._call_of(delta, function)
        if call is None:
            if len(self._calls) == _MOST_CALLS:
                raise StreamBroken
            call = _Open(delta.index, delta.id or f"call_{uuid4().hex}")  # of all turns, none has it twice
            self._calls.append(call)
        if function.name and function.name != call.name:
            call.name += function.name
        call.arguments += function.arguments or ""
        if len(call.arguments) > _MOST_CHARACTERS:
            raise StreamBroken

    def whole(self) -> list[ToolCall]:
        """The calls, once the answer has ended."""
        return [ToolCall(call.id, call.name, call.arguments or "{}") for call in self._calls if call.name]

    def _call_of(self, delta: ToolCallDelta, function: _Function) -> _Open | None:
        latest_first = self._calls[::-1]
        if delta.id and (same := next((call for call in latest_first if call.id == delta.id), None)):
            return same
        there = next((call for call in latest_first if call.index == delta.index), None)
        if there is None:  # an index that was never begun is a wrong one
            return None if delta.id or function.name or not latest_first else latest_first[0]
        if not function.name:
            return there
        is_repeated = function.name == there.name and not function.arguments
        begins = delta.id or (_is_whole(there.arguments) and not is_repeated)
        return None if there.name and begins else there


def _is_whole(arguments: str) -> bool:
    try:
        msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
