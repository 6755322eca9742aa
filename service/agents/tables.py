"""A TOML file that fits a struct: every mistake is told, with the line of its key."""

import difflib
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from service.agents.mistakes import Mistake, text_of

Step = str | int
Place = tuple[Step, ...]
"""The way to a value: keys of tables, and indices of lists."""

_MOST = 1_000_000
_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]=]+?)\s*\]\]?\s*(?:#.*)?")
_NAME = r"""(?:[\w-]+|"[^"\n]*"|'[^'\n]*')"""
_KEY = re.compile(rf"\s*({_NAME}(?:\s*\.\s*{_NAME})*)\s*=(.*)")
_LONG_QUOTE = re.compile("\"\"\"|'''")
_AT = re.compile(r" - at `(?:key in )?\$(.*)`$")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[\.\.\.\]")
_REMEDIES = {
    "str": 'write it in quotes: "…"',
    "int": "write a whole number, without quotes",
    "float": "write a number, without quotes",
    "bool": "write true or false, without quotes",
    "array": "write a list: [ … ]",
    "object": "write a table: { … }, or a section of its own",
}


def read_table(file: Path, kind: type[msgspec.Struct], mistakes: list[Mistake]) -> dict[str, Any] | None:
    """The file's values, which `kind` takes; what is wrong is added to the mistakes, and left out. None for no TOML.

    `kind` has a default for each of its fields.
    """
    text = text_of(file, _MOST, mistakes)
    if text is None:
        return None
    try:
        raw = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        what, _, at = str(error).partition(" (at ")
        at_line = re.match(r"line (\d+)", at)
        line = int(at_line[1]) if at_line else text.count("\n") + 1
        remedy = "texts stand in quotes, lists in [ ], and a key once in a section"
        mistakes.append(Mistake(file, line, f"this is not TOML: {what}", remedy))
        return None
    found = [*_unknown(raw, inspect.type_info(kind)), *_unfit(raw, kind)]
    told = [Mistake(file, line_of(text, place), what, remedy) for place, what, remedy in found]
    mistakes += sorted(told, key=lambda mistake: mistake.line or 0)
    return raw


def line_in(file: Path, place: Place) -> int | None:
    """The line of a file, from 1, on which a value stands."""
    return line_of(file.read_text(encoding="utf-8-sig"), place)


def line_of(text: str, place: Place) -> int | None:
    """The line, from 1, on which a value stands, or else what holds it. None when nothing of it is there."""
    best, found = 0, None
    for number, key in _keys(text):
        depth = len(key) if key == place[: len(key)] else 0
        if depth > best or (found is None and key[: len(place)] == place):
            best, found = depth, number
    return found


def _keys(text: str) -> Iterator[tuple[int, Place]]:
    """Every header and every key with the number of its line."""
    table: Place = ()
    arrays: Counter[Place] = Counter()
    quote = ""
    for number, line in enumerate(text.split("\n"), 1):
        if quote:
            quote = "" if quote in line else quote
        elif header := _HEADER.fullmatch(line.rstrip()):
            table = _indexed(_names(header[2]), arrays)
            if header[1] == "[[":
                arrays[table] += 1
                table = (*table, arrays[table] - 1)
            yield number, table
        elif key := _KEY.match(line):
            yield number, (*table, *_names(key[1]))
            opened = _LONG_QUOTE.findall(key[2])
            quote = opened[0] if len(opened) % 2 else ""


def _names(dotted: str) -> Place:
    return tuple(name.strip("\"'") for name in re.findall(_NAME, dotted))


def _indexed(names: Place, arrays: Mapping[Place, int]) -> Place:
    """`[targets.options]` is of the last of the targets so far."""
    place: Place = ()
    for depth, name in enumerate(names, 1):
        place = (*place, name)
        if depth < len(names) and arrays.get(place):
            place = (*place, arrays[place] - 1)
    return place


def _unknown(raw: Any, info: inspect.Type, place: Place = ()) -> Iterator[tuple[Place, str, str]]:
    """The keys that mean nothing, everywhere; they are taken out."""
    match info:
        case inspect.StructType() | inspect.DataclassType() if isinstance(raw, dict):
            fields = {field.encode_name: field.type for field in info.fields}
            for key in [key for key in raw if key not in fields]:
                del raw[key]
                close = difflib.get_close_matches(key, fields, n=1, cutoff=0.6)
                remedy = f"did you mean `{close[0]}`?" if close else f"known are {', '.join(sorted(fields))}"
                yield (*place, key), f"{_spelled((*place, key))} means nothing", remedy
            for key in raw:
                yield from _unknown(raw[key], fields[key], (*place, key))
        case inspect.DictType() if isinstance(raw, dict):
            for key in raw:
                yield from _unknown(raw[key], info.value_type, (*place, key))
        case inspect.ListType() | inspect.VarTupleType() if isinstance(raw, list):
            for index, item in enumerate(raw):
                yield from _unknown(item, info.item_type, (*place, index))
        case inspect.UnionType():
            for each in info.types:
                yield from _unknown(raw, each, place)
        case _:
            pass


def _unfit(raw: dict[str, Any], kind: type) -> Iterator[tuple[Place, str, str]]:
    """The values of a wrong type or range; they are taken out, one after the other."""
    places: list[Place] = []
    origins: dict[int, list[int]] = {}
    while True:
        try:
            msgspec.convert(raw, kind)
        except msgspec.ValidationError as error:
            what = _AT.sub("", str(error))
            place = _take_out(raw, _steps(error, raw, kind), origins)
            is_told = "missing required" in what and any(told[: len(place)] == place for told in places)
            places.append(place)
            if not is_told:
                remedy = _remedy(what, inspect.type_info(kind), place)
                yield place, f"{_spelled(place)}: {what[:1].lower()}{what[1:]}", remedy
        else:
            return


def _remedy(what: str, info: inspect.Type, place: Place) -> str:
    for step in place:
        match info:
            case inspect.StructType() | inspect.DataclassType():
                info = next(field.type for field in info.fields if field.encode_name == step)
            case inspect.VarTupleType():
                info = info.item_type
            case _:
                break
    if isinstance(info, inspect.LiteralType):
        return f"one of {', '.join(map(str, info.values))}"
    expected = re.match(r"Expected `(\w+)[^`]*`, got", what)
    return _REMEDIES.get(expected[1], "") if expected else ""


def _steps(error: msgspec.ValidationError, raw: dict[str, Any], kind: type) -> Iterator[Step]:
    value: Any = raw
    at = _AT.search(str(error))
    for found in _STEP.finditer(at[1] if at else ""):
        step: Step = _blamed(value, error, raw, kind) if found[0] == "[...]" else found[1] or int(found[2])
        yield step
        value = value[step]


def _blamed(table: dict[str, Any], told: msgspec.ValidationError, raw: dict[str, Any], kind: type) -> str:
    """Which value of a table whose keys are free does not fit: that is not told, so each is tried alone."""
    whole, blamed = dict(table), ""
    for blamed, value in whole.items():
        table.clear()
        table[blamed] = value
        try:
            msgspec.convert(raw, kind)
        except msgspec.ValidationError as error:
            if str(error) == str(told):
                break
    table.clear()
    table.update(whole)
    return blamed


def _take_out(raw: dict[str, Any], steps: Iterator[Step], origins: dict[int, list[int]]) -> Place:
    """Take a value away, and tell its place as it is in the file: items before it may be gone already."""
    place: list[Step] = []
    owner: Any = None
    value: Any = raw
    for step in steps:
        owner, value = value, value[step]
        place.append(_origin(owner, origins)[step] if isinstance(step, int) else step)
    if owner is None:
        raw.clear()
        return ()
    if isinstance(owner, list):
        del _origin(owner, origins)[step]  # type: ignore[arg-type]  # an index, where it is a list
    del owner[step]
    return tuple(place)


def _origin(items: list[Any], origins: dict[int, list[int]]) -> list[int]:
    """For each item that is left, which one it was in the file."""
    return origins.setdefault(id(items), list(range(len(items))))


def _spelled(place: Sequence[Step]) -> str:
    """Such as `targets[2].model`, counted from 1 as people do."""
    steps = (f"[{step + 1}]" if isinstance(step, int) else f".{step}" for step in place)
    return f"`{''.join(steps).removeprefix('.')}`" if place else "the file"
