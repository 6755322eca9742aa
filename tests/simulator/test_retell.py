"""Retell's side of a call, in virtual time. The rules are numbered in `service/simulator/retell.py`."""

import json
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.simulator import retell_steps as steps
from service.simulator.retell import RetellCall
from service.simulator.retell_steps import Action, Step

Fact = TypeVar("Fact")
Frame = dict[str, Any]
ALL_ON = {"auto_reconnect": True, "call_details": True, "transcript_with_tool_calls": True}


class Played:
    """A call whose clock jumps from one thing due to the next; two words a second unless told otherwise."""

    def __init__(self, words_per_second: float = 2.0, details: Frame | None = None) -> None:
        self.call = RetellCall("call_1", details, words_per_second=words_per_second, epoch=1_000.0)
        self.now = 0.0
        self.steps: list[Step] = []
        self.keep(self.call.open(0.0))

    def keep(self, happened: list[Step]) -> list[Step]:
        self.steps += happened
        return happened

    def server(self, *frames: Frame | str | bytes) -> None:
        for frame in frames:
            self.keep(self.call.receive(json.dumps(frame) if isinstance(frame, dict) else frame, self.now))

    def config(self, **flags: bool) -> None:
        self.server({"response_type": "config", "config": flags})

    def says(self, turn_id: int, text: str, *, final: bool = True, **fields: Any) -> None:
        self.server(response(turn_id, text, final=final, **fields))

    def types(self, text: str) -> None:
        self.keep(self.call.caller_types(text, self.now))

    def caller(self, text: str) -> None:
        self.keep(self.call.caller_says(text, self.now))

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while (due := self.call.wakes_at()) <= until:
            self.now = max(self.now, due)
            self.keep(self.call.tick(self.now))
            assert self.call.wakes_at() > self.now, "a tick at its moment leaves nothing due"
        self.now = until

    def all(self, kind: type[Fact]) -> list[Fact]:
        return [step for step in self.steps if isinstance(step, kind)]

    def broken(self) -> list[str]:
        return [fact.rule for fact in self.all(steps.RuleBroken)]

    def frames(self, kind: str = "") -> list[Frame]:
        frames = [json.loads(step.text) for step in self.all(steps.SendFrame)]
        return [frame for frame in frames if kind in ("", frame["interaction_type"])]

    def transcript(self) -> list[tuple[str, str]]:
        """The transcript as last sent."""
        frame = [frame for frame in self.frames() if "transcript" in frame][-1]
        return [(row["role"], row["content"]) for row in frame["transcript"]]

    def woven(self) -> list[Frame]:
        frame = [frame for frame in self.frames() if "transcript" in frame][-1]
        rows: list[Frame] = frame["transcript_with_tool_calls"]
        return rows


def response(turn_id: int, text: str, *, final: bool = True, **fields: Any) -> Frame:
    return {
        "response_type": "response",
        "response_id": turn_id,
        "content": text,
        "content_complete": final,
        **fields,
    }


def interrupt(interrupt_id: int, text: str, *, final: bool = True, **fields: Any) -> Frame:
    return {
        "response_type": "agent_interrupt",
        "interrupt_id": interrupt_id,
        "content": text,
        "content_complete": final,
        **fields,
    }


@pytest.fixture
def line() -> Played:
    """A call whose agent lets the caller start."""
    played = Played()
    played.config(transcript_with_tool_calls=True)
    played.says(0, "")
    return played


# The beginning.


def test_details_follow_the_config_that_asks_for_them() -> None:
    played = Played(details={"from_number": "+12025550100", "call_type": "phone_call"})
    played.config(**ALL_ON)
    assert played.all(steps.Configured) == [steps.Configured(wants_pings=True, wants_details=True, wants_rows=True)]
    call = played.frames("call_details")[0]["call"]
    assert (call["call_id"], call["call_status"], call["from_number"]) == ("call_1", "registered", "+12025550100")


def test_what_a_config_leaves_out_is_off() -> None:
    played = Played()
    played.config()
    played.says(0, "")
    played.wait(9)
    played.caller("Hi.")
    assert played.frames("call_details") == played.frames("ping_pong") == []
    assert "transcript_with_tool_calls" not in played.frames("response_required")[0]


