import os
from pathlib import Path

import pytest

from service.recording.files import Folder

DAY = 86_400


def made(place: Path, *files: tuple[str, int, float]) -> None:
    for name, size, changed_at in files:
        (place / name).write_bytes(b"x" * size)
        os.utime(place / name, (changed_at, changed_at))


def names(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


def folder(place: Path, most_bytes: int = 1000, days: float = 14) -> Folder:
    return Folder(place, most_bytes, days, clock=lambda: 100.0 * DAY)


def recording(number: int) -> str:
    return f"2026030{number}T090000-call_{number}.jsonl"


def test_the_oldest_recordings_go_when_there_are_too_many(tmp_path: Path) -> None:
    made(tmp_path, *((recording(number), 400, (90 + number) * DAY) for number in (1, 2, 3, 4)))
    assert folder(tmp_path).clean() == 2
    assert names(tmp_path) == [recording(3), recording(4)]


def test_recordings_go_when_they_are_too_old(tmp_path: Path) -> None:
    made(tmp_path, (recording(1), 1, 85 * DAY), (recording(2), 1, 87 * DAY))
    assert folder(tmp_path).clean() == 1
    assert names(tmp_path) == [recording(2)]


def test_what_is_not_a_recording_is_never_removed(tmp_path: Path) -> None:
    made(tmp_path, ("invoices.jsonl", 5000, 0), ("20260301T090000-call_1.jsonl.bak", 5000, 0))
    assert folder(tmp_path).clean() == 0
    assert len(names(tmp_path)) == 2


def test_a_recording_in_use_stays_and_the_folder_is_full(tmp_path: Path) -> None:
    made(tmp_path, (recording(1), 5000, 99 * DAY))
    kept = folder(tmp_path)
    assert kept.clean([tmp_path / recording(1)]) == 0
    assert kept.is_full
    assert kept.clean() == 1
    assert not kept.is_full


def test_it_is_time_to_clean_when_too_much_was_written(tmp_path: Path) -> None:
    kept = folder(tmp_path)
    assert [kept.grew(600), kept.grew(600), kept.grew(0)] == [False, True, False]


def test_a_full_folder_is_not_looked_through_for_every_line_that_is_written(tmp_path: Path) -> None:
    made(tmp_path, *((f"20260301T090000-call_{number}.jsonl", 10, 99 * DAY) for number in range(101)))
    kept = folder(tmp_path)
    kept.clean()
    assert not any(kept.grew(10) for _ in range(9))


def test_a_folder_that_is_gone_is_made_once_more(tmp_path: Path) -> None:
    kept = folder(tmp_path / "kept")
    kept.make()
    (tmp_path / "kept").rmdir()
    path, file = kept.create("20260301T090000-call_1")
    file.close()
    assert path.exists()


def test_two_files_of_one_name_are_numbered(tmp_path: Path) -> None:
    kept = folder(tmp_path)
    for _ in range(3):
        _, file = kept.create("20260301T090000-call_1")
        file.close()
    assert names(tmp_path) == [f"20260301T090000-call_1{ending}" for ending in (".2.jsonl", ".3.jsonl", ".jsonl")]


def test_a_folder_is_made_where_there_is_none(tmp_path: Path) -> None:
    folder(tmp_path / "calls" / "kept").make()
    assert names(tmp_path / "calls") == ["kept"]
    assert names(tmp_path / "calls" / "kept") == []


def test_a_place_that_is_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    with pytest.raises(OSError, match="exists"):
        folder(tmp_path / "kept").make()
