"""What the stand-in model is told to say, and what shall go wrong; and the directives that say so in a prompt.

A directive is `[[fault field=value ...]]`, each part optional, one a message: `[[stall after=3]]`,
`[[first_token_after=lognormal:0.5,2 text="Hello there."]]`, `[[refuse status=429 retry_after=2]]`. Faults are named in
FAULTS, fields as in Script and the fault; a value with a space is a JSON string.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from math import inf
from random import Random
from typing import Any, Literal, get_args

import msgspec

from service.simulator.model_times import Constant, Times, share_of, times


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
class _Steady:
    every: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.every < inf:
            raise ValueError("such a fault sends something every so many seconds, above 0")


class OnlyComments(_Steady):
    """Send headers, then only SSE comments for ever: bytes that are no progress."""

    __slots__ = ()


class Dribble(_Steady):
    """Send the words, one letter every so many seconds: never silent for long, and far too slow."""

    __slots__ = ()


class Repeat(_Steady):
    """Send the words, then the last of them over and over, for ever."""

    __slots__ = ()


class Runaway(_Steady):
    """Send the words, then new ones for ever."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class _AfterChunks:
    after: int = 0

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
class Huge(_AfterChunks):
    """Send so many chunks, one with so many bytes of words, and the rest."""

    size: int = 1_000_000

    def __post_init__(self) -> None:
        _AfterChunks.__post_init__(self)  # a slotted dataclass has no bare super()
        if not 0 < self.size <= 100_000_000:  # noqa: PLR2004  it is built in memory
            raise ValueError("a huge chunk has 1 to 100000000 bytes")


@dataclass(frozen=True, slots=True)
class WrongType(_AfterChunks):
    """Send so many chunks, one with a wrong type (of its content, delta, choices or the event), and the rest."""

    of: Literal["content", "delta", "choices", "event"] = "content"


@dataclass(frozen=True, slots=True)
class Finish:
    """Send the words, and end them for a reason that is not the usual one."""

    reason: str = "model_wandered_off"


@dataclass(frozen=True, slots=True)
class WrongCalls:
    """Call tools with index zero or missing (or right), id and name in the first or in every delta of a call."""

    index: Literal["zero", "missing", "right"] = "zero"
    id: Literal["first", "every"] = "first"
    name: Literal["first", "every"] = "first"


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


Fault = (
    HangBeforeHeaders
    | HangAfterHeaders
    | HangAfterRole
    | OnlyComments
    | Dribble
    | Repeat
    | Runaway
    | Stall
    | Cut
    | Garble
    | Huge
    | WrongType
    | Finish
    | WrongCalls
    | Empty
    | Refuse
)
FAULTS: dict[str, type[Fault]] = {
    re.sub("(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower(): kind for kind in get_args(Fault)
}


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call, its arguments as the model spells them: JSON, as a rule."""

    name: str
    arguments: str = "{}"


@dataclass(frozen=True, slots=True)
class Script:
    """One answer: its text (split into words, if not given as chunks), its times in seconds, and its fault.

    With calls, it says its lead-in and calls these tools; the text is for the request that brings their results.
    """

    text: str | tuple[str, ...] = "Hello, how can I help you?"
    first_token_after: float | Times = 0.0
    gap: float | Times = 0.0
    fault: Fault | None = None
    calls: tuple[Call, ...] = ()
    lead_in: str = ""
    reasoning_tokens: int = 0

    def __post_init__(self) -> None:
        self._times()

    def chunks(self) -> tuple[str, ...]:
        words = self.lead_in if self.calls else self.text
        return words if isinstance(words, tuple) else tuple(re.findall(r"\s*\S+|\s+", words))

    def pauses(self, random: Random) -> Iterator[float]:
        """Draw the seconds to the first words, then every gap."""
        first, gap = self._times()
        yield first.draw(random)
        while True:
            yield gap.draw(random)

    def _times(self) -> list[Times]:
        given = (self.first_token_after, self.gap)
        return [Constant(wait) if isinstance(wait, float | int) else wait for wait in given]


class Chances:
    """Faults and how often each happens, spelt as in a directive: `Chances("4%hang_after_role", "1%cut after=2")`.

    ValueError says what is wrong with one, or that all together are more than always.
    """

    def __init__(self, *spelt: str) -> None:
        shared = [(share, _read(f"[[{fault}]]")) for share, fault in map(share_of, spelt)]
        for _, (fault, others) in shared:
            if fault is None or others:
                raise ValueError("a chance is a share and a fault with its fields, such as 1%refuse status=503")
        self._faults: list[Fault | None] = [*(fault for _, (fault, _) in shared), None]
        happening = sum(share for share, _ in shared)
        if happening > 1 + 1e-9:
            raise ValueError("the shares of all faults are more than 100%")
        self._shares = [*(share for share, _ in shared), max(0.0, 1 - happening)]

    def draw(self, random: Random) -> Fault | None:
        return random.choices(self._faults, self._shares)[0]


_DIRECTIVE = re.compile(
    r"""\[\[ \s*+ (?P<fault> [a-z_]+ (?=[\s\]]) )?
        (?P<fields> (?: \s*+ [a-z_]+ = (?: "(?:[^"\\]|\\.)*" | [^\s"\[\]]+ ) (?=[\s\]]) )* ) \s*+ \]\]""",
    re.VERBOSE,
)
_FIELD = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|[^\s"]+)')


def directed(script: Script, words: str) -> Script:
    """Return the script as a directive among these words changes it; ValueError says why one is broken."""
    start = words.find("[[")
    if start < 0:
        return script
    fault, changes = _read(words[start:])
    return replace(script, **changes, fault=fault or script.fault)


def _read(directive: str) -> tuple[Fault | None, dict[str, Any]]:
    """Read a directive from its brackets on: the fault, and what it changes of the script."""
    found = _DIRECTIVE.match(directive)
    if found is None or "[[" in directive[found.end() :]:
        raise ValueError("not one directive of the form [[fault field=value ...]]")
    pairs = [(name, _value(spelt)) for name, spelt in _FIELD.findall(found["fields"])]
    given = dict(pairs)
    if len(given) < len(pairs):
        raise ValueError("a field is given twice")
    changes = {name: read(given.pop(name)) for name, read in _SCRIPT_FIELDS.items() if name in given}
    return _fault(found["fault"], given), changes


def _value(spelt: str) -> str:
    return msgspec.json.decode(spelt, type=str) if spelt.startswith('"') else spelt


def _calls(spelt: str) -> tuple[Call, ...]:
    """Read `find_slot {"day": 1}; take_message`."""
    halves = [call.strip().partition(" ") for call in spelt.split(";")]
    return tuple(Call(name, arguments or "{}") for name, _, arguments in halves if name)


_SCRIPT_FIELDS: dict[str, Callable[[str], Any]] = {
    "text": str,
    "first_token_after": times,
    "gap": times,
    "calls": _calls,
    "lead_in": str,
    "reasoning_tokens": int,
}


def _fault(name: str | None, given: dict[str, str]) -> Fault | None:
    kind = FAULTS.get(name) if name else None
    if name and not kind:
        raise ValueError(f"no fault is named {name}; there are {', '.join(FAULTS)}")
    known = {field.name for field in fields(kind)} if kind else set()
    if unknown := given.keys() - known:
        raise ValueError(f"no such field here: {', '.join(sorted(unknown))}")
    return msgspec.convert(given, kind, strict=False) if kind else None
