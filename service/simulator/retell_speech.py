"""What is spoken in a simulated call: words in time, and the transcript that they make."""

import re
from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec import Raw, Struct

SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’)\]]*(?:\s|$)")


class Word(Struct, frozen=True):
    """A word, as a transcript times it: seconds since the call began."""

    word: str
    start: float
    end: float


class Speech:
    """Text spoken aloud: it begins with the first complete sentence, or when the text is complete."""

    def __init__(self, words_per_second: float) -> None:
        self._pace = 1 / words_per_second
        self._unspoken = ""
        self._is_guarded: list[bool] = []
        self.words: list[Word] = []
        self.heard = 0

    def say(self, text: str, at: float, *, is_final: bool, is_guarded: bool = False) -> None:
        """Take more text. A word that may not be whole waits for its rest."""
        self._unspoken += text
        if not (is_final or self.words or SENTENCE_END.search(self._unspoken)):
            return
        whole = len(self._unspoken) if is_final else _end_of_whole_words(self._unspoken)
        for word in self._unspoken[:whole].split():
            start = max(at, self.words[-1].end) if self.words else at
            self.words.append(Word(word, start, start + self._pace))
            self._is_guarded.append(is_guarded)
        self._unspoken = self._unspoken[whole:]

    def advance(self, at: float) -> bool:
        """Whether more words are out by now."""
        before = self.heard
        while self.heard < len(self.words) and self.words[self.heard].end <= at:
            self.heard += 1
        return self.heard > before

    @property
    def is_over(self) -> bool:
        return self.heard == len(self.words)

    @property
    def is_guarded(self) -> bool:
        """Whether the word being spoken must not be interrupted."""
        return not self.is_over and self._is_guarded[self.heard]

    @property
    def heard_words(self) -> list[Word]:
        return self.words[: self.heard]


def _end_of_whole_words(text: str) -> int:
    sentence = max((found.end() for found in SENTENCE_END.finditer(text)), default=0)
    return max(sentence, len(text) - len(re.split(r"\s", text)[-1]))


def timed(words: Sequence[str], before: Sequence[Word], at: float, pace: float) -> list[Word]:
    """Time words recognised at this moment: those from the first new one on were just spoken."""
    kept = 0
    while kept < min(len(words), len(before)) and words[kept] == before[kept].word:
        kept += 1
    fresh = len(words) - kept
    since = at - fresh * pace
    if kept:
        since = min(at, max(since, before[kept - 1].end))
    each = (at - since) / max(1, fresh)
    return [*before[:kept], *(Word(words[kept + i], since + i * each, since + (i + 1) * each) for i in range(fresh))]


class Transcript:
    """The whole call so far, as Retell tells it each time. Rows are appended, and only the last one changes."""

    def __init__(self) -> None:
        self.began_at = 0.0
        self._spoken: list[_Row | Raw] = []
        self._woven: list[_Row | Raw] = []
        self._shown: dict[int, int] = {}

    def show(self, key: int, role: str, words: Sequence[Word]) -> None:
        """The words of an utterance so far. What came in between splits it in two rows."""
        for rows in (self._spoken, self._woven):
            row = rows[-1] if rows else None
            if not isinstance(row, _Row) or row.key != key:
                row = _Row(key, role, self._shown.get(key, 0))
                rows.append(row)
            row.set(words[row.offset :], self._since_the_beginning)
        self._shown[key] = len(words)

    def weave(self, row: Mapping[str, object]) -> None:
        """Add a row that is not speech."""
        self._woven.append(Raw(msgspec.json.encode(row)))

    def spoken(self) -> list[Raw]:
        return _encoded(self._spoken)

    def woven(self) -> list[Raw]:
        return _encoded(self._woven)

    def _since_the_beginning(self, word: Word) -> Word:
        start, end = word.start - self.began_at, word.end - self.began_at
        return Word(word.word, round(max(0.0, start), 3), round(max(0.0, end), 3))


class _Row:
    """One utterance, encoded once a change: the transcript of an hour goes out three times a second."""

    __slots__ = ("_encoded", "_given", "_words", "key", "offset", "role")

    def __init__(self, key: int, role: str, offset: int) -> None:
        self.key, self.role, self.offset = key, role, offset
        self._words: Sequence[Word] = ()
        self._given: Sequence[Word] = ()
        self._encoded: Raw | None = None

    def set(self, words: Sequence[Word], timed: Callable[[Word], Word]) -> None:
        """Those that were there before are timed already."""
        kept = 0
        while kept < min(len(words), len(self._given)) and words[kept] is self._given[kept]:
            kept += 1
        self._words = [*self._words[:kept], *map(timed, words[kept:])]
        self._given, self._encoded = words, None

    def encoded(self) -> Raw:
        if self._encoded is None:
            content = " ".join(word.word for word in self._words)
            row = {"role": self.role, "content": content, "words": self._words}
            self._encoded = Raw(msgspec.json.encode(row))
        return self._encoded


def _encoded(rows: Sequence[_Row | Raw]) -> list[Raw]:
    return [row if isinstance(row, Raw) else row.encoded() for row in rows]
