"""A recording, read back. A last line that was cut off is passed over and told of."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from service.recording.lines import FORMAT, AnyLine, CallBegan, FrameIn, Happening, LinesLost, ModelStream
from service.recording.streams import read_delta

MOST_BYTES = 256 * 2**20
LONGEST = 7 * 86_400.0
"""Seconds; no call is longer."""

_YEARS = range(1971, 2200)
_MOST_ROWS = 5 * 10**7
"""In all frames together, those included that frames share."""
_CALL_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_line = msgspec.json.Decoder(AnyLine).decode


class BrokenRecording(Exception):
    """A file that is no recording, or not any more. The message says where, and what is wrong."""


@dataclass(slots=True)
class Recording:
    """One call, as it was in one process."""

    began: CallBegan
    entries: list[Happening] = field(default_factory=list)
    """In the order of their moments, frames in with all of their rows."""
    notes: list[str] = field(default_factory=list)
    """What is missing of it."""

    @property
    def started_at(self) -> datetime:
        return datetime.fromisoformat(self.began.started_at)

    @property
    def questions(self) -> Mapping[int, list[list[ModelStream]]]:
        """What the models answered: by turn, each question's attempts."""
        streams = [entry for entry in self.entries if isinstance(entry, ModelStream)]
        streams.sort(key=lambda stream: (stream.turn, stream.question, stream.at))
        asked: dict[int, list[list[ModelStream]]] = {}
        for (turn, _), attempts in groupby(streams, key=lambda stream: (stream.turn, stream.question)):
            asked.setdefault(turn, []).append(list(attempts))
        return asked


def read_recording(path: Path) -> Recording:
    """Raises BrokenRecording, and OSError for a file that cannot be read."""
    if path.stat().st_size > MOST_BYTES:
        raise BrokenRecording(f"{path}: larger than {MOST_BYTES >> 20} MB, so it is no recording of ours.")
    lines = path.read_bytes().split(b"\n")
    try:
        return _read(lines)
    except BrokenRecording as broken:
        raise BrokenRecording(f"{path}:{broken}") from broken.__cause__


def _read(lines: list[bytes]) -> Recording:
    recording: Recording | None = None
    rows = _Rows()
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            line = _line(text)
            if recording is None:
                recording = Recording(_header(line))
            elif isinstance(line, LinesLost):
                recording.notes.append(f"{line.lines} lines are not in the recording ({line.why}).")
            else:
                recording.entries.append(_checked(line, rows))
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            if number == len(lines) and recording is not None:
                recording.notes.append("The last line was cut off: the recording's process ended in the middle of it.")
                break
            raise BrokenRecording(f"{number}: {_sentence(error)}") from error
    if recording is None:
        raise BrokenRecording("1: the file is empty.")
    recording.entries.sort(key=lambda entry: entry.at)
    return recording


def _header(line: AnyLine) -> CallBegan:
    if not isinstance(line, CallBegan):
        raise ValueError('this is no recording: its first line must be of kind "call".')  # noqa: TRY004 - it is told, not raised on
    if line.format != FORMAT:
        raise ValueError(f"this recording has format {line.format}, but this version reads {FORMAT}.")
    if not _CALL_ID.fullmatch(line.call_id):
        raise ValueError("the call id is none: 1 to 128 of A-Z a-z 0-9 _ -")
    started_at = datetime.fromisoformat(line.started_at)
    if started_at.tzinfo is None or started_at.year not in _YEARS:
        raise ValueError("started_at names no zone, or no year that can be.")
    return line


def _checked(line: CallBegan | Happening, rows: "_Rows") -> Happening:
    if isinstance(line, CallBegan):
        raise ValueError("a recording is of one call, and this is the beginning of another.")  # noqa: TRY004 - see above
    moments = [line.at]
    if isinstance(line, ModelStream):
        moments += [line.took, *(at for at, _ in line.deltas)]
        line = structs.replace(line, deltas=[(at, read_delta(told)) for at, told in line.deltas])
    elif isinstance(line, FrameIn):
        line = rows.completed(line)
    if not all(0 <= moment <= LONGEST for moment in moments):
        raise ValueError("a moment is seconds, 0 or more and at most a week.")
    return line


class _Rows:
    """The lists of the frame in before, whose elements the next one does not repeat."""

    def __init__(self) -> None:
        self._last: dict[str, list[Any]] = {}
        self._told = 0

    def completed(self, line: FrameIn) -> FrameIn:
        if not isinstance(line.frame, dict):
            return line
        fields = dict(line.frame)
        for name, number in line.same.items():
            known, new = self._last.get(name, []), fields.get(name, [])
            if not isinstance(new, list) or not 0 <= number <= len(known):
                raise ValueError(f"it leaves out {number} elements of {name!r} that do not stand before it.")
            self._told += number
            if self._told > _MOST_ROWS:
                raise ValueError("the rows of all frames together are more than a call has.")
            fields[name] = known[:number] + new
        lists = {name: value for name, value in fields.items() if isinstance(value, list)}
        self._last |= lists
        return structs.replace(line, frame=fields, same={})


def _sentence(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "this is too deeply nested."
    return f"this cannot be read: {error}" if isinstance(error, msgspec.MsgspecError) else str(error)
