"""Which agents there are, which of them takes a call, and how they follow their files in development."""

import asyncio
import hashlib
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from service.agents.agent import Agent
from service.agents.dummy import Dummy
from service.agents.folder import files_of, read_folder
from service.agents.mistakes import FolderMistake
from service.agents.prompted import PromptedAgent
from service.conversation.inbound import Inbound, InboundCall
from service.conversation.transcript import must_be

SHIPPED = Path(__file__).parent
"""Where the agents are that come along."""

CODED: dict[str, Callable[[], Agent]] = {"dummy": Dummy}
"""Agents that are not made of prompt.md and agent.toml."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def folders_in(place: Path) -> dict[str, Path]:
    """The agents' folders of a place, by name: those with an agent.toml or a prompt.md. Raises OSError for no place."""
    found = [path for path in sorted(place.iterdir()) if NAME.fullmatch(path.name)]
    return {path.name: path for path in found if any((path / file).exists() for file in ("agent.toml", "prompt.md"))}


def shares_of(choice: str) -> dict[str, float]:
    """What share of the calls each agent takes: of `a` all, of `a:95,b:5` 0.95 and 0.05. Raises ValueError.

    The numbers need not add up to 100; of `a:2,b:1` a takes two calls of three. One that has 0 is there for calls whose
    address names it.
    """
    shares: dict[str, float] = {}
    for part in choice.split(","):
        name, _, number = (text.strip() for text in part.partition(":"))
        if not NAME.fullmatch(name) or name in shares:
            raise ValueError(f"{part.strip()!r} is no agent with its share, or stands there twice")
        shares[name] = float(number or ("1" if name == choice.strip() else "nan"))
    total = sum(shares.values())
    if not all(share >= 0 for share in shares.values()) or not 0 < total < math.inf:
        raise ValueError("each share is a number, 0 or more, and not all are 0")
    return {name: share / total for name, share in shares.items()}


def drawn(shares: Mapping[str, float], call_id: str) -> str:
    """The agent of a call: the same on every machine and each time, and no other call's choice tells it."""
    digest = hashlib.sha256(call_id.encode()).digest()
    at = int.from_bytes(digest[:8]) / 2**64
    reached = zip(accumulate(shares.values()), shares, strict=True)
    return next((name for edge, name in reached if at < edge), max(shares, key=shares.__getitem__))


OnChange = Callable[[Mapping[str, str], str, FolderMistake | None], None]
"""Told the hashes of all agents, whose files changed, and what is wrong with these."""

Stamp = tuple[tuple[str, int, int], ...]


@dataclass(slots=True)
class Shelved:
    """An agent as it is now."""

    agent: Agent
    hash: str = ""
    """Of its folder."""
    stamp: Stamp = ()


class Library:
    """The agents of this service, by name."""

    def __init__(
        self, shelved: Mapping[str, Shelved], shares: Mapping[str, float], on_change: OnChange | None = None
    ) -> None:
        """`on_change` makes agents follow their files, and is told of it."""
        self._shelved = dict(shelved)
        self._shares = shares
        self._on_change = on_change
        self._retired: list[Agent] = []
        self._reading = asyncio.Lock()
        for each in self._shelved.values():
            if on_change is not None and isinstance(each.agent, PromptedAgent):
                each.stamp = stamp_of(each.agent.folder.path)

    def __contains__(self, name: object) -> bool:
        return name in self._shelved

    @property
    def agents(self) -> Iterator[Agent]:
        """All that have taken calls, earlier versions among them."""
        yield from self._retired
        yield from (each.agent for each in self._shelved.values())

    @property
    def hashes(self) -> dict[str, str]:
        """The hash of each agent's folder, by the agent's name."""
        return {name: each.hash for name, each in self._shelved.items()}

    @property
    def names(self) -> Sequence[str]:
        """Those that calls are shared among."""
        return [name for name, share in self._shares.items() if share]

    def pick(self, call_id: str, named: str = "") -> Shelved:
        """Who takes a call: the one that its address names, or else the one that it falls to."""
        return self._shelved[named or drawn(self._shares, call_id)]

    async def decide(self, call: InboundCall, named: str = "") -> Inbound:
        """What an agent, or the one that most calls fall to, says of a call that is about to come.

        Raises what its hook raises, and TypeError for an answer that is none.
        """
        agent = self._shelved[named or max(self._shares, key=self._shares.__getitem__)].agent
        hook = agent.folder.inbound if isinstance(agent, PromptedAgent) else None
        decided = None if hook is None else await hook(call)
        must_be(Inbound | None, decided)
        return decided if isinstance(decided, Inbound) else Inbound()

    async def refresh(self) -> None:
        """Read what has changed on disk. Calls in progress keep their agent; so do all while there are mistakes."""
        if self._on_change is None:
            return
        async with self._reading:
            for name, each in self._shelved.items():
                if isinstance(each.agent, PromptedAgent):
                    await self._follow(name, each, each.agent, self._on_change)

    async def _follow(self, name: str, each: Shelved, agent: PromptedAgent, on_change: OnChange) -> None:
        try:
            stamp = await asyncio.to_thread(stamp_of, agent.folder.path)
            if stamp == each.stamp:
                return
            each.stamp = stamp
            folder = await asyncio.to_thread(read_folder, agent.folder.path)
        except OSError:  # a file is just being replaced
            return
        except FolderMistake as mistake:
            on_change(self.hashes, name, mistake)
            return
        if folder.knowledge is not None:
            with suppress(Exception):  # a turn does without
                await folder.knowledge.warm_up()
        self._retired.append(agent)
        # The same model: what is known of its targets stays true. Other targets are asked after the next start.
        each.agent, each.hash = PromptedAgent(folder, agent.model, agent.now, agent.trace, agent.switches), folder.hash
        on_change(self.hashes, name, None)


def stamp_of(folder: Path) -> Stamp:
    """What changes whenever a file of the folder does, and costs no reading."""
    stats = [(str(file), file.stat()) for file in files_of(folder)]
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)
