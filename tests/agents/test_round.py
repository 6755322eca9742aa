"""Tools that act: once for one wish, whoever asks for it again."""

import logging

import pytest

from service.agents.call import Call
from service.agents.ledger import MOST_WISHES
from service.agents.tools import ToolError, tool
from service.conversation.transcript import Row, ToolAnswered, ToolCalled, Transcript
from service.virtual.loop import run
from tests.agents.diary import BOOK, CANCEL, Diary
from tests.agents.stage import Stage, calls, folder_of, rows_of, said
from tests.conversation.play import agent, caller


def test_the_same_wish_asked_five_times_books_once() -> None:
    async def play() -> tuple[Diary, Stage]:
        diary = Diary()
        stage = diary.stage(*[rounds for _ in range(5) for rounds in ([BOOK], ["Booked."])])
        for _ in range(5):
            await stage.turn("Book Monday")
        return diary, stage

    diary, stage = run(play())
    assert diary.done == ["book Monday"]
    assert len({call.tool_call_id for call in stage.called}) == 5
    assert {stage.results(call.tool_call_id)[0].content for call in stage.called} == {"booked Monday"}


def test_who_books_cancels_and_books_again_has_booked_twice() -> None:
    async def play() -> Diary:
        diary = Diary()
        stage = diary.stage([BOOK], ["Booked."], [CANCEL], ["Cancelled."], [BOOK], ["Booked."], [BOOK], ["Booked."])
        history: list[Row] = []
        for words in ("Book", "Cancel it", "Book it after all", "Hello?"):
            history.append(caller(words))
            parts = await stage.turn(*history)
            history += [*rows_of(parts), agent(said(parts))]
        return diary

    diary = run(play())
    assert diary.done == ["book Monday", "cancel", "book Monday"]
    assert len(set(diary.keys)) == 2


def test_two_writes_in_parallel_run_once_each_and_the_same_one_twice_runs_once() -> None:
    async def play() -> Diary:
        diary = Diary()
        stage = diary.stage([BOOK, CANCEL, BOOK], ["Done."], [BOOK, CANCEL], ["Done."])
        await stage.turn("Do both")
        await stage.turn("Do both", "now")
        return diary

    assert sorted(run(play()).done) == ["book Monday", "cancel"]


def test_a_write_that_failed_is_tried_again_under_its_key() -> None:
    async def play() -> Diary:
        diary = Diary(fails=1)
        await diary.stage([BOOK], [BOOK], ["Booked."]).turn("Book")
        return diary

    diary = run(play())
    assert diary.done == ["book Monday"]
    assert len(diary.keys) == 2
    assert len(set(diary.keys)) == 1


@pytest.mark.parametrize(("error", "times"), [(RuntimeError("?"), 1), (ToolError("Not now."), 2)])
def test_a_write_that_may_have_been_done_is_not_tried_again_by_a_tool_without_a_key(
    error: Exception, times: int
) -> None:
    tried: list[Exception] = []

    @tool
    async def book() -> None:
        """Book an appointment."""
        tried.append(error)
        raise error

    async def play() -> Stage:
        stage = Stage(folder_of(book), [calls("book")], [calls("book")], ["Sorry."])
        await stage.turn("Book Monday")
        return stage

    stage = run(play())
    assert len(tried) == times
    first, second = (stage.results(call.tool_call_id)[0] for call in stage.called)
    assert first.content == second.content


def test_an_unknown_name_is_told_in_letters_that_endpoints_take() -> None:
    async def play() -> Stage:
        stage = Stage(folder_of(), [calls("functions.böök it"), calls("")], ["Sorry."])
        await stage.turn("Book Monday")
        return stage

    assert [call.name for call in run(play()).called] == ["functions_b__k_it", "_"]


def test_another_process_knows_what_the_rows_show_and_repeats_what_they_do_not_under_its_key() -> None:
    async def play(shown: int) -> tuple[Diary, Stage]:
        diary = Diary()
        before, after = diary.stage([BOOK], ["Booked."]), diary.stage([BOOK], ["It is booked."])
        rows = rows_of(await before.turn("Book"))[:shown]
        await after.turn("Book", *rows, "Hello?")
        return diary, after

    diary, stage = run(play(shown=2))
    assert diary.done == ["book Monday"]
    assert stage.model.exchanges == [("book", "booked Monday"), ("book", "booked Monday")]
    diary, stage = run(play(shown=1))
    assert len(diary.keys) == 2
    assert len(set(diary.keys)) == 1, "its backend can tell"


def test_rows_of_tools_that_are_not_ours_or_that_nobody_can_read_are_no_wishes() -> None:
    async def play() -> Diary:
        diary = Diary()
        stage = diary.stage([BOOK], ["Booked."])
        rows = [ToolCalled("a", "gone", "{}"), ToolCalled("b", "find", "{}"), ToolCalled("c", "book", '{"dy": 1}')]
        await stage.turn("Book", *rows, *(ToolAnswered(row.tool_call_id, "?") for row in rows))
        return diary

    assert run(play()).done == ["book Monday"]


@pytest.mark.parametrize("answers", ["no", "yes", "breaks"])
def test_a_write_may_need_the_caller_s_word(answers: str, caplog: pytest.LogCaptureFixture) -> None:
    asked: list[Transcript] = []

    def confirm(transcript: Transcript) -> bool:
        asked.append(transcript)
        return {"no": False, "yes": True}[answers]

    @tool(confirm=confirm)
    async def pay() -> str:
        """Pay."""
        return "paid"

    async def play() -> Stage:
        stage = Stage(folder_of(pay), [calls("pay")], ["Well."], [calls("pay")], ["Well."])
        await stage.turn("Pay")
        await stage.turn("Pay")
        return stage

    with caplog.at_level(logging.WARNING):
        stage = run(play())
    results = [result for call in stage.called for result in stage.results(call.tool_call_id)]
    assert [result.fault for result in results] == [None if answers == "yes" else "refused"] * 2
    assert ("confirm" in results[0].content) is (answers != "yes")
    assert len(asked) == (1 if answers == "yes" else 2), "what is done needs no word"
    assert bool(caplog.records) is (answers == "breaks")


def test_a_call_that_writes_without_end_is_refused() -> None:
    async def play() -> Stage:
        stage = Diary().stage([CANCEL], ["Well."])
        many = [ToolCalled(str(number), "book", f'{{"day": "{number}"}}') for number in range(MOST_WISHES)]
        await stage.turn("Book", *many)
        return stage

    stage = run(play())
    assert [result.fault for call in stage.called for result in stage.results(call.tool_call_id)] == ["refused"]


def test_what_a_tool_remembers_is_there_for_the_next_one() -> None:
    @tool
    async def first(call: Call) -> None:
        """Remember."""
        call.facts["name"] = "Ada"

    @tool
    async def second(call: Call) -> object:
        """Recall."""
        return call.facts["name"], len(call.transcript)

    async def play() -> Stage:
        stage = Stage(folder_of(first, second), [calls("first")], [calls("second")], ["Well."])
        await stage.turn("Hello")
        return stage

    assert run(play()).model.exchanges == [("first", "done"), ("second", '["Ada",1]')]
