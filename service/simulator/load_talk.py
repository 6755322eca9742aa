"""What is said in the calls of a load run, and the frames that tell the server of it."""

import math
import time
from collections.abc import Sequence
from functools import partial
from random import Random

from msgspec import Raw, json

from service.conversation.playout import WORDS_PER_SECOND
from service.simulator.load_line import Line
from service.simulator.retell import UPDATE_EVERY
from service.simulator.retell_speech import Speech, Transcript

BARGE_IN = "Sorry, wait a moment please."
TINY = "this is what the caller said in this turn of the call"
CALLER = (
    "Could you tell me whether you are open on Saturday?",
    "I need to move my appointment to next week, please.",
    "No, I was hoping for something a little later in the afternoon, if you have it.",
    "My name is Jordan Miller.",
)
_AGENT = (
    "Of course. We are open from nine to six on weekdays, and from ten to two on Saturdays.",
    "Let me check that for you. There is a free slot on Thursday at half past four, would that suit you?",
)


def history(minutes: float, chance: Random) -> list[Raw]:
    """The rows of a call that has lasted so long already; in one piece, which costs a thousandth to send."""
    transcript, at, spoken = Transcript(), 0.0, 0
    while at < 60 * minutes:
        speech = Speech(WORDS_PER_SECOND)
        speech.say(chance.choice((_AGENT, CALLER)[spoken % 2]), at, is_final=True)
        transcript.show(spoken, ("agent", "user")[spoken % 2], speech.words)
        spoken, at = spoken + 1, speech.words[-1].end + 0.8
    return [Raw(b",".join(transcript.spoken()))] if spoken else []


class TinyTalk:
    """Three small frames a turn: words without times, two updates at once with the request."""

    is_caller_speaking = False

    def __init__(self, line: Line, history: Sequence[Raw]) -> None:
        self._line = line
        self._history = [*history]
        self._answer = ""

    def begin(self, text: str, at: float) -> None:
        """The caller speaks from this moment on; nobody is told here."""

    def ask(self, turn_id: int, text: str, _at: float) -> None:
        """The caller has said this, and waits for the answer."""
        words, self._answer = text.split(), ""
        for heard in (4, 8):
            self._line.send(interaction_type="update_only", transcript=[*self._history, _row("user", words[:heard])])
        self._history.append(_row("user", words))
        self._line.send(interaction_type="response_required", response_id=turn_id, transcript=self._history)

    def answer(self, text: str, _at: float, *, is_final: bool) -> None:
        """The agent says more."""
        self._answer += text
        if is_final:
            self._history.append(_row("agent", self._answer.split()))
            self._answer = ""


def _row(role: str, words: Sequence[str]) -> Raw:
    return Raw(json.encode({"role": role, "content": " ".join(words)}))


class RealTalk(TinyTalk):
    """The whole transcript with the time of each word, three times a second; `retell.py`, but cheap: no more rules."""

    def __init__(self, line: Line, history: Sequence[Raw]) -> None:
        super().__init__(line, history)
        self._transcript = Transcript()
        self._transcript.began_at = time.monotonic() - 60 * line.tally.plan.minute
        self._speech = self._drafted = Speech(WORDS_PER_SECOND)
        self._who = ""
        self._spoken = 0

    def begin(self, text: str, at: float) -> None:
        self._hear(at)  # and no more: whoever spoke is cut off
        self.is_caller_speaking = True
        speech = Speech(WORDS_PER_SECOND)
        speech.say(text, at, is_final=True)
        self._listen("user", speech, at)

    def ask(self, turn_id: int, text: str, at: float) -> None:
        if not self.is_caller_speaking:
            self.begin(text, at)
        self._hear(math.inf)
        self.is_caller_speaking = False
        self._speech = self._drafted = Speech(WORDS_PER_SECOND)
        self._tell(interaction_type="response_required", response_id=turn_id)

    def answer(self, text: str, at: float, *, is_final: bool) -> None:
        was_silent = not self._drafted.words
        self._drafted.say(text, at, is_final=is_final)
        if was_silent and self._drafted.words and not self.is_caller_speaking:
            self._listen("agent", self._drafted, at)

    def _listen(self, who: str, speech: Speech, at: float) -> None:
        self._who, self._speech = who, speech
        self._spoken += 1
        self._tell(interaction_type="update_only", turntaking=f"{who}_turn")
        self._line.later(at + UPDATE_EVERY, partial(self._tick, speech))

    def _tick(self, speech: Speech, due: float) -> None:
        if speech is self._speech:
            if self._hear(due):
                self._tell(interaction_type="update_only")
            self._line.later(due + UPDATE_EVERY, partial(self._tick, speech))

    def _hear(self, at: float) -> bool:
        """Whether more words are out by now."""
        has_news = self._speech.advance(at)
        if has_news:
            self._transcript.show(self._spoken, self._who, self._speech.heard_words)
        return has_news

    def _tell(self, **fields: object) -> None:
        rows = [*self._history, *self._transcript.spoken()]
        woven = {"transcript_with_tool_calls": rows} if self._line.wishes.transcript_with_tool_calls else {}
        self._line.send(**fields, transcript=rows, **woven)