def test_a_greeting_is_timed_from_the_open_line() -> None:
    played = Played()
    played.wait(0.25)
    played.says(0, "Hello ", final=False)
    played.says(0, "you.")
    assert played.all(steps.ChunkArrived) == [
        steps.ChunkArrived(0, "Hello ", 0.25),
        steps.ChunkArrived(0, "you.", None),
    ]
    assert played.all(steps.TurnFinished) == [steps.TurnFinished(0, "Hello you.", 0.25)]


def test_blank_text_is_no_first_chunk(line: Played) -> None:
    line.caller("Hi.")
    line.says(1, " ", final=False)
    line.wait(0.5)
    line.says(1, "Yes.")
    assert [chunk.waited for chunk in line.all(steps.ChunkArrived)] == [None, 0.5]


# The agent's words (rule 3).


def test_words_enter_the_transcript_as_they_are_spoken() -> None:
    played = Played()
    played.says(0, "How may I help?")
    played.wait(1)
    assert played.transcript() == [("agent", "How may")]
    played.wait(1)
    assert played.transcript() == [("agent", "How may I help?")]
    assert played.all(steps.WordsHeard)[-1] == steps.WordsHeard(0, 4)
    assert played.all(steps.SpeechFinished) == [steps.SpeechFinished(0)]


def test_speech_begins_with_the_first_complete_sentence() -> None:
    played = Played()
    played.says(0, "Well now", final=False)
    played.wait(3)
    assert played.all(steps.SpeechStarted) == []
    played.says(0, ". I am", final=False)
    assert played.all(steps.SpeechStarted) == [steps.SpeechStarted(0, 3)]


def test_speech_begins_with_the_final_frame_when_no_sentence_ends() -> None:
    played = Played()
    played.says(0, "Well now", final=False)
    played.says(0, "")
    assert played.all(steps.SpeechStarted) == [steps.SpeechStarted(0, 0)]


def test_a_word_cut_between_two_chunks_is_one_word() -> None:
    played = Played()
    played.says(0, "One. Tw", final=False)
    played.wait(5)
    played.says(0, "o three")
    played.wait(5)
    assert played.transcript() == [("agent", "One. Two three")]


def test_words_carry_seconds_since_the_call_began() -> None:
    played = Played()
    played.wait(1)
    played.says(0, "One two.")
    played.wait(2)
    words = played.frames("update_only")[-1]["transcript"][0]["words"]
    assert words == [{"word": "One", "start": 1.0, "end": 1.5}, {"word": "two.", "start": 1.5, "end": 2.0}]


def test_a_change_of_speaker_is_announced(line: Played) -> None:
    line.types("Hi")
    line.caller("Hi.")
    line.says(1, "Hello.")
    turns = [frame["turntaking"] for frame in line.frames("update_only") if "turntaking" in frame]
    assert turns == ["user_turn", "agent_turn"]


def test_updates_come_at_most_three_times_a_second(line: Played) -> None:
    for n in range(1, 21):
        line.types("abcdefghijklmnopqrstuvwxyz"[:n])
        line.wait(0.05)
    line.wait(1)
    assert len(line.frames("update_only")) <= 5
    assert line.transcript() == [("user", "abcdefghijklmnopqrst")]


# The caller's words (rule 4).


def test_a_finished_utterance_asks_for_a_response_with_a_fresh_id(line: Played) -> None:
    line.caller("Hi.")
    line.says(1, "Hello.")
    line.wait(2)
    line.caller("Bye.")
    assert [frame["response_id"] for frame in line.frames("response_required")] == [1, 2]
    assert line.transcript() == [("user", "Hi."), ("agent", "Hello."), ("user", "Bye.")]


def test_corrected_words_replace_the_ones_before(line: Played) -> None:
    line.wait(4)
    line.types("I want too")
    line.wait(1)
    line.caller("I want two.")
    row = line.frames("response_required")[0]["transcript"][0]
    assert row["content"] == "I want two."
    assert [word["end"] for word in row["words"]] == [3.0, 3.5, 5.0]


