import contextlib
import datetime as dt
import enum
import json
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from service.agents.tools import Arguments, Tool, ToolError, ToolMistake


class Day(enum.Enum):
    MONDAY = "mon"
    FRIDAY = "fri"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 3


class Mixed(enum.Enum):
    HALF = 0.5


@dataclass
class Patient:
    name: str
    phone: Annotated[str, Meta(pattern=r"^\d+$", description="Digits only.")] = "0"


class Place(msgspec.Struct):
    city: Annotated[str, Meta(min_length=2)]
    floor: int | None = None


@dataclass
class Tree:
    branches: "list[Tree]"


@dataclass
class Picky:
    age: int

    def __post_init__(self) -> None:
        if self.age > 200:
            raise ToolError("Nobody is that old. Ask again.")
        if self.age < 0:
            raise LookupError


NAMES = dict(globals())
IMPORTS = """
from collections.abc import Sequence
from typing import Literal, Optional
from service.agents.call import Call
from service.agents.tools import tool
"""


def written(source: str) -> Tool:
    """The tool of a tools.py."""
    names: dict[str, Any] = dict(NAMES)
    exec(IMPORTS, names)  # noqa: S102
    exec(compile(source, "tools.py", "exec"), names)  # noqa: S102
    made = names["book"]
    assert isinstance(made, Tool)
    return made


def taking(parameters: str) -> Tool:
    return written(f"@tool\ndef book({parameters}):\n    'Book it.'")


def closed(**properties: object) -> dict[str, object]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def or_null(schema: dict[str, object], description: str = "") -> dict[str, object]:
    union: dict[str, object] = {"anyOf": [schema, {"type": "null"}]}
    return union | ({"description": description} if description else {})


TEXT: dict[str, object] = {"type": "string"}


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        ("str", TEXT),
        ("int", {"type": "integer"}),
        ("float", {"type": "number"}),
        ("bool", {"type": "boolean"}),
        ("Literal['b', 'a']", {"type": "string", "enum": ["a", "b"]}),
        ("Literal[2, 1]", {"type": "integer", "enum": [1, 2]}),
        ("Literal['a', None]", {"type": ["null", "string"], "enum": [None, "a"]}),
        ("Day", {"type": "string", "enum": ["mon", "fri"]}),
        ("Size", {"type": "integer", "enum": [1, 3]}),
        ("dt.date", {"type": "string", "description": "YYYY-MM-DD."}),
        ("dt.time", {"type": "string", "description": "HH:MM:SS."}),
        ("dt.datetime", {"type": "string", "description": "YYYY-MM-DDTHH:MM:SS."}),
        (
            "Annotated[dt.datetime, Meta(tz=True)]",
            {"type": "string", "description": "YYYY-MM-DDTHH:MM:SS, with a UTC offset."},
        ),
        (
            "Annotated[dt.time, Meta(tz=False, description='When')]",
            {"type": "string", "description": "When. HH:MM:SS, without a UTC offset."},
        ),
        ("list[int]", {"type": "array", "items": {"type": "integer"}}),
        ("Sequence[str]", {"type": "array", "items": TEXT}),
        ("tuple[str, ...]", {"type": "array", "items": TEXT}),
        ("Optional[str]", or_null(TEXT)),
        ("Optional[str] = 'x'", or_null(TEXT, 'Null means "x".')),
        ("int = 30", or_null({"type": "integer"}, "Null means 30.")),
        ("str | None = None", or_null(TEXT)),
        ("list[int] = [1]", or_null({"type": "array", "items": {"type": "integer"}}, "Null means [1].")),
        ("Annotated[int, Meta(ge=1, lt=9)]", {"type": "integer", "description": "At least 1, less than 9."}),
        ("Annotated[float, Meta(gt=0, le=1)]", {"type": "number", "description": "More than 0, at most 1."}),
        ("Annotated[int, Meta(multiple_of=15)]", {"type": "integer", "description": "A multiple of 15."}),
        (
            "Annotated[str, Meta(min_length=1, max_length=3)]",
            {"type": "string", "description": "Of length 1 or more, of length 3 or less."},
        ),
        (
            "Patient",
            closed(
                name=TEXT,
                phone=or_null(TEXT, 'Digits only. Matching the regular expression ^\\d+$. Null means "0".'),
            ),
        ),
        ("Place", closed(city=TEXT | {"description": "Of length 2 or more."}, floor=or_null({"type": "integer"}))),
    ],
)
def test_a_type_has_its_schema_of_the_strict_kind(hint: str, schema: object) -> None:
    assert taking(f"x: {hint}").spec.parameters == closed(x=schema)


