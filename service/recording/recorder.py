"""Keeps calls on disk: an observer that notes and goes on, and a thread that writes.

A call is kept once its details have told that it may be, and held in memory until then. One whose details never come
is not kept, as its words are not logged. What does not fit (in the queue, on the disk) is lost, counted, and told of by
the recording itself; the call never waits.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import structlog

from service import __version__
from service.conversation.call import CallRecord, Turn, TurnRecord
from service.conversation.events import CallDetailsReceived, Event
from service.llm.model import Endpoint
from service.llm.records import ASKING, Cause
from service.observability.watch import Part, SeenTurn, ServedBy
from service.recording.files import Folder
from service.recording.lines import (
    FORMAT,
    CallBegan,
    CallOver,
    LineClosed,
    LineOpened,
    ModelStream,
    TurnAsked,
    TurnSettled,
)
from service.recording.spelling import Frame
from service.recording.streams import ListenedEndpoint, Opened
from service.recording.tape import Entry, Tape
from service.recording.writer import Writer

MOST_HELD = 2**20
"""Bytes of frames of one call that wait for its details."""
MOST_QUEUED = 16 * 2**20
"""Bytes of frames that wait for the disk."""
WRITE_EVERY = 0.2
"""Seconds between two visits of the thread's."""
CLEAN_EVERY = 3600.0
"""Seconds between two looks for recordings that are too old."""
_ENTRY = 200
"""Bytes that an entry takes beside its frame, about."""
_WRITING_ENDS_WITHIN = 5.0


@dataclass(slots=True, eq=False)
class Recording:
    """One call, as far as the event loop knows it. Moments are seconds on the loop's clock."""

    call_id: str
    began_at: float
    started_at: float
    """Seconds since the epoch."""
    served_by: ServedBy = field(default_factory=ServedBy)
    lines: int = 0
    tape: Tape | None = None
    """Once it may be kept."""
    is_known: bool = False
    """Whether an agent took it."""
    is_over: bool = False
    """Whether nothing more is taken in."""
    held: list[Entry] = field(default_factory=list)
    held_bytes: int = 0
    lost: int = 0
    """For which there was no room while it was held."""
    questions: Counter[int] = field(default_factory=Counter)
    """Of each turn."""