def test_speech_without_words_is_unintelligible_audio(line: Played) -> None:
    line.caller("  ")
    assert line.transcript() == [("user", "(unintelligible audio)")]


def test_typing_nothing_is_not_speaking(line: Played) -> None:
    line.types("  ")
    assert line.call.is_listening


def test_a_barge_in_leaves_what_was_heard() -> None:
    played = Played()
    played.says(0, "How may I help you?")
    played.wait(1)
    played.types("Stop")
    played.wait(5)
    assert played.all(steps.SpeechCut) == [steps.SpeechCut(0, "How may", "I help you?", "caller")]
    assert played.transcript() == [("agent", "How may"), ("user", "Stop")]


def test_words_of_a_turn_that_the_caller_cut_off_are_not_spoken(line: Played) -> None:
    line.caller("Hi.")
    line.says(1, "One. ", final=False)
    line.wait(0.1)
    line.types("Wait")
    line.says(1, "Two.")
    line.wait(3)
    assert line.all(steps.ResponseDropped) == [steps.ResponseDropped(1)]
    assert line.transcript() == [("user", "Hi."), ("user", "Wait")]


def test_guarded_words_are_not_interrupted_and_the_question_waits_for_their_end(line: Played) -> None:
    line.caller("Hi.")
    line.says(1, "This call is recorded.", no_interruption_allowed=True)
    line.wait(1)
    line.caller("What?")
    assert line.frames("response_required")[-1]["response_id"] == 1
    line.wait(1)
    assert line.all(steps.SpeechCut) == []
    assert line.frames("response_required")[-1]["response_id"] == 2
    assert line.transcript() == [("user", "Hi."), ("agent", "This call is recorded."), ("user", "What?")]


def test_an_agent_tuned_to_hear_nothing_is_not_interrupted() -> None:
    played = Played()
    played.server({"response_type": "update_agent", "agent_config": {"interruption_sensitivity": 0}})
    played.says(0, "How may I help you?")
    played.wait(1)
    played.types("Stop")
    assert played.all(steps.SpeechCut) == []


def test_a_caller_speaks_word_by_word_and_is_then_answered(line: Played) -> None:
    line.keep(line.call.caller_speaks("a table for two", line.now))
    line.wait(1)
    assert line.transcript() == [("user", "a table")]
    assert line.frames("response_required") == []
    line.wait(1)
    assert line.frames("response_required")[0]["transcript"][0]["content"] == "a table for two"


def test_pressed_digits_are_rows_and_ask_for_a_response(line: Played) -> None:
    line.keep(line.call.press("4#", line.now))
    assert line.frames("response_required")[0]["transcript"] == []
    assert line.woven() == [{"role": "dtmf", "digit": "4"}, {"role": "dtmf", "digit": "#"}]


# Turns (rules 1 and 2).


def test_an_overtaken_response_is_dropped_silently(line: Played) -> None:
    line.caller("One?")
    line.caller("Two?")
    line.says(1, "Late.")
    assert line.all(steps.ResponseDropped) == [steps.ResponseDropped(1)]
    assert line.broken() == []


def test_stale_words_are_a_fault_once_the_newer_turn_was_answered(line: Played) -> None:
    line.caller("One?")
    line.caller("Two?")
    line.says(2, "Now.")
    line.says(1, "Late.")
    assert line.broken() == ["turn 1: stale words, turn 2 had been read"]


def test_stale_words_are_a_fault_once_a_later_ping_was_answered() -> None:
    played = Played()
    played.config(auto_reconnect=True)
    played.caller("One?")
    played.caller("Two?")
    played.wait(2)
    played.server({"response_type": "ping_pong", "timestamp": 1_002_000})
    played.says(1, "Late.")
    assert played.broken() == ["turn 1: stale words, turn 2 had been read"]
    assert played.all(steps.PingAnswered) == [steps.PingAnswered(0)]


