"""One call's file: entries become lines there. In a thread of its own; nobody waits for it."""

import io
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from service.recording.lines import CallBegan, CallOver, Line, LinesLost
from service.recording.spelling import Frame, Spelling

MOST_BYTES = 32 * 2**20
"""Of one recording: hours of talk."""

Entry = Frame | Line


class Store(Protocol):
    """Where files are made."""

    def create(self, name: str) -> tuple[Path, io.RawIOBase]:
        """Raises OSError."""
        ...

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be written."""
        ...


class Tape:
    """The file of one call. It is made with the first line."""

    def __init__(self, began: CallBegan, started_at: float, *, most_bytes: int = MOST_BYTES) -> None:
        """`started_at` is seconds since the epoch."""
        self.path: Path | None = None
        self.written = 0
        self.lost = 0
        """Lines that are not there."""
        self._began = began
        self._name = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(started_at))}-{began.call_id}"
        self._spelling = Spelling(keeps_numbers=not began.is_redacted)
        self._most = most_bytes
        self._untold = Counter[str]()
        self._file: io.RawIOBase | None = None

    def lose(self, lines: int, why: str) -> None:
        """So many lines will not come, if any."""
        if not lines:
            return
        self.lost += lines
        self._untold[why] += lines
        self._spelling.forget()

    def write(self, entries: Sequence[Entry], store: Store) -> int:
        """Write them, in order, and close the file with the last. Returns how many bytes.

        Raises OSError: then they are counted, and the file tells so once it can be written again.
        """
        over = [entry for entry in entries if isinstance(entry, CallOver)]
        before = self._untold.copy()
        kept = self._kept(entries, store)
        text = b"" if self.written else self._spelling.line_of(self._began)
        if kept:
            text += b"".join([*self._losses(before), *kept])
        rest = self._untold - before if kept else self._untold
        if over:
            text += b"".join([*self._losses(rest), *map(self._spelling.line_of, over)])
            rest = Counter()
        try:
            self._append(text, store)
        except OSError:
            self.lose(len(kept) + len(over), "disk")
            raise
        self._untold = rest
        return len(text)

    def _kept(self, entries: Sequence[Entry], store: Store) -> list[bytes]:
        """Their lines, as far as there is room."""
        room = 0 if store.is_full else self._most - self.written
        kept: list[bytes] = []
        for entry in entries:
            if isinstance(entry, CallOver):
                continue
            line = self._spelling.line_of(entry) if room > 0 else b""
            room -= len(line)
            if room > 0:
                kept.append(line)
            else:
                self.lose(1, "size")
        return kept

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def discard(self) -> None:
        """The call may not be kept. Raises OSError."""
        self.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _losses(self, lost: Counter[str]) -> list[bytes]:
        return [self._spelling.line_of(LinesLost(lines, why)) for why, lines in lost.items() if lines]

    def _append(self, text: bytes, store: Store) -> None:
        if self._file is None:
            self.path, self._file = store.create(self._name)
        left = memoryview(text)
        try:
            while left:
                left = left[self._file.write(left) or 0 :]
        except OSError:
            with suppress(OSError):  # half a line would spoil the one after it
                self._file.truncate(self.written)
                self._file.seek(self.written)
            raise
        self.written += len(text)
