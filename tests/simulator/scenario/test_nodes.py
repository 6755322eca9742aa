from typing import Any

import pytest

from service.simulator.scenario.nodes import Tree, parse


@pytest.mark.parametrize(
    ("spelt", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("42", 42),
        ("-3", -3),
        ("1.5", 1.5),
        ("2e3", 2000.0),
        ("+12075550150", "+12075550150"),
        ("0123", "0123"),
        ("12:30", "12:30"),
        ("2026-03-02", "2026-03-02"),
        ('"42"', "42"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
    ],
)
def test_words_mean_what_they_look_like(spelt: str, value: object) -> None:
    tree = parse(f"say: {spelt}\n")
    assert tree.value == {"say": value}
    assert type(tree.value["say"]) is type(value)
    assert tree.mistakes == []


def test_each_key_and_item_has_its_line() -> None:
    tree = parse("steps:\n  - say: Hello.\n    expect:\n      contains: [a,\n        b]\n  - drop\n")
    assert tree.line_of(("steps",)) == 1
    assert tree.line_of(("steps", 0, "expect", "contains", 1)) == 5
    assert tree.line_of(("steps", 1)) == 6
    assert tree.line_of(("steps", 1, "nothing", "here")) == 6
    assert Tree().line_of(("steps",)) == 1


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("a: 1\na: 2\n", 2, "stands here twice"),
        ("a: &x [1]\nb: *x\n", 2, "write it out"),
        ("a: !!python/object:os.system ls\n", 1, "is a tag"),
        ("a: 1\n\tb: 2\n", 2, "indent with spaces"),
        ("a: [1,\n", 2, "not YAML"),
        ("a: b: c\n", 1, "a text with a colon goes into quotes"),
        ("a: {contains: How are you?}\n", 1, "put each text into quotes"),
        ("a: 1\nb\nc: 2\n", 3, "a key ends with a colon"),
        ("a: @home\n", 1, "goes into quotes"),
        ("a: 1\n---\nb: 2\n", 2, "not YAML"),
        ("? [a]\n: 1\n", 1, "a key is a word"),
        ("a: \x00\n", 1, "a character that no text has"),
        ("[" * 100_000, 1, "nested more than"),
        ("[" * 60 + "]" * 60, 1, "nested more than"),
    ],
)
def test_what_is_wrong_has_its_line_and_a_remedy(text: str, line: int, why: str) -> None:
    (mistake,) = parse(text).mistakes
    assert mistake[0] == line
    assert why in mistake[1]


def test_repeating_what_repeats_costs_nothing() -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    assert len(parse(bomb).mistakes) == 29 * 9


def test_an_empty_file_is_nothing() -> None:
    nothing: Any = parse("# only words\n").value
    assert nothing is None
