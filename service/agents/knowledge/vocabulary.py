"""What a caller's words may have been: speech recognition mishears, joins and splits them."""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from service.agents.knowledge.wording import (
    MOST_WORDS,
    SAME,
    carries_content,
    content_words,
    sound_of,
    spoken_words,
)

_GUESSED = 0.5
_REFERRED_TO = 0.2
"""How much a word counts that was not heard but is like one that was, or that was said before."""
_LIKE_ENOUGH = 0.72
_MOST_PARTS, _LEAST_JOINED = 4, 5
"""How many neighbours may be one word, and its characters at least."""
_LEAST_SOUND = 3
"""Characters of a sound that is telling enough."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One thing a passage should speak of: readings of it, each with what it counts, 0 to 1."""

    readings: tuple[tuple[str, float], ...]
    is_bonus: bool = False
    """Whether a passage without it lacks nothing."""


class Vocabulary:
    """The words of the passages, in tables of their index."""

    def __init__(self, index: sqlite3.Connection) -> None:
        self._index = index

    def wishes(self, query: str) -> list[Wish]:
        """What to look for. The second line of a query is what the first may refer to."""
        asked, _, before = query.strip().partition("\n")
        words = spoken_words(asked)[-2 * MOST_WORDS :]
        content = content_words(asked)
        joined = dict(self._joined(words))
        parts = {part for parts in joined.values() for part in parts if not self._knows(part)}
        wishes = [Wish(((word, 1.0),)) for word in joined]
        wishes += [Wish(tuple(self._readings(word))) for word in content if word not in parts]
        referred_to = [word for word in content_words(before) if word not in content]
        return wishes + [Wish(((word, _REFERRED_TO),), is_bonus=True) for word in referred_to]

    def _joined(self, words: list[str]) -> Iterator[tuple[str, list[str]]]:
        """Neighbours that make one word together: `data base`, or by their sound `sem a four`."""
        for length in range(2, _MOST_PARTS + 1):
            for start in range(len(words) - length + 1):
                parts = words[start : start + length]
                if not any(map(carries_content, parts)):
                    continue
                whole = "".join(parts)
                if len(whole) >= _LEAST_JOINED and self._knows(whole):
                    yield whole, parts
                elif carries_content(parts[0]) and not all(map(self._knows, parts)):
                    yield from ((word, parts) for word, likeness in self._alike(whole, 1) if likeness > _LIKE_ENOUGH)

    def _readings(self, word: str) -> Iterator[tuple[str, float]]:
        yield word, 1.0
        yield from ((other, 1.0) for other in SAME.get(word, ()))
        if self._finds(word):
            yield from ((other, _GUESSED * likeness) for other, likeness in self._alike(word, 2))
        else:
            guesses = dict(self._alike(word, 3)) | dict(self._similar(word))
            yield from ((other, _GUESSED * likeness) for other, likeness in guesses.items())

    def _knows(self, word: str) -> bool:
        return bool(self._index.execute("SELECT 1 FROM words WHERE word = ?", (word,)).fetchone())

    def _finds(self, word: str) -> bool:
        """Whether passages have the word, or one of its stem."""
        return bool(self._index.execute("SELECT 1 FROM found WHERE found MATCH ? LIMIT 1", (f'"{word}"',)).fetchone())

    def _alike(self, word: str, limit: int) -> list[tuple[str, float]]:
        sound = sound_of(word)
        if len(sound) < _LEAST_SOUND:
            return []
        rows = self._index.execute("SELECT word FROM words WHERE sound = ? AND word <> ? LIMIT 40", (sound, word))
        return _ranked(word, (row[0] for row in rows))[:limit]

    def _similar(self, word: str) -> list[tuple[str, float]]:
        pieces = sorted({word[at : at + 3] for at in range(len(word) - 2)})
        if len(pieces) < 2:  # noqa: PLR2004
            return []
        match = " OR ".join(f'"{piece}"' for piece in pieces)
        rows = self._index.execute("SELECT word FROM spelling WHERE spelling MATCH ? ORDER BY rank LIMIT 40", (match,))
        return [entry for entry in _ranked(word, (row[0] for row in rows))[:3] if entry[1] >= _LIKE_ENOUGH]


def _ranked(word: str, others: Iterable[str]) -> list[tuple[str, float]]:
    likeness = ((other, SequenceMatcher(None, word, other, autojunk=False).ratio()) for other in others)
    return sorted(likeness, key=lambda entry: (-entry[1], entry[0]))
