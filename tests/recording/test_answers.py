"""What answers in a replay, at the pace of then."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import pytest

from service.agents.call import Call
from service.agents.folder import read_folder
from service.agents.tools import Answer, Tool
from service.llm.model import (
    AnswerBegun,
    AnswerEnded,
    Delta,
    ModelUnavailable,
    Occasion,
    RateLimited,
    StreamBroken,
    ToolCall,
    ToolCallBegun,
    Usage,
)
from service.llm.records import ASKING, Cause
from service.recording.answers import NO_RESULT, NotRecorded, RecordedModel, RecordedTools
from service.recording.lines import FORMAT, CallBegan, FrameOut, Happening, ModelStream, StreamError
from service.recording.reading import Recording
from service.recording.streams import read_delta, spelled
from service.virtual.loop import run
from tests.agents.folders import TOOL, written

T = TypeVar("T")
DELTAS: list[Delta] = [
    AnswerBegun("req_1", 5),
    "Hello",
    ToolCallBegun(),
    ToolCall("1", "find", "{}"),
    AnswerEnded("stop", Usage(1, 2, 3, 4)),
]


def call(*entries: Happening, is_redacted: bool = False) -> Recording:
    began = CallBegan(FORMAT, "call_1", "bakery", "", "2026-03-02T09:00:00+00:00", "0", is_redacted)
    return Recording(began, list(entries))


def stream(
    *deltas: tuple[float, Delta], at: float = 1.0, took: float = 0.5, end: str = "whole", **other: Any
) -> ModelStream:
    about: dict[str, Any] = {"turn": 1, "question": 1, "cause": "first", "error": None, **other}
    error = about.pop("error")
    return ModelStream(
        at, **about, target="a", model="b", deltas=list(deltas), took=took, end=end, error=error and StreamError(*error)
    )


async def answer_of(model: RecordedModel, cause: Cause = Cause.FIRST, turn: int = 1) -> list[tuple[float, Delta]]:
    now = asyncio.get_running_loop().time
    asked_at = now()
    ASKING.set((Occasion("call_1", turn), cause))
    return [(round(now() - asked_at, 3), delta) async for delta in model.ask([])]


def played(play: Coroutine[Any, Any, T]) -> T:
    return run(play)


@pytest.mark.parametrize("delta", DELTAS, ids=lambda delta: type(delta).__name__)
def test_a_delta_is_read_as_it_was_written(delta: Delta) -> None:
    assert read_delta(spelled(delta)) == delta


def test_a_question_is_answered_at_the_pace_of_then() -> None:
    model = RecordedModel(call(stream((0.2, "We "), (0.3, "open."))), "recorded")
    assert played(answer_of(model)) == [(0.2, "We "), (0.3, "open.")]


def test_of_several_attempts_the_one_that_was_heard_answers_as_much_later() -> None:
    first = stream(at=1.0, took=2.0, end="closed")
    hedge = stream((0.4, "We open."), at=2.2, took=0.9, cause="hedge")
    model = RecordedModel(call(first, hedge), "recorded")
    assert played(answer_of(model)) == [(1.6, "We open.")]


def test_the_questions_of_a_turn_are_answered_in_their_order() -> None:
    model = RecordedModel(call(stream((0.1, "One")), stream((0.1, "Two"), at=3.0, question=2)), "recorded")

    async def two() -> list[list[tuple[float, Delta]]]:
        return [await answer_of(model), await answer_of(model)]

    assert played(two()) == [[(0.1, "One")], [(0.1, "Two")]]
    assert (model.unanswered, model.unasked) == ({}, {})


def test_one_question_more_has_no_answer_and_is_counted() -> None:
    model = RecordedModel(call(), "recorded")
    with pytest.raises(NotRecorded):
        played(answer_of(model, turn=4))
    assert model.unanswered == {4: 1}


def test_a_question_that_nobody_asked_is_counted() -> None:
    assert RecordedModel(call(stream((0.1, "One"))), "recorded").unasked == {1: 1}


@pytest.mark.parametrize(
    ("error", "kind"),
    [(("StreamBroken",), StreamBroken), (("RateLimited", 3.0), RateLimited), (("KeyError",), ModelUnavailable)],
)
def test_a_stream_fails_as_it_did(error: tuple[Any, ...], kind: type[Exception]) -> None:
    model = RecordedModel(call(stream((0.1, "We"), end="failed", error=error)), "recorded")
    with pytest.raises(kind) as failed:
        played(answer_of(model))
    assert getattr(failed.value, "retry_after", None) == (3.0 if kind is RateLimited else None)


def test_a_further_attempt_fails_at_once_for_that_was_how_it_ended() -> None:
    model = RecordedModel(call(stream(took=2.0, end="failed", error=("Unreachable",))), "recorded")

    async def twice() -> float:
        with pytest.raises(ModelUnavailable):
            await answer_of(model)
        began_at = asyncio.get_running_loop().time()
        with pytest.raises(ModelUnavailable):
            await answer_of(model, Cause.RETRY)
        return asyncio.get_running_loop().time() - began_at

    assert played(twice()) == pytest.approx(0.0, abs=0.01)


def test_a_stream_that_was_closed_is_silent_from_there_on() -> None:
    model = RecordedModel(call(stream((0.1, "We"), end="closed")), "recorded")

    async def waits() -> list[Delta]:
        told: list[Delta] = []
        ASKING.set((Occasion("call_1", 1), Cause.FIRST))
        with suppress(TimeoutError):
            async with asyncio.timeout(60):
                async for delta in model.ask([]):
                    told.append(delta)  # noqa: PERF401 - it never ends
                told.append("and it ended")
        return told

    assert played(waits()) == ["We"]


async def nothing_is_needed(model: RecordedModel) -> None:
    await model.warm_up()
    await model.close()


def test_nothing_is_opened_or_closed() -> None:
    played(nothing_is_needed(RecordedModel(call(), "recorded")))


# Tools.


def invoked(at: float, tool_call_id: str, arguments: str) -> FrameOut:
    about = {"tool_call_id": tool_call_id, "name": "opening_hours", "arguments": arguments}
    return FrameOut(at, 1, {"response_type": "tool_call_invocation", **about})


def answered(at: float, tool_call_id: str, content: str, *, successful: bool = True) -> FrameOut:
    about = {"tool_call_id": tool_call_id, "content": content, "successful": successful}
    return FrameOut(at, 1, {"response_type": "tool_call_result", **about})


@pytest.fixture
def opening_hours(tmp_path: Any) -> Tool:
    (tool,) = read_folder(written(tmp_path / "bakery", tools_py=TOOL)).tools
    return tool


def ran(recorded: RecordedTools, tool: Tool, arguments: str, *, at: float = 0.0) -> tuple[float, Answer]:
    async def run_it() -> tuple[float, Answer]:
        loop = asyncio.get_running_loop()
        recorded.begins(loop.time())
        await asyncio.sleep(at)
        began_at = loop.time()
        answer = await recorded.answer(tool, tool.read(arguments))
        return round(loop.time() - began_at, 3), answer

    return run(run_it())


def test_a_tool_has_the_result_of_then_at_its_moment(opening_hours: Tool) -> None:
    recorded = RecordedTools(call(invoked(2.0, "t", '{"day":"Monday"}'), answered(2.8, "t", "nine to five")))
    assert ran(recorded, opening_hours, '{"day": "Monday"}', at=2.0) == (0.8, Answer("nine to five"))
    assert ran(recorded, opening_hours, '{"day": "Monday"}', at=2.3) == (0.5, Answer("nine to five"))
    assert ran(recorded, opening_hours, '{"day": "Monday"}', at=60.0) == (0.8, Answer("nine to five"))


def test_the_same_call_twice_has_both_results(opening_hours: Tool) -> None:
    same = '{"day":"Monday"}'
    frames = (
        invoked(1.0, "t", same),
        answered(1.0, "t", "open"),
        invoked(2.0, "u", same),
        answered(2.0, "u", "", successful=False),
    )
    recorded = RecordedTools(call(*frames))
    assert [ran(recorded, opening_hours, same)[1] for _ in range(3)] == [
        Answer("open"),
        Answer("", "recorded"),
        Answer("", "recorded"),
    ]


def test_arguments_of_a_redacted_recording_are_compared_as_such(opening_hours: Tool) -> None:
    recorded = RecordedTools(
        call(invoked(1.0, "t", '{"day":"1111-11-11"}'), answered(1.0, "t", "open"), is_redacted=True)
    )
    assert ran(recorded, opening_hours, '{"day": "2026-03-02"}')[1] == Answer("open")


def test_other_arguments_have_no_result_and_nothing_runs(opening_hours: Tool) -> None:
    recorded = RecordedTools(call(invoked(1.0, "t", '{"day":"Monday"}'), answered(1.0, "t", "open")))
    _, answer = ran(recorded, opening_hours, '{"day": "Tuesday"}')
    assert (answer.fault, NO_RESULT in answer.content) == ("unrecorded", True)
    assert recorded.unanswered == ["opening_hours"]


def test_a_tool_that_had_not_answered_takes_too_long(opening_hours: Tool) -> None:
    recorded = RecordedTools(call(invoked(1.0, "t", '{"day":"Monday"}'), answered(1.0, "unknown", "open")))
    took, answer = ran(recorded, opening_hours, '{"day": "Monday"}')
    assert (took, answer.fault) == (opening_hours.timeout, "timeout")


def test_a_folder_acts_no_more(tmp_path: Any) -> None:
    hook = "\n\nasync def before_call(call):\n    raise RuntimeError\n"
    folder = read_folder(written(tmp_path / "bakery", tools_py=TOOL + hook))
    calm = RecordedTools(call()).of(folder)
    assert folder.before_call is not None
    assert (calm.before_call, calm.after_call, calm.inbound) == (None, None, None)
    (tool,) = calm.tools
    answer = run(tool.run(Call("call_1", lambda _: None), tool.read('{"day": "Monday"}')))
    assert answer.fault == "unrecorded"
