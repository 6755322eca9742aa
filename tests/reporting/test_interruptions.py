"""Interruptions, and what came before them."""

from typing import Any

import pytest

from service.reporting.interruptions import interruptions, spoken
from tests.reporting.told import facts, turn

CUT: dict[str, Any] = {"outcome": "interrupted", "words_heard": 4}


def read(*lines: dict[str, Any]) -> str:
    return interruptions(facts(*lines)).html.replace("\N{NO-BREAK SPACE}", " ")


def row_of(name: str, html: str) -> list[str]:
    """Answers, cut off when so, cut off when not."""
    (found,) = [row for row in html.split("<tr>") if f"{name}</th>" in row]
    return [cell.partition("</td>")[0] for cell in found.split('<td class="n">')[1:]]


def test_nothing_heard_and_nothing_cut_off_are_sentences() -> None:
    assert "No answer was heard here." in read()
    assert "No answer was heard here." in read(turn(outcome="failed"), turn(2, words_said=0))
    assert "Callers heard 2 answers and cut none off." in read(turn(1), turn(2))


def test_how_often_and_after_how_many_seconds_of_speech() -> None:
    html = read(turn(1), turn(2, **CUT), turn(3, **{**CUT, "words_heard": 27}))
    assert "Callers cut off 2 of the 3 answers that they heard: 67 %." in html
    assert "half of them by 1.48 s; nine of ten by 10 s" in html
    assert spoken(facts(turn(words_heard=27)).turns[0]) == pytest.approx(10)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"prompt": "greeting"}, "it was the greeting"),
        ({"prompt": "caller_silent"}, "the caller had been silent, and was spoken to"),
        ({"time_to_first_sentence": 2.1}, "its first sentence took more than 2 s"),
        ({"held": True}, "a hold line came first"),
        ({"tools": [["book", "ok", 3, 1]]}, "a tool worked for it"),
        ({"audible_gap": 0.6}, "it fell silent for more than 0.5 s in between"),
        ({"words_said": 41}, "it was long, more than 40 words"),
    ],
)
def test_what_was_so_of_the_answer_is_held_against_all_others(fields: dict[str, Any], name: str) -> None:
    html = read(turn(1), turn(2, **{**CUT, **fields}), turn(3, **fields), turn(4))
    assert row_of(name, html) == ["2", "50 %", "0 %"]
    assert f" · {name}</span>" in html, "beside the answer that was cut off, too"


@pytest.mark.parametrize(
    ("outcome", "name"),
    [
        ("interrupted", "the answer before was cut off, too"),
        ("superseded", "the answer before was overtaken, unheard"),
        ("failed", "the answer before had failed"),
    ],
)
def test_the_answer_before_counts_in_its_own_call_alone(outcome: str, name: str) -> None:
    before = turn(1, outcome=outcome)
    html = read(before, turn(2, **CUT), turn(1, call_id="b", **CUT), turn(2, call_id="c"))
    assert row_of(name, html)[:2] == ["1", "100 %"]


def test_what_holds_for_all_has_nothing_to_be_held_against() -> None:
    assert row_of("a hold line came first", read(turn(1, held=True, **CUT))) == ["1", "100 %"]


def test_the_latest_are_listed_with_where_they_are_found() -> None:
    html = read(*(turn(n, at=n, **CUT) for n in range(30)))
    assert html.count("<b>4 of 10</b>") == 10
    assert html.index("turn 29 ·") < html.index("turn 20 ·")
    assert "turn 19 ·" not in html
    assert "words heard, about 1 s of speech; waited 0.50 s for it" in html


def test_words_that_were_kept_show_where_the_agent_was_cut_off_and_by_what() -> None:
    said = "One two three four five six seven eight nine ten <eleven>."
    html = read(turn(1, agent_said=said, **CUT), turn(2, caller_said="Stop & listen."))
    assert "<bdi>One two three four</bdi>" in html
    assert "<s><bdi>five six seven eight nine ten …</bdi></s>" in html
    assert "<b>caller</b> <bdi>Stop &amp; listen.</bdi>" in html
    assert "<b>caller</b>" not in read(turn(1, agent_said=said, **CUT))
    assert "<b>agent</b>" not in read(turn(1, **CUT))
