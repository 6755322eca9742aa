import asyncio

import pytest

from service.agents.ledger import MOST_WISHES, Ledger, Wish, turns_of
from service.agents.tools import IN_DOUBT, Answer
from service.conversation.transcript import DigitPressed, Note, Row, ToolAnswered, ToolCalled
from tests.conversation.play import agent, caller

BOOKED = Answer("booked")
FAILED = Answer.failed("timeout", "late")
DOUBTFUL = Answer.failed("timeout", f"late.{IN_DOUBT}")


def wish(ledger: Ledger, name: str, turn: int) -> Wish:
    found = ledger.wish(name, "{}", turn)
    assert found is not None
    return found


async def does(ledger: Ledger, name: str, turn: int, answer: Answer = BOOKED, tool_call_id: str = "") -> Wish:
    """Carry it out, as the turns do."""

    async def work() -> Answer:
        return answer

    found = wish(ledger, name, turn)
    if not found.is_done:
        task = asyncio.get_running_loop().create_task(work())
        ledger.begin(found, tool_call_id or f"{name}-{turn}", task)
        await asyncio.wait((task,))
    return found


def as_spelled(name: str, arguments: str) -> str | None:
    return arguments if name != "find" else None


async def test_the_same_wish_in_later_turns_is_the_same() -> None:
    ledger = Ledger("call_1")
    first = await does(ledger, "book", 1)
    assert all(wish(ledger, "book", turn) is first for turn in range(1, 6))
    assert first.answer == BOOKED


async def test_who_books_and_cancels_and_books_again_means_it() -> None:
    ledger = Ledger("call_1")
    first, cancelled = await does(ledger, "book", 1), await does(ledger, "cancel", 2)
    again = await does(ledger, "book", 3)
    assert len({first.key, cancelled.key, again.key}) == 3
    assert await does(ledger, "book", 4) is again


async def test_a_write_that_failed_between_them_renews_nothing() -> None:
    ledger = Ledger("call_1")
    first = await does(ledger, "book", 1)
    await does(ledger, "cancel", 2, FAILED)
    assert wish(ledger, "book", 3) is first


async def test_writes_of_one_turn_do_not_renew_each_other() -> None:
    ledger = Ledger("call_1")
    first, other = await does(ledger, "book", 1), await does(ledger, "cancel", 1)
    assert wish(ledger, "book", 2) is first
    assert wish(ledger, "cancel", 2) is other
    assert wish(ledger, "book", 3) is first, "it was asked for in turn 2 as well"


async def test_what_failed_may_be_tried_again_with_the_same_key() -> None:
    ledger = Ledger("call_1")
    first = await does(ledger, "book", 1, FAILED)
    assert not first.is_done
    again = await does(ledger, "book", 2)
    assert again is first
    assert again.answer == BOOKED


async def test_what_went_well_and_returned_nonsense_is_done() -> None:
    assert (await does(Ledger("call_1"), "book", 1, Answer.failed("unreadable", "?"))).is_done


async def test_a_write_that_was_stopped_has_no_answer() -> None:
    ledger = Ledger("call_1")
    found, task = wish(ledger, "book", 1), asyncio.get_running_loop().create_task(asyncio.sleep(9, BOOKED))
    ledger.begin(found, "t1", task)
    assert ledger.running == [found]
    task.cancel()
    await asyncio.wait((task,))
    assert (ledger.running, found.answer) == ([], None)


def test_capitals_and_blanks_make_no_other_wish() -> None:
    ledger = Ledger("call_1")
    assert ledger.wish("book", '{"name":"Ada  Lovelace"}', 1) is ledger.wish("book", '{"name":"ada lovelace"}', 2)


async def test_keys_differ_by_call_tool_arguments_and_number() -> None:
    keys = {wish(Ledger(call), name, 1).key for call in ("a", "b") for name in ("book", "cancel")}
    keys |= {ledger_wish.key for ledger_wish in [Ledger("a").wish("book", '{"day":1}', 1)] if ledger_wish}
    assert len(keys) == 5


def test_a_ledger_refuses_more_than_it_can_keep() -> None:
    ledger = Ledger("call_1")
    for number in range(MOST_WISHES):
        assert ledger.wish("book", str(number), 1) is not None
    assert ledger.wish("book", "more", 1) is None
    assert ledger.wish("book", "0", 1) is not None, "those it has are answered still"


