"""One trace a turn, told at its settlement with the times that were: so what is kept is decided before a span exists.

Kept are the turns that failed, were slow, were interrupted or had a tool that broke, and a share of the others: at
least one in `QUIET` seconds, so that a quiet service is seen, too. All in all no more than `RATE` a second, with some
more at a time.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from service.conversation import events
from service.conversation.call import CallRecord, Outcome, Turn, TurnRecord
from service.conversation.commands import Command
from service.conversation.events import Event
from service.llm.records import AttemptRecord, Result
from service.observability import conventions
from service.observability.conventions import Attributes, Happening, Provider
from service.observability.tools import BROKEN, RUNNING, SeenTool
from service.observability.watch import Part, SeenTurn, ServedBy, Trace
from service.observability.words import Words

SLOW = 2.0
"""Seconds until the first sentence: the objective for first words. No turn may be slower unseen."""

QUIET = 10.0
RATE, MOST_AT_ONCE = 10.0, 100.0


@dataclass(frozen=True, slots=True)
class Span:
    """What is told of a piece of work. Moments are seconds since the epoch."""

    name: str
    kind: Literal["INTERNAL", "CLIENT", "SERVER"]
    """Whose work it tells of: ours, somebody else's, or ours for somebody else."""
    ids: Trace
    began_at: float
    ended_at: float
    attributes: Attributes
    parent: Trace | None = None
    happenings: Sequence[Happening] = ()
    links: Sequence[tuple[Trace, str]] = ()
    """The spans that it has to do with, and how."""


@dataclass(slots=True)
class _Call:
    epoch: float
    """The wall clock when the monotonic clock was 0."""
    line: Trace | None
    """The opening of its line; None when that was not sent."""
    interrupted: Trace | None = None
    """The turn that the next one interrupted."""


