"""Retell's side of a call, in virtual time: silence, keepalive, reconnect and the end. Rules: `simulator/retell.py`."""

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.simulator import retell_steps as steps
from tests.simulator.played import ALL_ON, Played, interrupt, response

# Silence (rule 7).


def test_a_silent_caller_brings_one_reminder(line: Played) -> None:
    line.wait(9.9)
    assert line.frames("reminder_required") == []
    line.wait(0.1)
    line.says(1, "Are you there?")
    line.wait(60)
    assert [frame["response_id"] for frame in line.frames("reminder_required")] == [1]


def test_speaking_makes_room_for_another_reminder(line: Played) -> None:
    line.wait(10)
    line.caller("Yes.")
    line.says(2, "Good.")
    line.wait(11)
    assert [frame["response_id"] for frame in line.frames("reminder_required")] == [1, 3]


def test_no_reminder_while_a_response_is_open(line: Played) -> None:
    line.caller("Hi.")
    line.says(1, "Well. ", final=False)
    line.wait(60)
    assert line.frames("reminder_required") == []


def test_no_reminder_while_the_caller_speaks(line: Played) -> None:
    line.types("I")
    line.wait(60)
    assert line.frames("reminder_required") == []


def test_a_server_sets_when_and_how_often_it_is_reminded(line: Played) -> None:
    tuned = {"reminder_trigger_ms": 2_000, "reminder_max_count": 2}
    line.server({"response_type": "update_agent", "agent_config": tuned})
    for turn_id in (1, 2):
        line.wait(2)
        line.says(turn_id, "")
    line.wait(60)
    assert len(line.frames("reminder_required")) == 2


def test_a_reminder_can_be_asked_for_in_a_silence_only(line: Played) -> None:
    line.keep(line.call.remind(line.now))
    line.keep(line.call.remind(line.now))
    assert line.all(steps.TurnAsked) == [steps.TurnAsked(1, is_reminder=True)]


# Keepalive and reconnect (rules 6 and 8).


def test_pings_come_every_two_seconds_with_the_time_of_day() -> None:
    played = Played()
    played.config(auto_reconnect=True)
    for _ in range(3):
        played.wait(2)
        played.server({"response_type": "ping_pong", "timestamp": played.frames("ping_pong")[-1]["timestamp"]})
    assert [frame["timestamp"] for frame in played.frames("ping_pong")] == [1_002_000, 1_004_000, 1_006_000]
    assert played.all(steps.Redial) == []


def test_a_pong_with_a_time_of_its_own_keeps_the_line_too() -> None:
    played = Played()
    played.server({"response_type": "ping_pong", "timestamp": 5})
    played.config(auto_reconnect=True)
    played.wait(4.5)
    played.server({"response_type": "ping_pong", "timestamp": 5})
    played.wait(4.5)
    assert played.all(steps.Redial) == []
    assert played.all(steps.PingAnswered) == []


def test_a_line_whose_pings_go_unanswered_is_dialled_again_twice() -> None:
    played = Played()
    for _ in range(3):
        played.config(auto_reconnect=True)
        played.wait(5)
        if played.call.ended is None:
            played.keep(played.call.open(played.now))
    assert played.all(steps.Redial) == [steps.Redial("no ping came back")] * 2
    assert played.call.ended == "error_llm_websocket_lost_connection"


def test_a_broken_line_is_dialled_again_four_times() -> None:
    played = Played()
    for _ in range(5):
        played.keep(played.call.line_closed(1006, played.now))
        if played.call.ended is None:
            played.keep(played.call.open(played.now))
    assert len(played.all(steps.Redial)) == 4
    assert played.call.ended == "error_llm_websocket_runtime"


@pytest.mark.parametrize(
    ("code", "reason", "faults"),
    [
        (1000, "agent_hangup", 0),
        (1005, "error_llm_websocket_open", 1),
        (1011, "error_llm_websocket_runtime", 1),
    ],
)
def test_a_close_with_a_code_ends_the_call(line: Played, code: int, reason: str, faults: int) -> None:
    line.keep(line.call.line_closed(code, line.now))
    assert (line.call.ended, len(line.broken())) == (reason, faults)


def test_a_dropped_line_asks_anew_what_was_open(line: Played) -> None:
    line.caller("Hi.")
    line.says(1, "One two. ", final=False)
    line.wait(0.5)
    line.keep(line.call.drop(line.now))
    line.keep(line.call.drop(line.now))
    line.keep(line.call.line_closed(1006, line.now))
    line.keep(line.call.open(line.now))
    assert len(line.all(steps.Redial)) == 1
    assert line.all(steps.SpeechCut) == [steps.SpeechCut(1, "One", "two.", "line")]
    assert line.frames("response_required")[-1]["response_id"] == 2


def test_a_reminder_that_was_open_is_asked_anew_as_one(line: Played) -> None:
    line.wait(10)
    line.keep(line.call.drop(line.now))
    line.keep(line.call.open(line.now))
    assert [frame["response_id"] for frame in line.frames("reminder_required")] == [1, 2]


