"""What a script may say, and what a directive makes of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.simulator.model_script import Cut, Empty, HangAfterRole, OnlyComments, Refuse, Script, Stall, directed

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
        lambda: Refuse(200),
    ],
)
def test_a_script_that_cannot_be_played_is_refused_where_it_is_written(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"seconds|0 chunks or more|400 to 599"):
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
        ("[[stall]]", "after"),
        ("[[stall after=soon]]", "int"),
        ("[[stall after=-1]]", "0 chunks or more"),
        ("[[gap=nan]]", "0 or more"),
        ("[[gap=1 gap=2]]", "twice"),
        (r'[[text="\q"]]', "escape"),
    ],
)
def test_a_broken_directive_says_what_is_wrong(words: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        directed(THREE, words)


def test_chunks_given_are_chunks_sent() -> None:
    assert Script(("On", "e. ")).chunks() == ("On", "e. ")
