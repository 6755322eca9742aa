"""From a function's signature to the schema of its arguments, and from a model's arguments to the function's.

The schema has the shape of the strict modes: all objects are closed, all properties required, and what has a default
takes null instead. Of the keywords, it has those that all wires take; limits and formats stand in the descriptions.
"""

import inspect
import json
import re
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime, time
from types import FunctionType
from typing import get_type_hints

import msgspec
from msgspec import inspect as types

from service.agents.call import Call

MOST_BYTES = 64 * 1024
MOST_LEVELS = 5
ALLOWED = "str, int, float, bool, Literal, Enum, date, time, datetime, a dataclass or Struct, or a list of one of these"

_ECHO = 70  # characters of what came that go back to the model
_LIMITS = {
    "ge": "at least {}",
    "gt": "more than {}",
    "le": "at most {}",
    "lt": "less than {}",
    "multiple_of": "a multiple of {}",
    "min_length": "of length {} or more",
    "max_length": "of length {} or less",
    "pattern": "matching the regular expression {}",
}
_MOMENTS: dict[type[types.Type], tuple[type[date | time], str]] = {
    types.DateType: (date, "YYYY-MM-DD"),
    types.TimeType: (time, "HH:MM:SS"),
    types.DateTimeType: (datetime, "YYYY-MM-DDTHH:MM:SS"),
}
_JSON_TYPES: dict[type, str] = {
    str: "string",
    int: "integer",
    type(None): "null",
    types.StrType: "string",
    types.BoolType: "boolean",
    types.IntType: "integer",
    types.FloatType: "number",
    **dict.fromkeys(_MOMENTS, "string"),
}


class ToolMistake(ValueError):
    """A tool is not written as it should be. The words name its file and line, and say what to do."""


