"""What a caller's words may have been: speech recognition mishears, joins and splits them."""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import islice

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
_MOST_ALIKE, _MOST_KEPT = 40, 4096
_SPELLED = "SELECT word FROM spelling WHERE spelling MATCH ? ORDER BY rank LIMIT ?"


@dataclass(frozen=True, slots=True)
class Wish:
    """One thing a passage should speak of: readings of it, each with what it counts, 0 to 1."""

    readings: tuple[tuple[str, float], ...]
    is_bonus: bool = False
    """Whether a passage without it lacks nothing."""


class Vocabulary:
    """The words of the passages. They are held in memory: each query of SQLite's gives Python's lock away."""

    def __init__(self, index: sqlite3.Connection) -> None:
        self._index = index
        self._words: set[str] = set()
        self._by_sound: dict[str, list[str]] = {}
        for word, sound in index.execute("SELECT word, sound FROM words ORDER BY word"):
            self._words.add(word)
            self._by_sound.setdefault(sound, []).append(word)
        self.passages: int = index.execute("SELECT COUNT(*) FROM passages").fetchone()[0]
        self.having = lru_cache(_MOST_KEPT)(self._having)
        self._alike = lru_cache(_MOST_KEPT)(self._sounding_alike)  # what a caller says grows by a word at a time
        self._similar = lru_cache(_MOST_KEPT)(self._spelled_alike)

    def wishes(self, query: str) -> list[Wish]:
        """What to look for. The second line of a query is what the first may refer to."""
        asked, _, before = query.strip().partition("\n")
        words = spoken_words(asked)[-2 * MOST_WORDS :]
        content = content_words(asked)
        joined = dict(self._joined(words))
        parts = {part for parts in joined.values() for part in parts if part not in self._words}
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
                if len(whole) >= _LEAST_JOINED and whole in self._words:
                    yield whole, parts
                elif carries_content(parts[0]) and not self._words.issuperset(parts):
                    yield from ((word, parts) for word, likeness in self._alike(whole, 1) if likeness > _LIKE_ENOUGH)

    def _readings(self, word: str) -> Iterator[tuple[str, float]]:
        yield word, 1.0
        yield from ((other, 1.0) for other in SAME.get(word, ()))
        if self.having(word):
            yield from ((other, _GUESSED * likeness) for other, likeness in self._alike(word, 2))
        else:
            guesses = dict(self._alike(word, 3)) | dict(self._similar(word))
            yield from ((other, _GUESSED * likeness) for other, likeness in guesses.items())

    def _having(self, word: str) -> int:
        """How many passages have the word, or one of its stem."""
        count: int = self._index.execute("SELECT COUNT(*) FROM found WHERE found MATCH ?", (f'"{word}"',)).fetchone()[0]
        return count

    def _sounding_alike(self, word: str, limit: int) -> list[tuple[str, float]]:
        sound = sound_of(word)
        if len(sound) < _LEAST_SOUND:
            return []
        alike = (other for other in self._by_sound.get(sound, ()) if other != word)
        return _ranked(word, islice(alike, _MOST_ALIKE))[:limit]

    def _spelled_alike(self, word: str) -> list[tuple[str, float]]:
        pieces = sorted({word[at : at + 3] for at in range(len(word) - 2)})
        if len(pieces) < 2:  # noqa: PLR2004
            return []
        match = " OR ".join(f'"{piece}"' for piece in pieces)
        rows = self._index.execute(_SPELLED, (match, _MOST_ALIKE))
        return [entry for entry in _ranked(word, (row[0] for row in rows))[:3] if entry[1] >= _LIKE_ENOUGH]


def _ranked(word: str, others: Iterable[str]) -> list[tuple[str, float]]:
    likeness = ((other, SequenceMatcher(None, word, other, autojunk=False).ratio()) for other in others)
    return sorted(likeness, key=lambda entry: (-entry[1], entry[0]))
