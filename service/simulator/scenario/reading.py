"""Reads a scenario's file: a Scenario, or all that is wrong with it, each with its line and what to do."""

import difflib
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from service.simulator.scenario import script
from service.simulator.scenario.answers import Answers, compiled
from service.simulator.scenario.expectations import Reply, Texts, Words
from service.simulator.scenario.nodes import Path, Tree, parse
from service.simulator.scenario.script import Scenario

LARGEST = 1_000_000
"""Bytes of a file."""

MOST = 20
"""Mistakes of a file that are told."""

OLDEST, NEWEST = 1971, 9000

_STEPS: dict[str, type[script.Step]] = {str(kind.__struct_config__.tag): kind for kind in get_args(script.AnyStep)}
_ALONE = ("hang_up", "drop", "remind", "listen")
"""Steps that may stand as a word."""

_HINTS = get_type_hints(Scenario, include_extras=True)
_AT = re.compile(r" - at (?:`key` in )?`\$([^`]*)`$")
_KINDS = {
    "str": "text",
    "float": "a number",
    "int": "a whole number",
    "bool": "`true` or `false`",
    "object": "a mapping",
    "array": "a list",
    "datetime": "a date and time, such as 2026-03-02T15:00:00+01:00,",
}
_KIND = re.compile("`((?:[a-z]+(?: \\| )?)+)`")
_PLACE = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[\.\.\.\]")


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with a file, and what to do about it."""

    file: File
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


class BrokenScenario(Exception):
    """A file that is no scenario."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__(mistakes)
        self.mistakes = mistakes

    def __str__(self) -> str:
        return "\n".join(map(str, self.mistakes))


def read_scenario(file: File) -> Scenario:
    """Raises BrokenScenario."""
    try:
        if file.stat().st_size > LARGEST:
            raise BrokenScenario([Mistake(file, 1, f"it is larger than {LARGEST} bytes: a scenario is one call")])
        text = file.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise BrokenScenario([Mistake(file, 1, "it is not UTF-8: save it as such")]) from None
    except OSError as error:
        raise BrokenScenario([Mistake(file, 1, f"it cannot be read: {error.strerror}")]) from error
    scenario, mistakes = _taken(parse(text))
    if mistakes or scenario is None:
        found = [Mistake(file, line, what) for line, what in sorted(set(mistakes))]
        more = [Mistake(file, found[MOST].line, f"… and {len(found) - MOST} more")] if len(found) > MOST else []
        raise BrokenScenario([*found[:MOST], *more])
    return scenario if scenario.name else msgspec.structs.replace(scenario, name=file.stem.replace("-", " "))


def json_schema() -> dict[str, Any]:
    """The language, for editors."""
    schema = msgspec.json.schema(Scenario)
    for kind in _STEPS.values():
        definition = schema["$defs"][kind.__name__]
        del definition["properties"]["do"]
        definition["required"].remove("do")
    steps = schema["$defs"]["Scenario"]["properties"]["steps"]
    steps["items"].pop("discriminator", None)
    steps["items"]["anyOf"].append({"enum": list(_ALONE)})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A scenario of Cuebox", **schema}


def _taken(tree: Tree) -> tuple[Scenario | None, list[tuple[int, str]]]:
    """Each field and each step is read by itself, so that several mistakes are told at once."""
    mistakes = list(tree.mistakes)
    if mistakes:
        return None, mistakes
    if not isinstance(tree.value, dict):
        return None, [(1, "a scenario is a mapping: `steps:` and what else it needs")]
    values: dict[str, Any] = {}
    for name, value in tree.value.items():
        if name == "steps" and isinstance(value, list):
            mistakes += _steps(tree, value)
        elif name not in _HINTS:
            mistakes.append((tree.line_of((name,)), f"`{name}` is not known here{_close(name, _HINTS)}"))
        else:
            mistakes += _read(tree, value, _HINTS[name], (name,))
        values[name] = value
    if mistakes:
        return None, mistakes
    values["steps"] = [_tagged(step) for step in values.get("steps", ())]
    scenario = msgspec.convert(values, Scenario)
    return scenario, [*_told_apart(tree, scenario)]


def _steps(tree: Tree, items: list[Any]) -> Iterator[tuple[int, str]]:
    for at, item in enumerate(items):
        path: Path = ("steps", at)
        step = _tagged(item)
        if not isinstance(step, dict):
            yield tree.line_of(path), f"a step is one of {', '.join(_STEPS)}, such as `- say: Hello.`"
            continue
        verbs = [key for key in step if key in _STEPS]
        if len(verbs) != 1:
            unknown = next((key for key in step if key != "do"), "")
            why = (
                f"has one verb, and this has {' and '.join(verbs)}: make two steps of it"
                if verbs
                else (f"has a verb, one of {', '.join(_STEPS)}, and `{unknown}` is none{_close(unknown, _STEPS)}")
            )
            yield tree.line_of(path), f"a step {why}"
            continue
        yield from _read(tree, step, _STEPS[verbs[0]], path)


def _tagged(item: object) -> Any:
    if isinstance(item, str) and item in _ALONE:
        return {item: True, "do": item}
    if isinstance(item, dict) and "do" not in item:
        return {**item, "do": next((key for key in item if key in _STEPS), "")}
    return item


def _read(tree: Tree, value: object, kind: Any, path: Path) -> Iterator[tuple[int, str]]:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        yield _told(tree, str(error), value, path, kind)