@pytest.mark.parametrize(
    ("frames", "rule"),
    [
        pytest.param([response(7, "Hi.")], "turn 7 was never asked", id="unknown id"),
        pytest.param([response(-1, "Hi.")], "turn -1 was never asked", id="negative id"),
        pytest.param([response(0, "Hi.")], "turn 0: a frame after its final frame", id="words after the end"),
        pytest.param(
            [interrupt(1, "A."), interrupt(1, "B.")], "agent_interrupt 1: a frame after its final frame", id="interrupt"
        ),
        pytest.param(["Hello"], "a frame is not JSON: JSON is malformed: invalid character (byte 0)", id="no JSON"),
        pytest.param(["[1]"], "a frame is not a JSON object", id="array"),
        pytest.param([{"response_type": "resonse"}], "resonse: Invalid value 'resonse' - at `$.response_type`", id="?"),
        pytest.param(
            [response(0, "", final=False) | {"content_complete": "true"}],
            "response: Expected `bool`, got `str` - at `$.content_complete`",
            id="a text for a boolean",
        ),
        pytest.param(
            [{"response_type": "tool_call_result", "tool_call_id": "t", "content": "1"}],
            "the result of tool call t, never shown",
            id="unknown tool call",
        ),
        pytest.param(
            [{"response_type": "tool_call_invocation", "tool_call_id": "t", "name": "f", "arguments": "{"}],
            "tool_call_invocation: arguments is not stringified JSON",
            id="arguments",
        ),
        pytest.param(
            [{"response_type": "update_agent", "agent_config": {"responsiveness": 2}}],
            "update_agent: responsiveness is outside 0 to 1",
            id="responsiveness",
        ),
        pytest.param(
            [{"response_type": "update_agent", "agent_config": {"reminder_trigger_ms": 0}}],
            "update_agent: reminder_trigger_ms is not positive",
            id="reminder time",
        ),
        pytest.param(
            [{"response_type": "update_agent", "agent_config": {"reminder_max_count": -1}}],
            "update_agent: reminder_max_count is negative",
            id="reminder count",
        ),
        pytest.param(
            [{"response_type": "metadata", "metadata": 3}], "metadata: metadata is not an object", id="metadata"
        ),
    ],
)
def test_a_frame_against_the_rules_is_told(line: Played, frames: list[Frame | str], rule: str) -> None:
    line.server(*frames)
    assert line.broken() == [rule]


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"transfer_number": None}, "response: transfer_number is null, leave it out"),
        ({"transfer_caller_id": "x"}, "response: unknown field transfer_caller_id"),
        (
            {"end_call": True, "digit_to_press": "1"},
            "more than one of end_call, transfer_number and digit_to_press",
        ),
        ({"digit_to_press": "x"}, "digit_to_press holds something else than 0 to 9, * and #"),
        ({"transfer_number": ""}, "transfer_number is empty"),
        ({"show_transferee_as_caller": True}, "show_transferee_as_caller without transfer_number"),
    ],
)
def test_a_response_with_a_wrong_field_is_told_and_still_heard(line: Played, fields: Frame, rule: str) -> None:
    line.caller("Hi.")
    line.says(1, "Yes.", **fields)
    assert line.broken() == [rule]
    assert line.all(steps.ChunkArrived)[-1].text == "Yes."


def test_a_frame_without_a_type_is_taken_for_a_response(line: Played) -> None:
    line.caller("Hi.")
    line.server({"response_id": 1, "content": "Yes.", "content_complete": True})
    assert line.broken() == ["a frame has no response_type"]
    assert line.all(steps.TurnFinished)[-1].text == "Yes."


def test_deep_nesting_is_no_json(line: Played) -> None:
    line.server("[" * 100_000)
    assert len(line.broken()) == 1


# Actions (rule 5).


def test_a_hang_up_waits_for_the_words(line: Played) -> None:
    line.caller("Bye.")
    line.says(1, "Good bye.", end_call=True)
    line.wait(0.5)
    assert line.call.ended is None
    line.wait(0.5)
    assert line.steps[-3:] == [
        steps.ActionTaken(Action("end_call")),
        steps.CloseLine(1000),
        steps.CallEnded("agent_hangup"),
    ]


def test_a_hang_up_without_words_is_at_once(line: Played) -> None:
    line.caller("Bye.")
    line.says(1, "", end_call=True)
    assert line.call.ended == "agent_hangup"


