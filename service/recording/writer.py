"""The thread that writes recordings. What fails here is logged and counted; no call knows of it."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog

from service.recording.files import Folder
from service.recording.lines import CallOver
from service.recording.tape import Entry, Tape


class Writer:
    """Writes entries to their tapes, one batch after the other, and keeps the folder within its bounds."""

    def __init__(self, folder: Folder) -> None:
        self.thread = ThreadPoolExecutor(1, "recording")
        """Where all of the methods run."""
        self._folder = folder
        self._open: set[Tape] = set()
        self._is_failing = False

    def write(self, batch: Mapping[Tape, Sequence[Entry]], lost: Mapping[Tape, int]) -> None:
        """Write what goes to each tape; one with nothing is discarded. `lost` counts lines that had no room."""
        for tape, entries in batch.items():
            tape.lose(lost.get(tape, 0), "queue")
            self._open.add(tape)
            try:
                self._write_one(tape, entries)
            except OSError as error:
                self._note_failure(error)
            except Exception as error:  # noqa: BLE001 - a fault of ours shall not spoil the others' recordings
                tape.lose(len(entries), "fault")
                structlog.get_logger().error("recording.failed", error=type(error).__name__)

    def _write_one(self, tape: Tape, entries: Sequence[Entry]) -> None:
        try:
            if not entries:
                tape.discard()
            elif self._folder.grew(tape.write(entries, self._folder)):
                self.clean()
            self._is_failing = False
        finally:
            if not entries or isinstance(entries[-1], CallOver):
                self._finish(tape)

    def _finish(self, tape: Tape) -> None:
        self._open.discard(tape)
        tape.close()
        if tape.lost:
            structlog.get_logger().warning("recording.incomplete", lines_lost=tape.lost, file=str(tape.path))
        if self._folder.is_full:  # this one may go now
            self.clean()

    def clean(self) -> None:
        """Remove what is too old or too much."""
        try:
            removed = self._folder.clean([tape.path for tape in self._open if tape.path is not None])
        except OSError as error:
            self._note_failure(error)
        else:
            if removed:
                structlog.get_logger().info("recording.cleaned", removed=removed)

    def close(self) -> None:
        """Close all files: the service stops."""
        for tape in self._open:
            tape.close()

    def _note_failure(self, error: OSError) -> None:
        if not self._is_failing:
            self._is_failing = True
            detail = "calls go on; lines are lost until it can be written again"
            structlog.get_logger().error("recording.disk_failed", error=error.strerror or str(error), detail=detail)
