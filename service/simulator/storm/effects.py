"""The world outside of all processes: what tools write, counted by key, and how their backend fails."""

import asyncio
import math
from contextvars import ContextVar
from dataclasses import dataclass
from random import Random

from service.simulator.storm.findings import Findings

RULE = "effects once"


class Refused(Exception):
    """The backend does not do it, and says so."""


class Failed(Exception):
    """The backend broke. It may have done it."""


@dataclass(slots=True)
class _Attempt:
    """A write that was begun. `home` is the process that did, `end` is empty while it runs."""

    home: object
    end: str = ""


class Effects:
    """A backend as a practice has one: a write with a key that it knows is answered as before, and does nothing."""

    def __init__(self, seed: str, findings: Findings) -> None:
        self.written = self.attempts = 0
        self._seed, self._findings = seed, findings
        self._keys: dict[tuple[str, int], str] = {}
        self._attempts: dict[str, list[_Attempt]] = {}
        self._done: set[str] = set()
        self._told: dict[tuple[str, int], float] = {}
        self._shown_at: dict[str, float] = {}
        self._concluded: dict[str, list[object]] = {}

    async def write(self, key: str, call_id: str, item: int, home: object) -> str:
        """Write an item down. Takes its time, refuses and fails as chance wants it."""
        attempts = self._attempts.setdefault(key, [])
        self._check(key, call_id, item, home, attempts)
        attempts.append(attempt := _Attempt(home))
        self.attempts += 1
        attempt_seed = f"{self._seed}/{call_id}/{item}/{len(attempts)}"
        chance = Random(attempt_seed)  # noqa: S311  no secret
        try:
            await asyncio.sleep(_seconds(chance))
            self._act(key, chance.random())
            attempt.end = "done"
        finally:
            attempt.end = attempt.end or "failed"
        return f"item {item} is written down"

    def _act(self, key: str, fate: float) -> None:
        if fate < 0.06:  # noqa: PLR2004  shares of what happens
            raise Refused("The book is closed just now.")
        if fate < 0.12:  # noqa: PLR2004
            raise Failed("before it was done")
        self.written += key not in self._done
        self._done.add(key)
        if fate < 0.18:  # noqa: PLR2004
            raise Failed("after it was done")

    def _check(self, key: str, call_id: str, item: int, home: object, attempts: list[_Attempt]) -> None:
        first = self._keys.setdefault((call_id, item), key)
        if first != key:
            self._findings.broken(RULE, call_id, f"item {item} is written under a second key, {key} after {first}")
        for attempt in attempts:
            if attempt.home is home and attempt.end in ("", "done"):
                how = "after it was done" if attempt.end else "while it is being done"
                self._findings.broken(RULE, call_id, f"item {item} is written once more, in the same process, {how}")
        if self._told.get((call_id, item), math.inf) < self._shown_at.get(call_id, 0.0):
            self._findings.broken(
                RULE, call_id, f"item {item} is written once more, though its result was shown before"
            )

    def told(self, call_id: str, item: int) -> None:
        """The platform has the result of a write."""
        self._told.setdefault((call_id, item), asyncio.get_running_loop().time())

    def shown(self, call_id: str) -> None:
        """The platform asks, and shows what it was told of tools."""
        self._shown_at[call_id] = asyncio.get_running_loop().time()

    def line_opened(self, call_id: str) -> None:
        """Perhaps to another process, which was shown nothing yet."""
        self._shown_at.pop(call_id, None)

    def concluded(self, call_id: str, home: object) -> None:
        """An agent was told that a call is over."""
        told = self._concluded.setdefault(call_id, [])
        if any(each is home for each in told):
            self._findings.broken("told once", call_id, "after_call ran a second time in the same process")
        told.append(home)

    def times_concluded(self, call_id: str) -> int:
        """How many processes were told that it is over."""
        return len(self._concluded.get(call_id, ()))


def _seconds(chance: Random) -> float:
    kind = chance.random()
    if kind < 0.5:  # noqa: PLR2004  shares of what happens
        return 0.0
    if kind < 0.9:  # noqa: PLR2004
        return chance.uniform(0.05, 2.5)
    return chance.uniform(2.5, 6.0)


EFFECTS: ContextVar[Effects] = ContextVar("effects")
"""Those of the storm that the running code is in."""
