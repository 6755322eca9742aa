from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.agents.folder import Script
from service.agents.mistakes import Mistake
from service.agents.tables import line_of, read_table

MANY = '''
greeting = 5
greting = "a"
[lines]
apology = """
hold = 3
"""
hold = "One"
"apologgy" = 'x'
[deadlines]
hold_after = "x"
[[targets]]
model = 3
[[targets]]
modl = "m"
[[targets]]
model = 'm'
options = { stream = false }
[targets.headers]
x = 1
[variables]
b = 'x'
a = 1
[limits]
rounds = 0
[model.hedge]
quantil = 1
[voice]
reminder_after = inf
[nothing.like.it]
x = 1
'''


def told(text: str, tmp_path: Path) -> list[str]:
    mistakes: list[Mistake] = []
    (tmp_path / "agent.toml").write_text(text)
    read_table(tmp_path / "agent.toml", Script, mistakes)
    return [str(mistake).removeprefix(f"{tmp_path}/agent.toml:") for mistake in mistakes]


def test_every_mistake_is_told_with_its_line_and_a_remedy(tmp_path: Path) -> None:
    assert told(MANY, tmp_path) == [
        '2: `greeting`: expected `str`, got `int` (write it in quotes: "…")',
        "3: `greting` means nothing (did you mean `greeting`?)",
        "8: `lines.hold`: expected `array`, got `str` (write a list: [ … ])",
        "9: `lines.apologgy` means nothing (did you mean `apology`?)",
        "11: `deadlines.hold_after`: expected `float`, got `str` (write a number, without quotes)",
        '13: `targets[1].model`: expected `str`, got `int` (write it in quotes: "…")',
        "14: `targets[2]`: object missing required field `model`",
        "15: `targets[2].modl` means nothing (did you mean `model`?)",
        "16: `targets[3]`: options cannot hold stream: Cuebox sends its own",
        '20: `targets[3].headers.x`: expected `str`, got `int` (write it in quotes: "…")',
        '23: `variables.a`: expected `str`, got `int` (write it in quotes: "…")',
        "25: `limits.rounds`: expected `int` >= 1",
        "27: `model.hedge.quantil` means nothing (did you mean `quantile`?)",
        "28: `voice`: voice settings are finite numbers",
        f"30: `nothing` means nothing (known are {', '.join(sorted(Script.__struct_fields__))})",
    ]


def test_what_may_be_chosen_is_told(tmp_path: Path) -> None:
    (mistake,) = told("[[targets]]\nmodel = 'm'\nprovider = 'opnai'", tmp_path)
    assert mistake.startswith("3: `targets[1].provider`: invalid enum value 'opnai' (one of azure, groq, ")


def test_each_value_under_free_keys_is_told_by_its_own(tmp_path: Path) -> None:
    text = (
        "[lines.by_language.de]\napology = 'a'\n[lines.by_language.fr]\napology = 3\n[variables]\na = 1\nb = 'x'\nc = 2"
    )
    assert [mistake.partition(": exp")[0] for mistake in told(text, tmp_path)] == [
        "4: `lines.by_language.fr.apology`",
        "6: `variables.a`",
        "8: `variables.c`",
    ]


def test_what_is_well_is_kept(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text("greeting = 'Hi'\nlines = 3\n")
    mistakes: list[Mistake] = []
    assert read_table(tmp_path / "agent.toml", Script, mistakes) == {"greeting": "Hi"}
    assert mistakes[0].line == 2


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("greeting = 'Hi'\ngreeting", "2: this is not TOML: Expected '=' after a key in a key/value pair"),
        ("x = " + "[" * 5000, "this is not TOML"),
        ("a = 1\na = 2", "2: this is not TOML: Cannot overwrite a value"),
    ],
)
def test_what_is_not_toml_is_told(text: str, mistake: str, tmp_path: Path) -> None:
    (first,) = told(text, tmp_path)
    assert mistake in first


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("lines", "apology"), 5),
        (("targets", 2, "headers", "x"), 20),
        (("targets", 1), 14),
        (("model",), 26),
        (("nowhere",), None),
    ],
)
def test_the_line_of_a_value_is_found(place: tuple[str | int, ...], line: int | None) -> None:
    assert line_of(MANY, place) == line


def test_quotes_in_a_long_text_are_not_taken_for_its_end() -> None:
    assert line_of("a = '''\n\"\"\"\nb = 1\n'''\nb = 2", ("b",)) == 5


def test_a_mistake_of_the_whole_file_is_told(tmp_path: Path) -> None:
    class Picky(msgspec.Struct):
        a: int = 0
        b: int = 0

        def __post_init__(self) -> None:
            if self.a != self.b:
                raise ValueError("a and b differ")

    (tmp_path / "picky.toml").write_text("a = 1")
    mistakes: list[Mistake] = []
    assert read_table(tmp_path / "picky.toml", Picky, mistakes) == {}
    assert [mistake.what for mistake in mistakes] == ["the file: a and b differ"]


@given(text=st.text())
def test_any_text_is_a_table_or_a_mistake(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("table") / "agent.toml"
    file.write_text(text, encoding="utf-8", errors="replace", newline="")
    mistakes: list[Mistake] = []
    read_table(file, Script, mistakes)
    assert all(mistake.line is None or 0 < mistake.line <= text.count("\n") + 1 for mistake in mistakes)