def _told(tree: Tree, message: str, value: Any, path: Path, kind: Any) -> tuple[int, str]:
    """What msgspec says of a place, as a line and a plain sentence."""
    found = _AT.search(message)
    what, inner = message[: found.start()] if found else message, _places(found[1] if found else "", value)
    place = (*path, *inner)
    for step in inner:
        value = value[step]
    unknown = re.search(r"unknown field `(.*)`", what)
    if unknown:
        known = _fields(kind, inner)
        return tree.line_of((*place, unknown[1])), f"`{unknown[1]}` is not known here{_close(unknown[1], known)}"
    where = f"`{place[-1]}`" if place and isinstance(place[-1], str) else "this"
    is_odd = what.startswith("Expected `str`") and isinstance(value, int | float | bool)
    remedy = f'; put it into quotes: "{_spelt(value)}"' if is_odd else ""
    if wrong := re.match(r"Invalid enum value (.*)", what):
        word, known = wrong[1].strip("'").lower(), [*dict.fromkeys(map(_spelt, _literals(_hint_at(kind, inner))))]
        return tree.line_of((*place, word)), f"{where}: `{word}` is none of {', '.join(known)}{_close(word, known)}"
    plain = _KIND.sub(_kinds, what).replace("Invalid RFC3339 encoded datetime", f"Expected {_KINDS['datetime']}")
    return tree.line_of(place), f"{where}: {plain[:1].lower()}{plain[1:].rstrip(',')}{remedy}"


def _kinds(found: re.Match[str]) -> str:
    return " or ".join(_KINDS.get(kind, kind) for kind in found[1].split(" | ") if kind != "null")


def _places(spelt: str, value: Any) -> list[str | int]:
    """The keys and items of a path; `[...]` stands for some key of a mapping: the first that could be meant."""
    places: list[str | int] = []
    for name, number in _PLACE.findall(spelt):
        if number and isinstance(value, list):
            place: str | int = int(number)
        elif name and isinstance(value, dict) and name in value:
            place = name
        else:
            break
        places.append(place)
        value = value[place]
    return places


def _fields(kind: Any, inner: list[str | int]) -> list[str]:
    """The fields of the struct that stands at this place."""
    return [name for struct in [*_structs(_hint_at(kind, inner))][:1] for name in struct.__struct_fields__]


def _hint_at(kind: Any, inner: list[str | int]) -> Any:
    """What may stand at this place; of a list or a mapping, what may stand in it."""
    for name in inner:
        hints = [get_type_hints(struct, include_extras=True) for struct in _structs(kind)]
        kind = next((each[str(name)] for each in hints if name in each), kind)
    return kind


def _literals(hint: Any) -> Iterator[object]:
    for part in get_args(hint):
        if get_origin(hint) is Literal:
            yield part
        else:
            yield from _literals(part)


def _structs(hint: Any) -> Iterator[type[msgspec.Struct]]:
    if isinstance(hint, type) and not isinstance(hint, types.GenericAlias) and issubclass(hint, msgspec.Struct):
        yield hint
    for part in get_args(hint):
        yield from _structs(part)


def _close(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean `{close[0]}`?" if close else ""


def _spelt(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# What no type can tell.


def _told_apart(tree: Tree, scenario: Scenario) -> Iterator[tuple[int, str]]:
    yield from _patterns(tree, ("expect",), scenario.expect)
    if not OLDEST <= scenario.now.year <= NEWEST:
        yield tree.line_of(("now",)), f"`now`: expected a year from {OLDEST} to {NEWEST}"
    yield from _model(tree, ("model",), scenario.model)
    for pattern in scenario.expect.rules_broken:
        yield from _because(tree, ("expect", "rules_broken"), compiled, pattern)
    for at, step in enumerate(scenario.steps):
        path: Path = ("steps", at)
        if step.after_ms is not None and step.after_words is not None:
            yield tree.line_of(path), "a step has one moment: `after_ms` or `after_words`"
        match step:
            case script.Change():
                yield from _model(tree, (*path, "model"), step.model)
            case script.Frame():
                yield from _because(tree, (*path, "frame"), script.Frame.spelt, step)
            case script.Listen(listen=Reply() as reply):
                yield from _reply(tree, (*path, "listen"), reply)
            case script.Asking(expect=Reply() as reply):
                yield from _reply(tree, (*path, "expect"), reply)
            case _:
                pass
        if isinstance(step, script.Say) and any(count >= len(step.say.split()) for count in step.asked_early_after):
            yield (
                tree.line_of((*path, "asked_early_after")),
                "what is said has no more words than that",
            )


def _reply(tree: Tree, path: Path, reply: Reply) -> Iterator[tuple[int, str]]:
    yield from _patterns(tree, path, reply)
    for at, row in enumerate(reply.history):
        if len(row) != 1:
            yield tree.line_of((*path, "history", at)), "a row has one speaker: `- caller: …`, then `- agent: …`"


def _model(tree: Tree, path: Path, model: script.Model | str) -> Iterator[tuple[int, str]]:
    if isinstance(model, str):
        return
    yield from _because(tree, path, Answers, msgspec.structs.replace(model, answers=[]))
    for at, answer in enumerate(model.answers):
        yield from _because(tree, (*path, "answers", at), Answers, script.Model(answers=[answer]))


def _patterns(tree: Tree, path: Path, words: Words) -> Iterator[tuple[int, str]]:
    for pattern in listed(words.matches):
        yield from _because(tree, (*path, "matches"), compiled, pattern)


def _because(tree: Tree, path: Path, make: Any, given: object) -> Iterator[tuple[int, str]]:
    try:
        make(given)
    except ValueError as error:
        yield tree.line_of(path), str(error)


def listed(texts: Texts | bool) -> list[str]:
    """One text, or several, as a list."""
    if isinstance(texts, bool) or not texts:
        return []
    return [texts] if isinstance(texts, str) else texts