def test_the_same_function_has_the_same_bytes() -> None:
    one, other = (taking("a: Day, b: Patient, c: int = 1").spec.parameters for _ in range(2))
    assert json.dumps(one) == json.dumps(other)


def test_the_docstring_is_the_description_and_explains_the_parameters() -> None:
    made = written('''
@tool
def book(call: Call, day: dt.date, minutes: int = 30, *, note: str) -> None:
    """Book it.

    Only when the caller agreed.

    Args:
        day: The day that
            the caller wants.
        minutes (int): How long: it is round.

    Returns:
        note: Nothing.
    """
''')
    assert (made.name, made.spec.description) == ("book", "Book it.\n\nOnly when the caller agreed.")
    assert made.spec.parameters == closed(
        day={"type": "string", "description": "The day that the caller wants. YYYY-MM-DD."},
        minutes=or_null({"type": "integer"}, "How long: it is round. Null means 30."),
        note=TEXT,
    )


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ("day", "`day` has no type hint. Add one"),
        ("*days: str", "a model cannot fill `*days: str`. Name each parameter."),
        ("**days: str", "a model cannot fill `**days: str`"),
        ("day: str, /", "`day` is given by name. Take the `/` out."),
        ("day: str, call: Call", "`call: Call` must be the first parameter."),
        ("*, call: Call", "`call: Call` must be the first parameter."),
        ("day: Any", "`day`: Any is not for parameters. Allowed are str, int,"),
        ("day: object", "`day`: object is not for parameters."),
        ("day: dict[str, int]", "`day`: Dict is not for parameters."),
        ("day: set[str]", "`day`: Set is not for parameters."),
        ("day: tuple[int, str]", "`day`: Tuple is not for parameters."),
        ("day: int | str", "`day`: a union of several types is not for parameters."),
        ("day: Mixed", "its parameters cannot be understood: Enums must contain either all str or all int"),
        ("day: 3", "its parameters cannot be understood:"),
        ("day: Annotated[int, Meta(min_length=3)]", "its parameters cannot be understood:"),
        ("day: 'Nowhere'", "its type hints cannot be resolved: name 'Nowhere' is not defined. Import them at run time"),
        ("day: Tree", "nested more than 5 levels deep. Make them flatter."),
        ("day: str = object()", "`day`: its default is no plain value. Use one, or None."),
        ("day: float = float('nan')", "`day`: its default is no plain value."),
    ],
)
def test_a_parameter_that_no_model_can_fill_is_a_mistake_with_file_and_line(parameters: str, words: str) -> None:
    with pytest.raises(ToolMistake) as mistake:
        taking(parameters)
    assert str(mistake.value).startswith("tools.py:1: tool `book`: ")
    assert words in str(mistake.value)


def arguments_of(parameters: str, arguments: str) -> Arguments:
    return taking(parameters).read(arguments)


@pytest.mark.parametrize(
    ("parameters", "arguments", "canonical"),
    [
        ("n: int", '{"n": "7"}', '{"n":7}'),
        ("n: int", '{"n": 7.0}', '{"n":7}'),
        ("n: float", '{"n": 7}', '{"n":7.0}'),
        ("b: bool", '{"b": "true"}', '{"b":true}'),
        ("n: Literal[1, 2]", '{"n": "1"}', '{"n":1}'),
        ("day: Day = 'mon', size: Size = 1", '{"day": "fri", "size": 3}', '{"day":"fri","size":3}'),
        ("d: dt.date", '{"d": "2026-05-04"}', '{"d":"2026-05-04"}'),
        ("t: dt.time", '{"t": " 14:30"}', '{"t":"14:30:00"}'),
        ("t: dt.datetime", '{"t": "2026-05-04 14:30"}', '{"t":"2026-05-04T14:30:00"}'),
        ("s: str", '{"s": " Jose\\u0301 "}', '{"s":"José"}'),
        ("x: int = 1, y: int = 2", "", '{"x":1,"y":2}'),
        ("x: int = 1", "null", '{"x":1}'),
        ("x: int = 1", '{"x": null}', '{"x":1}'),
        ("x: Optional[int]", '{"x": null}', '{"x":null}'),
        ("y: str, x: str", '{"y": "2", "x": "1"}', '{"x":"1","y":"2"}'),
        ("who: Patient", '{"who": {"name": "Ann"}}', '{"who":{"name":"Ann","phone":"0"}}'),
        ("who: Patient", '{"who": {"name": "Ann", "phone": null}}', '{"who":{"name":"Ann","phone":"0"}}'),
        ("who: Patient", '{"who": {"name": "Ann", "phone": "0"}}', '{"who":{"name":"Ann","phone":"0"}}'),
        ("at: list[Place]", '{"at": [{"city": " Rome"}]}', '{"at":[{"city":"Rome","floor":null}]}'),
    ],
)
def test_one_wish_is_spelled_in_one_way(parameters: str, arguments: str, canonical: str) -> None:
    assert arguments_of(parameters, arguments).canonical == canonical