def test_an_interrupted_hang_up_is_discarded(line: Played) -> None:
    line.caller("Bye.")
    line.says(1, "Good bye.", end_call=True)
    line.wait(0.5)
    line.caller("No, wait!")
    line.wait(5)
    assert line.all(steps.ActionDiscarded) == [steps.ActionDiscarded(Action("end_call"))]
    assert line.call.ended is None


def test_a_transfer_ends_the_call_after_its_words(line: Played) -> None:
    line.caller("A human.")
    line.says(1, "One moment.", transfer_number="+12025550100")
    line.wait(1)
    assert line.all(steps.ActionTaken) == [steps.ActionTaken(Action("transfer_number", "+12025550100"))]
    assert line.call.ended == "call_transfer"


def test_pressing_digits_leaves_the_call_going(line: Played) -> None:
    line.caller("Menu.")
    line.says(1, "", digit_to_press="42#")
    assert line.all(steps.ActionTaken) == [steps.ActionTaken(Action("digit_to_press", "42#"))]
    assert line.call.is_listening


# Interruptions of the agent's own, tools, tuning, pages.


def test_an_agent_interrupt_cuts_off_and_withdraws_the_response(line: Played) -> None:
    line.caller("Hi.")
    line.says(1, "One two three. ", final=False)
    line.wait(0.5)
    line.server(interrupt(1, "Listen. ", final=False), interrupt(1, "Now."))
    line.says(1, "Four.")
    line.wait(1)
    assert line.all(steps.SpeechCut) == [steps.SpeechCut(1, "One", "two three.", "agent")]
    assert line.broken() == ["turn 1: a frame after the agent_interrupt that withdrew it"]
    assert line.transcript()[-1] == ("agent", "Listen. Now.")


def test_a_new_interrupt_discards_the_one_before(line: Played) -> None:
    line.server(interrupt(1, "One two."), interrupt(2, "Three."))
    line.wait(1)
    assert line.transcript() == [("agent", "Three.")]


def test_an_agent_interrupt_silences_the_caller(line: Played) -> None:
    line.types("I would")
    line.server(interrupt(1, "Sorry."))
    line.wait(1)
    line.types("Now")
    line.wait(1)
    assert line.transcript() == [("user", "I would"), ("agent", "Sorry."), ("user", "Now")]


def test_a_caller_cuts_off_an_agent_interrupt(line: Played) -> None:
    line.server(interrupt(1, "One two three. ", final=False))
    line.wait(0.5)
    line.types("Hm")
    line.server(interrupt(1, "Four."))
    assert line.all(steps.SpeechCut) == [steps.SpeechCut(None, "One", "two three.", "caller")]


def test_tool_rows_stand_where_they_arrived(line: Played) -> None:
    line.caller("Any slot?")
    line.says(1, "Let me look. ", final=False)
    line.wait(0.5)
    call = {"tool_call_id": "t1", "name": "find", "arguments": "{}"}
    line.server({"response_type": "tool_call_invocation", **call})
    line.server({"response_type": "tool_call_result", "tool_call_id": "t1", "content": "9:30", "successful": True})
    line.wait(1)
    assert line.transcript() == [("user", "Any slot?"), ("agent", "Let me look.")]
    assert [row["role"] for row in line.woven()] == [
        "user",
        "agent",
        "tool_call_invocation",
        "tool_call_result",
        "agent",
    ]
    assert line.woven()[2] == {"role": "tool_call_invocation", **call}
    assert line.all(steps.ToolAnswered) == [steps.ToolAnswered("t1", "9:30", is_successful=True)]


def test_a_tool_call_shown_twice_is_a_fault(line: Played) -> None:
    call = {"response_type": "tool_call_invocation", "tool_call_id": "t1", "name": "find", "arguments": "{}"}
    line.server(call, call)
    assert line.broken() == ["tool call t1 is shown twice"]


def test_metadata_is_passed_on(line: Played) -> None:
    line.server({"response_type": "metadata", "metadata": {"page": 2}})
    assert json.loads(line.all(steps.PageTold)[0].json) == {"page": 2}


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
