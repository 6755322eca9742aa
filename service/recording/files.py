"""The folder of recordings: one file a call, for its owner alone, the oldest of which go when there are too many."""

import os
import re
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from io import FileIO
from itertools import count
from pathlib import Path

NAME = re.compile(r"\d{8}T\d{6}-[A-Za-z0-9_-]{1,128}(?:\.\d+)?\.jsonl")
"""Of our own files: nothing else in the folder is ever removed."""

_DAY = 86_400.0
_LEFT = 0.9
"""Of what may be kept: as much stays when it was too much, or each line more would bring the next look at all files."""


class Folder:
    """A folder of recordings. Used from one thread at a time; all of it may raise OSError."""

    def __init__(self, place: Path, most_bytes: int, days: float, clock: Callable[[], float] = time.time) -> None:
        """At most so many bytes, for so many days."""
        self.place = place
        self._most, self._seconds, self._clock = most_bytes, days * _DAY, clock
        self._size = 0
        """As far as it is known: others may write here, too."""

    def make(self) -> None:
        """Make the folder where there is none, and look whether files can be written there."""
        self.place.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = self.place / f".probe-{os.getpid()}"
        os.close(os.open(probe, os.O_CREAT | os.O_WRONLY, 0o600))
        probe.unlink()

    def create(self, name: str) -> tuple[Path, FileIO]:
        """Make a file of this name, or with a number after it where there is one already. And the folder, once more."""
        self.place.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in count(1):
            path = self.place / (f"{name}.jsonl" if number == 1 else f"{name}.{number}.jsonl")
            with suppress(FileExistsError):
                return path, FileIO(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")
        raise AssertionError  # pragma: no cover - it counts for ever

    def grew(self, size: int) -> bool:
        """So many bytes were written. Whether it is time to clean."""
        self._size += size
        return size > 0 and self.is_full

    @property
    def is_full(self) -> bool:
        """Whether no more may be written, although it was cleaned."""
        return self._size > self._most

    def clean(self, in_use: Collection[Path] = ()) -> int:
        """Remove what is too old and, the oldest first, what is too much. Those in use stay. Returns how many went."""
        found = []
        for path in self.place.iterdir():
            if NAME.fullmatch(path.name):
                with suppress(FileNotFoundError):  # another process cleans, too
                    stat = path.stat()
                    found.append((stat.st_mtime, stat.st_size, path))
        now, self._size, removed = self._clock(), sum(size for _, size, _ in found), 0
        most = self._most if self._size <= self._most else _LEFT * self._most
        for changed_at, size, path in sorted(found):
            is_old = now - changed_at > self._seconds
            if path not in in_use and (is_old or self._size > most):
                path.unlink(missing_ok=True)
                self._size -= size
                removed += 1
        return removed
