import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from service.agents.call import Call
from service.agents.tools import GRACE, MOST_BYTES, Answer, Tool, ToolError, tool
from service.llm.model import ToolSpec
from service.virtual.loop import run


@dataclass
class Slot:
    day: date
    price: Decimal


def a_call() -> Call:
    return Call("call_1", lambda aside: None)


async def answer_of(made: Tool, arguments: str = "") -> Answer:
    return await made.run(a_call(), made.read(arguments))


def answering(result: object, **options: Any) -> Tool:
    """A tool that returns this, or raises it."""

    async def lookup() -> object:
        """Look it up."""
        if isinstance(result, BaseException):
            raise result
        return result

    return tool(**options)(lookup)


def test_a_tool_is_its_function_with_what_the_model_is_told() -> None:
    @tool
    def add(one: int, other: int = 2) -> int:
        """Add two numbers."""
        return one + other

    assert add(1, other=5) == 6
    assert add.name == "add"
    assert isinstance(add.spec, ToolSpec)
    assert add.spec.description == "Add two numbers."
    assert (add.effect, add.timeout, add.hold, add.hold_after, add.confirm) == ("write", 8.0, "", 1.0, None)


def test_options_are_kept() -> None:
    made = answering(1, effect="read", timeout=3, hold="One moment.", hold_after=0, confirm=bool)
    assert (made.effect, made.timeout, made.hold, made.hold_after, made.confirm) == ("read", 3, "One moment.", 0, bool)


async def test_the_call_is_handed_in_and_arguments_go_by_name() -> None:
    @tool
    async def note(call: Call, /, text: str, *, times: int = 2) -> str:
        """Note it."""
        call.facts["note"] = text * times
        return f"noted for {call.id}"

    call = a_call()
    assert "call" not in str(note.spec.parameters)
    assert await note.run(call, note.read('{"text": "ha"}')) == Answer("noted for call_1")
    assert call.facts == {"note": "haha"}


@pytest.mark.parametrize(
    ("result", "content"),
    [
        ("as it stands", "as it stands"),
        ("", ""),
        ("half a character \ud800", "half a character ?"),
        (None, "done"),
        (True, "true"),
        (3.5, "3.5"),
        (date(2026, 5, 4), '"2026-05-04"'),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        ([Slot(date(2026, 5, 4), Decimal("9.90"))], '[{"day":"2026-05-04","price":"9.90"}]'),
    ],
)
async def test_what_a_tool_returns_becomes_text(result: object, content: str) -> None:
    assert await answer_of(answering(result)) == Answer(content)


@pytest.mark.parametrize("result", [object(), {"x": {"\ud800"}}, 1j, iter(()), {1j: 1}])
async def test_what_cannot_be_spelled_is_unreadable(result: object) -> None:
    answer = await answer_of(answering(result, effect="read"))
    assert (answer.content, answer.fault) == ('{"error":"The answer cannot be read."}', "unreadable")


@pytest.mark.parametrize("text", ["x" * 1_000_000, "é" * MOST_BYTES, {"all": "x" * MOST_BYTES}, ["x" * MOST_BYTES]])
async def test_a_megabyte_is_cut_and_says_so(text: object) -> None:
    answer = await answer_of(answering(text))
    assert answer.fault is None
    assert MOST_BYTES - 200 < len(answer.content.encode()) <= MOST_BYTES
    assert "\n(cut: this is the beginning, of " in answer.content


async def test_rows_are_cut_as_whole_rows() -> None:
    answer = await answer_of(answering([{"slot": number} for number in range(5000)]))
    rows, _, note = answer.content.partition("\n")
    shown = json.loads(rows)
    assert shown == [{"slot": number} for number in range(len(shown))]
    assert note == f"(cut: these are the first {len(shown)} of 5000)"
    assert MOST_BYTES - 200 < len(answer.content) <= MOST_BYTES


async def test_a_refusal_reaches_the_model_in_the_words_of_the_tool() -> None:
    assert await answer_of(answering(ToolError("Ten is taken; eleven is free."))) == Answer(
        '{"error":"Ten is taken; eleven is free."}', "refused", "ToolError"
    )
    assert (await answer_of(answering(ToolError()))).content == '{"error":"This was refused."}'
    assert len((await answer_of(answering(ToolError("x\ud800" * 9000)))).content) < 1100


