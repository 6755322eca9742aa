"""What the caller has heard: an estimate by the clock, and an alignment by the transcript.

We hand over text; the platform speaks it, and tells afterwards what was spoken. In between, the
estimate says which words are probably out by now: words are spoken at `words_per_second` from the
moment they were sent or the words before them ended, and each transcript corrects the count.
"""

from collections.abc import Sequence

from service.conversation.transcript import words_of

WORDS_PER_SECOND = 2.7
"""English as text-to-speech reads it, pauses included."""

_SKIP = 8
"""How many said words may be missing from the transcript before the next that is there."""


class Playout:
    """Which words of one reply the caller has probably heard by now."""

    __slots__ = ("_heard", "_last", "_rate", "_since", "sent")

    def __init__(self, words_per_second: float = WORDS_PER_SECOND) -> None:
        self._rate = words_per_second
        self._heard = 0.0  # at the moment `_since`
        self._since = 0.0
        self._last = ""
        self.sent = 0

    def say(self, text: str, at: float) -> None:
        """Text was sent. A word cut across two chunks counts once."""
        if not text:
            return
        words = len(words_of(text))
        if text[0].isalnum() and self._last.isalnum() and len(words_of(self._last + text[0])) == 1:
            words -= 1
        self._last = text[-1]
        self._heard, self._since = self._heard_until(at), at
        self.sent += words

    def correct(self, heard: int, at: float) -> None:
        """The transcript shows `heard` words at this moment."""
        self._heard, self._since = float(min(heard, self.sent)), at

    def heard(self, at: float) -> int:
        """How many of the words sent have probably been heard at this moment."""
        return int(self._heard_until(at))

    def runs_out_at(self) -> float:
        """The moment from which the caller has nothing left to hear."""
        return self._since + max(0.0, self.sent - self._heard) / self._rate

    def _heard_until(self, at: float) -> float:
        return min(float(self.sent), self._heard + max(0.0, at - self._since) * self._rate)


def heard_of(said: Sequence[str], heard: Sequence[str]) -> int | None:
    """How many words of `said` had been spoken when the transcript showed `heard`.

    What was heard is a beginning of what was said, spelled as the platform spells it ("$5" may come
    back as "five dollars"), so a word may be missing on either side. None when less than half of what
    was heard can be found: then the two cannot be aligned. Linear in both.
    """
    if list(said[: len(heard)]) == list(heard):  # as it mostly is
        return len(heard)
    position = found = 0
    for word in heard:
        try:
            position = said.index(word, position, position + _SKIP) + 1
        except ValueError:
            continue
        found += 1
    return position if 2 * found >= len(heard) else None
