"""A turn's bars, and what its wait is laid at the door of."""

import re
from typing import Any

import pytest

from service.reporting.facts import TurnFacts
from service.reporting.waterfall import blame, waterfall
from tests.reporting.told import facts, turn

ANSWERED = ["gpt", "first", "answered", 20, 400, 900]


def told(**fields: Any) -> TurnFacts:
    return facts(turn(**fields)).turns[0]


def bars(of: TurnFacts) -> list[tuple[str, float, float]]:
    """Kind, begin and end of each bar, as shares of the axis."""
    found = re.findall(r'<i class="(\w+)" style="left:([\d.]+)%;width:([\d.]+)%">', waterfall(of))
    return [(kind, float(left), round(float(left) + float(wide), 1)) for kind, left, wide in found]


def lanes(of: TurnFacts) -> list[tuple[str, str]]:
    """Names, and what they say in words."""
    rows = re.findall(r'<th scope="row">(.*?)</th>.*?</td><td>(.*?)</td></tr>', waterfall(of))
    return [(name, words.replace("\N{NO-BREAK SPACE}", " ")) for name, words in rows]


def test_the_caller_waits_hears_first_words_and_then_the_answer() -> None:
    assert bars(told()) == [("wait", 0, 40), ("begun", 40, 50), ("said", 50, 100)]
    assert lanes(told()) == [("caller", "first words 0.40 s, sentence 0.50 s, done 1.00 s")]


def test_an_answer_without_a_sentence_or_an_end_says_so() -> None:
    cut = told(time_to_first_sentence=None, duration=None, settled_after=0.5)
    assert bars(cut) == [("wait", 0, 80), ("said", 80, 100)]
    assert lanes(cut) == [("caller", "first words 0.40 s, not finished")]


def test_a_turn_that_failed_was_waited_for_in_vain() -> None:
    failed = told(time_to_first_chunk=None, duration=4.5, fallback="give_up", held=True, held_after=1.8)
    assert bars(failed) == [("vain", 0, 90), ("hold", 36, 36)]
    assert lanes(failed) == [("caller", "waited 4.50 s in vain, then give up")]
    assert lanes(told(time_to_first_chunk=None))[0][1] == "waited 1.00 s in vain"


def test_each_attempt_thinks_and_then_answers_in_the_order_of_their_beginnings() -> None:
    hedge = ["spare", "hedge", "lost", 300, None, 400]
    raced = told(model_attempts=[hedge, ANSWERED])
    assert bars(raced)[3:] == [("asked", 2, 40), ("spoke", 40, 90), ("asked", 30, 40)]
    assert lanes(raced)[1:] == [
        ("gpt", "first token 0.38 s, answered after 0.88 s"),
        ("spare, second attempt", "no words, lost after 0.10 s"),
    ]


@pytest.mark.parametrize(("cause", "name"), [("failover", "gpt, instead"), ("retry", "gpt, again"), ("odd", "gpt")])
def test_an_attempt_says_why_it_was_made(cause: str, name: str) -> None:
    assert lanes(told(model_attempts=[["gpt", cause, "answered", 0, 1, 2]]))[1][0] == name


def test_tools_are_bars_and_one_without_a_beginning_is_none() -> None:
    tools = [["book", "arguments", 0, 500], ["write", "running", None, 600], ["old", "ok", 20]]
    worked = told(tools=tools)
    assert bars(worked)[3:] == [("tool", 50, 50), ("tool", 60, 100)]
    assert lanes(worked)[1:] == [
        ("tool book", "wrong arguments after 0 ms"),
        ("tool write", "still ran when the turn was over"),
    ]


def test_what_began_before_the_turn_is_drawn_from_its_start() -> None:
    early = told(model_attempts=[["gpt", "first", "cancelled", -500, None, -100]])
    assert bars(early)[3:] == [("asked", 0, 0)]


def test_names_are_escaped() -> None:
    assert "<b>" not in waterfall(told(tools=[["<b>", "ok", 1, 1]], model_attempts=[["<b>", "x", "<b>", 0, 1, 2]]))


def test_a_wait_is_spent_on_the_model_on_tools_and_on_the_rest() -> None:
    rounds = [["gpt", "first", "answered", 100, 200, 300], ["gpt", "first", "answered", 700, 900, 5000]]
    spent = blame(told(time_to_first_sentence=1.0, model_attempts=rounds, tools=[["book", "ok", 300, 300]]))
    assert spent is not None
    assert (spent.model, spent.tools, spent.rest) == pytest.approx((0.5, 0.3, 0.2))
    assert spent.most == "the model"


def test_time_with_two_attempts_at_once_counts_once() -> None:
    both = [["gpt", "first", "lost", 0, None, 500], ["gpt", "hedge", "answered", 200, 450, 900]]
    spent = blame(told(model_attempts=both, tools=[["book", "running", None, 100], ["old", "ok", 3]]))
    assert spent is not None
    assert (spent.model, spent.tools, spent.rest) == pytest.approx((0.5, 0.0, 0.0))


def test_without_a_known_attempt_nobody_is_blamed() -> None:
    assert blame(told()) is None
