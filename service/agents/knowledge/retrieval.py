"""Knowledge for the turns of one call: sought while the caller still speaks, and never waited for long."""

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from service.agents.knowledge.store import Hit, Knowledge
from service.agents.knowledge.wording import content_words
from service.conversation.call import Prompt, Turn
from service.conversation.parts import KnowledgeSought, Lookup
from service.conversation.transcript import Speaker, Transcript, Utterance

T = TypeVar("T")

BOUND = 0.15
"""Seconds that a turn waits at most, unless its agent says otherwise."""
FLOOR = 0.15
"""The score below which a passage is not worth showing."""
MOST_HITS = 3
MOST_CHARACTERS = 2000
_DEBOUNCE = 0.2
"""Seconds between searches ahead."""
_GIVEN_UP = 3.0
"""Seconds after which a search is called off, whoever waits for it."""
_NEARLY = 0.6
"""The share of words in common with which an earlier search serves when the right one is late."""
_FEW_WORDS = 2
"""A caller who says so little may go on from what was said before."""
_LONGEST = 600
"""Characters of what the caller said last that are looked at."""


class Starter(Protocol):
    """Whoever owns the searches, and awaits them."""

    def start(self, errand: Coroutine[Any, Any, T], /) -> asyncio.Task[T]: ...


@dataclass(frozen=True, slots=True)
class _Found:
    hits: tuple[Hit, ...] = ()
    took: float = 0.0
    failed: bool = False


@dataclass(frozen=True, slots=True)
class _Search:
    words: frozenset[str]
    task: asyncio.Task[_Found]

    def result(self) -> _Found | None:
        return self.task.result() if self.task.done() and not self.task.cancelled() else None


class Retrieval:
    """Seeks knowledge for one call. At most one search runs for it at a time."""

    def __init__(self, knowledge: Knowledge, errands: Starter, bound: float = BOUND) -> None:
        self._knowledge = knowledge
        self._errands = errands
        self._bound = bound
        self._newest: _Search | None = None
        self._earlier: tuple[frozenset[str], _Found] = (frozenset(), _Found())
        self._began_at = float("-inf")

    def hear(self, transcript: Transcript) -> None:
        """Search ahead when the caller's words have content, and are new."""
        query, words = _asked(transcript)
        newest = self._newest
        if not words or (newest is not None and (newest.words == words or not newest.task.done())):
            return
        if asyncio.get_running_loop().time() - self._began_at >= _DEBOUNCE:
            self._begin(query, words)

    async def found(self, turn: Turn) -> tuple[Sequence[Hit], KnowledgeSought]:
        """What to show the model for this turn, and what is told of it. Waits at most `bound`, and raises nothing."""
        query, words = _asked(turn.history)
        if turn.prompt is not Prompt.CALLER_SPOKE or not words:
            return (), KnowledgeSought(Lookup.SKIPPED)
        clock = asyncio.get_running_loop().time
        began = clock()
        search = self._newest
        if search is None or search.words != words or _is_spoilt(search):
            search = self._begin(query, words)
        await asyncio.wait({search.task}, timeout=self._bound)
        return self._told(search, clock() - began)

    def close(self) -> None:
        """Call off what runs. Its owner awaits it."""
        if self._newest is not None:
            self._newest.task.cancel()

    def _begin(self, query: str, words: frozenset[str]) -> _Search:
        if self._newest is not None:
            if (found := self._newest.result()) is not None and not found.failed:
                self._earlier = self._newest.words, found
            self._newest.task.cancel()
        self._began_at = asyncio.get_running_loop().time()
        self._newest = _Search(words, self._errands.start(self._sought(query)))
        return self._newest

    async def _sought(self, query: str) -> _Found:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            async with asyncio.timeout(_GIVEN_UP):
                hits = _worth_showing(await self._knowledge.search(query, MOST_HITS))
        except Exception:  # noqa: BLE001  # a store is anybody's code: its failure is told, and the turn does without
            return _Found(failed=True)
        return _Found(hits, clock() - began)

    def _told(self, search: _Search, waited: float) -> tuple[Sequence[Hit], KnowledgeSought]:
        found = search.result()
        if found is None:
            words, found = self._earlier
            if not found.hits or len(words & search.words) < _NEARLY * len(words | search.words):
                return (), KnowledgeSought(Lookup.LATE, waited=waited)
        if found.failed:
            return (), KnowledgeSought(Lookup.FAILED, waited=waited)
        passages = tuple((hit.passage.id, hit.score) for hit in found.hits)
        return found.hits, KnowledgeSought(
            Lookup.FOUND if passages else Lookup.NOTHING, passages, waited=waited, took=found.took
        )


def _is_spoilt(search: _Search) -> bool:
    found = search.result()
    return search.task.done() and (found is None or found.failed)


def _asked(transcript: Transcript) -> tuple[str, frozenset[str]]:
    """What to search for, and its words: what the caller said last and, if that is little, what it may refer to."""
    said: list[str] = []
    before = ""
    for row in reversed(transcript):
        if isinstance(row, Utterance):
            if row.speaker is Speaker.AGENT and said:
                before = row.text[-_LONGEST:]
                break
            if row.speaker is Speaker.AGENT:
                break  # the caller has not answered yet
            said.append(row.text)
    query = " ".join(" ".join(reversed(said)).split())[-_LONGEST:]
    words = frozenset(content_words(query))
    if before and len(words) <= _FEW_WORDS:
        query = f"{query}\n{' '.join(before.split())}"
    return query, words


def _worth_showing(hits: Iterable[Hit]) -> tuple[Hit, ...]:
    """The best few, and not more words than a model reads in passing."""
    shown: list[Hit] = []
    left = MOST_CHARACTERS
    for hit in list(hits)[:MOST_HITS]:
        if not FLOOR <= hit.score <= 1:
            continue
        text = hit.passage.text
        if len(text) > left:
            if shown:
                break
            hit = replace(hit, passage=replace(hit.passage, text=f"{text[:left].rsplit(' ', 1)[0]} …"))  # noqa: PLW2901
        shown.append(hit)
        left -= len(text)
    return tuple(shown)