class Tracer(Part):
    """Decides which turns are kept, and says their spans."""

    name = "traces"

    def __init__(
        self,
        agent: str,
        providers: Mapping[str, Provider],
        send: Callable[[Span], bool],
        *,
        share: float = 0.05,
        route: str = "/{call_id}",
        captures_content: bool = False,
        chance: random.Random | None = None,
    ) -> None:
        """`send` says whether it took the span; `share` is of the turns of which there is nothing to tell, 0 to 1."""
        self._agent, self._providers, self._route = agent, providers, route
        self._send = send
        self._share = share
        self._words = Words() if captures_content else None
        self.hears_chunks = captures_content
        self._chance = chance or random.Random()  # noqa: S311 - of what is seen, nobody wins anything
        self._calls: dict[str, _Call] = {}
        self._kept_at = float("-inf")
        self._room, self._room_at = MOST_AT_ONCE, 0.0

    def trace_of_call(self, call_id: str) -> str | None:
        """The id of the trace of its newest line's opening, until the call has ended."""
        call = self._calls.get(call_id)
        return None if call is None or call.line is None else call.line.hex

    # What the watch tells.

    def saw(self, call_id: str, event: Event, answer: Sequence[Command]) -> None:
        if self._words is not None:
            self._words.saw(call_id, event, answer)
        match event:
            case events.CallStarted():
                self._calls[call_id] = call = _Call(event.epoch - event.at, None)
                call.line = self._open(call_id, call, event.at)
            case events.CallResumed() if (known := self._calls.get(call_id)) is not None:
                known.line = self._open(call_id, known, event.at)
            case _:
                pass

    def began(self, turn: SeenTurn, asked: Turn) -> None:  # noqa: ARG002
        """Draws the turn's ids: they go to the model long before it is known whether the turn is kept."""
        turn.trace = Trace.drawn()

    def settled(self, turn: SeenTurn, record: TurnRecord) -> None:
        call = self._calls.get(turn.call_id)
        if call is None or turn.trace is None:
            return
        interrupted, call.interrupted = call.interrupted, None
        links = [(call.line, "handshake"), (interrupted, "interrupted_turn")]
        if not self._keeps(turn, record) or not self._send(self._root(turn, turn.trace, record, call, links)):
            return
        turn.exemplar = {"trace_id": turn.trace.hex}
        if record.outcome is Outcome.INTERRUPTED:
            call.interrupted = turn.trace
        for attempt in turn.attempts:
            self._send(self._attempt(attempt, turn.trace, call))
        for tool in turn.tools:
            if tool.result != RUNNING:
                self._send(self._tool(tool, turn.call_id, turn.trace, call))

    def attempted(self, attempt: AttemptRecord, turn: SeenTurn | None) -> None:
        """One that was over just after its turn was settled."""
        if turn is None or turn.exemplar is None or turn.trace is None:
            return
        if (call := self._calls.get(turn.call_id)) is not None:
            self._send(self._attempt(attempt, turn.trace, call))

    def used(self, tool: SeenTool, turn: SeenTurn) -> None:
        """One that outlived its turn; the others are told of with it."""
        if turn.exemplar is None or turn.trace is None:
            return
        if (call := self._calls.get(turn.call_id)) is not None:
            self._send(self._tool(tool, turn.call_id, turn.trace, call))

    def ended(self, call_id: str, record: CallRecord | None) -> None:  # noqa: ARG002
        self._calls.pop(call_id, None)
        if self._words is not None:
            self._words.ended(call_id)

    # What is kept.

    def _keeps(self, turn: SeenTurn, record: TurnRecord) -> bool:
        at = record.settled_at
        is_told = record.outcome in (Outcome.FAILED, Outcome.INTERRUPTED) or record.waited > SLOW
        is_told = is_told or any(tool.result in BROKEN for tool in turn.tools)
        is_due = self._share > 0 and at - self._kept_at >= QUIET
        if not (is_told or is_due or self._chance.random() < self._share) or not self._has_room(at):
            return False
        self._kept_at = at
        return True

    def _has_room(self, at: float, spare: float = 0) -> bool:
        self._room = min(MOST_AT_ONCE, self._room + RATE * max(0.0, at - self._room_at))
        self._room_at = at
        if self._room < 1 + spare:
            return False
        self._room -= 1
        return True

    # The spans.

    def _open(self, call_id: str, call: _Call, at: float) -> Trace | None:
        ids, moment = Trace.drawn(), call.epoch + at
        attributes = conventions.of_handshake(call_id, self._route)
        span = Span(f"GET {self._route}", "SERVER", ids, moment, moment, attributes)
        return ids if self._has_room(at, spare=MOST_AT_ONCE / 2) and self._send(span) else None

    def _root(
        self,
        turn: SeenTurn,
        ids: Trace,
        record: TurnRecord,
        call: _Call,
        links: Sequence[tuple[Trace | None, str]],
    ) -> Span:
        """It ends with the reply, though what became of that is known only later."""
        winner = next((each for each in turn.attempts if each.result is Result.ANSWERED), None)
        answered = None if winner is None else (self._provider(winner).name, winner.model)
        by = turn.served_by if turn.served_by.agent else ServedBy(self._agent)
        attributes = conventions.of_turn(turn.call_id, by, record, answered)
        attributes |= conventions.of_knowledge(turn.knowledge)
        if self._words is not None and (said := self._words.said(turn.call_id)):
            attributes |= conventions.of_words(**said)
        ended_at = record.settled_at if record.final_at is None else record.final_at
        told = conventions.happenings_of_turn(record, turn.attempts)
        return Span(
            f"invoke_agent {by.agent}",
            "INTERNAL",
            ids,
            call.epoch + record.asked_at,
            call.epoch + ended_at,
            attributes,
            happenings=[(name, call.epoch + at, more) for name, at, more in told],
            links=[(other, kind) for other, kind in links if other is not None],
        )

    def _attempt(self, attempt: AttemptRecord, parent: Trace, call: _Call) -> Span:
        header = attempt.traceparent
        return Span(
            f"chat {attempt.model}",
            "CLIENT",
            Trace.drawn(parent.trace_id) if header is None else Trace.of(header),
            call.epoch + attempt.asked_at,
            call.epoch + attempt.ended_at,
            conventions.of_attempt(attempt, self._provider(attempt)),
            parent,
        )

    def _tool(self, tool: SeenTool, call_id: str, parent: Trace, call: _Call) -> Span:
        with_content = self._words is not None and self._words.may_be_kept(call_id)
        return Span(
            f"execute_tool {tool.name}",
            "INTERNAL",
            parent.of_tool(tool.asked.tool_call_id),
            call.epoch + tool.asked_at,
            call.epoch + (tool.asked_at if tool.ended_at is None else tool.ended_at),
            conventions.of_tool(call_id, tool, with_content=with_content),
            parent,
        )

    def _provider(self, attempt: AttemptRecord) -> Provider:
        return self._providers.get(attempt.target) or Provider()
