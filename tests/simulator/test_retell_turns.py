"""Retell's side of a call, in virtual time: turns, actions, interruptions and tools. Rules: `simulator/retell.py`."""

import json

import pytest

from service.simulator import retell_steps as steps
from service.simulator.retell_steps import Action
from tests.simulator.played import Frame, Played, interrupt, response

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
