"""The port behind which knowledge lies. A file for each kind of store; `index.py` is the one that comes along.

A team with its own search service writes one more, such as this, into its agent's `tools.py`:

    import httpx
    from service.agents.knowledge.store import Hit, Passage

    class Wiki:
        def __init__(self, address):
            self.http = httpx.AsyncClient(base_url=address)

        async def search(self, query, limit=3):
            answer = await self.http.get("/search", params={"q": " ".join(query.split()), "limit": limit})
            answer.raise_for_status()
            return [
                Hit(Passage(found["id"], found["title"], found["body"]), found["relevance"])
                for found in answer.json()
            ]

        async def warm_up(self):
            await self.search("opening hours")

        async def close(self):
            await self.http.aclose()

    knowledge = Wiki("http://wiki.internal")

It need not bound its time, retry or catch anything: a call waits a moment for it, and goes on without.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of knowledge, small enough to be read by a model, or out loud."""

    id: str
    """Names it in traces: `file#heading`, and a number where a section has several."""
    heading: str
    """The headings above it, outermost first, with ` > ` between."""
    text: str
    keywords: str = ""
    """What it is searched for as well, and never shown."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage found. `score` is 0 to 1: about the share of what was asked that the passage speaks of."""

    passage: Passage
    score: float


class Knowledge(Protocol):
    """Something that finds passages. One object serves all calls."""

    async def search(self, query: str, limit: int = 3) -> Sequence[Hit]:
        """The best passages for what a caller said, the best first; none when nothing fits.

        The first line of the query is what was said now, with all that speech recognition does to words; a second, if
        there is one, is what it may refer to. May raise, and is cancelled when it takes too long.
        """
        ...

    async def warm_up(self) -> None:
        """Build or load what a search needs, before one does. May raise."""
        ...

    async def close(self) -> None:
        """Release it."""
        ...