class Recorder(Part):
    """Notes what happens in calls."""

    name = "recording"

    def __init__(
        self,
        folder: Folder,
        *,
        keeps_numbers: bool = False,
        wishes: Mapping[str, bool] | None = None,
        targets_of: Callable[[str], Sequence[str]] = lambda _: (),
    ) -> None:
        """`wishes` are settings of what the platform was asked for; `targets_of` names what an agent asks."""
        self._writer, self._keeps_numbers = Writer(folder), keeps_numbers
        self._wishes, self._targets_of = dict(wishes or {}), targets_of
        self._calls: dict[str, Recording] = {}
        self._queue: list[tuple[Tape, Entry | None]] = []
        """None: the call may not be kept after all, and nothing follows."""
        self._queued_bytes = 0
        self._lost = Counter[Tape]()
        self._is_writing = self._is_closed = False

    # What is noted. All of it on the event loop.

    def line(self, call_id: str) -> "RecordedLine":
        """One more line of a call was opened."""
        loop = asyncio.get_running_loop()
        recording = self._calls.get(call_id)
        if recording is None:
            recording = self._calls[call_id] = Recording(call_id, loop.time(), time.time())
        recording.lines += 1
        return RecordedLine(self, recording, loop.time)

    def took(self, call_id: str, served_by: ServedBy) -> None:
        if (recording := self._calls.get(call_id)) is not None:
            recording.served_by, recording.is_known = served_by, True

    def began(self, turn: SeenTurn, asked: Turn) -> None:
        if (recording := self._calls.get(turn.call_id)) is not None:
            at = asyncio.get_running_loop().time() - recording.began_at
            self.note(recording, TurnAsked(round(at, 6), asked.index, asked.turn_id, asked.prompt.value))

    def settled(self, turn: SeenTurn, record: TurnRecord) -> None:
        if (recording := self._calls.get(turn.call_id)) is not None:
            at = round(record.settled_at - recording.began_at, 6)
            self.note(recording, TurnSettled(at, record.index, record.outcome.value, record.reason))

    def ended(self, call_id: str, record: CallRecord | None) -> None:  # noqa: ARG002
        if (recording := self._calls.pop(call_id, None)) is not None:
            at = asyncio.get_running_loop().time() - recording.began_at
            if recording.tape is not None and not recording.is_over:
                self._enqueue(recording.tape, CallOver(round(at, 6)), _ENTRY)  # there is always room for the end
            recording.is_over, recording.held = True, []

    def listening(self, endpoint: Endpoint) -> Endpoint:
        """The same endpoint, whose answers are noted."""
        return ListenedEndpoint(endpoint, self._stream)

    def _stream(self, endpoint: Endpoint) -> Opened | None:
        """A stream that begins now, and whom to tell when it is over; None for one that is nobody's."""
        occasion, cause = ASKING.get() or (None, Cause.FIRST)
        recording = None if occasion is None else self._calls.get(occasion.call_id)
        if occasion is None or recording is None:
            return None
        recording.questions[occasion.turn_index] += cause is Cause.FIRST
        asked = asyncio.get_running_loop().time() - recording.began_at
        question = recording.questions[occasion.turn_index]
        target, at = (endpoint.name, endpoint.model), round(asked, 6)
        blank = ModelStream(at, occasion.turn_index, question, cause.value, *target, [], 0.0, "")
        return blank, partial(self.note, recording)

    def note(self, recording: Recording, entry: Entry) -> None:
        """Take in one entry. Costs no more than appending it, and raises nothing."""
        if recording.is_over:
            return
        try:
            self._take(recording, entry)
        except Exception as error:  # noqa: BLE001 - a call does not feel its recording
            self._give_up(recording, error)

    def _take(self, recording: Recording, entry: Entry) -> None:
        size = _ENTRY + (len(entry.text) if isinstance(entry, Frame) else 0)
        if recording.tape is None:
            if recording.held_bytes + size > MOST_HELD:
                recording.lost += 1
            else:
                recording.held_bytes += size
                recording.held.append(entry)
        elif self._queued_bytes + size > MOST_QUEUED:
            self._lost[recording.tape] += 1
        else:
            self._enqueue(recording.tape, entry, size)

    def left(self, recording: Recording) -> None:
        """A line was closed: of a call that no agent took, it was the last."""
        if not recording.is_known:
            self._calls.pop(recording.call_id, None)

    def may_keep(self, recording: Recording, *, may_store: bool) -> None:
        """The call's details came. Raises nothing."""
        try:
            self._decide(recording, may_store=may_store)
        except Exception as error:  # noqa: BLE001 - see above
            self._give_up(recording, error)

    def _give_up(self, recording: Recording, error: Exception) -> None:
        recording.is_over, recording.held = True, []
        structlog.get_logger().error("recording.failed", call_id=recording.call_id, error=type(error).__name__)

    def _decide(self, recording: Recording, *, may_store: bool) -> None:
        if not may_store:
            recording.is_over, recording.held = True, []
            self._calls.pop(recording.call_id, None)
            if recording.tape is not None:
                self._enqueue(recording.tape, None, _ENTRY)
        elif recording.tape is None and not recording.is_over:
            recording.tape = tape = Tape(self._header(recording), recording.started_at)
            tape.lose(recording.lost, "memory")
            for entry in recording.held:
                self._enqueue(tape, entry, _ENTRY)
            recording.held = []

    def _header(self, recording: Recording) -> CallBegan:
        served_by = recording.served_by
        return CallBegan(
            FORMAT,
            recording.call_id,
            served_by.agent,
            served_by.folder_hash,
            datetime.fromtimestamp(recording.started_at, UTC).isoformat(),
            __version__,
            not self._keeps_numbers,
            self._wishes,
            list(self._targets_of(served_by.agent)),
        )

    def _enqueue(self, tape: Tape, entry: Entry | None, size: int) -> None:
        if self._is_closed:
            return
        self._queue.append((tape, entry))
        self._queued_bytes += size
        if not self._is_writing:
            self._is_writing = True
            asyncio.get_running_loop().call_later(WRITE_EVERY, self._hand_over)

    # What is handed to the thread.

    def _hand_over(self) -> None:
        if not self._is_closed:
            self._written().add_done_callback(self._on_written)

    def _written(self) -> "asyncio.Future[None]":
        queue, self._queue, self._queued_bytes = self._queue, [], 0
        lost, self._lost = self._lost, Counter()
        batch: dict[Tape, list[Entry]] = {}
        for tape, entry in queue:
            if entry is None:
                batch[tape] = []
            else:
                batch.setdefault(tape, []).append(entry)
        return asyncio.get_running_loop().run_in_executor(self._writer.thread, self._writer.write, batch, lost)

    def _on_written(self, _: "asyncio.Future[None]") -> None:
        self._is_writing = bool(self._queue)
        if self._is_writing:
            asyncio.get_running_loop().call_later(WRITE_EVERY, self._hand_over)

    def _clean(self) -> None:
        if not self._is_closed:
            loop = asyncio.get_running_loop()
            loop.run_in_executor(self._writer.thread, self._writer.clean)
            loop.call_later(CLEAN_EVERY, self._clean)

    @asynccontextmanager
    async def running(self, _: object) -> AsyncIterator[None]:
        """The service runs: the folder is cleaned now and then, and what is left is written afterwards."""
        loop, writer = asyncio.get_running_loop(), self._writer
        self._clean()
        try:
            yield
        finally:
            self._is_closed = True
            with suppress(TimeoutError):
                async with asyncio.timeout(_WRITING_ENDS_WITHIN):
                    await asyncio.shield(self._written())
                    await asyncio.shield(loop.run_in_executor(writer.thread, writer.close))
            writer.thread.shutdown(wait=False)


class RecordedLine:
    """One line of a call that is recorded. Its clock is the event loop's."""

    def __init__(self, recorder: Recorder, recording: Recording, now: Callable[[], float]) -> None:
        self._recorder, self._recording, self._now = recorder, recording, now
        self._number = recording.lines
        self._is_open = True
        recorder.note(recording, LineOpened(self._at(), self._number))

    def heard(self, frame: str | bytes, told: Sequence[Event]) -> None:
        """A frame came, and says this."""
        recording = self._recording
        self._recorder.note(recording, Frame(self._now() - recording.began_at, self._number, frame, is_in=True))
        for event in told:
            if type(event) is CallDetailsReceived and event.details.call_id == recording.call_id:
                self._recorder.may_keep(recording, may_store=event.details.may_store_content)

    def sent(self, frame: bytes) -> None:
        """A frame was handed over."""
        self._recorder.note(self._recording, Frame(self._now() - self._recording.began_at, self._number, frame, False))

    def closed(self, code: int | None) -> None:
        """The line is closed. Once more: nothing."""
        if self._is_open:
            self._is_open = False
            self._recorder.note(self._recording, LineClosed(self._at(), self._number, code))
            self._recorder.left(self._recording)

    def _at(self) -> float:
        return round(self._now() - self._recording.began_at, 6)
