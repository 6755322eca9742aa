"""The knowledge that comes along: an index in SQLite's FTS5, in memory or in a cache file.

SQLite is everywhere Python is, searches without holding Python's lock, and its cache is one file that processes share.
A passage scores by BM25 over its words' stems, headings counting threefold, and by the share of the question it covers.
"""

import asyncio
import contextlib
import hashlib
import math
import os
import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from service.agents.knowledge.passages import Page, passages_of
from service.agents.knowledge.store import Hit, Passage
from service.agents.knowledge.vocabulary import Vocabulary, Wish
from service.agents.knowledge.wording import sound_of, spoken_words

_FORMAT = 2
"""Of the cache: count it up with every change of what is stored, or of how text is cut."""
_CACHES_KEPT = 16
_MOST_ROWS = 4000
"""How many scores one search may take: it bounds its time, whatever is asked and however much there is to know."""

TABLES = """
CREATE TABLE passages (id TEXT, heading TEXT, text TEXT);
CREATE VIRTUAL TABLE found USING fts5 (heading, text, content='', tokenize='porter unicode61');
CREATE TABLE words (word TEXT PRIMARY KEY, sound TEXT);
CREATE VIRTUAL TABLE spelling USING fts5 (word, content='words', tokenize='trigram');
"""
_FINISH = """
INSERT INTO spelling (rowid, word) SELECT rowid, word FROM words;
INSERT INTO found (found) VALUES ('optimize');
"""
_READING = "SELECT rowid AS passage, ? AS covered, -bm25(found, 3.0, 1.0) * ? AS score FROM found WHERE found MATCH ?"
_BEST_READING = "SELECT passage, MAX(covered), MAX(score) FROM ({}) GROUP BY passage"
BEST = """
WITH wishes (passage, covered, score) AS MATERIALIZED ({}),
     best AS (SELECT passage, SUM(score) * (0.6 + 0.4 * SUM(covered) / ?) AS score FROM wishes
              GROUP BY passage ORDER BY score DESC, passage LIMIT ?)
SELECT id, heading, text, score FROM best JOIN passages ON passages.rowid = passage ORDER BY score DESC, passage"""


class Index:
    """Finds passages in pages of text. Builds, loads and searches in a thread of its own, never on the event loop.

    `cache` is a folder for built indexes; several processes may share it, and what is broken in it is built anew.
    """

    def __init__(self, pages: Sequence[Page], cache: Path | None = None) -> None:
        self._pages = pages
        self._cache = cache
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="knowledge")
        self._opened: tuple[sqlite3.Connection, Vocabulary] | None = None

    async def warm_up(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self.open)

    async def search(self, query: str, limit: int = 3) -> Sequence[Hit]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._search, query, limit)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    def _search(self, query: str, limit: int) -> Sequence[Hit]:
        return best(*self.open(), query, limit)

    def open(self) -> tuple[sqlite3.Connection, Vocabulary]:
        """Build or load it now, on this thread: only before the first search."""
        if self._opened is None:
            index = self._loaded()
            self._opened = index, Vocabulary(index)
        return self._opened

    def _loaded(self) -> sqlite3.Connection:
        if self._cache is None:
            return built(self._pages)
        path = self._cache / f"knowledge-{_digest(self._pages)}.sqlite"
        index = _read(path)
        if index is None:
            index = built(self._pages)
            with contextlib.suppress(OSError, sqlite3.Error):  # a full disk or a folder that is not ours: it is a cache
                _write(index, path)
        return index

    def _close(self) -> None:
        if self._opened is not None:
            self._opened[0].close()


