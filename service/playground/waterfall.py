"""What became of each turn of one call, as it becomes known: a part of telemetry, for as long as the call lasts."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from service.conversation import events
from service.conversation.call import CallRecord, Outcome, Turn, TurnRecord
from service.conversation.commands import Command, Say
from service.conversation.events import Event
from service.conversation.parts import Speech
from service.conversation.transcript import has_sentence
from service.llm.records import AttemptRecord
from service.observability.settled import of_turn
from service.observability.tools import SeenTool
from service.observability.watch import Part, SeenTurn

Tell = Callable[[float, Mapping[str, object]], None]
"""Told when a turn was asked, on the loop's clock, and all that is known of it."""


class _Marks(Struct):
    """What is known of a turn before its record is."""

    asked_at: float
    lead: str = ""
    """Its words, up to its first sentence."""
    first_words_at: float | None = None
    first_sentence_at: float | None = None
    held_at: float | None = None
    final_at: float | None = None


class TurnsSeen(Part):
    """Looks on."""

    name = "playground"
    hears_chunks = True

    def __init__(self, call_id: str, tell: Tell) -> None:
        self.is_over = asyncio.Event()
        """Set once the call is over, and every turn settled."""
        self._call_id, self._tell = call_id, tell
        self._turn: SeenTurn | None = None
        self._marks, self._saw_at = _Marks(0.0), 0.0
        self._is_due = False

    def saw(self, call_id: str, event: Event, answer: Sequence[Command]) -> None:
        if call_id != self._call_id:
            return
        self._saw_at = event.at
        turn = self._turn
        for command in answer:
            if type(command) is Say and turn is not None and command.turn_id == turn.turn_id:
                self._note(event, command)
        if type(event) is events.ReplyDrafted and type(event.part) is not Speech:
            self._tell_soon()

    def _note(self, event: Event, say: Say) -> None:
        """A line of ours comes for a deadline or a failure; a hold line of the agent's own is a part of its own."""
        marks, part = self._marks, event.part if isinstance(event, events.ReplyDrafted) else None
        if say.is_final:
            marks.final_at = event.at
        elif not isinstance(part, Speech):
            marks.held_at = event.at
        if isinstance(event, events.ReplyFinished) or isinstance(part, Speech):
            self._hear(say, event.at)
        else:
            self._tell_soon()

    def _hear(self, say: Say, at: float) -> None:
        """Words of the answer. What comes after its first sentence is not told one by one."""
        marks = self._marks
        if marks.first_sentence_at is None and (say.text.strip() or marks.lead):
            marks.first_words_at = at if marks.first_words_at is None else marks.first_words_at
            marks.lead += say.text
            marks.first_sentence_at = at if say.is_final or has_sentence(marks.lead) else None
            self._tell_soon()
        elif say.is_final:
            self._tell_soon()

    def began(self, turn: SeenTurn, asked: Turn) -> None:  # noqa: ARG002
        if turn.call_id == self._call_id:
            self._turn, self._marks = turn, _Marks(self._saw_at)
            self._tell_soon()

    def settled(self, turn: SeenTurn, record: TurnRecord) -> None:
        if turn.call_id == self._call_id:
            self._show(turn, record)

    def attempted(self, attempt: AttemptRecord, turn: SeenTurn | None) -> None:
        if turn is not None and attempt.occasion.call_id == self._call_id:
            self._tell_late(turn)

    def used(self, tool: SeenTool, turn: SeenTurn) -> None:  # noqa: ARG002
        if turn.call_id == self._call_id:
            self._tell_late(turn)

    def ended(self, call_id: str, record: CallRecord | None) -> None:  # noqa: ARG002
        if call_id == self._call_id:
            self.is_over.set()

    def _tell_late(self, turn: SeenTurn) -> None:
        """Of a turn that may be settled by now."""
        if turn.record is None:
            self._tell_soon()
        else:
            self._show(turn, turn.record)

    def _tell_soon(self) -> None:
        """Once everybody has noted what happens now."""
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._tell_now)

    def _tell_now(self) -> None:
        self._is_due = False
        if self._turn is not None and self._turn.record is None:
            self._show(self._turn, None)

    def _show(self, turn: SeenTurn, record: TurnRecord | None) -> None:
        known = record or self._so_far(turn)
        unknown = {"outcome": None, "settled_after": None} if record is None else {}
        self._tell(known.asked_at, {**of_turn(turn, known, {}), **unknown})

    def _so_far(self, turn: SeenTurn) -> TurnRecord:
        marks = self._marks
        return TurnRecord(
            index=turn.index,
            turn_id=turn.turn_id,
            prompt=turn.prompt,
            outcome=Outcome.COMPLETED,
            asked_at=marks.asked_at,
            first_words_at=marks.first_words_at,
            first_sentence_at=marks.first_sentence_at,
            held_at=marks.held_at,
            final_at=marks.final_at,
            settled_at=marks.asked_at,
            words_said=0,
            words_heard=0,
        )
