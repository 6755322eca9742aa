"""What the stand-in model is told to say, and what shall go wrong; and the directives that say so in a prompt.

A directive is `[[fault field=value ...]]`, each part optional, one a message: `[[stall after=3]]`,
`[[first_token_after=0.5 text="Hello there."]]`, `[[refuse status=429 retry_after=2]]`. Faults are named in FAULTS,
fields as in Script and the fault; a value with a space is a JSON string.
"""

import re
from dataclasses import dataclass, fields, replace
from math import inf
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class HangBeforeHeaders:
    """Take the request and never answer."""


@dataclass(frozen=True, slots=True)
class HangAfterHeaders:
    """Send the headers and nothing more."""


@dataclass(frozen=True, slots=True)
class HangAfterRole:
    """Send the role delta, then nothing more."""


@dataclass(frozen=True, slots=True)
class OnlyComments:
    """Send headers, then only SSE comments for ever: bytes that are no progress."""

    every: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.every < inf:
            raise ValueError("comments come every so many seconds, above 0")


@dataclass(frozen=True, slots=True)
class _AfterChunks:
    after: int

    def __post_init__(self) -> None:
        if self.after < 0:
            raise ValueError("a fault comes after 0 chunks or more")


class Stall(_AfterChunks):
    """Send so many chunks, then nothing more."""

    __slots__ = ()


class Cut(_AfterChunks):
    """Send so many chunks, then end the connection amid the body."""

    __slots__ = ()


class Garble(_AfterChunks):
    """Send so many chunks, one of broken JSON, and the rest."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Empty:
    """Stop without a word."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with an HTTP error, when the first words were due."""

    status: int
    code: str | None = None
    retry_after: float | None = None

    def __post_init__(self) -> None:
        if not 400 <= self.status <= 599:  # noqa: PLR2004  HTTP's own bounds
            raise ValueError("a refusal has a status of 400 to 599")


Fault = HangBeforeHeaders | HangAfterHeaders | HangAfterRole | OnlyComments | Stall | Cut | Garble | Empty | Refuse
FAULTS: dict[str, type[Fault]] = {
    "hang_before_headers": HangBeforeHeaders,
    "hang_after_headers": HangAfterHeaders,
    "hang_after_role": HangAfterRole,
    "only_comments": OnlyComments,
    "stall": Stall,
    "cut": Cut,
    "garble": Garble,
    "empty": Empty,
    "refuse": Refuse,
}


@dataclass(frozen=True, slots=True)
class Script:
    """One answer: its text (split into words, if not given as chunks), its times in seconds, and its fault."""

    text: str | tuple[str, ...] = "Hello, how can I help you?"
    first_token_after: float = 0.0
    gap: float = 0.0
    fault: Fault | None = None

    def __post_init__(self) -> None:
        if not (0 <= self.first_token_after < inf and 0 <= self.gap < inf):
            raise ValueError("first_token_after and gap are seconds, 0 or more")

    def chunks(self) -> tuple[str, ...]:
        return self.text if isinstance(self.text, tuple) else tuple(re.findall(r"\s*\S+|\s+", self.text))


_DIRECTIVE = re.compile(
    r"""\[\[ \s*+ (?P<fault> [a-z_]+ (?=[\s\]]) )?
        (?P<fields> (?: \s*+ [a-z_]+ = (?: "(?:[^"\\]|\\.)*" | [^\s"\[\]]+ ) (?=[\s\]]) )* ) \s*+ \]\]""",
    re.VERBOSE,
)
_FIELD = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|[^\s"]+)')
_SCRIPT_FIELDS: dict[str, Any] = {"text": str, "first_token_after": float, "gap": float}


def directed(script: Script, words: str) -> Script:
    """Return the script as a directive among these words changes it; ValueError says why one is broken."""
    start = words.find("[[")
    if start < 0:
        return script
    found = _DIRECTIVE.match(words, start)
    if found is None or "[[" in words[found.end() :]:
        raise ValueError("not one directive of the form [[fault field=value ...]]")
    pairs = [(name, _value(spelt)) for name, spelt in _FIELD.findall(found["fields"])]
    given = dict(pairs)
    if len(given) < len(pairs):
        raise ValueError("a field is given twice")
    changes = {
        name: msgspec.convert(given.pop(name), kind, strict=False)
        for name, kind in _SCRIPT_FIELDS.items()
        if name in given
    }
    return replace(script, **changes, fault=_fault(found["fault"], given, otherwise=script.fault))


def _value(spelt: str) -> str:
    return msgspec.json.decode(spelt, type=str) if spelt.startswith('"') else spelt


def _fault(name: str | None, given: dict[str, str], otherwise: Fault | None) -> Fault | None:
    kind = FAULTS.get(name) if name else None
    if name and not kind:
        raise ValueError(f"no fault is named {name}; there are {', '.join(FAULTS)}")
    known = {field.name for field in fields(kind)} if kind else set()
    if unknown := given.keys() - known:
        raise ValueError(f"no such field here: {', '.join(sorted(unknown))}")
    return msgspec.convert(given, kind, strict=False) if kind else otherwise