def best(index: sqlite3.Connection, words: Vocabulary, query: str, limit: int) -> list[Hit]:
    """The best passages of an index for what is looked for."""
    total = words.passages
    values: list[object] = []
    parts: list[str] = []
    asked = referred_to = 0.0
    for wish, havings in _affordable(words, words.wishes(query)):
        known = [
            (word, counts * _rarity(total, having), having)
            for (word, counts), having in zip(wish.readings, havings, strict=True)
            if having
        ]
        for word, rarity, having in known:
            values += 0.0 if wish.is_bonus else rarity, rarity / _rarity_in_fts5(total, having), f'"{word}"'
        if known:
            readings = " UNION ALL ".join([_READING] * len(known))
            parts.append(readings if len(known) == 1 else _BEST_READING.format(readings))
        rarest = max((rarity for _, rarity, _ in known), default=0.0)
        if wish.is_bonus:
            referred_to += rarest
        else:
            asked += rarest or _rarity(total, 1)
    if not values or not asked:
        return []
    rows = index.execute(BEST.format(" UNION ALL ".join(parts)), (*values, asked, limit))
    return [Hit(Passage(*row[:3]), 1 - math.exp(-row[3] / (asked + referred_to))) for row in rows]


def _affordable(words: Vocabulary, wishes: Iterable[Wish]) -> list[tuple[Wish, list[int]]]:
    """The wishes, and how many passages have each reading. Common words tell least and take longest: they yield."""
    counted = [(wish, [words.having(word) for word, _ in wish.readings]) for wish in wishes]
    counted.sort(key=lambda entry: sum(entry[1]))
    rows = 0
    for number, (_, havings) in enumerate(counted):
        before, rows = rows, rows + sum(havings)
        if before and rows > _MOST_ROWS:
            return counted[:number]
    return counted


def _rarity(total: int, having: int) -> float:
    return math.log(1 + (total - having + 0.5) / (having + 0.5))


def _rarity_in_fts5(total: int, having: int) -> float:
    """What its bm25() weighs a word with: next to nothing if every other passage has it, as in a small folder."""
    return max(math.log((total - having + 0.5) / (having + 0.5)), 1e-6)


def built(pages: Iterable[Page], tables: str = TABLES) -> sqlite3.Connection:
    """An index in memory."""
    index = sqlite3.connect(":memory:", check_same_thread=False)
    index.executescript(tables)
    words: set[str] = set()
    texts: set[str] = set()
    for passage in passages_of(pages):
        if passage.text in texts:  # the same page twice would crowd out the second best
            continue
        texts.add(passage.text)
        heading, text = (spoken_words(part) for part in (f"{passage.heading} {passage.keywords}", passage.text))
        words.update(heading, text)
        row = index.execute("INSERT INTO passages VALUES (?, ?, ?)", (passage.id, passage.heading, passage.text))
        found = (row.lastrowid, " ".join(heading), " ".join(text))
        index.execute("INSERT INTO found (rowid, heading, text) VALUES (?, ?, ?)", found)
    index.executemany("INSERT INTO words VALUES (?, ?)", ((word, sound_of(word)) for word in sorted(words)))
    index.executescript(_FINISH)
    index.commit()
    return index


def _digest(pages: Iterable[Page]) -> str:
    digest = hashlib.sha256(f"{_FORMAT} {sqlite3.sqlite_version}".encode())
    for page in pages:
        for part in (page.file, page.text):
            digest.update(hashlib.sha256(part.encode()).digest())
    return digest.hexdigest()[:32]


def _read(path: Path) -> sqlite3.Connection | None:
    """The cached index; None when there is none, or what there is cannot be used."""
    index: sqlite3.Connection | None = None
    try:
        index = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False)
        if index.execute("PRAGMA quick_check").fetchone() == ("ok",) and _version(index) == _FORMAT:
            return index
    except sqlite3.Error:
        pass
    if index is not None:
        index.close()
    return None


def _version(index: sqlite3.Connection) -> int:
    version: int = index.execute("PRAGMA user_version").fetchone()[0]
    return version


def _write(index: sqlite3.Connection, path: Path) -> None:
    """Whole or not at all: it is renamed into its place. The oldest of many make room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{uuid.uuid4().hex}.half")
    try:
        index.execute(f"PRAGMA user_version = {_FORMAT}")
        index.execute("VACUUM INTO ?", (str(half),))
        os.replace(half, path)  # noqa: PTH105  # as atomic as the system has it
    finally:
        half.unlink(missing_ok=True)
    for old in sorted(path.parent.glob("knowledge-*.sqlite"), key=lambda file: -file.stat().st_mtime)[_CACHES_KEPT:]:
        old.unlink(missing_ok=True)