def test_what_was_received_is_spoken_while_the_line_is_down(line: Played) -> None:
    line.caller("Hi.")
    line.says(1, "One two.")
    line.keep(line.call.drop(line.now))
    line.server(response(1, "Lost."))
    line.wait(2)
    line.caller("And?")
    line.keep(line.call.open(line.now))
    assert line.transcript() == [("user", "Hi."), ("agent", "One two."), ("user", "And?")]


def test_a_new_line_is_told_that_the_call_is_going_on() -> None:
    played = Played()
    played.says(0, "")
    played.wait(3)
    played.keep(played.call.drop(played.now))
    played.keep(played.call.open(played.now))
    played.config(**ALL_ON)
    call = played.frames("call_details")[0]["call"]
    assert (call["call_status"], call["start_timestamp"]) == ("ongoing", 1_000_000)


def test_a_new_line_takes_an_empty_opening_and_no_second_greeting(line: Played) -> None:
    line.keep(line.call.drop(line.now))
    line.keep(line.call.open(line.now))
    line.says(0, "")
    line.says(0, "Hello again.")
    assert line.broken() == ["a second greeting"]


def test_a_greeting_cut_by_the_network_may_be_completed_on_the_new_line() -> None:
    played = Played()
    played.says(0, "Hello. ", final=False)
    played.keep(played.call.drop(played.now))
    played.keep(played.call.open(played.now))
    played.says(0, "")
    played.wait(1)
    assert played.transcript() == [("agent", "Hello.")]
    assert played.call.is_listening


def test_a_line_that_nobody_answers_ends_the_call(line: Played) -> None:
    line.keep(line.call.drop(line.now))
    line.keep(line.call.line_lost())
    assert line.call.ended == "error_llm_websocket_open"


# The end.


def test_a_binary_frame_ends_the_call(line: Played) -> None:
    line.server(b"\x00")
    assert line.all(steps.CloseLine) == [steps.CloseLine(1007)]
    assert line.call.ended == "error_llm_websocket_corrupt_payload"


def test_nothing_follows_the_end(line: Played) -> None:
    line.caller("Hi.")
    line.keep(line.call.hang_up(line.now))
    before = len(line.steps)
    line.keep(line.call.hang_up(line.now))
    line.keep(line.call.tick(line.now + 99))
    line.types("Hello")
    line.caller("Hello?")
    line.keep(line.call.line_closed(1000, line.now))
    assert line.call.wakes_at() == math.inf
    assert line.steps[before:] == []
    assert line.all(steps.CallEnded) == [steps.CallEnded("user_hangup")]


def test_without_speaking_time_everything_is_heard_as_it_arrives() -> None:
    played = Played(words_per_second=math.inf)
    played.says(0, "How may I help you?")
    played.keep(played.call.caller_speaks("A table for two.", played.now))
    played.says(1, "Good bye.", end_call=True)
    assert played.transcript()[:2] == [("agent", "How may I help you?"), ("user", "A table for two.")]
    assert played.call.ended == "agent_hangup"


# Whatever happens.

DEEDS: dict[str, Callable[[Played], object]] = {
    "types": lambda played: played.types("I would like"),
    "says": lambda played: played.caller("Hello."),
    "speaks": lambda played: played.keep(played.call.caller_speaks("a b c", played.now)),
    "presses": lambda played: played.keep(played.call.press("1", played.now)),
    "reminds": lambda played: played.keep(played.call.remind(played.now)),
    "drops": lambda played: played.keep(played.call.drop(played.now)),
    "breaks": lambda played: played.keep(played.call.line_closed(1006, played.now)),
    "opens": lambda played: played.keep(played.call.open(played.now)) if needs_line(played) else None,
    "config": lambda played: played.config(**ALL_ON),
    "part": lambda played: played.says(latest(played), "One two. ", final=False),
    "guarded": lambda played: played.says(latest(played), "A b. ", final=False, no_interruption_allowed=True),
    "final": lambda played: played.says(latest(played), "three."),
    "interrupts": lambda played: played.server(interrupt(len(played.steps), "Now.")),
    "waits": lambda played: played.wait(1.3),
}


def needs_line(played: Played) -> bool:
    lines = [step for step in played.steps if isinstance(step, steps.Redial | steps.LineOpened)]
    return played.call.ended is None and isinstance(lines[-1], steps.Redial)


def latest(played: Played) -> int:
    return max([0, *(fact.turn_id for fact in played.all(steps.TurnAsked))])


@given(st.lists(st.sampled_from(sorted(DEEDS)), max_size=25))
def test_transcripts_only_grow_at_their_end_and_the_clock_never_spins(deeds: list[str]) -> None:
    played = Played()
    for deed in deeds:
        DEEDS[deed](played)
    played.wait(30)
    told = [frame["transcript"] for frame in played.frames() if "transcript" in frame]
    for before, after in pairwise(told):
        assert before[:-1] == after[: max(0, len(before) - 1)]
    ids = [frame["response_id"] for frame in played.frames() if "response_id" in frame]
    assert ids == list(range(1, len(ids) + 1))
