"""What is recorded of calls that the whole service takes, in virtual time."""

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.recording import recorder as recorders
from service.recording.files import Folder
from service.recording.lines import CallOver, FrameIn, FrameOut, LineClosed, LineOpened, TurnAsked, TurnSettled
from service.recording.reading import read_recording
from service.settings import SettingsError
from service.simulator.model import StandInModel
from service.simulator.model_script import Call, Cut, HangAfterRole, Script
from service.world import World
from tests.recording.calls import MORNING, Caller, one_question, recorded, recording


def frames(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_nothing_is_recorded_unless_a_folder_is_named(tmp_path: Path) -> None:
    assert recorded(tmp_path / "kept", record_dir=None) == []
    assert not (tmp_path / "kept").exists()


def test_a_call_is_recorded_from_its_first_line_to_its_end(tmp_path: Path) -> None:
    told = recording(tmp_path / "kept")
    assert (told.began.call_id, told.began.agent, told.began.started_at) == (
        "call_1",
        "bakery",
        "2026-03-02T09:00:00+00:00",
    )
    assert told.began.targets == ["gpt-4.1"]
    kinds = [type(entry) for entry in told.entries]
    assert (kinds[0], kinds[-1]) == (LineOpened, CallOver)
    assert [entry.code for entry in told.entries if isinstance(entry, LineClosed)] == [1000]
    asked = [entry for entry in told.entries if isinstance(entry, TurnAsked)]
    assert [(turn.turn_id, turn.prompt) for turn in asked] == [(0, "greeting"), (1, "caller_spoke")]
    assert [entry.outcome for entry in told.entries if isinstance(entry, TurnSettled)] == ["completed", "completed"]


def test_each_frame_has_its_moment_and_answers_come_back_as_asked(tmp_path: Path) -> None:
    told = recording(tmp_path / "kept")
    pings = [
        [entry.frame["timestamp"] for entry in told.entries if isinstance(entry, kind) and "timestamp" in entry.frame]
        for kind in (FrameIn, FrameOut)
    ]
    assert pings[0] == pings[1]
    assert len(pings[0]) > 5
    moments = [entry.at for entry in told.entries]
    assert moments == sorted(moments)
    assert moments[-1] > 70


def test_a_models_stream_is_recorded_delta_by_delta(tmp_path: Path) -> None:
    (stream,) = recording(tmp_path / "kept").questions[1][0]
    words = [(round(at, 3), delta) for at, delta in stream.deltas if isinstance(delta, str)]
    assert (stream.cause, stream.target, stream.end, stream.error) == ("first", "gpt-4.1", "whole", None)
    assert words[0] == (0.4, "We")
    assert "".join(word for _, word in words).strip() == "We open at one. And we close at 1."
    assert stream.took == pytest.approx(0.56, abs=0.2)


def test_numbers_are_not_kept_unless_it_is_asked_for(tmp_path: Path) -> None:
    (redacted,) = recorded(tmp_path / "redacted")
    (whole,) = recorded(tmp_path / "whole", record_numbers=True)
    assert "0151" not in redacted.read_text()
    assert not re.search(r"\b(four|seven|nine)\b", redacted.read_text())
    assert "number is 1111 one one one" in redacted.read_text()
    assert "number is 0151 four two seven" in whole.read_text()
    assert "close at 5" in whole.read_text()
    assert [each.began.is_redacted for each in map(read_recording, (redacted, whole))] == [True, False]


@pytest.mark.parametrize(
    "details", [{"data_storage_setting": "everything_except_pii"}, {"opt_out_sensitive_data_storage": True}]
)
def test_a_call_that_may_not_be_kept_leaves_no_file(tmp_path: Path, details: dict[str, Any]) -> None:
    assert recorded(tmp_path / "kept", details=details) == []


def test_a_call_whose_details_never_come_leaves_no_file(tmp_path: Path) -> None:
    with capture_logs() as logs:
        assert recorded(tmp_path / "kept", retell_call_details=False) == []
    assert "recording.keeps_nothing" in [line["event"] for line in logs]


def test_what_was_kept_goes_when_the_call_turns_out_to_be_forbidden(tmp_path: Path) -> None:
    async def opts_out(caller: Caller) -> None:
        await one_question(caller)
        caller.call._details["opt_out_sensitive_data_storage"] = True
        caller.line.carry_out(caller.call.drop(caller.line.now()))
        await asyncio.sleep(5)

    kept: list[Path] = []

    def watch_folder(made: World) -> None:
        asyncio.get_running_loop().call_later(14, lambda: kept.extend((tmp_path / "kept").glob("*.jsonl")))

    assert recorded(tmp_path / "kept", opts_out, on_world=watch_folder) == []
    assert len(kept) == 1


def test_a_call_that_dials_again_stays_one_recording(tmp_path: Path) -> None:
    async def drops(caller: Caller) -> None:
        caller.line.carry_out(caller.call.drop(caller.line.now()))
        await asyncio.sleep(5)
        await one_question(caller)

    told = recording(tmp_path / "kept", drops)
    assert [entry.line for entry in told.entries if isinstance(entry, LineOpened)] == [1, 2]
    assert [(entry.line, entry.code) for entry in told.entries if isinstance(entry, LineClosed)] == [
        (1, None),
        (2, 1000),
    ]


def test_a_second_call_of_the_same_name_makes_a_file_of_its_own(tmp_path: Path) -> None:
    recorded(tmp_path / "kept")
    assert [path.name for path in recorded(tmp_path / "kept")] == [
        "20260302T090000-call_1.2.jsonl",
        "20260302T090000-call_1.jsonl",
    ]


def test_files_and_folder_are_their_owners_alone(tmp_path: Path) -> None:
    (path,) = recorded(tmp_path / "kept")
    assert [each.stat().st_mode & 0o777 for each in (path, path.parent)] == [0o600, 0o700]


def test_failures_and_further_attempts_are_recorded_with_their_causes(tmp_path: Path) -> None:
    async def asks_thrice(caller: Caller) -> None:
        caller.model.scripts.append(Script(fault=HangAfterRole()))
        await caller.says("First")
        caller.model.scripts.append(Script("It breaks off here.", 0.2, 0.02, fault=Cut(2)))
        await caller.says("Second")
        caller.model.scripts.append(Script("Nine to five.", 0.2, calls=(Call("opening_hours", '{"day": "day 7"}'),)))
        await caller.says("Third")

    model = StandInModel(Script("We open at nine.", 0.3), seed=1)
    questions = recording(tmp_path / "kept", asks_thrice, model=model).questions
    assert [[(stream.cause, stream.end) for stream in attempts] for attempts in questions[1]] == [
        [("first", "closed"), ("hedge", "whole")]
    ]
    ((broken,),) = questions[2]
    assert broken.error is not None
    assert (broken.end, broken.error.name) == ("failed", "StreamBroken")
    assert len(questions[3]) == 2
    assert "day 1" in str(questions[3][0][0].deltas)


def test_a_killed_process_leaves_what_it_had_written(tmp_path: Path) -> None:
    def kill(made: World) -> None:
        asyncio.get_running_loop().call_later(12.0, made.processes[0].kill)

    told = recording(tmp_path / "kept", on_world=kill)
    assert not any(isinstance(entry, CallOver) for entry in told.entries)
    assert 11 < told.entries[-1].at < 12.1


def test_a_service_that_stops_writes_what_it_has(tmp_path: Path) -> None:
    async def goes(caller: Caller) -> None:
        await worlds[0].drain(worlds[0].processes[0], 0.5)

    worlds: list[World] = []
    told = recording(tmp_path / "kept", goes, on_world=worlds.append)
    assert isinstance(told.entries[-1], CallOver)
    assert 6.0 < told.entries[-1].at < 7.0


async def test_a_line_that_no_agent_took_is_forgotten(tmp_path: Path) -> None:
    recorder = recorders.Recorder(Folder(tmp_path, 10**6, 14))
    line = recorder.line("call_1")
    line.closed(None)
    line.closed(None)
    recorder.ended("call_1", None)
    assert recorder._calls == {}


def test_frames_that_are_none_are_recorded_as_they_are(tmp_path: Path) -> None:
    async def hostile(caller: Caller) -> None:
        line = caller.line._line
        assert line is not None
        for frame in ("no json 42", '"text"', "[1, 2]", '{"interaction_type": "update_only", "transcript": 7}'):
            await line._socket.send(frame)
        await line._socket.send(b"\x00\x01")  # type: ignore[arg-type]  # what no platform sends
        await line._socket.send('{"interaction_type": "update_only", "note": "\\ud83d"}')
        await asyncio.sleep(1)

    told = recording(tmp_path / "kept", hostile)
    odd = [entry for entry in told.entries if isinstance(entry, FrameIn) and 5.9 < entry.at < 6.9]
    assert [entry.frame for entry in odd if "timestamp" not in str(entry.frame)] == [
        "no json 11",
        '"text"',
        "[1,1]",
        {"interaction_type": "update_only", "transcript": 1},
        None,
        {"interaction_type": "update_only", "note": "�"},
    ]
    assert [entry.size for entry in odd if entry.size] == [2]


def test_recordings_that_are_too_old_go_without_a_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "kept" / "20260101T090000-call_0.jsonl"
    old.parent.mkdir()
    old.touch()
    os.utime(old, (MORNING.timestamp() - 14 * 86_400 + 100,) * 2)
    monkeypatch.setattr(recorders, "CLEAN_EVERY", 60.0)
    seen: list[bool] = []

    async def waits(caller: Caller) -> None:
        for _ in range(2):
            seen.append(old.exists())
            await asyncio.sleep(65)

    recorded(tmp_path / "kept", waits)
    seen.append(old.exists())
    assert seen == [True, True, False]


def test_what_waits_for_details_is_bounded_and_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorders, "MOST_HELD", 300)
    told = recording(tmp_path / "kept")
    assert told.notes == ["2 lines are not in the recording (memory)."]


def test_what_waits_for_the_disk_is_bounded_and_the_end_still_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorders, "MOST_QUEUED", 1)
    told = recording(tmp_path / "kept")
    assert isinstance(told.entries[-1], CallOver)
    assert re.fullmatch(r"\d+ lines are not in the recording \(queue\).", told.notes[0])


def test_a_fault_of_ours_ends_the_recording_and_not_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    answers: list[str] = []

    async def asks(caller: Caller) -> None:
        await one_question(caller)
        answers.append(caller.model.requests[-1].chat.last_user_text)

    monkeypatch.setattr(recorders, "Tape", fail)
    with capture_logs() as logs:
        assert recorded(tmp_path / "without", asks) == []
    monkeypatch.undo()
    monkeypatch.setattr(recorders.Recorder, "_take", fail)
    with capture_logs() as more:
        assert recorded(tmp_path / "without", asks) == []
    assert len(answers) == 2
    for lines in (logs, more):
        assert [line["error"] for line in lines if line["event"] == "recording.failed"] == ["RuntimeError"]


def test_a_folder_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file")
    with pytest.raises(SettingsError, match=r"CUEBOX_RECORD_DIR is .* name a folder that can be"):
        recorded(tmp_path / "kept")
