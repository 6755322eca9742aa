"""However a turn ends: every stream is closed, no task is left, and each request was told of exactly once."""

import asyncio
import gc
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.llm.candidate import AnswerRules, Rules
from service.llm.dependable import DependableModel
from service.llm.model import (
    NO_TOOLS,
    AnswerEnded,
    AnswerFiltered,
    AnswerRan,
    Delta,
    KeyRejected,
    Messages,
    ModelError,
    Occasion,
    RateLimited,
    ServerFailed,
    StreamBroken,
    ToolCall,
    ToolCallBegun,
    Toolset,
    Usage,
)
from service.llm.records import Cause, Result
from service.virtual.loop import run
from tests.llm.scripted import HANG, Script, Scripted, Stage, played

WORDS: Script = [0.5, "Yes, ", 0.1, "we are."]


# Answers that do not stop.


def test_an_answer_that_is_far_too_long_is_cut() -> None:
    a = Scripted("a", [f"{n} bottles of beer on the wall. " for n in range(1000)])
    turn = played(a, rules=Rules(answer=AnswerRules(longest=1000)))
    assert (900 < len(turn.words) <= 1000, turn.error, a.open) == (True, AnswerRan, 0)
    assert turn.told == ["a first failed AnswerRan"]


@pytest.mark.parametrize(
    "loop", ["ha ", "And so on. ", "One moment, I will look that up in our book for you now. " * 2]
)
def test_an_answer_that_goes_round_in_circles_is_cut(loop: str) -> None:
    turn = played(Scripted("a", [0.1, "We are open. ", *[loop] * 1000]))
    assert (turn.error, len(turn.words) < 1000) == (AnswerRan, True)


def test_a_list_of_much_the_same_is_no_circle() -> None:
    numbers: Script = [f"The number of office {n} is five five five, zero zero {n}. " for n in range(50)]
    assert played(Scripted("a", numbers)).error is None


def test_a_chunk_that_is_far_too_long_is_not_looked_at() -> None:
    a = Scripted("a", [0.1, "*" * 100_000, "No.", HANG], [0.1, "Yes."])
    turn = played(a)
    assert (turn.words, a.open, turn.told) == ("Yes.", 0, ["a first failed AnswerRan", "a retry answered"])


def test_an_answer_that_the_endpoint_cut_for_its_length_has_failed() -> None:
    turn = played(Scripted("a", [0.1, "We are", AnswerEnded("length", Usage(1, 0, 2, 0))]))
    assert (turn.words, turn.error) == ("We are", AnswerRan)
    assert [(r.finish_reason, r.usage) for r in turn.records] == [("length", Usage(1, 0, 2, 0))]


def test_an_answer_that_was_filtered_has_failed() -> None:
    turn = played(Scripted("a", [0.1, "We are", AnswerEnded("content_filter")]))
    assert (turn.words, turn.error, turn.told) == ("We are", AnswerFiltered, ["a first failed AnswerFiltered"])


def test_an_answer_that_was_filtered_before_its_words_is_asked_of_the_next_target() -> None:
    turn = played(Scripted("a", [0.1, AnswerEnded("content_filter")]), Scripted("b", WORDS))
    assert (turn.words, turn.told) == ("Yes, we are.", ["a first failed AnswerFiltered", "b failover answered"])


def test_a_round_of_tool_calls_tells_how_it_ended() -> None:
    calls: Script = [0.1, ToolCallBegun(), 0.2, ToolCall("t", "book", "{}"), AnswerEnded("tool_calls", Usage(1, 0, 2))]
    [told] = played(Scripted("a", calls)).records
    assert (told.result, told.finish_reason, told.usage) == (Result.ANSWERED, "tool_calls", Usage(1, 0, 2))
    assert round(told.first_words_at or 0, 6) == 0.1


def test_thoughts_that_took_all_the_length_are_followed_by_the_next_target() -> None:
    turn = played(Scripted("a", [0.1, AnswerEnded("length")]), Scripted("b", WORDS))
    assert (turn.words, turn.told) == ("Yes, we are.", ["a first failed AnswerRan", "b failover answered"])