SAID_TWICE = (
    caller("Book it"),
    ToolCalled("t1", "book", "{}"),
    ToolAnswered("t1", "booked", is_successful=True),
    agent("It is booked."),
    caller("Cancel it"),
    ToolCalled("t2", "cancel", "{}"),
    ToolAnswered("t2", "cancelled"),
    agent("It is cancelled."),
    caller("Book it after all"),
)


async def test_another_process_finds_the_same_wishes_under_the_same_keys() -> None:
    here, there = Ledger("call_1"), Ledger("call_1")
    keys = [(await does(here, name, turn)).key for name, turn in (("book", 1), ("cancel", 2), ("book", 3))]
    rows = (*SAID_TWICE, ToolCalled("t3", "book", "{}"), ToolAnswered("t3", "booked", is_successful=True))
    there.recall(rows, as_spelled)
    assert wish(there, "book", 4).key == keys[2]
    assert wish(there, "book", 4).is_done
    before = Ledger("call_1")
    before.recall(SAID_TWICE, as_spelled)
    assert wish(before, "cancel", 3).key == keys[1]


def test_a_call_whose_process_died_before_its_answer_is_carried_out_again_under_its_key() -> None:
    ledger = Ledger("call_1")
    ledger.recall((*SAID_TWICE, ToolCalled("t3", "book", "{}")), as_spelled)
    again = wish(ledger, "book", 3)
    assert (again.is_done, again.number) == (False, 2)


def test_a_call_whose_process_died_before_its_answer_is_in_doubt_and_nothing_is_made_up_for_the_model() -> None:
    ledger, rows = Ledger("call_1"), (caller("Book"), ToolCalled("t1", "book", "{}"))
    ledger.recall(rows, as_spelled)
    answer = wish(ledger, "book", 1).answer
    assert answer is not None
    assert answer.is_in_doubt
    assert ledger.completed(rows) is rows


@pytest.mark.parametrize(("content", "is_in_doubt"), [(DOUBTFUL.content, True), ("Monday is taken.", False)])
def test_a_doubt_is_read_from_the_rows_of_another_process(content: str, *, is_in_doubt: bool) -> None:
    ledger = Ledger("call_1")
    failed = ToolAnswered("t1", content, is_successful=False)
    ledger.recall((caller("Book"), ToolCalled("t1", "book", "{}"), failed), as_spelled)
    answer = wish(ledger, "book", 1).answer
    assert answer is not None
    assert answer.is_in_doubt == is_in_doubt


def test_a_write_that_failed_in_another_process_may_be_tried_again() -> None:
    ledger = Ledger("call_1")
    ledger.recall(
        (caller("Book"), ToolCalled("t1", "book", "{}"), ToolAnswered("t1", "late", is_successful=False)), as_spelled
    )
    assert not wish(ledger, "book", 1).is_done


async def test_recalling_takes_in_neither_reads_nor_what_was_made_here_nor_anything_twice() -> None:
    ledger = Ledger("call_1")
    found = await does(ledger, "book", 1, FAILED, "t1")
    ledger.made("t1")
    rows = (caller("Book"), ToolCalled("t1", "book", "{}"), ToolAnswered("t1", "done"), ToolCalled("t2", "find", "{}"))
    for _ in range(2):
        ledger.recall(rows, as_spelled)
    assert found.answer == FAILED
    assert ledger.wish("find", "{}", 1) is not None
    assert ledger.completed(rows) == rows


def test_a_recalled_success_is_not_undone_by_a_later_row() -> None:
    ledger = Ledger("call_1")
    repeated = (ToolCalled("t9", "book", "{}"), ToolAnswered("t9", "stopped", is_successful=False))
    ledger.recall((*SAID_TWICE[:3], caller("Hello?"), *repeated), as_spelled)
    assert wish(ledger, "book", 2).answer == BOOKED


async def test_a_result_that_the_platform_does_not_show_stands_behind_its_turn() -> None:
    ledger = Ledger("call_1")
    await does(ledger, "book", 1, tool_call_id="t1")
    shown = (ToolCalled("t1", "book", "{}"), ToolAnswered("t1", "booked", is_successful=True))
    assert ledger.completed((caller("Book"),)) == (caller("Book"), *shown)
    rows: tuple[Row, ...] = (caller("Book"), agent("Let me"), caller("Hello?"))
    assert ledger.completed(rows) == (*rows[:2], *shown, rows[2])


