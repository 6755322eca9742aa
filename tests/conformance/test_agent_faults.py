"""Cases 32 to 35 and 68 with agents of every bad kind: the caller always hears something, exactly once."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any, cast

import pytest

from service.conversation.call import Prompt, SpokenLines, Turn
from service.conversation.parts import HangUp, Interjection, PageMessage, Part, Speech, Transfer, VoiceSettings
from service.conversation.transcript import ToolAnswered, ToolCalled
from service.settings import Settings
from tests.conformance.agents import failing, replying, saying
from tests.live import PlatformLine, ScriptedAgent, serving

LINES = SpokenLines()
BRISK = Settings(turn_budget=0.2)


class OwnError(BaseException):
    """As some libraries raise, so that nobody swallows it."""


ERRORS: tuple[BaseException, ...] = (
    RuntimeError("secret"),
    asyncio.CancelledError(),
    SystemExit(3),
    TimeoutError(),
    RecursionError(),
    ExceptionGroup("two", [ValueError(), KeyError()]),
    GeneratorExit(),
    OwnError(),
)


class Markup(str):
    """As template engines and arrays give for text."""

    __slots__ = ()


RUBBISH: dict[str, Callable[[], Any]] = {
    "bare words": lambda: "Hi.",
    "nothing": lambda: None,
    "a dict": lambda: {"content": "Hi."},
    "a number as words": lambda: Speech(cast("str", 42)),
    "bytes as words": lambda: Speech(cast("str", b"Hi.")),
    "a number as a farewell": lambda: HangUp(cast("str", 42)),
    "nothing before a transfer": lambda: Transfer("+15550100", cast("str", None)),
    "nothing as an interjection": lambda: Interjection(cast("str", None)),
    "a tool call without arguments": lambda: ToolCalled("t1", "find", cast("str", None)),
    "a page message that is not JSON": lambda: PageMessage("{"),
    "a page message that is no object": lambda: PageMessage("[1]"),
    "a page message with a number that JSON lacks": lambda: PageMessage('{"a": NaN}'),
    "a page message with half an emoji": lambda: PageMessage('{"a": "\ud83d"}'),
    "a relative of text as words": lambda: Speech(Markup("Hi.")),
    "nothing as a flag": lambda: Speech("Hi.", is_uninterruptible=cast("bool", None)),
    "text as a flag": lambda: HangUp("Bye.", is_uninterruptible=cast("bool", "yes")),
    "a number as a flag": lambda: Transfer("+15550100", shows_caller_number=cast("bool", 1)),
    "a tool answer of no known success": lambda: ToolAnswered("t1", "", is_successful=cast("bool", "yes")),
    "a reminder after ages": lambda: VoiceSettings(reminder_after=1e306),
    "reminders without number": lambda: VoiceSettings(reminder_limit=10**30),
    "a setting that is no number": lambda: VoiceSettings(responsiveness=cast("float", "high")),
}


async def asked_once(line: PlatformLine) -> str:
    """What turn 1 says; the turn after it shows that the call goes on."""
    await line.ask(1, "", "Hi.")
    said = await line.answer(1)
    await line.nothing(0.03)
    await line.ping(1)
    return said


async def test_case_32_an_agent_that_fails_before_it_speaks_is_apologised_for(subtests: pytest.Subtests) -> None:
    async with serving(ScriptedAgent(failing_by_call)) as service:
        for number, error in enumerate(ERRORS):
            with subtests.test(error=repr(error)):
                async with service.line(f"call_{number}") as line:
                    await line.greeted()
                    assert await asked_once(line) == LINES.apology
                    assert len(line.frames) == 4  # config, greeting, apology, pong


async def test_case_33_an_agent_that_fails_in_mid_sentence_gets_a_closing_line(subtests: pytest.Subtests) -> None:
    async with serving(ScriptedAgent(lambda turn: failing_by_call(turn, "We open", " at "))) as service:
        for number, error in enumerate(ERRORS):
            with subtests.test(error=repr(error)):
                async with service.line(f"call_{number}") as line:
                    await line.greeted()
                    assert await asked_once(line) == f"We open at {LINES.closing_line}"


def failing_by_call(turn: Turn, *words: str) -> AsyncGenerator[Part]:
    """In call 3, fail with error 3."""
    return failing(ERRORS[int(turn.call_id.removeprefix("call_"))], *words).reply(turn)


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


async def test_case_32_an_agent_whose_reply_is_no_stream_is_apologised_for(subtests: pytest.Subtests) -> None:
    replies: tuple[Callable[..., Any], ...] = (lambda _: None, lambda _: iter([Speech("Hi.")]), lambda: None)

    def reply(turn: Turn) -> AsyncGenerator[Part]:
        if turn.prompt is Prompt.GREETING:
            return saying().reply(turn)
        return cast("AsyncGenerator[Part]", replies[int(turn.call_id.removeprefix("call_"))](turn))

    async with serving(ScriptedAgent(reply)) as service:
        for number, what in enumerate(("nothing", "a plain iterator", "a function without argument")):
            with subtests.test(reply=what):
                async with service.line(f"call_{number}") as line:
                    await line.greeted()
                    assert await asked_once(line) == LINES.apology


async def test_a_rubbish_part_costs_its_turn_at_most_and_never_the_line(subtests: pytest.Subtests) -> None:
    rubbish = list(RUBBISH.values())

    async def reply(turn: Turn) -> AsyncGenerator[Part]:
        yield rubbish[int(turn.call_id.removeprefix("call_"))]() if turn.turn_id == 1 else Speech("Yes.")

    async with serving(replying(reply)) as service:
        for number, what in enumerate(RUBBISH):
            with subtests.test(what):
                async with service.line(f"call_{number}") as line:
                    await line.greeted()
                    await line.ask(1, "", "Hi.")
                    await line.answer(1)
                    await line.ask(2, "", "Hi.")
                    assert await line.answer(2) == "Yes."