def test_what_was_held_back_comes_at_the_end() -> None:
    assert played(Scripted("a", [0.1, "Two *"])).words.startswith("Two")
    assert played(Scripted("a", [0.1, "h"])).words == "h"


# Turns that end before their answer.


@pytest.mark.parametrize("moment", [0.0, 0.3, 1.21, 1.5, 1.7, 1.75, 1.8])
def test_a_cancelled_turn_closes_and_tells_everything(moment: float) -> None:
    a, b = Scripted("a", [HANG]), Scripted("b", [0.5, "Yes, ", 0.2, "we are."])
    turn = played(a, b, cancelled_after=moment)
    assert (a.open, b.open, turn.ended_after) == (0, 0, moment)
    assert {record.result for record in turn.records} <= {Result.CANCELLED, Result.LOST}
    assert len(turn.records) == (1 if moment < 1.2 else 2)


def test_a_turn_that_is_left_at_its_first_word_was_cancelled() -> None:
    a = Scripted("a", WORDS)
    stage = Stage(a)

    async def leave() -> None:
        stream = stage.model.stream([], Occasion("call", 0))
        await anext(stream)
        await stream.aclose()

    run(leave())
    assert (a.open, [record.result for record in stage.records]) == (0, [Result.CANCELLED])


def test_a_model_that_was_never_listened_to_asks_nothing() -> None:
    a = Scripted("a", WORDS)
    stage = Stage(a)

    async def leave() -> None:
        await stage.model.stream([], Occasion("call", 0)).aclose()

    run(leave())
    assert (a.asks, stage.records) == (0, [])


class Lingering(Scripted):
    """Takes a while to close."""

    async def ask(
        self, messages: Messages, traceparent: str | None = None, tools: Toolset = NO_TOOLS
    ) -> AsyncGenerator[Delta]:
        stream = super().ask(messages, traceparent)
        try:
            async for delta in stream:
                yield delta
        finally:
            try:
                await asyncio.sleep(0.4)
            finally:
                await stream.aclose()


def test_a_turn_that_is_cancelled_while_its_loser_closes_leaves_no_winner_behind() -> None:
    a, b = Lingering("a", [HANG]), Scripted("b", [0.5, "Yes.", HANG])
    turn = played(a, b, cancelled_after=1.9)
    gc.collect()
    assert (a.open, b.open, turn.pieces) == (0, 0, [])
    assert turn.told == ["a first lost", "b hedge cancelled"]


def test_a_turn_that_is_cancelled_while_one_that_spoke_too_late_closes_tells_of_each_once() -> None:
    a, b = Scripted("a", [1.7, "One.", HANG]), Lingering("b", [0.5, "Two.", HANG])
    turn = played(a, b, cancelled_after=1.9)
    assert (a.open, b.open, turn.pieces) == (0, 0, [])
    assert turn.told == ["a first cancelled", "b hedge lost"]


class Cancelling(Scripted):
    """An endpoint whose library cancels itself."""

    async def ask(
        self, messages: Messages, traceparent: str | None = None, tools: Toolset = NO_TOOLS
    ) -> AsyncGenerator[Delta]:
        async for delta in super().ask(messages, traceparent):
            yield delta
        raise asyncio.CancelledError


def test_an_endpoint_that_cancels_itself_is_told_of_too() -> None:
    a = Cancelling("a", [0.1])
    a_turn = played(a)
    assert (a_turn.error, a_turn.told, a.open) == (asyncio.CancelledError, ["a first cancelled"], 0)


def test_a_broken_witness_is_not_felt() -> None:
    a, b = Scripted("a", [HANG]), Scripted("b", WORDS)
    stage = Stage(a, b)
    stage.is_blind = True
    failures: list[object] = []

    async def turn() -> str:
        asyncio.get_running_loop().set_exception_handler(lambda _, about: failures.append(about["exception"]))
        return (await stage.turn()).words

    assert (run(turn()), a.open, b.open, len(failures)) == ("Yes, we are.", 0, 0, 4)


