"""The file of one call, on disks that are full."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.recording.files import Folder
from service.recording.lines import FORMAT, CallBegan, CallOver, LineOpened
from service.recording.spelling import Frame
from service.recording.tape import Tape
from service.recording.writer import Writer

BEGAN = CallBegan(FORMAT, "call_1", "bakery", "abc", "2026-03-02T09:00:00+00:00", "0", True)


class Disk:
    """A place for files that is full at times."""

    is_full = False

    def __init__(self, place: Path, open_file: Callable[[Path], io.RawIOBase] | None = None) -> None:
        self.path = place / "one.jsonl"
        self._open = open_file or (lambda path: io.FileIO(path, "wb"))

    def create(self, name: str) -> tuple[Path, io.RawIOBase]:
        return self.path, self._open(self.path)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    @property
    def kinds(self) -> list[str]:
        return [line["kind"] for line in self.lines]


class Filling(io.FileIO):
    """Takes half of what is written, and then no more until there is room."""

    has_room = False

    def write(self, data: Any) -> int:
        if self.has_room:
            return super().write(data)
        if self.tell() > 0:
            raise OSError(28, "No space left on device")
        return super().write(data[: len(data) // 2])


def update(text: str) -> Frame:
    frame = {
        "interaction_type": "update_only",
        "transcript": [{"role": "user", "content": each} for each in text.split()],
    }
    return Frame(1.0, 1, json.dumps(frame), is_in=True)


@pytest.fixture
def tape() -> Iterator[Callable[..., Tape]]:
    made: list[Tape] = []

    def make(**named: int) -> Tape:
        made.append(Tape(BEGAN, 1772442000.0, **named))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_rows_are_written_once_while_they_stay_the_same(tmp_path: Path, tape: Callable[..., Tape]) -> None:
    disk, written = Disk(tmp_path), tape()
    written.write([update("we are"), update("we are open"), update("you are open")], disk)
    told = [[row["content"] for row in line["frame"]["transcript"]] for line in disk.lines[1:]]
    assert told == [["we", "are"], ["are", "open"], ["you", "are", "open"]]
    assert [line.get("same") for line in disk.lines[1:]] == [None, {"transcript": 1}, None]


def test_a_full_disk_loses_lines_and_the_file_says_how_many(tmp_path: Path, tape: Callable[..., Tape]) -> None:
    file = Filling(tmp_path / "one.jsonl", "wb")
    disk, written = Disk(tmp_path, lambda _: file), tape()
    with pytest.raises(OSError, match="No space"):
        written.write([LineOpened(0.0), update("we")], disk)
    file.has_room = True
    written.write([update("we are"), CallOver(2.0)], disk)
    assert disk.kinds == ["call", "lost", "in", "over"]
    assert disk.lines[1] == {"kind": "lost", "lines": 2, "why": "disk"}
    assert "same" not in disk.lines[2]
    assert written.lost == 2


def test_a_device_that_is_always_full_breaks_nothing_but_the_recording(
    tmp_path: Path, tape: Callable[..., Tape]
) -> None:
    class Full(Folder):
        def create(self, name: str) -> tuple[Path, io.FileIO]:
            return Path("/dev/null/none"), io.FileIO("/dev/full", "wb")

    writer, written = Writer(Full(tmp_path, 10**9, 14)), tape()
    with capture_logs() as logs:
        writer.write({written: [LineOpened(0.0)]}, {})
        writer.write({written: [update("we"), CallOver(1.0)]}, {written: 3})
        writer.close()
    assert [line["event"] for line in logs] == ["recording.disk_failed", "recording.incomplete"]
    assert (logs[0]["error"], logs[1]["lines_lost"]) == ("No space left on device", 6)
    writer.thread.shutdown()


def test_a_recording_ends_at_its_bound_and_says_so(tmp_path: Path, tape: Callable[..., Tape]) -> None:
    disk, written = Disk(tmp_path), tape(most_bytes=600)
    for _ in range(20):
        written.write([update("we are open")], disk)
    written.write([CallOver(9.0)], disk)
    assert disk.kinds[-2:] == ["lost", "over"]
    assert disk.lines[-2]["why"] == "size"
    assert disk.lines[-2]["lines"] + disk.kinds.count("in") == 20
    assert disk.path.stat().st_size < 800


def test_nothing_is_written_into_a_full_folder_but_what_is_missing(tmp_path: Path, tape: Callable[..., Tape]) -> None:
    disk, written = Disk(tmp_path), tape()
    disk.is_full = True
    written.write([update("we are open"), CallOver(9.0)], disk)
    assert disk.kinds == ["call", "lost", "over"]


def test_a_frame_nested_too_deeply_stays_text(tmp_path: Path, tape: Callable[..., Tape]) -> None:
    disk, written = Disk(tmp_path), tape()
    written.write([Frame(1.0, 1, '{"a": ' + "[" * 100_000, is_in=True)], disk)
    assert disk.lines[1]["frame"].startswith('{"a": [[[')


def test_a_fault_of_ours_is_logged_and_spoils_no_other_recording(tmp_path: Path, tape: Callable[..., Tape]) -> None:
    writer, broken, sound = Writer(Folder(tmp_path, 10**6, 14)), tape(), tape()
    with capture_logs() as logs:
        writer.write({broken: [Frame(1.0, 1, b"no json", is_in=False)], sound: [update("we"), CallOver(1.0)]}, {})
    writer.thread.shutdown()
    assert [(line["event"], line["error"]) for line in logs] == [("recording.failed", "DecodeError")]
    assert [path.read_text().count("\n") for path in tmp_path.iterdir()] == [3]


def test_a_folder_that_is_gone_is_logged_once(tmp_path: Path, tape: Callable[..., Tape]) -> None:
    writer = Writer(Folder(tmp_path / "gone", 10**6, 14))
    with capture_logs() as logs:
        writer.clean()
        writer.write({tape(): [LineOpened(0.0)]}, {})
    writer.thread.shutdown()
    assert [line["event"] for line in logs] == ["recording.disk_failed"]


def test_recordings_that_are_too_many_go_while_more_are_written(tmp_path: Path, tape: Callable[..., Tape]) -> None:
    writer = Writer(Folder(tmp_path, 1000, 14))
    with capture_logs() as logs:
        for _ in range(3):
            writer.write({tape(): [*(update(f"w{number}") for number in range(5)), CallOver(1.0)]}, {})
    writer.thread.shutdown()
    assert [line["event"] for line in logs if line["event"] == "recording.cleaned"]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1000