class ToolError(Exception):
    """A tool cannot do as it was asked: raise it with words for the model, such as the choices that are left."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """Arguments of a tool, validated: by name, the defaults among them."""

    values: Mapping[str, object]
    canonical: str
    """Compact sorted JSON of the values: the same wish, the same text."""


@dataclass(frozen=True, slots=True, eq=False)
class Parameters:
    """What a function takes from the model."""

    struct: type[msgspec.Struct]
    kind: types.Type
    schema: dict[str, object]
    takes_call: bool
    """Whether its first parameter is the Call."""

    def read(self, arguments: str) -> Arguments:
        """Validate a model's arguments. Raises ToolError, whose words help the model to do it right.

        Lenient where the meaning is clear: numbers as text, times without seconds, blanks around text; null, or
        nothing, means the default.
        """
        given = _decoded(arguments)
        try:
            wish = msgspec.convert(_tidy(self.kind, given), self.struct, strict=False)
        except msgspec.ValidationError as error:
            raise ToolError(self._explained(str(error))) from None
        values = {name: getattr(wish, name) for name in self.struct.__struct_fields__}
        try:
            canonical = _spelled(values)
        except ValueError:
            raise ToolError("The arguments hold a number that is not finite.") from None
        return Arguments(values, canonical)

    def _explained(self, problem: str) -> str:
        problem, _, path = problem.partition(" - at `$.")
        path = path.rstrip("`")
        properties = self.schema["properties"]
        wanted = properties.get(re.split(r"[.\[]", path)[0]) if isinstance(properties, dict) else None
        words = f"{path or 'The arguments'}: {problem[: _ECHO + 20]}."
        return f"{words} Its schema: {json.dumps(wanted, ensure_ascii=False):.600}" if wanted else words


def _spelled(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"), default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    if is_dataclass(value):  # msgspec leaves out a default that it did not set itself
        return {item.name: getattr(value, item.name) for item in fields(value)}
    return msgspec.to_builtins(value)


def parameters_of(function: FunctionType, explanations: Mapping[str, str]) -> Parameters:
    """What a function takes, each explained. Raises ToolMistake, without file and line."""
    hints = _hints_of(function)
    parameters = dict(inspect.signature(function).parameters)
    first = next(iter(parameters.values()), None)
    takes_call = first is not None and hints.get(first.name) is Call and first.kind is not first.KEYWORD_ONLY
    if first is not None and takes_call:
        del parameters[first.name]
    if strangers := explanations.keys() - parameters.keys():
        raise ToolMistake(f"`Args:` explains `{min(strangers)}`, which is no parameter. Take it out, or correct it.")
    declared = [_field_of(parameter, hints) for parameter in parameters.values()]
    try:
        struct = msgspec.defstruct(function.__name__, declared, kw_only=True)
        msgspec.json.Decoder(struct)
        kind = types.type_info(struct)
    except Exception as error:
        raise ToolMistake(f"its parameters cannot be understood: {error}. Allowed are {ALLOWED}.") from error
    return Parameters(struct, kind, _schema_of(kind, explanations), takes_call)


def _hints_of(function: FunctionType) -> dict[str, object]:
    try:
        return get_type_hints(function, include_extras=True)
    except Exception as error:
        message = f"its type hints cannot be resolved: {error}. Import them at run time, not under TYPE_CHECKING."
        raise ToolMistake(message) from error


def _field_of(parameter: inspect.Parameter, hints: Mapping[str, object]) -> tuple[str, type, object]:
    name, default = parameter.name, parameter.default
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise ToolMistake(f"a model cannot fill `{parameter}`. Name each parameter.")
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise ToolMistake(f"`{name}` is given by name. Take the `/` out.")
    if name not in hints:
        raise ToolMistake(f"`{name}` has no type hint. Add one: {ALLOWED}.")
    if hints[name] is Call:
        raise ToolMistake(f"`{name}: Call` must be the first parameter.")
    hint: type = hints[name]  # type: ignore[assignment]  # msgspec judges what is none
    if default is parameter.empty:
        return name, hint, msgspec.NODEFAULT
    return name, hint, msgspec.field(default_factory=lambda: default)


def _schema_of(kind: types.Type, explanations: Mapping[str, str] | None = None, level: int = 0) -> dict[str, object]:
    if level > MOST_LEVELS:
        raise ToolMistake(f"its parameters are nested more than {MOST_LEVELS} levels deep. Make them flatter.")
    match kind:
        case types.Metadata():
            return _described(
                _schema_of(kind.type, None, level), (kind.extra_json_schema or {}).get("description", ""), is_first=True
            )
        case types.UnionType():
            return _nullable(_schema_of(_member(kind), None, level))
        case types.StructType(tag_field=None, array_like=False) | types.DataclassType():
            return _object(kind, explanations or {}, level)
        case types.ListType() | types.VarTupleType():
            schema: dict[str, object] = {"type": "array", "items": _schema_of(kind.item_type, None, level + 1)}
        case types.LiteralType():
            schema = _choice(list(kind.values))
        case types.EnumType():
            schema = _choice([member.value for member in kind.cls])
        case _ if type(kind) in _JSON_TYPES:
            schema = {"type": _JSON_TYPES[type(kind)]}
        case _:
            what = getattr(kind, "cls", type(kind))
            raise ToolMistake(f"{what.__name__.removesuffix('Type')} is not for parameters. Allowed are {ALLOWED}.")
    return _described(schema, _limits_of(kind))


def _object(
    kind: types.StructType | types.DataclassType, explained: Mapping[str, str], level: int
) -> dict[str, object]:
    properties = {}
    for item in kind.fields:
        try:
            schema = _schema_of(item.type, None, level + 1)
            schema = schema if item.required else _defaulted(schema, item)
        except ToolMistake as mistake:
            raise ToolMistake(f"`{item.encode_name}`: {mistake}") from None
        properties[item.encode_name] = _described(schema, explained.get(item.encode_name, ""), is_first=True)
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _defaulted(schema: dict[str, object], item: types.Field) -> dict[str, object]:
    default = item.default if item.default_factory is msgspec.NODEFAULT else item.default_factory()
    try:
        return _described(_nullable(schema), "" if default is None else f"Null means {_spelled(default)}")
    except (TypeError, ValueError):
        raise ToolMistake("its default is no plain value. Use one, or None.") from None


def _choice(values: list[str | int | None]) -> dict[str, object]:
    names = sorted({_JSON_TYPES[type(value)] for value in values})
    return {"type": names[0] if len(names) == 1 else names, "enum": values}


def _nullable(schema: dict[str, object]) -> dict[str, object]:
    if "anyOf" in schema:
        return schema
    inner = {key: value for key, value in schema.items() if key != "description"}
    return _described({"anyOf": [inner, {"type": "null"}]}, str(schema.get("description", "")))


def _described(schema: dict[str, object], words: str, *, is_first: bool = False) -> dict[str, object]:
    there = str(schema.get("description", ""))
    text = ". ".join(part.rstrip(".") for part in ((words, there) if is_first else (there, words)) if part)
    return {**schema, "description": f"{text}."} if text else schema


def _limits_of(kind: types.Type) -> str:
    words = [_MOMENTS[type(kind)][1]] if type(kind) in _MOMENTS else []
    words += [text.format(limit) for name, text in _LIMITS.items() if (limit := getattr(kind, name, None)) is not None]
    zone = getattr(kind, "tz", None)
    words += [] if zone is None else ["with a UTC offset" if zone else "without a UTC offset"]
    text = ", ".join(words)
    return text[:1].upper() + text[1:]


def _member(kind: types.UnionType) -> types.Type:
    """The one that is not None."""
    members = [member for member in kind.types if not isinstance(member, types.NoneType)]
    if len(members) > 1:
        raise ToolMistake(f"a union of several types is not for parameters. Allowed are {ALLOWED}, and None beside it.")
    return members[0]


def _decoded(arguments: str) -> object:
    if len(arguments) > MOST_BYTES or len(text := arguments.encode(errors="replace")) > MOST_BYTES:
        raise ToolError(f"The arguments are too long: at most {MOST_BYTES} bytes.")
    try:
        given = msgspec.json.decode(text.strip() or b"{}")
    except (msgspec.DecodeError, RecursionError):
        raise ToolError(
            "The arguments cannot be read as JSON. Write one object, with each parameter by name."
        ) from None
    if given is not None and not isinstance(given, dict):
        raise ToolError("The arguments are not an object. Write one, with each parameter by name.")
    return given or {}


def _tidy(kind: types.Type, given: object, where: str = "") -> object:
    match kind, given:
        case types.Metadata(), _:
            return _tidy(kind.type, given, where)
        case types.UnionType(), _:
            return given if given is None else _tidy(_member(kind), given, where)
        case ((types.StructType() | types.DataclassType()), dict()):
            return _tidy_object(kind, given, where)
        case ((types.ListType() | types.VarTupleType()), list()):
            return [_tidy(kind.item_type, item, f"{where}[{index}]") for index, item in enumerate(given)]
        case types.StrType(), str():
            return unicodedata.normalize("NFC", given.strip())
        case ((types.DateType() | types.TimeType() | types.DateTimeType()), _):
            return _moment(kind, given, where)
        case _:
            return given


def _tidy_object(kind: types.StructType | types.DataclassType, given: dict[str, object], where: str) -> object:
    known = {item.encode_name: item for item in kind.fields}
    for name in given:
        if name not in known:
            names = ", ".join(known) or "none at all"
            raise ToolError(f"{where or 'The arguments'}: there is no {name[:_ECHO]!r}. The names are: {names}.")
    return {
        name: _tidy(known[name].type, value, f"{where}.{name}".lstrip("."))
        for name, value in given.items()
        if value is not None or known[name].required
    }


def _moment(kind: types.Type, given: object, where: str) -> object:
    form, spelled = _MOMENTS[type(kind)]
    with suppress(ValueError, TypeError):
        text = str(given).strip()
        if form is not datetime or ":" in text:  # no midnight that nobody asked for
            return form.fromisoformat(text).isoformat()
    raise ToolError(f"{where}: {str(given)[:_ECHO]!r} is not of the form {spelled}.")
