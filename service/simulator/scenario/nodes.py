"""YAML as plain values, with the line of each: the YAML of today, in which `no` and `on` are words.

Anchors, tags and keys given twice are refused: a file says what it says in the place where it stands.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str | int, ...]
DEEPEST = 40
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")  # with a plus it is a phone number, and with a zero before it a code
_NUMBER = re.compile(r"-?([0-9]{1,18}\.[0-9]*|\.[0-9]+|[0-9]{1,18}(?=e))(e[-+]?[0-9]{1,3})?", re.IGNORECASE)
_PLAIN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "map", "seq")}


@dataclass(slots=True)
class Tree:
    """The values of a file, and on which line (from 1) each key or item stands."""

    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    mistakes: list[tuple[int, str]] = field(default_factory=list)

    def line_of(self, path: Path) -> int:
        """Where it stands, or what it would stand in."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, 1)


class _Loader(yaml.SafeLoader):
    """All scalars are words; what they mean is decided here."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  as its base's


def parse(text: str) -> Tree:
    """Read one document. Whatever is wrong stands in its mistakes."""
    tree = Tree()
    if (tab := next(_indented_by_tabs(text), None)) is not None:
        tree.mistakes.append((tab, "a tab stands where the line is indented: indent with spaces"))
        return tree
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        about = f"{error.context}, {error.problem}" if error.context else f"{error.problem}"
        tree.mistakes.append((mark.line + 1 if mark else 1, f"this is not YAML: {about}{_hint(about)}"))
        return tree
    except yaml.reader.ReaderError as error:
        tree.mistakes.append((text.count("\n", 0, error.position) + 1, "a character that no text has: remove it"))
        return tree
    except RecursionError:
        tree.mistakes.append((1, f"it is nested more than {DEEPEST} deep"))
        return tree
    if node is not None:
        tree.value = _Walk(tree).value_of(node, ())
    return tree


class _Walk:
    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._seen: set[int] = set()

    def value_of(self, node: yaml.Node, path: Path) -> Any:
        if id(node) in self._seen:  # its mark is that of the other place
            self._tree.mistakes.append((self._tree.line_of(path), "`*` repeats what stands elsewhere: write it out"))
            return None
        self._tree.lines.setdefault(path, node.start_mark.line + 1)
        self._seen.add(id(node))
        if len(path) > DEEPEST:
            return self._refuse(node, f"it is nested more than {DEEPEST} deep")
        if node.tag not in _PLAIN_TAGS:
            return self._refuse(node, f"{node.tag!r} is a tag, and none is known here: remove it")
        match node:
            case yaml.MappingNode():
                return self._mapping(node, path)
            case yaml.SequenceNode():
                return [self.value_of(each, (*path, at)) for at, each in enumerate(node.value)]
            case _:
                return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._refuse(key, "a key is a word: put braces into quotes")
            elif key.value in found:
                self._refuse(key, f"`{key.value}` stands here twice: keep one")
            else:
                self._tree.lines[*path, key.value] = key.start_mark.line + 1
                found[key.value] = self.value_of(value, (*path, key.value))
        return found

    def _refuse(self, node: yaml.Node, why: str) -> None:
        self._tree.mistakes.append((node.start_mark.line + 1, why))


def _scalar(node: yaml.Node) -> str | int | float | bool | None:
    text: str = node.value
    if getattr(node, "style", None) is not None:  # quoted, or a block of text
        return text
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text


def _indented_by_tabs(text: str) -> Iterator[int]:
    return (number for number, line in enumerate(text.splitlines(), 1) if re.match(r" *\t\s*\S", line))


def _hint(problem: str) -> str:
    if "mapping values are not allowed" in problem:
        return "; a text with a colon goes into quotes"
    if "flow mapping" in problem or "flow sequence" in problem:
        return "; within { } and [ ], put each text into quotes"
    if "could not find expected ':'" in problem:
        return "; a key ends with a colon, and a longer text goes into quotes"
    return "; a text that begins with a sign such as [ { * & ! % @ ` goes into quotes" if "token" in problem else ""
