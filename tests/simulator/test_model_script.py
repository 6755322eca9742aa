"""What a script may say, and what a directive makes of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.simulator.model_script import (
    Call,
    Chances,
    Cut,
    Dribble,
    Empty,
    Finish,
    HangAfterRole,
    Huge,
    OnlyComments,
    Refuse,
    Script,
    Stall,
    WrongCalls,
    WrongType,
    directed,
)
from service.simulator.model_times import Uniform, times
from tests.simulator.wired import seeded

THREE = Script("One two three.")


@given(st.text())
def test_no_character_is_lost_between_chunks(text: str) -> None:
    assert "".join(Script(text).chunks()) == text


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Script(gap=-1),
        lambda: Script(first_token_after=float("nan")),
        lambda: Stall(-1),
        lambda: OnlyComments(0),
        lambda: Dribble(float("inf")),
        lambda: Huge(size=0),
        lambda: Huge(after=-1),
        lambda: Refuse(200),
    ],
)
def test_a_script_that_cannot_be_played_is_refused_where_it_is_written(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"seconds|0 chunks or more|400 to 599|1 to 100000000 bytes"):
        wrong()


@pytest.mark.parametrize(
    ("words", "script"),
    [
        ("Hi.", THREE),
        ("[[]]", THREE),
        ("Hi [[stall after=2]] there", Script("One two three.", fault=Stall(2))),
        ("[[ hang_after_role ]]", Script("One two three.", fault=HangAfterRole())),
        ('[[first_token_after=0.5 text="Hello [[\\"there\\"]]."]]', Script('Hello [["there"]].', 0.5)),
        ('[[gap=1 text=""]]', Script("", gap=1)),
        ("[[empty text=Hello]]", Script("Hello", fault=Empty())),
        ("[[cut after=1 gap=0.5]]", Script("One two three.", gap=0.5, fault=Cut(1))),
        ("[[only_comments every=2]]", Script("One two three.", fault=OnlyComments(2))),
        ("[[gap=4%uniform:4,8+0.1]]", Script("One two three.", gap=times("4%uniform:4,8+0.1"))),
        ("[[huge size=5]]", Script("One two three.", fault=Huge(0, 5))),
        ("[[wrong_type of=event]]", Script("One two three.", fault=WrongType(of="event"))),
        ("[[finish]]", Script("One two three.", fault=Finish("model_wandered_off"))),
        ("[[dribble reasoning_tokens=9]]", Script("One two three.", fault=Dribble(), reasoning_tokens=9)),
        (
            '[[wrong_calls index=missing lead_in=Wait. calls="find {\\"day\\": 1}; note"]]',
            Script(
                "One two three.",
                fault=WrongCalls("missing"),
                calls=(Call("find", '{"day": 1}'), Call("note")),
                lead_in="Wait.",
            ),
        ),
        ("[[refuse status=429 code=insufficient_quota retry_after=2]]", None),
    ],
)
def test_a_directive_changes_the_script(words: str, script: Script | None) -> None:
    quota = Script("One two three.", fault=Refuse(429, "insufficient_quota", 2))
    assert directed(THREE, words) == (script or quota)


def test_a_directive_that_names_no_fault_leaves_the_one_there_is() -> None:
    assert directed(Script(fault=Empty()), "[[gap=2]]") == Script(gap=2, fault=Empty())


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("[[stall after=3", "form"),
        ("[[stall after=]]", "form"),
        ("[[stall after = 3]]", "form"),
        ("[[after=3 stall]]", "form"),
        ('[[text="a"gap=1]]', "form"),
        ("[[gap=1]] [[gap=2]]", "one directive"),
        ("[[explode]]", "no fault is named explode"),
        ("[[after=3]]", "no such field here: after"),
        ("[[stall before=3 after=1]]", "no such field here: before"),
        ("[[refuse]]", "status"),
        ("[[stall after=soon]]", "int"),
        ("[[stall after=-1]]", "0 chunks or more"),
        ("[[gap=nan]]", "0 or more"),
        ("[[gap=normal:1,2]]", "no times are called 'normal'"),
        ("[[wrong_type of=weather]]", "weather"),
        ("[[huge after=-1]]", "0 chunks or more"),
        ("[[gap=1 gap=2]]", "twice"),
        (r'[[text="\q"]]', "escape"),
    ],
)
def test_a_broken_directive_says_what_is_wrong(words: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        directed(THREE, words)


def test_chunks_given_are_chunks_sent() -> None:
    assert Script(("On", "e. ")).chunks() == ("On", "e. ")


def test_a_script_with_calls_says_its_lead_in() -> None:
    assert Script("No.", calls=(Call("note"),), lead_in="One moment.").chunks() == ("One", " moment.")


def test_a_script_draws_its_times_in_the_order_in_which_they_are_needed() -> None:
    pauses = Script(first_token_after=0.5, gap=Uniform(1, 2)).pauses(seeded())
    first, gap, other = (next(pauses) for _ in range(3))
    assert first == 0.5
    assert 1 < gap < 2
    assert gap != other


# Chances.


def drawn(*spelt: str, times: int = 4000) -> dict[Any, float]:
    random, chances = seeded(), Chances(*spelt)
    faults = [chances.draw(random) for _ in range(times)]
    return {fault: faults.count(fault) / times for fault in set(faults)}


def test_faults_happen_as_often_as_they_should() -> None:
    shares = drawn("4%hang_after_role", "20% refuse status=503 retry_after=2")
    assert shares == {
        HangAfterRole(): pytest.approx(0.04, abs=0.01),
        Refuse(503, retry_after=2): pytest.approx(0.2, abs=0.02),
        None: pytest.approx(0.76, abs=0.02),
    }


def test_nothing_goes_wrong_by_itself_and_everything_may() -> None:
    assert drawn() == {None: 1}
    assert drawn("50%cut", "50%empty").keys() == {Cut(), Empty()}


@pytest.mark.parametrize(
    ("spelt", "why"),
    [
        (["hang_after_role"], "share"),
        (["0%cut"], "share"),
        (["101%cut"], "share"),
        (["4%explode"], "no fault is named explode"),
        (["4%gap=2"], "a chance is a share and a fault"),
        (["4%cut gap=2"], "a chance is a share and a fault"),
        (["4%cut]] [[stall"], "form"),
        (["60%cut", "41%empty"], "more than 100%"),
    ],
)
def test_a_chance_that_cannot_be_says_what_is_wrong(spelt: list[str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Chances(*spelt)