@pytest.mark.parametrize("error", [KeyError("secret"), SystemExit("secret"), TimeoutError("secret"), GeneratorExit()])
async def test_what_is_raised_does_not_reach_the_model(error: BaseException) -> None:
    answer = await answer_of(answering(error, effect="read"))
    assert answer == Answer('{"error":"This failed."}', "raised", type(error).__name__)


async def test_a_write_that_failed_leaves_doubt() -> None:
    answer = await answer_of(answering(OSError()))
    assert answer.content == '{"error":"This failed. It is not known whether it was done: do not say that it was."}'


async def test_a_cancellation_of_its_own_is_a_failure() -> None:
    assert (await answer_of(answering(asyncio.CancelledError()))).error == "CancelledError"


# Time, which is virtual.


def slow(body: Callable[[], Coroutine[Any, Any, str]]) -> Tool:
    async def wait() -> str:
        """Wait."""
        return await body()

    return tool(effect="read", timeout=5)(wait)


async def stubborn() -> str:
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
            return "an hour later"


async def timed(made: Tool) -> tuple[Answer, float]:
    return await answer_of(made), asyncio.get_running_loop().time()


def test_a_tool_that_hangs_is_cancelled_at_its_timeout() -> None:
    async def hang() -> str:
        return await asyncio.sleep(60, "late")

    answer, now = run(timed(slow(hang)))
    assert answer == Answer('{"error":"There was no answer within 5 s."}', "timeout")
    assert now == pytest.approx(5)


def test_a_tool_that_swallows_its_cancellation_is_left() -> None:
    async def leave() -> None:
        answer, now = await timed(slow(stubborn))
        assert answer.fault == "timeout"
        assert now == pytest.approx(5 + GRACE)
        await asyncio.sleep(3600)

    run(leave())


def test_a_tool_that_ends_well_after_its_timeout_went_well() -> None:
    async def finish() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.5)
        return "booked"

    assert run(timed(slow(finish)))[0] == Answer("booked")


def test_a_tool_that_fails_when_it_is_cancelled_timed_out() -> None:
    async def fail() -> str:
        try:
            return await asyncio.sleep(60, "late")
        finally:
            raise OSError

    assert run(timed(slow(fail)))[0].fault == "timeout"


def test_a_cancelled_run_waits_for_the_tool_to_end() -> None:
    ended: list[float] = []

    async def clean_up() -> str:
        try:
            return await asyncio.sleep(60, "late")
        finally:
            await asyncio.sleep(0.5)
            ended.append(asyncio.get_running_loop().time())

    async def cancel() -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(answer_of(slow(clean_up)), 1)
        assert ended == [pytest.approx(1.5)]

    run(cancel())


def test_a_tool_has_ended_when_it_is_cancelled_before_it_began() -> None:
    async def cancel() -> None:
        running = asyncio.get_running_loop().create_task(answer_of(slow(stubborn)))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    run(cancel())


# Threads.


async def test_a_sync_tool_runs_in_a_thread_with_the_context_of_the_call() -> None:
    context: ContextVar[str] = ContextVar("context")
    context.set("call_1")

    @tool
    def look() -> list[object]:
        """Look around."""
        return [context.get(), threading.current_thread() is threading.main_thread()]

    assert await answer_of(look) == Answer('["call_1",false]')


async def test_a_thread_is_left_at_its_timeout() -> None:
    release = threading.Event()

    @tool(timeout=0.01)
    def wait() -> None:
        """Wait."""
        release.wait(10)

    answer = await answer_of(wait)
    release.set()
    assert answer.fault == "timeout"


@pytest.mark.parametrize(
    ("error", "name"),
    [(StopIteration(), "RuntimeError"), (SystemExit(), "SystemExit"), (asyncio.CancelledError(), "CancelledError")],
)
async def test_what_a_thread_raises_is_a_failure(error: BaseException, name: str) -> None:
    @tool
    def fail() -> None:
        """Fail."""
        raise error

    answer = await answer_of(fail)
    assert (answer.fault, answer.error) == ("raised", name)
