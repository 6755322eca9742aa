"""One call of a load run: turns asked by the clock, the server's frames in, what they show noted down.

Calls are open-loop: a caller speaks when the plan says so, whether or not the server keeps up, and waiting counts from
that moment. The gaps between a call's turns are random, its phase too; many such calls make a Poisson stream.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from msgspec import Raw

from service.conversation.playout import WORDS_PER_SECOND
from service.simulator.load_line import Frame, Line
from service.simulator.load_run import PATIENCE, Tally
from service.simulator.load_talk import BARGE_IN, CALLER, TINY, RealTalk, TinyTalk
from service.simulator.retell_line import PING_EVERY
from service.simulator.retell_speech import SENTENCE_END

_TIMEOUT = f"timeout: no answer within {PATIENCE:g} s"


@dataclass(slots=True)
class _Turn:
    turn_id: int
    asked_at: float
    text: str = ""
    has_words: bool = False
    has_sentence: bool = False
    is_done: bool = False


class LoadCall(Line):
    """A call with a caller. `talk` once it stands; `is_idle` says when nothing is open."""

    def __init__(self, tally: Tally, chance: Random, history: Sequence[Raw] = ()) -> None:
        super().__init__(tally, tally.ping)
        self._plan = tally.plan
        self._chance = chance
        self._is_real = self._plan.frames == "real"
        self._talk = (RealTalk if self._is_real else TinyTalk)(self, history)
        self._turn = _Turn(0, 0.0)  # the greeting
        self._cut: tuple[float, float] | None = None  # when the turn before was overtaken, and its last frame
        self._until = 0.0

    @property
    def is_idle(self) -> bool:
        return self.is_over or self._turn.is_done

    def talk(self, since: float, until: float) -> None:
        """Speak for so long."""
        self._until = until
        self._plan_turn(since, since + self._chance.random() * self._plan.turn_every)
        if self._is_real and self.wishes.auto_reconnect:
            self.ping_every(PING_EVERY, since + self._chance.random() * PING_EVERY)

    def settle(self) -> None:
        """Hang up; what is still open is lost."""
        self._note_silence()
        self.tally.errors.update([] if self.is_idle else [_TIMEOUT])
        self.hang_up()

    def _plan_turn(self, since: float, due: float) -> None:
        if due < self._until:
            text = self._chance.choice(CALLER) if self._is_real else TINY
            begins = max(since, due - len(text.split()) / WORDS_PER_SECOND)
            self.later(begins, lambda at: self._talk.begin(text, at))
            self.later(due, lambda at: self._turn_due(text, at))

    def _turn_due(self, text: str, due: float) -> None:
        self._ask(text, due)
        self._plan_turn(due, due + (0.8 + 0.2 * self._chance.expovariate(1)) * self._plan.turn_every)

    def _barge_in(self, due: float) -> None:
        if due < self._until and not self._talk.is_caller_speaking:
            self._turn.has_sentence = True  # how long it would have taken, nobody will know
            self._ask(BARGE_IN, due)

    def _ask(self, text: str, due: float) -> None:
        self._overtake(time.monotonic())
        self._turn = _Turn(self._turn.turn_id + 1, due)
        self.tally.asked += 1
        self._talk.ask(self._turn.turn_id, text, due)

    def _overtake(self, at: float) -> None:
        self._note_silence()
        turn, waited = self._turn, at - self._turn.asked_at
        if turn.is_done or turn.turn_id == 0:
            return
        self.tally.overtaken += 1
        self._cut = at, at
        if not turn.has_words:
            self.tally.first.append((turn.asked_at, waited))
            self.tally.errors.update([_TIMEOUT] if waited > PATIENCE else [])
        if not turn.has_sentence:
            self.tally.sentence.append((turn.asked_at, waited))

    def _note_silence(self) -> None:
        if self._cut is not None:
            self.tally.silence.append(self._cut[1] - self._cut[0])
            self._cut = None

    def take(self, frame: Frame, at: float) -> None:
        if frame.response_type != "response":
            super().take(frame, at)
        elif frame.response_id == self._turn.turn_id:
            self._add(self._turn, frame, at)
        elif frame.response_id is None or not 0 <= frame.response_id < self._turn.turn_id:
            self.breach("a turn that was never asked")
        elif self._cut is not None:
            self._cut = self._cut[0], at

    def _add(self, turn: _Turn, frame: Frame, at: float) -> None:
        if turn.is_done:
            self.breach("a frame after the final one")
            return
        turn.text += frame.content
        turn.is_done = frame.content_complete
        self._talk.answer(frame.content, at, is_final=turn.is_done)
        if turn.turn_id:
            self._measure(turn, at)

    def _measure(self, turn: _Turn, at: float) -> None:
        held = next((line for line in self._plan.hold_lines if turn.text.startswith(line)), "")
        answer = turn.text[len(held) :].strip()
        if answer and not turn.has_words:
            turn.has_words = True
            self.tally.first.append((turn.asked_at, at - turn.asked_at))
            self.tally.held += bool(held)
            if self._chance.random() < self._plan.barge_in:
                self.later(at + self._chance.random() / 5, self._barge_in)  # while the words still come
        if answer and not turn.has_sentence and (turn.is_done or SENTENCE_END.search(answer)):
            turn.has_sentence = True
            self.tally.sentence.append((turn.asked_at, at - turn.asked_at))
        if turn.is_done:
            self._note_silence()
            if not turn.has_words:
                self.tally.errors["empty turn"] += 1
