"""Entries of a recording become lines: frames are parsed, what may not be kept goes, and rows are told once."""

from typing import Any, NamedTuple

import msgspec
from msgspec import structs

from service.platforms.retell.messages import without_half_emoji
from service.recording.lines import FrameIn, FrameOut, Line, ModelStream
from service.recording.redaction import redacted_frame, redacted_pieces, redacted_text, without_secrets
from service.recording.streams import spelled

_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode = msgspec.json.decode


class Frame(NamedTuple):
    """A frame as it went over the wire. `at` is seconds since the call began."""

    at: float
    line: int
    text: str | bytes
    is_in: bool


class Spelling:
    """Of one recording. A transcript grows, so only the rows that are new are written."""

    def __init__(self, *, keeps_numbers: bool) -> None:
        self._keeps_numbers = keeps_numbers
        self._change = without_secrets if keeps_numbers else redacted_frame
        self._known: dict[str, _Known] = {}

    def forget(self) -> None:
        """The frame in before the next one is not there: the next is written whole."""
        self._known = {}

    def line_of(self, entry: Frame | Line) -> bytes:
        """Spell it, with the line's end."""
        if isinstance(entry, ModelStream):
            entry = self._stream(entry)
        elif isinstance(entry, Frame):
            entry = self._frame_in(entry) if entry.is_in else self._frame_out(entry)
        return _encode(entry) + b"\n"

    def _stream(self, stream: ModelStream) -> ModelStream:
        told = [spelled(delta) for _, delta in stream.deltas]
        if not self._keeps_numbers:
            pieces = iter(redacted_pieces([what for what in told if isinstance(what, str)]))
            told = [next(pieces) if isinstance(what, str) else _called(what) for what in told]
        deltas = [(round(at, 6), what) for (at, _), what in zip(stream.deltas, told, strict=True)]
        return structs.replace(stream, deltas=deltas)

    def _frame_out(self, frame: Frame) -> FrameOut:
        return FrameOut(round(frame.at, 6), frame.line, self._change(_decode(frame.text)))

    def _frame_in(self, frame: Frame) -> FrameIn:
        at = round(frame.at, 6)
        if isinstance(frame.text, bytes):
            return FrameIn(at, frame.line, size=len(frame.text))
        try:
            told, same = self._parsed(frame.text)
        except (msgspec.MsgspecError, RecursionError):
            return FrameIn(at, frame.line, frame.text if self._keeps_numbers else redacted_text(frame.text))
        return FrameIn(at, frame.line, told, same)

    def _parsed(self, text: str) -> tuple[dict[str, Any], dict[str, int]]:
        try:
            fields = _fields(text)
        except msgspec.DecodeError:
            fields = _fields(without_half_emoji(text))
        same: dict[str, int] = {}
        told: dict[str, Any] = {}
        rows_told: dict[bytes, Any] = {}  # a row stands in two transcripts
        for name, raw in fields.items():
            value = bytes(raw)
            if not value.startswith(b"["):
                told |= self._change({name: _decode(value)})
                continue
            known = self._known.get(name, _NOTHING)
            rows, self._known[name], number = known.rest_of(value)
            if number:
                same[name] = number
            for row in rows:
                if row not in rows_told:
                    rows_told[row] = self._change(_decode(row))
            told[name] = [rows_told[row] for row in rows]
        return told, same


class _Known(NamedTuple):
    """How a list of the last frame in began: all of its elements but the last, which may go on."""

    text: bytes
    number: int

    def rest_of(self, value: bytes) -> "tuple[list[bytes], _Known, int]":
        """The elements of a list that are not known, what is known from now on, and how many were known."""
        number = self.number if value.startswith(self.text) else 0
        rest = b"[" + value[len(self.text) :] if number else value
        rows = [bytes(row) for row in _elements(rest)]
        if not rows or not value.endswith(rows[-1] + b"]"):
            return rows, _NOTHING, number
        return rows, _Known(value[: -len(rows[-1]) - 1], number + len(rows) - 1), number


_NOTHING = _Known(b"[", 0)


def _called(what: dict[str, Any]) -> dict[str, Any]:
    """A tool call's arguments are words; the other things that a model tells are counts and ids."""
    if (call := what.get("call")) is None:
        return what
    return {"call": {**call, "arguments": redacted_text(call["arguments"])}}
