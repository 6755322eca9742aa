"""The flight recorder: what went over a call's line lately, without a word of it, told when something went wrong."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from service.conversation import commands, events
from service.conversation.call import CallRecord, Outcome, TurnRecord
from service.conversation.commands import Command
from service.conversation.events import Event
from service.observability.frames import FRAMES_IN, FRAMES_OUT
from service.observability.watch import Part, SeenTurn

REMEMBERED = 256
"""Frames of a call; older ones are forgotten."""

MOST_FLIGHTS = 3
"""Lines told of a call."""

VERY_SLOW = 3.0
"""Seconds until the first sentence."""

_GOOD_ENDS = (1000, 1001)

Frame = tuple[float, str, str, int | None, int]
"""Its moment, its direction, its kind, the id of its turn, and its size: characters said, or rows of a transcript."""


@dataclass(slots=True)
class _Call:
    started_at: float
    frames: list[Frame] = field(default_factory=list)
    flights: int = 0

    def taking(self) -> Callable[[Frame], None]:
        """What takes in frames. They are a list, because the deque of an idle call weighs ten times as much."""
        if len(self.frames) > 2 * REMEMBERED:
            del self.frames[:-REMEMBERED]
        return self.frames.append


class FlightRecorder(Part):
    """Remembers the frames of each call."""

    name = "flight_recorder"
    hears_chunks = True

    def __init__(self) -> None:
        self._log = structlog.get_logger()
        self._calls: dict[str, _Call] = {}

    def saw(self, call_id: str, event: Event, answer: Sequence[Command]) -> None:
        call = self._calls.get(call_id)
        if call is None:
            if type(event) is not events.CallStarted:
                return
            call = self._calls[call_id] = _Call(event.at)
        at, note = event.at, call.taking()
        if type(event) is not events.ReplyDrafted and (kind := FRAMES_IN.get(type(event))) is not None:
            transcript = getattr(event, "transcript", None)
            note((at, "in", kind, getattr(event, "turn_id", None), 0 if transcript is None else len(transcript)))
        for command in answer:
            if type(command) is commands.Say:  # nine of ten
                note((at, "out", "final words" if command.is_final else "words", command.turn_id, len(command.text)))
            elif (kind := FRAMES_OUT.get(type(command))) is not None:
                note((at, "out", kind, getattr(command, "interrupt_id", None), len(getattr(command, "text", ""))))
        match event:
            case events.CallStarted() | events.CallResumed():
                note((at, "line", "opened", None, 0))
            case events.CallDisconnected():
                note((at, "line", "closed", None, 0))
                if event.is_our_fault or not (event.is_let_go or event.code in _GOOD_ENDS):
                    self._tell(call_id, call, "abnormal_end")
            case _:
                pass

    def settled(self, turn: SeenTurn, record: TurnRecord) -> None:
        call = self._calls.get(turn.call_id)
        if call is None:
            return
        if record.outcome is Outcome.FAILED:
            self._tell(turn.call_id, call, "turn_failed", turn_index=record.index)
        elif record.waited > VERY_SLOW:
            self._tell(turn.call_id, call, "turn_very_slow", turn_index=record.index)

    def ended(self, call_id: str, record: CallRecord | None) -> None:  # noqa: ARG002
        self._calls.pop(call_id, None)

    def _tell(self, call_id: str, call: _Call, why: str, **about: object) -> None:
        if call.flights >= MOST_FLIGHTS or not call.frames:
            return
        call.flights += 1
        frames = [[round(1000 * (at - call.started_at)), *facts] for at, *facts in call.frames[-REMEMBERED:]]
        call.frames.clear()  # the next line goes on from here
        self._log.warning("call.flight", call_id=call_id, why=why, **about, frames=frames)