def test_arguments_are_values_of_their_types() -> None:
    values = arguments_of("who: Patient, day: Day, at: dt.time", '{"who":{"name":"A"},"day":"fri","at":"09:00"}')
    assert values.values == {"who": Patient("A"), "day": Day.FRIDAY, "at": dt.time(9)}


@pytest.mark.parametrize(
    ("parameters", "arguments", "words"),
    [
        ("n: int", "{}", "The arguments: Object missing required field `n`."),
        ("n: int", '{"n": "seven"}', 'n: Expected `int`, got `str`. Its schema: {"type": "integer"}'),
        ("n: int", '{"n": true}', "n: Expected `int`, got `bool`."),
        ("n: int", '{"n": ' + "9" * 5000 + "}", "The arguments cannot be read as JSON."),
        ("n: float", '{"n": "nan"}', "The arguments hold a number that is not finite."),
        ("day: Day", '{"day": "sun"}', '\'sun\'. Its schema: {"type": "string", "enum": ["mon", "fri"]}'),
        ("who: Patient", '{"who": {"name": "A", "phone": "x"}}', "who.phone: Expected `str` matching regex"),
        ("at: list[dt.date]", '{"at": ["tomorrow"]}', "at[0]: 'tomorrow' is not of the form YYYY-MM-DD."),
        ("at: dt.datetime", '{"at": "2026-05-04"}', "at: '2026-05-04' is not of the form YYYY-MM-DDTHH:MM:SS."),
        ("at: dt.datetime", '{"at": 5}', "at: '5' is not of the form"),
        ("n: int", '{"n": 1, "m": 2}', "The arguments: there is no 'm'. The names are: n."),
        ("", '{"m": 2}', "there is no 'm'. The names are: none at all."),
        ("who: Patient", '{"who": {"name": "A", "age": 1}}', "who: there is no 'age'. The names are: name, phone."),
        ("who: Picky", '{"who": {"age": 201}}', "Nobody is that old. Ask again."),
        ("who: Picky", '{"who": {"age": -1}}', "These arguments cannot be used."),
        ("n: int", "[1]", "The arguments are not an object."),
        ("n: int", "{n: 1}", "The arguments cannot be read as JSON."),
        ("n: int", "[" * 60_000, "The arguments cannot be read as JSON."),
        ("s: str", '{"s": "\\ud800"}', "The arguments cannot be read as JSON."),
        ("s: str", "x" * 65_537, "The arguments are too long: at most 65536 bytes."),
        ("s: str", "é" * 40_000, "The arguments are too long"),
    ],
)
def test_what_is_refused_says_how_to_do_it_right(parameters: str, arguments: str, words: str) -> None:
    with pytest.raises(ToolError) as refusal:
        arguments_of(parameters, arguments)
    assert words in str(refusal.value)


@pytest.mark.parametrize("arguments", ['{"day": "%s"}', '{"%s": 1}', '{"at": "%s"}'])
def test_little_of_what_came_is_echoed(arguments: str) -> None:
    with pytest.raises(ToolError) as refusal:
        arguments_of("day: Day = 'mon', at: dt.time = None", arguments % ("Q" * 9000))
    assert 0 < str(refusal.value).count("Q") <= 80


ANYTHING = taking(
    "s: str = '', n: int = 0, f: float = 0.0, b: bool = False, day: Day = 'mon', who: Optional[Patient] = None,"
    "at: dt.datetime = None, on: Optional[dt.date] = None, many: Sequence[Place] = ()"
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["mon", "2026-05-04T10:00"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["name", "phone", "city", "x"]) | st.text(), inner),
)


NAMED = st.sampled_from([*ANYTHING.parameters.struct.__struct_fields__, "x"])


@given(st.dictionaries(NAMED, VALUES).map(json.dumps) | st.text())
def test_any_text_ends_in_arguments_or_in_words_for_the_model(text: str) -> None:
    with contextlib.suppress(ToolError):
        wish = ANYTHING.read(text).canonical
        assert ANYTHING.read(wish).canonical == wish
