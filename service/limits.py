"""What a call may come to: turns, time, money, and how often a caller may call. Who goes beyond is told so.

It looks on as telemetry does, and asks for the end of a call as an agent would: with words, and then the platform hangs
up. What the caller says meanwhile gets the same answer.
"""

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b

from service.conversation import events
from service.conversation.call import CallDetails, CallRecord
from service.conversation.commands import Command
from service.conversation.events import Event
from service.llm.model import Usage
from service.llm.records import AttemptRecord, Result
from service.observability.prices import Price
from service.observability.watch import Part, SeenTurn

HOUR = 3600.0
MOST_CALLERS = 10_000
"""Callers remembered: beyond it the one who first called longest ago is forgotten."""

_NUMBER = re.compile(r"\+?\d{5,20}")


class Limit(StrEnum):
    """What a call may go beyond."""

    TURNS = "turns"
    LENGTH = "length"
    SPEND = "spend"
    CALLER_CALLS = "caller_calls"
    CALLER_TURNS = "caller_turns"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of each there may be; 0 is for as much as you like. The caller's are of an hour."""

    turns: int = 0
    seconds: float = 0.0
    dollars: float = 0.0
    caller_calls: int = 0
    caller_turns: int = 0


@dataclass(slots=True)
class _Caller:
    since: float
    calls: int = 0
    turns: int = 0


@dataclass(slots=True)
class _Call:
    started_at: float
    turns: int = 0
    dollars: float = 0.0
    usage: Usage | None = None
    """What its latest attempt used that was told."""
    language: str = ""
    caller: bytes | None = None
    reached: Limit | None = None


class Guard(Part):
    """Counts what each call comes to."""

    name = "limits"

    def __init__(
        self, limits: Limits, prices: Mapping[str, Price], on_reached: Callable[[str, str], None] = lambda *_: None
    ) -> None:
        """`on_reached` is told of each call that is beyond a limit, once."""
        self.dismiss: Callable[[str, str], None] = lambda *_: None
        """Ends a call, in a language."""
        self._limits, self._prices, self._on_reached = limits, prices, on_reached
        self._calls: dict[str, _Call] = {}
        self._callers: dict[bytes, _Caller] = {}
        self._key = secrets.token_bytes(16)  # numbers are not kept, nor anything that they could be guessed from

    def saw(self, call_id: str, event: Event, answer: Sequence[Command]) -> None:  # noqa: ARG002
        if type(event) is events.CallStarted:
            self._calls[call_id] = _Call(event.at)
        if (call := self._calls.get(call_id)) is None:
            return
        if call.reached is not None:
            if type(event) is events.ReplyRequested or type(event) is events.CallResumed:
                self.dismiss(call_id, call.language)
            return
        most = self._limits
        if most.seconds and event.at - call.started_at > most.seconds:
            self._reach(call_id, call, Limit.LENGTH)
        elif type(event) is events.ReplyRequested:
            self._asked(call_id, call, event.at)
        elif type(event) is events.CallDetailsReceived and event.details.call_id == call_id:
            self._introduced(call_id, call, event.details, event.at)

    def attempted(self, attempt: AttemptRecord, turn: SeenTurn | None) -> None:  # noqa: ARG002
        call, price = self._calls.get(attempt.occasion.call_id), self._prices.get(attempt.model)
        if call is None or price is None or (attempt.result is Result.FAILED and attempt.usage is None):
            return
        call.usage = attempt.usage or call.usage  # who interrupts is not told, but pays all the same: about as much
        call.dollars += 0.0 if call.usage is None else max(0.0, price.of(call.usage))
        if 0 < self._limits.dollars < call.dollars and call.reached is None:
            self._reach(attempt.occasion.call_id, call, Limit.SPEND)

    def ended(self, call_id: str, record: CallRecord | None) -> None:  # noqa: ARG002
        self._calls.pop(call_id, None)

    def _asked(self, call_id: str, call: _Call, at: float) -> None:
        most, caller = self._limits, None if call.caller is None else self._caller(call.caller, at)
        call.turns += 1
        if caller is not None:
            caller.turns += 1
        if 0 < most.turns < call.turns:
            self._reach(call_id, call, Limit.TURNS)
        elif caller is not None and 0 < most.caller_turns < caller.turns:
            self._reach(call_id, call, Limit.CALLER_TURNS)

    def _introduced(self, call_id: str, call: _Call, details: CallDetails, at: float) -> None:
        """Count the call for whoever dialled; one that is made from here, or whose number is hidden, is nobody's."""
        call.language = details.variables.get("language", "")
        number, most = details.from_number or "", self._limits
        is_known = details.direction != "outbound" and _NUMBER.fullmatch(number)
        if call.caller is not None or not is_known or not (most.caller_calls or most.caller_turns):
            return
        call.caller = blake2b(number.removeprefix("+").encode(), digest_size=16, key=self._key).digest()
        caller = self._caller(call.caller, at)
        caller.calls += 1
        if 0 < most.caller_calls < caller.calls:
            self._reach(call_id, call, Limit.CALLER_CALLS)

    def _caller(self, key: bytes, at: float) -> _Caller:
        caller = self._callers.get(key)
        if caller is None or at - caller.since >= HOUR:
            self._callers.pop(key, None)  # the order is that of their hours' beginning
            if len(self._callers) >= MOST_CALLERS:
                del self._callers[next(iter(self._callers))]
            caller = self._callers[key] = _Caller(at)
        return caller

    def _reach(self, call_id: str, call: _Call, limit: Limit) -> None:
        call.reached = limit
        self._on_reached(call_id, limit.value)
        self.dismiss(call_id, call.language)