async def test_a_call_that_is_shown_without_its_answer_gets_it() -> None:
    ledger = Ledger("call_1")
    await does(ledger, "book", 1, FAILED, "t1")
    rows = (caller("Book"), ToolCalled("t1", "book", "{}"))
    assert ledger.completed(rows) == (*rows, ToolAnswered("t1", FAILED.content, is_successful=False, fault="timeout"))


async def test_what_the_platform_shows_is_not_told_again() -> None:
    ledger = Ledger("call_1")
    await does(ledger, "book", 1, tool_call_id="t1")
    wish(ledger, "move", 1)  # asked for, and not done
    rows = (caller("Book"), ToolCalled("t1", "book", "{}"), ToolAnswered("t1", "booked"))
    assert ledger.completed(rows) is rows


@pytest.mark.parametrize(
    ("rows", "turns"),
    [
        pytest.param((), [], id="none"),
        pytest.param((agent("Hello"), caller("Hi"), agent("Yes?"), caller("Well")), [0, 1, 1, 2], id="utterances"),
        pytest.param((DigitPressed("1"), DigitPressed("2"), agent("Ok"), DigitPressed("1")), [1, 1, 1, 2], id="digits"),
        pytest.param((Note("a text"), ToolCalled("t", "f", "{}"), ToolAnswered("t", "")), [1, 1, 1], id="notes"),
    ],
)
def test_turns_are_told_apart_by_what_the_caller_said_or_pressed(rows: tuple[Row, ...], turns: list[int]) -> None:
    assert list(turns_of(rows)) == turns


def on_a_new_line() -> tuple[list[Row], list[Row]]:
    """The same moment of a call: without what the platform was not asked for yet, and with it."""
    said: list[Row] = [caller("book Monday"), agent("Done."), caller("and Tuesday")]
    called = ToolCalled("book-of-another", "book_monday", "{}")
    keys: list[Row] = [DigitPressed("1"), agent("Yes?"), DigitPressed("2"), agent("Yes?")]
    shown: list[Row] = [*keys, said[0], called, ToolAnswered("book-of-another", "booked"), *said[1:]]
    return said, shown


async def test_a_write_of_a_shorter_history_is_not_taken_for_an_older_one() -> None:
    ledger, (said, shown) = Ledger("call_1"), on_a_new_line()
    ledger.recall(tuple(said), as_spelled)
    first = await does(ledger, "book_tuesday", ledger.turn_of(tuple(said)), tool_call_id="own")
    ledger.made("own")
    later = (*shown, ToolCalled("own", "book_tuesday", "{}"), ToolAnswered("own", "booked"), caller("thanks"))
    ledger.recall(later, as_spelled)
    assert wish(ledger, "book_tuesday", ledger.turn_of(later)) is first


async def test_who_cancels_on_a_new_line_can_book_again() -> None:
    ledger, (said, shown) = Ledger("call_1"), on_a_new_line()
    booked = await does(ledger, "book_monday", ledger.turn_of(tuple(shown)), tool_call_id="book-of-another")
    ledger.made("book-of-another")
    cancelled = await does(ledger, "cancel", ledger.turn_of(tuple(said)), tool_call_id="own")
    ledger.made("own")
    assert wish(ledger, "cancel", ledger.turn_of(tuple(said))) is cancelled, "turns never go back"
    later = (*shown, caller("cancel it"), ToolCalled("own", "cancel", "{}"), agent("Done."), caller("book it again"))
    ledger.recall(later, as_spelled)
    assert wish(ledger, "book_monday", ledger.turn_of(later)) is not booked


async def test_a_write_that_two_processes_tried_is_one_though_the_later_counted_fewer_turns() -> None:
    ledger, (said, shown) = Ledger("call_1"), on_a_new_line()
    ledger.recall(tuple(said), as_spelled)
    first = await does(ledger, "book_tuesday", ledger.turn_of(tuple(said)), FAILED, "own")
    ledger.made("own")
    tried = (ToolCalled("tried-by-another", "book_tuesday", "{}"), ToolAnswered("tried-by-another", "", False))
    later = (*shown, *tried, ToolCalled("own", "book_tuesday", "{}"), agent("It failed."), caller("try again"))
    ledger.recall(later, as_spelled)
    assert wish(ledger, "book_tuesday", ledger.turn_of(later)) is first
