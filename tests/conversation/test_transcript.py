import pytest

from service.conversation.transcript import (
    DigitPressed,
    Hearing,
    Mark,
    Note,
    Row,
    has_agent_words,
    merged,
    stops_in_mid_sentence,
    words_of,
)
from tests.conversation.play import agent, caller


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("We're open; 9 to 5!", ["we're", "open", "9", "to", "5"]),
        ("Größe  É", ["grösse", "é"]),
        ("你好吗", ["你", "好", "吗"]),
        ("snake_case --", ["snake", "case"]),
        ("", []),
    ],
)
def test_words_are_compared_without_case_and_punctuation(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@pytest.mark.parametrize("text", ["Yes.", "Yes!", 'She said "yes."', "Really?)", "…", "はい。", "", "   "])
def test_a_whole_sentence_needs_no_closing_line(text: str) -> None:
    assert not stops_in_mid_sentence(text)


@pytest.mark.parametrize("text", ["We are open", "We are open, ", "3.14 is"])
def test_a_listener_waits_for_more_in_mid_sentence(text: str) -> None:
    assert stops_in_mid_sentence(text)


def test_utterances_of_one_side_are_joined_and_blank_ones_left_out() -> None:
    rows: tuple[Row, ...] = (caller("I "), caller(" am"), agent(" "), caller("here"), DigitPressed("1"), caller("Ok"))
    assert merged(rows) == (caller("I am here"), DigitPressed("1"), caller("Ok"))


def test_the_agent_was_heard_only_where_it_has_words() -> None:
    assert has_agent_words((caller("Hi"), agent("Hello")))
    assert not has_agent_words((caller("Hi"), agent(" "), Note("n")))


def test_what_was_heard_of_a_turn_lies_behind_its_mark() -> None:
    asked = (agent("Hello there"), caller("Hi"))
    mark = Mark.at_end_of(asked)
    assert mark.heard_since(asked, at_most=9) == []
    assert mark.heard_since((*asked, agent("Good morning"), caller("x"), agent("Sir")), at_most=9) == [
        "good",
        "morning",
        "sir",
    ]


def test_an_agent_s_row_that_goes_on_counts_from_where_it_was() -> None:
    mark = Mark.at_end_of((caller("Hi"), agent("Hello there")))
    assert mark.heard_since((caller("Hi"), agent("Hello there, are you still here?")), at_most=9) == [
        "are",
        "you",
        "still",
        "here",
    ]


def test_no_more_is_read_than_is_needed() -> None:
    rows = [agent("one two three")] * 1000
    assert len(Mark().heard_since(rows, at_most=5)) == 6


def test_the_mark_of_an_empty_transcript_is_its_beginning() -> None:
    assert Mark.at_end_of(()).heard_since((agent("Hello"),), at_most=9) == ["hello"]


def test_only_the_last_utterance_behind_the_mark_was_cut_off() -> None:
    hearing = Hearing()
    hearing.rows = (agent("Hello"), caller("Hi"))
    hearing.cut_off_since(Mark(1))
    assert hearing.history() == hearing.rows
    hearing.rows = (agent("Hello"), caller("Hi"), agent("We are"), caller("No"))
    hearing.cut_off_since(Mark(1))
    assert [getattr(row, "was_cut_off", None) for row in hearing.history()] == [False, False, True, False]
