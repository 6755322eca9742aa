"""Cases 32 to 35 and 68 with agents of every bad kind: the caller always hears something, exactly once."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any, cast

import pytest

from service.conversation.call import Prompt, SpokenLines, Turn
from service.conversation.parts import HangUp, PageMessage, Part, Speech, Transfer, VoiceSettings
from service.settings import Settings
from tests.conformance.agents import failing, replying, saying
from tests.live import PlatformLine, ScriptedAgent, serving

LINES = SpokenLines()
BRISK = Settings(turn_budget=0.2)
GUARDED = Settings(reconnect_window=0.05)
ERRORS = [
    pytest.param(RuntimeError("secret"), id="error"),
    pytest.param(asyncio.CancelledError(), id="cancelled"),
    pytest.param(SystemExit(3), id="exit"),
    pytest.param(TimeoutError(), id="timeout"),
    pytest.param(RecursionError(), id="recursion"),
    pytest.param(ExceptionGroup("two", [ValueError(), KeyError()]), id="group"),
    pytest.param(GeneratorExit(), id="generator-exit"),
]


class OwnError(BaseException):
    """As some libraries raise, so that nobody swallows it."""


async def asked_once(line: PlatformLine) -> str:
    """What turn 1 says; the turn after it shows that the call goes on."""
    await line.ask(1, "", "Hi.")
    said = await line.answer(1)
    await line.nothing(0.03)
    await line.ping(1)
    return said


@pytest.mark.parametrize("error", ERRORS)
async def test_case_32_an_agent_that_fails_before_it_speaks_is_apologised_for(error: BaseException) -> None:
    async with serving(failing(error)) as service, service.line() as line:
        await line.greeted()
        assert await asked_once(line) == LINES.apology
        assert len(line.frames) == 4  # config, greeting, apology, pong


@pytest.mark.parametrize("error", ERRORS)
async def test_case_33_an_agent_that_fails_in_mid_sentence_gets_a_closing_line(error: BaseException) -> None:
    async with serving(failing(error, "We open", " at ")) as service, service.line() as line:
        await line.greeted()
        assert await asked_once(line) == f"We open at {LINES.closing_line}"


async def test_case_33_a_closing_line_is_not_glued_to_the_word_before() -> None:
    async with serving(failing(OSError(), "We open at ni")) as service, service.line() as line:
        await line.greeted()
        assert await asked_once(line) == f"We open at ni {LINES.closing_line}"


async def test_case_33_an_agent_that_fails_behind_a_sentence_is_completed_without_words() -> None:
    async with serving(failing(OSError(), "We open ", "at nine.")) as service, service.line() as line:
        await line.greeted()
        assert await asked_once(line) == "We open at nine."
        assert line.frames[-2]["content"] == ""


async def test_case_33_an_agent_that_fails_in_the_greeting_greets_with_its_fallback() -> None:
    def fail(_: Turn) -> AsyncGenerator[Part]:
        raise LookupError

    async with serving(ScriptedAgent(fail)) as service, service.line() as line:
        assert (await line.greeted())[-1]["content"] == LINES.fallback_greeting


async def test_case_32_an_error_that_is_no_exception_is_apologised_for_too() -> None:
    async with serving(failing(OwnError())) as service, service.line() as line:
        await line.greeted()
        assert await asked_once(line) == LINES.apology


async def test_case_34_an_agent_that_hangs_before_it_speaks_is_apologised_for_when_the_budget_is_spent() -> None:
    async def hang(_: Turn) -> AsyncGenerator[Part]:
        await asyncio.Event().wait()
        yield Speech("never")

    async with serving(replying(hang), BRISK) as service, service.line() as line:
        await line.greeted()
        assert await asked_once(line) == LINES.apology
        await line.ask(2, "", "Hi.")  # the budget is the turn's, not the call's
        assert await line.answer(2) == LINES.apology


async def test_case_34_an_agent_that_hangs_in_mid_sentence_gets_a_closing_line_and_no_more_words() -> None:
    is_closed = asyncio.Event()

    async def hang(_: Turn) -> AsyncGenerator[Part]:
        try:
            yield Speech("We open")
            await asyncio.Event().wait()
        finally:
            is_closed.set()

    async with serving(replying(hang), BRISK) as service, service.line() as line:
        await line.greeted()
        assert await asked_once(line) == f"We open {LINES.closing_line}"
        assert is_closed.is_set()


async def test_case_34_an_agent_that_hangs_in_the_greeting_greets_with_its_fallback() -> None:
    async def hang(_: Turn) -> AsyncGenerator[Part]:
        await asyncio.Event().wait()
        yield Speech("never")

    async with serving(ScriptedAgent(hang), BRISK) as service, service.line() as line:
        assert (await line.greeted())[-1]["content"] == LINES.fallback_greeting


@pytest.mark.parametrize("parts", [pytest.param((), id="nothing"), pytest.param(("",), id="empty-words")])
async def test_case_35_an_agent_without_words_completes_its_turn(parts: tuple[str, ...]) -> None:
    async with serving(saying(*parts)) as service, service.line() as line:
        await line.greeted()
        assert await asked_once(line) == ""


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(lambda _: None, id="none"),
        pytest.param(lambda _: iter([Speech("Hi.")]), id="plain-iterator"),
        pytest.param(lambda _: 1 / 0, id="raises-at-once"),
        pytest.param(lambda: None, id="wrong-signature"),
    ],
)
async def test_case_32_an_agent_whose_reply_is_no_stream_is_apologised_for(reply: Callable[..., Any]) -> None:
    agent = ScriptedAgent(lambda turn: saying().reply(turn) if turn.prompt is Prompt.GREETING else reply(turn))
    async with serving(agent) as service, service.line() as line:
        await line.greeted()
        assert await asked_once(line) == LINES.apology


@pytest.mark.parametrize(
    "rubbish",
    [
        pytest.param("words", id="bare-text"),
        pytest.param(None, id="none"),
        pytest.param({"content": "Hi."}, id="dict"),
        pytest.param(Speech(cast("str", 42)), id="number-as-words"),
        pytest.param(Speech(cast("str", b"bytes")), id="bytes-as-words"),
        pytest.param(HangUp(cast("str", 42)), id="number-as-farewell"),
        pytest.param(Transfer("+15550100", cast("str", None)), id="none-before-a-transfer"),
        pytest.param(PageMessage("{"), id="page-message-that-is-not-json"),
        pytest.param(PageMessage("[1]"), id="page-message-that-is-no-object"),
        pytest.param(VoiceSettings(reminder_after=1e306), id="reminder-after-ages"),
        pytest.param(VoiceSettings(reminder_limit=10**30), id="reminders-without-number"),
    ],
)
async def test_a_rubbish_part_costs_its_turn_at_most_and_never_the_line(rubbish: Any) -> None:
    async def reply(turn: Turn) -> AsyncGenerator[Part]:
        yield rubbish if turn.turn_id == 1 else Speech("Yes.")

    async with serving(replying(reply)) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "", "Hi.")
        await line.answer(1)
        await line.ask(2, "", "Hi.")
        assert await line.answer(2) == "Yes."


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
        try:
            await asyncio.Event().wait()
        finally:
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

    async def reply(_: Turn) -> AsyncGenerator[Part]:
        yield Speech("Yes.")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.1)

    async with serving(replying(reply), Settings(reconnect_window=0.3)) as service, service.line() as old:
        await old.greeted()
        await old.ask(1, "", "Hi.")
        await old.frame()
        async with service.line() as new:
            await new.frame()
        await asyncio.sleep(0.15)  # the old line's share of the call has ended after the new one's
        async with service.line() as back:
            await back.until(lambda frame: frame.get("response_id") == 0)
            await back.nothing(0.3)
            await back.ping(1)


class Deaf:
    """An agent that waits in turn 1 until the test lets it go, however often it is cancelled."""

    def __init__(self) -> None:
        self.lets_go = asyncio.Event()
        self.agent = replying(self._reply)

    async def _reply(self, turn: Turn) -> AsyncGenerator[Part]:
        yield Speech(f"Answer {turn.turn_id}.")
        while turn.turn_id == 1 and not self.lets_go.is_set():
            try:
                await self.lets_go.wait()
            except asyncio.CancelledError:
                continue


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
            await again.ask(1 + 2, "", "Hi.")
            assert await again.answer(3) == "Answer 3."
        deaf.lets_go.set()


async def test_the_call_of_an_agent_deaf_to_cancellation_is_forgotten_all_the_same() -> None:
    deaf = Deaf()
    async with serving(deaf.agent, GUARDED) as service:
        async with service.line() as line:
            await line.greeted()
            await line.ask(1, "", "Hi.")
            await line.frame()
        await asyncio.sleep(0.3)
        left = len(service.calls)
        deaf.lets_go.set()
        assert left == 0


async def test_an_agent_deaf_to_cancellation_does_not_keep_the_service_from_stopping() -> None:
    deaf = Deaf()
    loop = asyncio.get_running_loop()
    async with serving(deaf.agent) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "", "Hi.")
        await line.frame()
        begun = loop.time()
        release = loop.call_later(4, deaf.lets_go.set)
    release.cancel()
    assert loop.time() - begun < 3


class BrokenLines(SpokenLines):
    """Lines that fail when they are wanted: a fault in the heart of the service."""

    def __getattribute__(self, name: str) -> Any:
        if name == "apology":
            raise RuntimeError("no apology")
        return super().__getattribute__(name)


async def test_case_68_a_fault_of_our_own_cuts_the_line_without_a_code_and_the_call_comes_back() -> None:
    agent = failing(OSError())
    agent.lines = BrokenLines()
    async with serving(agent) as service, service.line("call_2") as other:
        await other.greeted()
        async with service.line() as line:
            await line.greeted()
            await line.ask(1, "", "Hi.")
            assert await line.closed(within=2) == 1006
        async with service.line() as again:
            await again.greeted(call_status="ongoing")
            await again.ping(2)
        await other.ping(1)
