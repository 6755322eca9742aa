"""Agents that do not stop when they are cancelled, or fail while they do: their turn's and their line's end."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

import pytest

from service.conversation.call import Turn
from service.conversation.parts import HangUp, Part, Speech
from service.settings import Settings
from tests.conformance.agents import replying
from tests.live import serving

GUARDED = Settings(reconnect_window=0.05)


class OwnError(BaseException):
    """As some libraries raise, so that nobody swallows it."""


class Deaf:
    """An agent that waits in turn 1 until the test lets it go, however often it is cancelled."""

    def __init__(self) -> None:
        self.lets_go = asyncio.Event()
        self.agent = replying(self._reply)

    async def _reply(self, turn: Turn) -> AsyncGenerator[Part]:
        yield Speech(f"Answer {turn.turn_id}.")
        while turn.turn_id == 1 and not self.lets_go.is_set():
            with suppress(asyncio.CancelledError):
                await self.lets_go.wait()


async def test_an_agent_that_swallows_its_cancellation_says_no_more_and_holds_nobody_up() -> None:
    is_over = asyncio.Event()

    async def reply(turn: Turn) -> AsyncGenerator[Part]:
        if turn.turn_id > 1:
            yield Speech("New.")
            return
        try:
            yield Speech("Old ")
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            yield Speech("words, though cancelled.")
            yield HangUp("Bye.")
        is_over.set()

    async with serving(replying(reply), GUARDED) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "", "Hi.")
        await line.frame()
        await line.ask(2, "", "Hi.")
        assert await line.answer(2) == "New."
        await line.nothing(0.05)
        assert is_over.is_set()


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(RuntimeError("cleanup failed"), id="error"),
        pytest.param(OwnError(), id="no-exception"),
        pytest.param(SystemExit(3), id="exit"),
    ],
)
async def test_an_agent_that_fails_while_it_is_cancelled_does_not_break_the_line(error: BaseException) -> None:
    """As a client library does whose connection breaks while it is closed."""
    is_reached = asyncio.Event()

    async def reply(turn: Turn) -> AsyncGenerator[Part]:
        yield Speech(f"Answer {turn.turn_id}.")
        if turn.turn_id == 1:
            try:
                is_reached.set()
                await asyncio.Event().wait()
            finally:
                raise error

    async with serving(replying(reply)) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "", "Hi.")
        await is_reached.wait()
        await line.ask(2, "", "Hi.")
        assert await line.answer(2) == "Answer 2."
        await line.ping(1)


async def test_an_agent_that_fails_late_on_a_replaced_line_does_not_break_the_new_one() -> None:
    lets_go = asyncio.Event()

    async def reply(turn: Turn) -> AsyncGenerator[Part]:
        yield Speech("Yes.")
        while not lets_go.is_set():
            with suppress(asyncio.CancelledError):
                await lets_go.wait()
        raise RuntimeError

    async with serving(replying(reply)) as service, service.line() as old:
        await old.greeted()
        await old.ask(1, "", "Hi.")
        await old.frame()
        async with service.line() as new:
            await new.until(lambda frame: frame.get("response_id") == 0)
            lets_go.set()
            await new.nothing(0.1)
            await new.ping(1)


async def test_a_slow_cleanup_on_a_replaced_line_does_not_end_the_call_when_it_is_back() -> None:
    """Two lines of a call end at different times; the first end's timer may not outlive the call's return."""

    deaf = Deaf()
    async with serving(deaf.agent, Settings(reconnect_window=0.3)) as service, service.line() as old:
        await old.greeted()
        await old.ask(1, "", "Hi.")
        await old.frame()
        async with service.line() as new:
            await new.frame()
        await asyncio.sleep(0.1)
        deaf.lets_go.set()  # now the old line's share of the call ends, after the new one's
        await asyncio.sleep(0.05)
        async with service.line() as back:
            await back.until(lambda frame: frame.get("response_id") == 0)
            await back.nothing(0.3)
            await back.ping(1)


async def test_an_agent_deaf_to_cancellation_holds_up_neither_the_next_turn_nor_the_next_line() -> None:
    deaf = Deaf()
    async with serving(deaf.agent) as service:
        async with service.line() as line:
            await line.greeted()
            await line.ask(1, "", "Hi.")
            await line.frame()
            await line.ask(2, "", "Hi.")
            assert await line.answer(2) == "Answer 2."
        async with service.line() as again:
            await again.greeted()
            await again.ask(3, "", "Hi.")
            assert await again.answer(3) == "Answer 3."
        deaf.lets_go.set()


async def test_the_call_of_an_agent_deaf_to_cancellation_is_forgotten_all_the_same() -> None:
    deaf = Deaf()
    async with serving(deaf.agent, GUARDED) as service:
        async with service.line() as line:
            await line.greeted()
            await line.ask(1, "", "Hi.")
            await line.frame()
        try:
            await service.forgets()
        finally:
            deaf.lets_go.set()


async def test_an_agent_deaf_to_cancellation_does_not_keep_the_service_from_stopping() -> None:
    deaf = Deaf()
    loop = asyncio.get_running_loop()
    async with serving(deaf.agent) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "", "Hi.")
        await line.frame()
        begun = loop.time()
        release = loop.call_later(4, deaf.lets_go.set)
    deaf.lets_go.set()
    release.cancel()
    assert loop.time() - begun < 3
