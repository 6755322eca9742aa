"""Tools whose turn is overtaken: what happens to them, and to their results."""

import asyncio
from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.agents.tools import tool
from service.conversation.call import Prompt, Turn
from service.conversation.parts import HoldLine
from service.conversation.transcript import Row, ToolAnswered
from service.llm.model import NothingSaid
from service.virtual.loop import run
from tests.agents.diary import BOOK, CANCEL, FIND, Diary
from tests.agents.stage import CALL_ID, Piece, Stage, calls, folder_of, kinds, rows_of
from tests.conversation.play import caller


def test_a_write_waits_until_it_is_plausible_that_the_platform_means_it() -> None:
    async def play(cut_after: float) -> tuple[Diary, Stage]:
        diary = Diary()
        stage = diary.stage([BOOK], ["Booked."])
        await stage.turn("Book", cut_after=cut_after)
        await stage.close()
        return diary, stage

    diary, stage = run(play(0.2))
    assert diary.keys == []
    (result,) = stage.asides
    assert isinstance(result, ToolAnswered)
    assert (result.is_successful, result.fault) == (False, "cancelled")
    diary, stage = run(play(0.3))
    assert diary.done == ["book Monday"]
    assert [part.content for part in stage.asides if isinstance(part, ToolAnswered)] == ["booked Monday"]


def test_an_overtaken_read_is_stopped_before_the_turn_ends_and_has_its_result() -> None:
    async def play() -> tuple[int, Stage]:
        diary = Diary()
        stage = diary.stage([FIND])
        await stage.turn("Find", cut_after=0.05)
        return diary.stopped, stage

    stopped, stage = run(play())
    assert stopped == 1
    assert [part.fault for part in stage.asides if isinstance(part, ToolAnswered)] == ["cancelled"]


def test_the_next_turn_waits_for_a_write_and_knows_its_result() -> None:
    async def play() -> tuple[Diary, Stage, float]:
        diary = Diary(takes=3)
        stage = diary.stage([BOOK], ["It is booked."])
        await stage.turn("Book Monday", cut_after=0.5)
        await stage.turn("Book Monday", "please")
        return diary, stage, asyncio.get_running_loop().time()

    diary, stage, ended_at = run(play())
    assert diary.done == ["book Monday"]
    assert ended_at == pytest.approx(3.25)
    assert stage.model.exchanges == [("book", "booked Monday")]
    assert stage.parts.count(HoldLine("I am booking.")) == 1, "the first turn was overtaken before it was due"
    assert len(stage.called) == len(stage.asides) == 1


def test_a_write_that_ends_soon_needs_no_line() -> None:
    async def play() -> Stage:
        stage = Diary(takes=0.5).stage([BOOK], ["It is booked."])
        await stage.turn("Book Monday", cut_after=0.4)
        await stage.turn("Book Monday", "please")
        await stage.turn("Book Monday", "please", "thanks")
        return stage

    stage = run(play())
    assert "HoldLine" not in kinds(stage.parts)
    assert stage.model.exchanges == [("book", "booked Monday")], "the platform's rows show it in no turn"


def test_who_asks_for_a_write_that_runs_awaits_that_one() -> None:
    async def play() -> tuple[Diary, Stage]:
        diary = Diary(takes=2)
        stage = diary.stage([0.3, BOOK], [0.1, BOOK], ["It is booked."])
        first = asyncio.get_running_loop().create_task(stage.turn("Book", cut_after=0.9))
        await asyncio.sleep(0.2)  # a platform's two lines may overlap for a moment
        await stage.turn("Book")
        await first
        await stage.close()
        return diary, stage

    diary, stage = run(play())
    assert diary.done == ["book Monday"]
    assert all(len(stage.results(call.tool_call_id)) == 1 for call in stage.called)


def test_a_tool_that_will_not_be_stopped_has_one_result_and_holds_nobody_for_long() -> None:
    @tool(effect="read")
    async def stubborn() -> str:
        """Go on."""
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            await asyncio.sleep(5)
        return "late"

    async def play() -> tuple[Stage, float]:
        stage = Stage(folder_of(stubborn), [calls("stubborn")])
        await stage.turn("Hello", cut_after=0.5)
        took = asyncio.get_running_loop().time()
        await asyncio.sleep(10)
        return stage, took

    stage, took = run(play())
    assert took == pytest.approx(1.5)
    assert len(stage.asides) == 1


def test_at_the_service_s_end_a_write_has_five_seconds_and_a_result() -> None:
    async def play() -> tuple[Diary, Stage]:
        diary = Diary(takes=5.8)
        stage = diary.stage([BOOK])
        await stage.turn("Book", cut_after=0.3)
        await stage.close()
        return diary, stage

    diary, stage = run(play())
    assert diary.done == []
    (result,) = (part for part in stage.asides if isinstance(part, ToolAnswered))
    assert result.fault == "cancelled"
    assert "not known whether it was done" in result.content


@pytest.mark.parametrize("parts", range(1, 8))
def test_a_reply_that_is_closed_at_any_of_its_parts_has_told_or_tells_each_result(parts: int) -> None:
    async def play() -> Stage:
        stage = Diary().stage(["Well.", BOOK, FIND, calls("gone")], ["Done."])
        reply = stage.answerer.reply(Turn(CALL_ID, 0, 0, Prompt.CALLER_SPOKE, (caller("Book"),)))
        stage.parts = [await anext(reply) for _ in range(parts)]
        await reply.aclose()
        await stage.close()
        return stage

    stage = run(play())
    assert [len(stage.results(call.tool_call_id)) for call in stage.called] == [1] * min(parts - 1, 3)


CALLS = st.sampled_from([BOOK, CANCEL, FIND, calls("gone"), calls("book", "{"), "Words.", 0.1])
ROUNDS = st.lists(st.lists(CALLS, max_size=4), max_size=3)
MOMENTS = st.one_of(st.none(), st.integers(0, 80).map(lambda twentieths: twentieths / 20), st.floats(0, 4))


@given(
    turns=st.lists(st.tuples(ROUNDS, MOMENTS), min_size=1, max_size=4),
    takes=st.sampled_from([0.0, 0.05, 0.25, 1.0, 7.0]),
    fails=st.integers(0, 2),
    shows_rows=st.booleans(),
)
def test_every_call_has_exactly_one_result_and_every_wish_is_done_once(
    turns: list[tuple[list[list[Piece]], float | None]], takes: float, fails: int, *, shows_rows: bool
) -> None:
    async def play() -> tuple[Diary, Stage]:
        diary = Diary(takes, fails)
        stage = diary.stage()
        history: list[Row] = [caller("Book Monday")]
        for rounds, cut_after in turns:
            stage.model.rounds = [*rounds, ["Well."]]
            before = len(stage.parts)
            with suppress(NothingSaid):
                await stage.turn(*history, cut_after=cut_after, is_awaited=False)
            history += rows_of(stage.parts[before:]) if shows_rows else []
        await asyncio.sleep(20)
        await stage.close()
        return diary, stage

    diary, stage = run(play())
    results = Counter(part.tool_call_id for part in (*stage.parts, *stage.asides) if isinstance(part, ToolAnswered))
    assert results == Counter(call.tool_call_id for call in stage.called)
    assert all(times == 1 for times in Counter(diary.done).values())
    assert len(set(diary.keys)) <= 1
    assert stage.model.open_streams == 0
