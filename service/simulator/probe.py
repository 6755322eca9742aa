"""Holds a test call as the platform would, through whatever happens, and notes what its caller would have noticed."""

import asyncio
import itertools
import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from service.conversation.playout import WORDS_PER_SECOND
from service.simulator import retell_steps as steps
from service.simulator.line import NotConnected, SimulatedLine, epoch_of_loop, fresh_call_id, url_of_call
from service.simulator.retell import RetellCall
from service.simulator.retell_steps import Step

HARMLESS = ("What are your opening hours?", "Sorry, could you say that again?", "And what is your address?")
"""What the caller says, in turn: nothing that books or changes anything."""

PATIENCE = 10.0
"""Seconds after which an answer counts as lost, and the caller speaks again."""

LONGEST_GAP = 4.0
"""Seconds without a line that a caller would not mind."""


@dataclass(slots=True)
class Outage:
    """A line that ended amid the call, so many seconds after its beginning; `gap` is None while nobody is there."""

    at: float
    why: str
    gap: float | None = None


@dataclass(slots=True)
class Notes:
    """What was seen of one call."""

    call_id: str
    seconds: float = 0.0
    ended: str = ""
    asked: int = 0
    answered: int = 0
    greetings: int = 0
    words_lost: int = 0
    outages: list[Outage] = field(default_factory=list)
    close_codes: list[int] = field(default_factory=list)
    """Of its lines, in order; the last is our own 1000 where the caller hung up."""
    waits: list[float] = field(default_factory=list)
    """For the first words of each answer; of one that was cut off and asked again, from the first time on."""
    rules: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)

    @property
    def unanswered(self) -> int:
        return self.asked - self.answered

    @property
    def longest_gap(self) -> float:
        """In seconds; one that never ended counts as the whole call."""
        return max((self.seconds if each.gap is None else each.gap for each in self.outages), default=0.0)

    @property
    def median_wait(self) -> float | None:
        return statistics.median(self.waits) if self.waits else None

    def faults(self, longest_gap: float = LONGEST_GAP) -> list[str]:
        """What a caller would have noticed, a plain sentence each."""
        told = [f"The service broke a rule: {rule}." for rule in self.rules]
        if self.ended != "user_hangup":
            told.append(f"The call was ended before its time: {self.ended or 'nobody took it'}.")
        if self.greetings > 1:
            told.append(f"The caller was greeted {self.greetings} times.")
        if self.unanswered:
            told.append(f"{self.unanswered} of {self.asked} turns were not answered.")
        if self.longest_gap > longest_gap:
            told.append(f"Nobody was on the line for {self.longest_gap:.1f} s.")
        return told


class Probe:
    """One test call. `tell` is shown each outage when it is over, and once more what never is."""

    def __init__(
        self,
        url: str,
        *,
        call_id: str = "",
        tell: Callable[[Outage], None] = lambda _: None,
        words_per_second: float = WORDS_PER_SECOND,
    ) -> None:
        """Make it in the event loop that plays it. Raises NotConnected when `url` cannot be dialled."""
        self.notes = Notes(call_id or fresh_call_id())
        self._call = RetellCall(self.notes.call_id, words_per_second=words_per_second, epoch=epoch_of_loop())
        self._line = SimulatedLine(self._call, url_of_call(url, self.notes.call_id), self._see)
        self._tell = tell
        self._began = self._line.now()
        self._wished_at: float | None = None
        """When the caller was done with what is not answered yet."""
        self._has_words = self._is_again = False
        self._ends_at = math.inf
        self._changed = asyncio.Event()

    async def hold(self, seconds: float, *, every: float = 10.0, says: Iterable[str] = HARMLESS) -> Notes:
        """Talk for so long, a turn every so many seconds, and hang up. Raises NotConnected when nobody takes it."""
        missed: NotConnected | None = None
        self._ends_at = min(self._ends_at, self._began + seconds)
        async with asyncio.TaskGroup() as tasks:
            caller = tasks.create_task(self._talk(every, itertools.cycle(says)))
            try:
                self.notes.ended = await self._line.play()
            except NotConnected as error:
                missed = error
            caller.cancel()
        if missed is not None:
            raise missed
        self.notes.seconds, self.notes.close_codes = self._line.now() - self._began, self._line.close_codes
        for outage in self.notes.outages:
            if outage.gap is None:
                self._tell(outage)
        return self.notes

    def stop(self) -> None:
        """Hang up when the turn under way is answered, instead of holding it to the end."""
        self._ends_at = self._line.now()
        self._changed.set()

    async def _talk(self, every: float, says: Iterable[str]) -> None:
        for text in says:
            await self._until(lambda: self._call.is_listening, PATIENCE + every)
            begun = self._line.now()
            if begun >= self._ends_at:
                break
            self._line.carry_out(self._call.caller_speaks(text, begun))
            await self._until(lambda: self._wished_at is not None, PATIENCE)
            await self._until(lambda: self._wished_at is None, PATIENCE)
            rest = min(begun + every, self._ends_at) - self._line.now()
            await self._until(lambda: self._line.now() >= self._ends_at, rest)
        self._line.carry_out(self._call.hang_up(self._line.now()))

    async def _until(self, condition: Callable[[], bool], within: float) -> None:
        """Wait until it is so, or for so long."""
        try:
            async with asyncio.timeout(within):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass

    def _see(self, step: Step) -> None:
        self._changed.set()
        notes, now = self.notes, self._line.now()
        match step:
            case steps.Redial():
                self._lost(Outage(now - self._began, step.reason))
            case steps.LineOpened():
                self._is_again = step.is_again
            case steps.FrameReceived() if notes.outages and notes.outages[-1].gap is None:
                notes.outages[-1].gap = now - self._began - notes.outages[-1].at
                self._tell(notes.outages[-1])
            case steps.TurnAsked():
                self._asked(now)
            case steps.ChunkArrived() if step.text.strip() and step.turn_id and not self._has_words:
                self._has_words = True
                notes.waits += [] if self._wished_at is None else [now - self._wished_at]
            case steps.TurnFinished() if step.turn_id:
                self._answered(step.text)
            case steps.SpeechStarted() if step.turn_id == 0:
                notes.greetings += 1
            case steps.SpeechCut() if step.by == "line":
                notes.words_lost += len(step.unheard.split())
            case steps.RuleBroken():
                notes.greetings += step.rule == "a second greeting"
                notes.rules.append(step.rule)
            case _:
                pass

    def _lost(self, outage: Outage) -> None:
        """A line that breaks before its first frame is no further outage: nobody has come yet."""
        if not self.notes.outages or self.notes.outages[-1].gap is not None:
            self.notes.outages.append(outage)

    def _asked(self, now: float) -> None:
        """What is asked anew because its line broke is the same turn."""
        is_same = self._is_again and self._wished_at is not None
        self._is_again = False
        if not is_same:
            self.notes.asked += 1
            self._wished_at, self._has_words = now, False

    def _answered(self, text: str) -> None:
        if self._wished_at is not None:
            self._wished_at = None
            self.notes.answered += 1
            self.notes.answers.append(text)
