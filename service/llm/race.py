"""The attempts of one turn, until one of them speaks. Its rules stand in `dependable`."""

import asyncio
from collections import deque
from collections.abc import Sequence

from service.llm.attempt import Attempt
from service.llm.candidate import Candidate, Rules
from service.llm.model import NO_TOOLS, Messages, ModelError, ModelRejected, Occasion, RateLimited, Toolset
from service.llm.records import ASKING, AttemptWitness, Cause, Result

_Task = asyncio.Task[Exception | None]


class Race:
    """Asks one candidate, and others when it fails or is slow; the first to speak wins."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        rules: Rules,
        messages: Messages,
        occasion: Occasion,
        witness: AttemptWitness,
        *,
        tools: Toolset = NO_TOOLS,
        may_hedge: bool = True,
    ) -> None:
        self._untried = deque(candidates)
        self._rules = rules
        self._messages, self._tools = messages, tools
        self._occasion = occasion
        self._witness = witness
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        self._running: dict[_Task, Attempt] = {}
        self._winner: Attempt | None = None
        self._has_retried = self._has_reached = False
        self._may_hedge, self.has_hedged = may_hedge, False
        self._hedge_at = float("inf")

    async def winner(self) -> Attempt:
        """The attempt that spoke first; the others are closed. Raises the error of the last when none did."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._first = self._start(self._untried.popleft(), Cause.FIRST)
                self._hedge_at = self._first.asked_at + self._first.candidate.hedger.turn_began()
                try:
                    found = await self._run()
                finally:
                    for task in self._running:
                        task.cancel()
            await self._close_losers()
        except BaseException as error:  # cancelled: before one spoke, or while the others were closed
            if self._winner is not None:
                await self.ended(self._winner, error)
            await self._close_losers()
            raise
        if isinstance(found, Exception):
            raise found
        return found

    async def ended(self, attempt: Attempt, error: BaseException | None) -> None:
        """The winner's answer is over: it came to its end, failed, or was cancelled."""
        result, at = Result.ANSWERED if error is None else Result.CANCELLED, self._now()
        if isinstance(error, Exception):
            result = Result.FAILED
            attempt.candidate.failed(error, at, was_slow=attempt.is_slow)
        elif not attempt.is_slow:  # that counted already
            was_waiting = isinstance(error, asyncio.CancelledError) and not attempt.is_calling
            silent_for = at - attempt.heard_at if was_waiting else 0.0
            attempt.candidate.ended(at, attempt.asked_at, silent_for=silent_for)
        self._tell(attempt, result, error)
        await attempt.close()

    async def _run(self) -> Attempt | Exception:
        while True:
            await asyncio.wait(self._running, timeout=self._patience(), return_when=asyncio.FIRST_COMPLETED)
            error: Exception | None = None
            for task in [task for task in self._running if task.done()]:
                failure, attempt = task.result(), self._running[task]
                if failure is not None:
                    del self._running[task]
                    self._failed(attempt, failure)
                    error = failure
                elif self._winner is None:
                    del self._running[task]
                    self._won(attempt)
            if self._winner is not None:
                return self._winner
            if error is not None and not self._running:
                if not self._start_after(attempt, error):
                    return error
            else:
                self._look_at_clocks()

    # The clocks.

    def _patience(self) -> float | None:
        clocks = [attempt.slow_at for attempt in self._running.values() if not attempt.is_slow]
        due = min([*clocks, self._hedge_at])
        return None if due == float("inf") else max(0.0, due - self._now())

    def _look_at_clocks(self) -> None:
        at = self._now()
        if at >= self._hedge_at:
            self._hedge_at = float("inf")
            if self._first in self._running.values():
                self._has_reached = True
                self._first.candidate.hedger.waited(reached=True)
                self._hedge(self._first.candidate, at)
        for attempt in [each for each in self._running.values() if not each.is_slow and at >= each.slow_at]:
            attempt.is_slow = True
            attempt.candidate.breaker.went_badly(at)
            if others := self._others():
                self._start(others.popleft(), Cause.FAILOVER)

    def _hedge(self, slow: Candidate, at: float) -> None:
        others = self._others()
        other = others[0] if others else slow
        if other.is_disabled or not (self._may_hedge and slow.may_be_hedged):
            return
        is_other = other is not slow
        is_trial = is_other and not slow.breaker.is_closed  # the caller shall not pay for it
        may_spend = other.takes_hedges(at) and (is_other or slow.hedger.may_feed())
        if is_trial or (may_spend and slow.hedger.take()):
            if is_other:
                others.popleft()
            self.has_hedged = True
            self._start(other, Cause.HEDGE)

    # The attempts.

    def _others(self) -> deque[Candidate]:
        """Those that were not asked yet, without those that an operator switched off meanwhile at their head."""
        while self._untried and self._untried[0].is_disabled:
            self._untried.popleft()
        return self._untried

    def _start(self, candidate: Candidate, cause: Cause) -> Attempt:
        at = self._now()
        candidate.breaker.begun(at)
        header = self._header()
        ASKING.set((self._occasion, cause))
        deltas = candidate.endpoint.ask(self._messages, header, self._tools)
        attempt = Attempt(candidate, deltas, cause, at, self._rules.answer.longest, traceparent=header)
        self._running[self._tasks.create_task(self._begin(attempt))] = attempt
        return attempt

    def _start_after(self, failed: Attempt, error: Exception) -> bool:
        if others := self._others():
            self._start(others.popleft(), Cause.FAILOVER)
        elif (
            failed.candidate.is_disabled
            or self._has_retried
            or not isinstance(error, ModelError)
            or isinstance(error, ModelRejected | RateLimited)
        ):
            return False
        else:
            self._has_retried = True
            self._start(failed.candidate, Cause.RETRY)
        return True

    async def _begin(self, attempt: Attempt) -> Exception | None:
        try:
            await attempt.begin()
        except Exception as error:  # noqa: BLE001 - whatever it is, another attempt may do better
            await attempt.close()  # the error may be ours, and its stream go on
            return error
        attempt.answered_at = attempt.heard_at = self._now()
        return None

    def _won(self, attempt: Attempt) -> None:
        self._winner = attempt
        at, candidate, first = self._now(), attempt.candidate, self._first
        candidate.answered(at)
        if not self._has_reached:
            first.candidate.hedger.waited(reached=False)
        if attempt is first or first in self._running.values():  # if it lost: it would have taken at least as long
            first.candidate.hedger.spoke(at - first.asked_at)
        if candidate is not first.candidate:
            candidate.hedger.spoke(at - attempt.asked_at)

    def _failed(self, attempt: Attempt, error: Exception) -> None:
        attempt.candidate.failed(error, self._now(), was_slow=attempt.is_slow)
        self._tell(attempt, Result.FAILED, error)

    def _is_outrun(self, loser: Attempt) -> bool:
        """Whether it was slow where another target was not: with another connection of its own it was bad luck."""
        if self._winner is None or not self._has_reached or loser is not self._first or loser.is_slow:
            return False
        return self._winner.candidate is not loser.candidate

    async def _close_losers(self) -> None:
        for task, loser in list(self._running.items()):
            del self._running[task]  # first: whatever happens now, it is told of once
            is_outrun = self._is_outrun(loser)
            loser.candidate.breaker.told_nothing(self._now(), is_outrun=is_outrun)
            self._tell(loser, Result.LOST if self._winner is not None else Result.CANCELLED, None)
            await loser.close()

    def _header(self) -> str | None:
        try:
            return self._witness.traceparent(self._occasion)
        except Exception as failure:  # noqa: BLE001 - what cannot be traced is asked nevertheless
            self._loop.call_exception_handler({"message": "a witness failed", "exception": failure})
            return None

    def _tell(self, attempt: Attempt, result: Result, error: BaseException | None) -> None:
        try:
            self._witness.attempted(attempt.record(self._occasion, result, self._now(), error))
        except Exception as failure:  # noqa: BLE001 - what cannot be seen must not be felt
            self._loop.call_exception_handler({"message": "a witness failed", "exception": failure})