# Whatever happens.

_waits = st.sampled_from([0.0, 0.1, 0.5, 0.6, 1.2, 1.3, 2.5, 4.0])
_silences = st.sampled_from(["", " ", "\n", "**"])
_errors = st.sampled_from([ServerFailed, KeyRejected, RateLimited, StreamBroken, RuntimeError]).map(lambda kind: kind())
_ends: st.SearchStrategy[Script] = st.one_of(
    st.just([]),
    st.just([HANG]),
    st.builds(lambda error: [error], _errors),
    st.just([AnswerEnded("length")]),
    st.just([ToolCallBegun(), 0.1, ToolCall("t", "book", "{}")]),
    st.just([ToolCallBegun(), 0.1, StreamBroken()]),
)


@st.composite
def _scripts(draw: st.DrawFn, letter: str) -> Script:
    """Silences, then words of one letter, then an end."""
    spoken = st.one_of(_waits, _silences, st.just(f"{letter}{letter} "))
    return [draw(_waits), *draw(st.lists(spoken, max_size=5)), *draw(_ends)]


@settings(max_examples=400, deadline=None)
@given(
    st.integers(1, 3).flatmap(
        lambda number: st.tuples(*(st.lists(_scripts(letter), min_size=1, max_size=3) for letter in "abc"[:number]))
    ),
    st.lists(st.one_of(_waits, st.floats(0.0, 12.0), st.just(12.0)), min_size=1, max_size=4),
)
def test_whatever_happens_everything_is_closed_and_told_once(
    scripts: tuple[list[Script], ...], moments: list[float]
) -> None:
    endpoints = [Scripted(letter, *plays) for letter, plays in zip("abc", scripts, strict=False)]
    stage = Stage(*endpoints)

    async def call() -> None:
        for index, moment in enumerate(moments):
            asked = sum(each.asks for each in endpoints)
            turn = await stage.turn(index, cancelled_after=moment)
            assert all(each.open == 0 for each in endpoints)
            # An attempt that was cancelled before its first step never came as far as to ask.
            assert sum(each.asks for each in endpoints) - asked <= len(turn.records)
            assert all(each.asked_at <= each.ended_at for each in turn.records)
            assert [each.cause for each in turn.records].count(Cause.HEDGE) <= 1
            assert [each.cause for each in turn.records].count(Cause.FIRST) == 1
            assert [each.result for each in turn.records].count(Result.ANSWERED) <= 1
            assert len(set(turn.words) & set("abc")) <= 1
            spoke_at = min((each.first_words_at for each in turn.records if each.first_words_at), default=HANG)
            assert all(each.asked_at <= spoke_at for each in turn.records)
            if turn.error is None and moment == 12.0:
                assert turn.pieces or turn.ended_after == 12.0

    run(call())
    assert len(stage.records) >= sum(each.asks for each in endpoints)


def test_a_thousand_turns_leave_nothing_behind() -> None:
    """Every kind of end, one after the other, on one model."""
    plays: list[Script] = [WORDS, [HANG], [ServerFailed()], [0.1, "We", StreamBroken()], [" "], [1.7, "Late."]]
    a, b = Scripted("a", *plays * 200), Scripted("b", *plays[1:] * 200)
    stage = Stage(a, b)

    async def calls() -> int:
        async with asyncio.TaskGroup() as tasks:
            for number in range(1000):
                tasks.create_task(stage.turn(number, cancelled_after=(number % 50) / 10))
        return len(asyncio.all_tasks())

    assert run(calls()) == 1
    assert (a.open, b.open) == (0, 0)
    assert len({record.occasion.turn_index for record in stage.records}) == 1000


def test_an_error_that_is_raised_is_the_endpoint_s_own() -> None:
    error = ServerFailed()
    model = DependableModel([Scripted("a", [error])], Rules(), Stage())

    async def ask() -> ModelError:
        with pytest.raises(ModelError) as raised:
            await anext(model.stream([], Occasion("call", 0)))
        return raised.value

    assert run(ask()) is error
