"""The part of telemetry that counts and measures. What the metrics mean stands in `metrics`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from service.conversation import commands, events
from service.conversation.call import CallRecord, Outcome, Prompt, Turn, TurnRecord
from service.conversation.commands import Command, Say
from service.conversation.events import Event, Oddity
from service.llm.breaker import State
from service.llm.model import Usage
from service.llm.records import AttemptRecord, Cause, Result
from service.observability.frames import FRAMES_IN, FRAMES_OUT
from service.observability.metrics import Metrics
from service.observability.prices import Price
from service.observability.watch import Part, SeenTurn

PONG_LATE = 2.0
"""Seconds: the platform pings again by then."""

_CLOSES = {
    1000: ("platform", "normal"),
    1001: ("platform", "going_away"),
    1002: ("platform", "protocol"),
    1003: ("platform", "protocol"),
    1007: ("us", "protocol"),  # what we refuse to read: the transport closes
    1008: ("platform", "protocol"),
    1009: ("us", "too_large"),
}
_ABNORMAL = ("platform", "abnormal")
_BREAKER = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}


@dataclass(slots=True)
class _Call:
    started_at: float
    is_open: bool = True
    closed_at: float = 0.0
    cut: str | None = None
    """Why we cut its line."""
    drafting: SeenTurn | None = None
    is_left_waiting: bool = False
    """Whether its line ended before the first words of an answer."""


class Meter(Part):
    """Updates the metrics."""

    name = "metrics"

    def __init__(
        self,
        metrics: Metrics,
        prices: Mapping[str, Price],
        assumption_broken_by: Callable[[Oddity], str | None] = lambda _: None,
        overdue: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`overdue` tells how late the event loop is now, in seconds."""
        self._turns, self._models, self._lines = metrics.turns, metrics.models, metrics.calls
        self._prices = prices
        self._assumption_broken_by = assumption_broken_by
        self._overdue = overdue
        self._calls: dict[str, _Call] = {}
        self._unpriced: set[str] = set()
        self._in = {kind: self._lines.frames_in[name] for kind, name in FRAMES_IN.items()}
        self._out = {kind: self._lines.frames_out[name] for kind, name in FRAMES_OUT.items()}

    def refused(self, result: str) -> None:
        """A call was not taken."""
        self._lines.calls[result].inc()

    def limited(self, limit: str) -> None:
        """A call was told to end."""
        self._lines.limited[limit].inc()

    # Lines and frames.

    def saw(self, call_id: str, event: Event, answer: Sequence[Command]) -> None:
        call = self._calls.get(call_id)
        match event:
            case events.CallStarted():
                self._calls[call_id] = _Call(event.at)
                self._lines.calls["accepted"].inc()
                self._lines.open.inc()
            case events.CallResumed() if call is not None:
                self._resumed(call)
            case events.CallDisconnected() if call is not None:
                self._disconnected(call, event)
            case events.Pinged():
                self._ponged()
            case events.OddityNoticed(oddity=Oddity.FLOODED, detail=detail) if call is not None and detail:
                call.cut = "flooded"
            case _:
                pass
        is_told = isinstance(event, events.OddityNoticed) and event.oddity is Oddity.TRANSCRIPT_UNREADABLE
        frame = self._in.get(type(event))
        if frame is not None and not is_told:  # what could be read of that frame is an event of its own
            frame.inc()
        for command in answer:
            self._command(call, command)

    def _command(self, call: _Call | None, command: Command) -> None:
        frame = self._out.get(type(command))
        if frame is not None:
            frame.inc()
        match command:
            case Say(is_final=True):
                if call is not None and call.drafting is not None and call.drafting.turn_id == command.turn_id:
                    self._ends(call)
            case commands.ReportOddity():
                self._lines.oddities[command.oddity.value].inc()
                if broken := self._assumption_broken_by(command.oddity):
                    self._lines.assumptions[broken].inc()
            case commands.DropLine() if call is not None:
                call.cut = "silent"
            case _:
                pass

    def _resumed(self, call: _Call) -> None:
        self._lines.reconnects.inc()
        call.is_left_waiting, call.cut = False, None
        if call.is_open:
            self._lines.closed["us", "replaced"].inc()
        else:
            call.is_open = True
            self._lines.open.inc()

    def _disconnected(self, call: _Call, event: events.CallDisconnected) -> None:
        if call.is_open:
            self._lines.open.dec()
        call.is_open, call.closed_at = False, event.at
        call.cut = "fault" if event.is_our_fault else "let_go" if event.is_let_go else call.cut
        how = ("us", call.cut) if call.cut else _ABNORMAL if event.code is None else _CLOSES.get(event.code, _ABNORMAL)
        self._lines.closed[how].inc()

    def _ponged(self) -> None:
        delay = self._overdue()
        self._lines.pong_delay.observe(delay)
        if delay > PONG_LATE:
            self._lines.pongs_late.inc()

    def failed(self, call_id: str, error: Exception) -> None:  # noqa: ARG002 - which one is the log's to tell
        if (call := self._calls.get(call_id)) is not None:
            call.cut = "fault"

    def ended(self, call_id: str, record: CallRecord | None) -> None:
        call = self._calls.pop(call_id, None)
        if call is None:
            return
        if call.is_open:
            self._lines.open.dec()
        self._ends(call)
        if record is not None:
            self._lines.duration.observe((record.ended_at if call.is_open else call.closed_at) - call.started_at)
        if call.is_left_waiting:
            self._lines.abandoned.inc()

    # Turns.

    def began(self, turn: SeenTurn, asked: Turn) -> None:  # noqa: ARG002
        if (call := self._calls.get(turn.call_id)) is not None:
            call.drafting = turn
            self._turns.in_progress.inc()

    def _ends(self, call: _Call) -> None:
        if call.drafting is not None:
            call.drafting = None
            self._turns.in_progress.dec()

    def settled(self, turn: SeenTurn, record: TurnRecord) -> None:
        metrics, outcome = self._turns, record.outcome.value
        if (call := self._calls.get(turn.call_id)) is not None:
            self._ends(call)
            is_waiting = record.outcome is Outcome.DISCONNECTED and record.first_words_at is None
            call.is_left_waiting = is_waiting and call.cut is None
        metrics.turns[record.prompt.value, outcome].inc()
        if record.prompt is not Prompt.GREETING:
            metrics.first_chunk[_first_chunk(record)].inc()
        self._lines.frames_out["words"].inc(record.chunks)
        if record.held_at is not None:
            metrics.holds.inc()
        if record.fallback is not None:
            metrics.fallbacks[record.fallback.value].inc()
        if record.outcome is Outcome.FAILED:
            metrics.failures.get(record.reason or "", metrics.failures["agent_error"]).inc()
        elif record.outcome in (Outcome.COMPLETED, Outcome.INTERRUPTED) and record.words_said:
            metrics.heard["unknown" if record.is_heard_unknown else "aligned"].inc()
            metrics.words[outcome].observe(record.words_said)
        if record.outcome is Outcome.INTERRUPTED:
            metrics.heard_share.observe(record.heard_share)
        if outcome in metrics.duration:
            ended_at = record.settled_at if record.final_at is None else record.final_at
            metrics.duration[outcome].observe(ended_at - record.asked_at)
        for attempt in turn.attempts:
            self._time_model(attempt, turn)
        self._time(turn, record)

    def _time(self, turn: SeenTurn, record: TurnRecord) -> None:
        if record.first_words_at is None:
            return
        metrics = self._turns
        metrics.audible_gap.observe(record.audible_gap)
        if record.prompt is not Prompt.GREETING:
            metrics.first_words[record.prompt.value].observe(record.first_words_at - record.asked_at, turn.exemplar)
            if record.first_sentence_at is not None:
                metrics.first_sentence.observe(record.first_sentence_at - record.asked_at, turn.exemplar)
        self._compare(turn, record)

    def _compare(self, turn: SeenTurn, record: TurnRecord) -> None:
        """With the model's own time, where one attempt made the answer: known only once it is over."""
        if len(turn.attempts) != 1 or record.first_words_at is None:
            return
        (attempt,) = turn.attempts
        if attempt.finish_reason == "tool_calls" or attempt.first_words_at is None:
            return
        if attempt.first_words_at <= record.first_words_at:  # else the agent said something of its own before
            theirs = attempt.first_words_at - attempt.asked_at
            self._turns.overhead.observe(record.first_words_at - record.asked_at - theirs)

    # The model.

    def attempted(self, attempt: AttemptRecord, turn: SeenTurn | None) -> None:
        models, target = self._models, (attempt.target, attempt.model)
        if target not in models.first_words:
            return  # an agent's own model, which the configuration does not know
        models.attempts[*target, attempt.cause.value, attempt.result.value].inc()
        if attempt.error is not None:
            errors = models.errors
            errors.get((attempt.target, attempt.error), errors[attempt.target, "other"]).inc()
        if attempt.requests_left is not None:
            models.requests_left[attempt.target].set(attempt.requests_left)
        if attempt.tokens_left is not None:
            models.tokens_left[attempt.target].set(attempt.tokens_left)
        models.breaker_state[attempt.target].set(_BREAKER[attempt.breaker])
        self._hedged(attempt)
        if attempt.usage is not None:
            self._spent(attempt, attempt.usage, turn)
        if turn is None or turn.record is not None:
            self._time_model(attempt, turn)
        if turn is not None and turn.record is not None:
            self._late(attempt, turn, turn.record)

    def _time_model(self, attempt: AttemptRecord, turn: SeenTurn | None) -> None:
        """At the turn's settlement: only then is it known whether there is a trace to point to."""
        histogram = self._models.first_words.get((attempt.target, attempt.model))
        if histogram is not None and attempt.first_words_at is not None:
            histogram.observe(attempt.first_words_at - attempt.asked_at, None if turn is None else turn.exemplar)

    def _late(self, attempt: AttemptRecord, turn: SeenTurn, record: TurnRecord) -> None:
        """An attempt that was over just after its turn was settled: what settled it took it back."""
        if attempt.result is Result.CANCELLED and record.outcome is not Outcome.DISCONNECTED:
            self._turns.cancel_to_silence.observe(max(0.0, attempt.ended_at - record.settled_at))
        self._compare(turn, record)

    def _hedged(self, attempt: AttemptRecord) -> None:
        if attempt.cause is not Cause.HEDGE:
            return
        if attempt.result is Result.LOST or attempt.first_words_at is None:
            if attempt.result is not Result.CANCELLED:  # then nobody had spoken yet
                self._models.hedges[attempt.target, "lost"].inc()
        else:
            self._models.hedges[attempt.target, "won"].inc()

    def _spent(self, attempt: AttemptRecord, usage: Usage, turn: SeenTurn | None) -> None:
        target = (attempt.target, attempt.model)
        counts = {"input": usage.input, "input_cached": usage.cached}
        for kind, count in {**counts, "output": usage.output, "reasoning": usage.reasoning}.items():
            self._models.tokens[*target, kind].inc(max(0, count))
        for other in () if turn is None else turn.attempts:
            has_lost = other.result is Result.LOST and attempt.asked_at <= other.ended_at <= attempt.ended_at
            if has_lost and other.target in self._models.hedge_tokens:
                self._models.hedge_tokens[other.target].inc(max(0, usage.input))
        price = self._prices.get(attempt.model)
        if price is not None:
            self._models.cost[target].inc(max(0.0, price.of(usage)))
        elif attempt.model not in self._unpriced:
            self._unpriced.add(attempt.model)
            structlog.get_logger().warning("prices.unknown", model=attempt.model)


def _first_chunk(record: TurnRecord) -> str:
    if record.first_words_at is not None:
        return "sent"
    if record.final_at is None:
        return "disconnected" if record.outcome is Outcome.DISCONNECTED else "superseded"
    return "failed" if record.outcome is Outcome.FAILED else "silent"
