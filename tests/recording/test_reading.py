"""Recordings that come from elsewhere: broken, cut off, of another version, or made to do harm."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.recording import reading
from service.recording.lines import FrameIn
from service.recording.reading import BrokenRecording, Recording, read_recording

BEGAN = {
    "kind": "call",
    "format": 1,
    "call_id": "call_1",
    "agent": "bakery",
    "folder_hash": "",
    "started_at": "2026-03-02T09:00:00+00:00",
    "version": "0",
}
STREAM = {
    "kind": "stream",
    "at": 1,
    "turn": 1,
    "question": 1,
    "cause": "first",
    "target": "",
    "model": "",
    "deltas": [[0.1, {"call": {"id": 1}}]],
    "took": 1,
    "end": "whole",
}


def text_of(*lines: object) -> str:
    return "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)


def read(place: Path, text: str | bytes) -> Recording:
    path = place / "one.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_recording(path)


def why_not(place: Path, text: str | bytes) -> str:
    with pytest.raises(BrokenRecording) as broken:
        read(place, text)
    return str(broken.value).removeprefix(f"{place / 'one.jsonl'}:")


def test_a_last_line_that_was_cut_off_is_told_of(tmp_path: Path) -> None:
    told = read(tmp_path, text_of(BEGAN, {"kind": "opened", "at": 0.5}) + '{"kind": "in", "at": 1.0, "fr')
    assert [entry.at for entry in told.entries] == [0.5]
    assert told.notes == ["The last line was cut off: the recording's process ended in the middle of it."]


def test_fields_of_later_versions_are_passed_over(tmp_path: Path) -> None:
    told = read(tmp_path, text_of(BEGAN, {"kind": "opened", "at": 0, "colour": "red"}))
    assert len(told.entries) == 1


def test_rows_that_would_fill_the_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_MOST_ROWS", 5)
    frame = {"kind": "in", "at": 1, "frame": {"rows": []}, "same": {"rows": 3}}
    assert "more than a call has" in why_not(
        tmp_path, text_of(BEGAN, frame | {"frame": {"rows": [1, 2, 3]}, "same": {}}, frame, frame)
    )


def test_rows_that_are_told_once_come_back_whole(tmp_path: Path) -> None:
    first = {"kind": "in", "at": 1, "frame": {"transcript": ["a", "b"]}}
    ping = {"kind": "in", "at": 2, "frame": {"interaction_type": "ping_pong"}}
    second = {"kind": "in", "at": 3, "frame": {"transcript": ["c"]}, "same": {"transcript": 2}}
    told = read(tmp_path, text_of(BEGAN, first, ping, second))
    assert told.entries[-1] == FrameIn(3, 1, {"transcript": ["a", "b", "c"]})


def test_entries_are_in_the_order_of_their_moments(tmp_path: Path) -> None:
    told = read(tmp_path, text_of(BEGAN, {"kind": "opened", "at": 3}, {"kind": "over", "at": 2}))
    assert [entry.at for entry in told.entries] == [2, 3]


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        pytest.param([], "1: the file is empty.", id="empty"),
        pytest.param(["hello", "you"], "1: this cannot be read: JSON is malformed", id="no JSON"),
        pytest.param(
            [{"kind": "opened", "at": 1}],
            '1: this is no recording: its first line must be of kind "call"',
            id="no head",
        ),
        pytest.param(
            [{"event": "turn.settled"}, {}], "1: this cannot be read: Object missing required field `kind`", id="a log"
        ),
        pytest.param([BEGAN | {"format": 7}], "1: this recording has format 7, but this version reads 1.", id="newer"),
        pytest.param([BEGAN | {"call_id": "../../etc"}], "1: the call id is none", id="call id"),
        pytest.param([BEGAN | {"started_at": "monday"}], "1: Invalid isoformat string: 'monday'", id="no date"),
        pytest.param([BEGAN | {"started_at": "2026-03-02T09:00"}], "1: started_at names no zone", id="no zone"),
        pytest.param([BEGAN | {"started_at": "9999-12-31T23:59:59Z"}], "1: started_at names no", id="year"),
        pytest.param([BEGAN, BEGAN], "2: a recording is of one call", id="two"),
        pytest.param([BEGAN, "{", {"kind": "over", "at": 1}], "2: this cannot be read", id="broken in the middle"),
        pytest.param([BEGAN, {"kind": "opened", "at": "now"}], "2: this cannot be read: Expected `float`", id="type"),
        pytest.param([BEGAN, {"kind": "opened", "at": -1}], "2: a moment is seconds, 0 or more", id="before"),
        pytest.param([BEGAN, {"kind": "opened", "at": 1e300}], "2: a moment is seconds, 0 or more", id="never"),
        pytest.param(
            [BEGAN, {"kind": "in", "at": 1, "frame": {"rows": []}, "same": {"rows": 3}}],
            "2: it leaves out 3 elements of 'rows'",
            id="rows",
        ),
        pytest.param(
            [BEGAN, {"kind": "in", "at": 1, "frame": {"rows": 7}, "same": {"rows": 0}}],
            "2: it leaves out 0 elements of 'rows'",
            id="no rows",
        ),
        pytest.param(
            [BEGAN, '{"kind": "in", "at": 1, "frame": ' + "[" * 9000 + "]" * 9000 + "}"],
            "2: this is too deeply nested.",
            id="deep",
        ),
        pytest.param([BEGAN, STREAM], "2: this cannot be read", id="delta"),
    ],
)
def test_a_broken_recording_is_told_of_with_its_line(tmp_path: Path, lines: list[object], why: str) -> None:
    assert why_not(tmp_path, text_of(*lines, *([""] if lines else []))).startswith(why)


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_BYTES", 10)
    assert "no recording of ours" in why_not(tmp_path, text_of(BEGAN))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.booleans())
def test_whatever_a_file_holds_it_is_read_or_refused(tmp_path: Path, rest: bytes, has_head: bool) -> None:
    with suppress(BrokenRecording):
        assert read(tmp_path, (text_of(BEGAN).encode() if has_head else b"") + rest).began.call_id == "call_1"
