"""The one observer of all calls: it joins what belongs to a turn, and tells it to the parts of telemetry.

A turn is told of at its settlement. An attempt of its that is cancelled then ends a moment later, and is told of
with the turn that it belonged to. What a part raises is logged once, counted, and felt by nobody.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from service.conversation import commands
from service.conversation.call import CallRecord, Prompt, Turn, TurnRecord
from service.conversation.commands import Command, Say
from service.conversation.events import CallStarted, Event, ReplyDrafted
from service.conversation.verdict import Hearsay
from service.llm.model import Occasion
from service.llm.records import AttemptRecord
from service.observability.faults import innermost, where

MOST_CALLS = 10_000
"""Calls known at once. More can only be calls whose end was never seen: the oldest is forgotten."""

MOST_ATTEMPTS = 64
"""Attempts kept of one turn."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A span's ids, as the W3C's Trace Context has them."""

    trace_id: int
    span_id: int

    @classmethod
    def drawn(cls, trace_id: int | None = None) -> "Trace":
        """New ids, in a trace of their own unless one is given."""
        return cls(trace_id or secrets.randbits(128) or 1, secrets.randbits(64) or 1)

    @classmethod
    def of(cls, traceparent: str) -> "Trace":
        _, trace_id, span_id, _ = traceparent.split("-")
        return cls(int(trace_id, 16), int(span_id, 16))

    @property
    def traceparent(self) -> str:
        """The header that makes this span the parent of what others do. It may be kept, so it says that it is."""
        return f"00-{self.hex}-{self.span_id:016x}-01"

    @property
    def hex(self) -> str:
        """The trace's id, as everybody writes it."""
        return f"{self.trace_id:032x}"


@dataclass(slots=True, eq=False)
class SeenTurn:
    """A turn from its start until the next one is settled, or the call ends. Parts may keep their own facts on it."""

    call_id: str
    index: int
    turn_id: int
    prompt: Prompt
    attempts: list[AttemptRecord] = field(default_factory=list)
    record: TurnRecord | None = None
    """None until it is settled."""
    trace: Trace | None = None
    """Its root span, from its start; None when nothing is traced."""
    exemplar: dict[str, str] | None = None
    """Labels that point from a metric to this turn's trace, once it is settled; None when its trace is not kept."""


class Part:
    """What is done with the facts. All hooks run on the event loop, and none of them once a chunk."""

    name: str
    hears_chunks: bool = False
    """Whether `saw` is told of the chunks of answers, too: many times a second in each call."""

    def saw(self, call_id: str, event: Event, answer: Sequence[Command]) -> None:
        """An event, with the commands that answered it. Comes before the other hooks that it causes."""

    def began(self, turn: SeenTurn, asked: Turn) -> None:
        """An agent is asked."""

    def settled(self, turn: SeenTurn, record: TurnRecord) -> None:
        """A turn was settled; the attempts that are over by now are with it."""

    def attempted(self, attempt: AttemptRecord, turn: SeenTurn | None) -> None:
        """An attempt is over: before its turn was settled, or just after it. None when its turn is long gone."""

    def ended(self, call_id: str, record: CallRecord | None) -> None:
        """A call is over, and all its turns are settled; or its end was never seen, and there is no record."""

    def failed(self, call_id: str, error: Exception) -> None:
        """A fault of our own was caught at the seam of a call."""

    def heard(self, fact: Hearsay) -> None:
        """The platform told of a call beside its line."""


@dataclass(slots=True)
class _Call:
    open: SeenTurn | None = None
    late: SeenTurn | None = None


class Watch:
    """The session's Observer and the model's AttemptWitness.

    The parts are told in their order, and of a call's end in the reverse: the first keeps what the others ask it for.
    """

    def __init__(self, parts: Sequence[Part], on_failure: Callable[[str], None] = lambda _: None) -> None:
        self._parts = parts
        self._chunk_parts = [part for part in parts if part.hears_chunks]
        self._on_failure = on_failure
        self._calls: dict[str, _Call] = {}
        self._broken: set[str] = set()

    def saw(self, call_id: str, event: Event, answer: Sequence[Command]) -> None:
        if type(event) is ReplyDrafted and (not answer or type(answer[0]) is Say):
            if self._chunk_parts:
                self._tell(self._chunk_parts, "saw", call_id, event, answer)
            return
        if type(event) is CallStarted:
            self._open(call_id)
        self._tell(self._parts, "saw", call_id, event, answer)
        call = self._calls.get(call_id)
        if call is None:
            return
        for command in answer:
            match command:
                case commands.RecordTurn():
                    self._settle(call, command.record)
                case commands.StartReply():
                    self._begin(call, command.turn)
                case commands.RecordCall():
                    del self._calls[call_id]
                    self._tell(self._parts[::-1], "ended", call_id, command.record)
                case _:
                    pass

    def attempted(self, record: AttemptRecord) -> None:
        turn = self._turn_of(record.occasion)
        if turn is not None and len(turn.attempts) < MOST_ATTEMPTS:
            turn.attempts.append(record)
        self._tell(self._parts, "attempted", record, turn)

    def failed(self, call_id: str, error: Exception) -> None:
        self._tell(self._parts, "failed", call_id, error)

    def heard(self, fact: Hearsay) -> None:
        self._tell(self._parts, "heard", fact)

    def traceparent(self, occasion: Occasion) -> str | None:
        turn = self._turn_of(occasion)
        return None if turn is None or turn.trace is None else Trace.drawn(turn.trace.trace_id).traceparent

    def _turn_of(self, occasion: Occasion) -> SeenTurn | None:
        call, index = self._calls.get(occasion.call_id) or _Call(), occasion.turn_index
        return next((turn for turn in (call.open, call.late) if turn is not None and turn.index == index), None)

    def _open(self, call_id: str) -> None:
        unended = call_id if call_id in self._calls else next(iter(self._calls), "")
        if unended == call_id or len(self._calls) >= MOST_CALLS:
            del self._calls[unended]
            self._tell(self._parts[::-1], "ended", unended, None)
        self._calls[call_id] = _Call()

    def _begin(self, call: _Call, asked: Turn) -> None:
        call.open = SeenTurn(asked.call_id, asked.index, asked.turn_id, asked.prompt)
        self._tell(self._parts, "began", call.open, asked)

    def _settle(self, call: _Call, record: TurnRecord) -> None:
        turn = call.open
        if turn is None:
            return
        call.open, call.late = None, turn
        turn.record = record
        self._tell(self._parts, "settled", turn, record)

    def _tell(self, parts: Sequence[Part], hook: str, *facts: object) -> None:
        for part in parts:
            try:
                getattr(part, hook)(*facts)
            except Exception as error:  # noqa: BLE001 - what cannot be seen must not be felt
                self._broke(part.name, error)

    def _broke(self, name: str, error: Exception) -> None:
        self._on_failure(name)
        if name not in self._broken:
            self._broken.add(name)
            log = structlog.get_logger()
            log.error("telemetry.failed", part=name, error=type(innermost(error)).__name__, where=where(error))
