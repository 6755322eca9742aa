import pytest

from service.conversation.call import Outcome, Policy, Prompt, TurnRecord
from service.conversation.reply import OpenTurn
from service.conversation.settlement import settled, settled_at_end
from service.conversation.transcript import Mark
from tests.conversation.play import agent, caller

TEN = "one two three four five six seven eight nine ten."
ASKED = (caller("Count"),)


def a_turn(said: str = TEN, *, is_over: bool = True) -> OpenTurn:
    turn = OpenTurn(1, 1, Prompt.CALLER_SPOKE, 100.0, Mark.at_end_of(ASKED))
    turn.say(said, 101.0)
    if is_over:
        turn.finish(Policy(), 102.0)
    return turn


def overtaken(turn: OpenTurn, heard: str, by: str = "caller_spoke") -> TurnRecord:
    return settled(turn, (*ASKED, agent(heard)), 110.0, overtaken_by=by)


@pytest.mark.parametrize(
    ("heard", "outcome", "words"),
    [
        (TEN, Outcome.COMPLETED, 10),
        ("one two three four five six seven eight nine", Outcome.COMPLETED, 9),
        ("one two three four five six seven eight", Outcome.INTERRUPTED, 8),
        ("one", Outcome.INTERRUPTED, 1),
        ("", Outcome.SUPERSEDED, 0),
    ],
)
def test_a_newer_request_tells_what_was_heard(heard: str, outcome: Outcome, words: int) -> None:
    record = overtaken(a_turn(), heard)
    assert (record.outcome, record.words_heard, record.is_heard_unknown) == (outcome, words, False)
    assert record.reason == (None if outcome is Outcome.COMPLETED else "caller_spoke")
    assert record.heard_share == words / 10


def test_a_reply_overtaken_while_it_was_drafted_was_not_heard_to_its_end() -> None:
    assert overtaken(a_turn(is_over=False), TEN).outcome is Outcome.INTERRUPTED
    assert overtaken(a_turn(is_over=False), "").outcome is Outcome.SUPERSEDED


def test_a_turn_without_words_is_completed_by_its_end_alone() -> None:
    over, drafting = overtaken(a_turn(""), ""), overtaken(a_turn("", is_over=False), "")
    assert (over.outcome, over.heard_share) == (Outcome.COMPLETED, 1.0)
    assert drafting.outcome is Outcome.SUPERSEDED


def test_what_cannot_be_aligned_counts_as_completed() -> None:
    for record in (overtaken(a_turn(), "quite other words"), settled(a_turn(), None, 110.0, overtaken_by="x")):
        assert (record.outcome, record.is_heard_unknown) == (Outcome.COMPLETED, True)


def test_nobody_interrupts_by_being_silent() -> None:
    record = overtaken(a_turn(), "one two three", by="caller_silent")
    assert (record.outcome, record.is_heard_unknown) == (Outcome.COMPLETED, True)


def test_our_own_interjection_is_no_interruption() -> None:
    over = overtaken(a_turn(), "one two three", by="interjection")
    drafting = overtaken(a_turn(is_over=False), "one two three", by="interjection")
    assert (over.outcome, drafting.outcome) == (Outcome.COMPLETED, Outcome.SUPERSEDED)


def test_a_failed_turn_stays_failed_however_much_of_the_apology_was_heard() -> None:
    turn = a_turn("", is_over=False)
    turn.fail(Policy(), "ServerFailed", 102.0)
    record = overtaken(turn, Policy().lines.apology)
    assert (record.outcome, record.reason, record.heard_share) == (Outcome.FAILED, "ServerFailed", 1.0)


@pytest.mark.parametrize(
    ("heard", "closed_at", "outcome", "is_unknown"),
    [
        pytest.param(TEN, 101.0, Outcome.COMPLETED, False, id="heard"),
        pytest.param("one", 200.0, Outcome.COMPLETED, True, id="had-time"),
        pytest.param("quite other words", 102.0, Outcome.COMPLETED, True, id="not-to-be-aligned"),
        pytest.param("one two", 102.0, Outcome.DISCONNECTED, False, id="cut"),
    ],
)
def test_at_the_end_the_transcript_tells_or_the_clock(
    heard: str, closed_at: float, outcome: Outcome, is_unknown: bool
) -> None:
    record = settled_at_end(a_turn(), (*ASKED, agent(heard)), 210.0, line_closed_at=closed_at)
    assert (record.outcome, record.is_heard_unknown) == (outcome, is_unknown)


def test_a_reply_in_flight_at_the_end_was_disconnected() -> None:
    record = settled_at_end(a_turn(is_over=False), ASKED, 210.0, line_closed_at=210.0)
    assert (record.outcome, record.reason) == (Outcome.DISCONNECTED, "line_closed")
