"""Thinking aloud is not spoken, however it is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.llm.thoughts import Thoughts


def left_of(*chunks: str) -> str:
    thoughts = Thoughts()
    return "".join([*(thoughts.feed(chunk) for chunk in chunks), thoughts.flush()])


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("We are open.", "We are open."),
        ("<think>The caller wants 1 < 2.</think>We are open.", "We are open."),
        ("\n<think>\nHm.\n</think>\n\nYes.", "\n\nYes."),
        ("<think>It never ends", ""),
        ("<think></think>Yes.", "Yes."),
        ("<thinner> hair", "<thinner> hair"),
        ("I <think>so</think>.", "I <think>so</think>."),
        ("<thi", "<thi"),
        (" ", " "),
        ("<think>a</think>b<think>c</think>", "b<think>c</think>"),
    ],
)
def test_only_what_is_thought_before_the_answer_is_taken_out(text: str, left: str) -> None:
    assert left_of(text) == left
    assert left_of(*text) == left


@given(st.lists(st.text("<think>/ abc", max_size=12), max_size=12))
def test_what_is_left_does_not_depend_on_the_chunks(chunks: list[str]) -> None:
    assert left_of(*chunks) == left_of("".join(chunks))


def test_words_that_are_no_thought_come_at_once() -> None:
    thoughts = Thoughts()
    assert thoughts.feed("We") == "We"
    assert thoughts.feed(" <think>") == " <think>"
