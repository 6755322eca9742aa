import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.conversation.playout import WORDS_PER_SECOND, Playout, heard_of
from service.conversation.transcript import words_of


def test_words_are_heard_at_the_rate_of_speech() -> None:
    playout = Playout(words_per_second=2)
    playout.say("one two three four", at=10)
    assert [playout.heard(at) for at in (10, 10.5, 11, 12, 60)] == [0, 1, 2, 4, 4]
    assert playout.runs_out_at() == 12


def test_a_word_cut_across_chunks_counts_once() -> None:
    playout = Playout()
    for chunk in ("Good", " mor", "ning", ", ", "", "Sir"):
        playout.say(chunk, at=0)
    assert playout.sent == 3


def test_languages_without_spaces_are_counted_as_they_are_compared() -> None:
    playout = Playout()
    for chunk in ("我们的营业", "时间是", "nine ", "to fi", "ve"):
        playout.say(chunk, at=0)
    assert playout.sent == 11 == len(words_of("我们的营业时间是nine to five"))


def test_words_sent_after_silence_are_heard_from_then() -> None:
    playout = Playout(words_per_second=1)
    playout.say("one ", at=0)
    playout.say("two", at=10)
    assert [playout.heard(at) for at in (1, 10, 10.9, 11)] == [1, 1, 1, 2]


def test_a_transcript_corrects_the_estimate() -> None:
    playout = Playout(words_per_second=1)
    playout.say("one two three four five", at=0)
    playout.correct(1, at=3)
    assert playout.heard(3) == 1
    assert playout.runs_out_at() == 7
    playout.correct(99, at=4)
    assert playout.heard(4) == 5


@given(st.lists(st.tuples(st.text("ab ", max_size=8), st.floats(0, 5)), max_size=20), st.floats(0, 50))
def test_never_more_is_heard_than_was_said_and_never_less_than_before(
    chunks: list[tuple[str, float]], rest: float
) -> None:
    playout, at, before = Playout(), 0.0, 0
    for text, pause in chunks:
        at += pause
        playout.say(text, at)
        assert before <= playout.heard(at) <= playout.sent
        before = playout.heard(at)
    assert playout.sent == len(words_of("".join(text for text, _ in chunks)))
    assert playout.heard(playout.runs_out_at() + rest + 1 / WORDS_PER_SECOND) == playout.sent


@pytest.mark.parametrize(
    ("said", "heard", "words"),
    [
        pytest.param("we are open from nine", "we are open", 3, id="a-beginning"),
        pytest.param("we are open", "", 0, id="nothing"),
        pytest.param("it costs 5 dollars today", "it costs five dollars", 4, id="spelled-otherwise"),
        pytest.param("we are open", "we um are open", 3, id="a-word-more"),
        pytest.param("one two three four", "completely other words here", None, id="something-else"),
        pytest.param("a b c d e f g h i j k", "a k", 1, id="no-leap-over-many"),
    ],
)
def test_what_was_heard_is_found_in_what_was_said(said: str, heard: str, words: int | None) -> None:
    assert heard_of(said.split(), heard.split()) == words
