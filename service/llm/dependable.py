"""Several targets as one model that answers in time: hedging, failover, breakers.

Rule 1  Everything is measured on speakable words (or a tool call that began): headers and thinking are silence.
Rule 2  An attempt that fails before its first words is followed by the next target, at once. What began to be spoken
        is never repeated, and never continued by another model.
Rule 3  A slow first attempt gets a second one beside it (a hedge): at the next target, else on another connection.
        The first to speak wins; the others are closed before its words go on. One hedge a turn, within a budget: what
        is asked after a tool's answer shares it. One that began to call a tool has spoken.
Rule 4  A target that is too slow for its deadline counts as failing, and the next one is asked beside it.
Rule 5  Without another target, a failure that asking again might mend is asked again, once.
Rule 6  An attempt is judged once, when it is over: first words in time are no credit to an answer that breaks later,
        or that has stalled when its turn ends. A content filter's work and a limit of ours count for nothing.
Rule 7  Targets whose breaker is open are passed over; when all are, the first of them to close is asked nevertheless.
Rule 8  What an operator switched off is never asked, and what is preferred is asked first.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from service.llm.attempt import Piece
from service.llm.candidate import Candidate, Rules
from service.llm.model import NO_TOOLS, Endpoint, Messages, Occasion, Toolset
from service.llm.race import Race
from service.llm.records import AttemptWitness
from service.llm.switches import Switches

_HEDGED_TURNS = 1000
"""Turns remembered that had their hedge: those of now, many times over."""


class DependableModel:
    """A ChatModel of one or more targets, in the order of preference."""

    def __init__(
        self, endpoints: Sequence[Endpoint], rules: Rules, witness: AttemptWitness, switches: Switches | None = None
    ) -> None:
        self._switches = Switches() if switches is None else switches
        self._candidates = [Candidate(endpoint, rules, self._switches) for endpoint in endpoints]
        self._rules = rules
        self._witness = witness
        self._hedged: dict[Occasion, None] = {}

    @property
    def targets(self) -> list[Candidate]:
        """All, those that are asked first at the head, whatever their breakers say."""
        return sorted(self._candidates, key=lambda candidate: candidate.name != self._switches.preferred)

    async def stream(self, messages: Messages, occasion: Occasion, tools: Toolset = NO_TOOLS) -> AsyncGenerator[Piece]:
        may_hedge = occasion not in self._hedged
        race = Race(self._order(), self._rules, messages, occasion, self._witness, tools=tools, may_hedge=may_hedge)
        attempt = await race.winner()
        if race.has_hedged:
            self._hedged[occasion] = None
            if len(self._hedged) > _HEDGED_TURNS:
                del self._hedged[next(iter(self._hedged))]
        error: BaseException | None = None
        now = asyncio.get_running_loop().time
        try:
            for first in attempt.ready:
                yield first
            async for delta in attempt.deltas:
                if piece := attempt.take(delta):
                    attempt.heard_at = now()
                    yield piece
        except BaseException as raised:
            error = raised
            raise
        finally:
            await race.ended(attempt, error)

    async def warm_up(self) -> None:
        """Open connections to all targets. Raises the errors of those that cannot be reached, as a group."""
        warmed = await asyncio.gather(*(each.endpoint.warm_up() for each in self._candidates), return_exceptions=True)
        errors = [error for error in warmed if isinstance(error, Exception)]
        if errors:
            raise ExceptionGroup("targets without a connection", errors)

    async def close(self) -> None:
        for candidate in self._candidates:
            await candidate.endpoint.close()

    def _order(self) -> list[Candidate]:
        at = asyncio.get_running_loop().time()
        enabled = [candidate for candidate in self.targets if not candidate.is_disabled]
        admitted = [candidate for candidate in enabled if candidate.breaker.admits(at)]
        return admitted or [min(enabled, key=lambda candidate: candidate.breaker.open_until)]
