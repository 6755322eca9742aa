"""Recordings without the numbers that were said: every digit becomes a 1, and every spoken one a "one".

What is left stays of the same kind (a date, a time, JSON), so that it can be played again. Rules:

1. Every digit, of any script, in words, arguments, results and fields that are not the protocol's own, becomes a 1.
2. Every spoken number of one word becomes "one", wherever it stands: a long number comes in many frames, some of which
   hold a single word of it. Known are those of English, German, Spanish and French, in which numbers come in pairs.
3. The protocol's own ids, moments and kinds stay, and so do names and e-mail addresses, without their digits.
4. What a field's name calls a secret goes altogether, whether numbers are kept or not.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

_LANGUAGES = {
    "en": "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred nought",
    "de": "null eins zwei zwo drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn "
    "siebzehn achtzehn neunzehn zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig hundert",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve diez doce trece catorce quince dieciséis diecisiete "
    "dieciocho diecinueve veinte veintiuno veintidós veintitrés veinticuatro veinticinco veintiséis veintisiete "
    "veintiocho veintinueve treinta cuarenta cincuenta sesenta setenta ochenta noventa cien ciento",
    "fr": "zéro deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize vingt vingts "
    "trente quarante cinquante soixante septante huitante nonante",
}
_GERMAN_PAIRS = (
    f"{one}und{ten}"
    for one in ["ein", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"]
    for ten in ["zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig"]
)
_SPOKEN = frozenset([*" ".join(_LANGUAGES.values()).split(), *_GERMAN_PAIRS])
_BETWEEN = {"oh", "o", "double", "triple", "doppel", "once", "cent", "mille"}
"""Numbers only where one follows, at most so many characters later."""
_NEAR = 3
_WORD = re.compile(r"[^\W\d_]+")
_DIGIT = re.compile(r"[\d²³¹⁰-⁹₀-₉]")
_LONG = re.compile(r"\d{3,}")
"""In the name of a field: more than a count of lines of an address."""

_LONGEST_NUMBER = 18
"""Digits, so that whoever reads JSON can read it."""

_SECRET = re.compile(r"token|secret|password|api_?key|authorization", re.IGNORECASE)
_OWN_PLACES = {"call", "config", "agent_config", "transcript", "transcript_with_tool_calls", "words"}
_OWN_FIELDS = {"name", "role", "timestamp", "start", "end", "responsiveness", "interruption_sensitivity"}
_OWN_ENDINGS = ("_id", "_type", "_timestamp", "_ms", "_count")

_decode, _encode = msgspec.json.decode, msgspec.json.encode


def redacted(text: str) -> str:
    """Words without their numbers."""
    changes = _spoken(text)
    return _DIGIT.sub("1", _cut(text, changes, 0, len(text)) if changes else text)


def redacted_pieces(pieces: Sequence[str]) -> list[str]:
    """Words that come in pieces, a spoken number over several of them included. As many pieces come back."""
    text = "".join(pieces)
    changes = _spoken(text)
    told: list[str] = []
    at = 0
    for piece in pieces:
        told.append(_DIGIT.sub("1", _cut(text, changes, at, at + len(piece))))
        at += len(piece)
    return told


def _spoken(text: str) -> list[tuple[int, int]]:
    """Where the spoken numbers stand."""
    if _SPOKEN.isdisjoint(_WORD.findall(text.lower())):
        return []
    found: list[tuple[int, int]] = []
    for word in reversed(list(_WORD.finditer(text))):
        spelt = word[0].lower()
        if spelt in _SPOKEN or (spelt in _BETWEEN and found and found[-1][0] - word.end() <= _NEAR):
            found.append(word.span())
    return found[::-1]


def redacted_frame(frame: Any) -> Any:  # whatever JSON holds
    """A frame of the platform's or ours, decoded; or one element of its lists, such as a row of a transcript."""
    return _walked(frame, is_own=True, change=redacted_text)


def without_secrets(frame: Any) -> Any:
    """The same, with its numbers."""
    return _walked(frame, is_own=True, change=None)


def redacted_text(text: str) -> str:
    """Words, or JSON that is spelled in a string, which stays JSON."""
    if text[:1] in ("{", "["):
        try:
            return _encode(_walked(_decode(text), is_own=False, change=redacted_text)).decode()
        except (msgspec.MsgspecError, RecursionError):
            pass
    return redacted(text)


def _walked(value: Any, *, is_own: bool, change: Callable[[str], str] | None) -> Any:
    match value:
        case str():
            return value if change is None else change(value)
        case list():
            return [_walked(item, is_own=is_own, change=change) for item in value]
        case dict():
            return _fields(value, is_own=is_own, change=change)
        case int() | float() if change is not None and not isinstance(value, bool):
            return _number(value)
        case _:
            return value


def _fields(fields: Mapping[str, Any], *, is_own: bool, change: Callable[[str], str] | None) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name, value in fields.items():
        key, is_secret, is_protocols = (_known if len(name) <= _USUAL else _judged)(name)
        if change is None:
            key = name
        if is_secret and value is not None:
            told[key] = "…"
        elif is_own and is_protocols and isinstance(value, str | int | float):
            told[key] = value
        else:
            told[key] = _walked(value, is_own=is_own and name in _OWN_PLACES, change=change)
    return told


def _judged(name: str) -> tuple[str, bool, bool]:
    """A field's name without long numbers; whether it tells of a secret, and whether it is the protocol's own."""
    key = _LONG.sub(lambda digits: "1" * len(digits[0]), name)
    return key, bool(_SECRET.search(name)), name in _OWN_FIELDS or name.endswith(_OWN_ENDINGS)


_USUAL = 40
"""Characters of a field's name that is worth remembering."""
_known = lru_cache(maxsize=1000)(_judged)


def _number(value: float) -> float:
    """A number of the same kind, all of whose digits are 1."""
    return 1.1 if isinstance(value, float) else int(_DIGIT.sub("1", str(value)[:_LONGEST_NUMBER]))


def _cut(text: str, changes: Sequence[tuple[int, int]], start: int, end: int) -> str:
    """A part of the text, with each changed word in the part that it begins in."""
    told: list[str] = []
    at = start
    for begins, ends in changes:
        if ends > start and begins < end:
            told += [text[at:begins], "one"] if begins >= start else []
            at = min(ends, end)
    return "".join([*told, text[at:end]])
