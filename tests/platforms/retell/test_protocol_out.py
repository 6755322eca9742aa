import json

import pytest

from service.conversation import commands, parts
from service.conversation.commands import Outgoing
from service.conversation.events import Oddity
from service.conversation.parts import PageMessage, VoiceSettings
from service.conversation.transcript import ToolAnswered, ToolCalled
from service.platforms.retell.protocol import Retell

RETELL = Retell()


def frame_of(command: Outgoing) -> object:
    return json.loads(RETELL.encode(command))


def test_the_config_comes_first_with_real_booleans() -> None:
    (frame,) = Retell(auto_reconnect=False, call_details=True, transcript_with_tool_calls=False).opening()
    flags = {"auto_reconnect": False, "call_details": True, "transcript_with_tool_calls": False}
    assert json.loads(frame) == {"response_type": "config", "config": flags}


def test_a_pong_echoes_it() -> None:
    assert frame_of(commands.AnswerPing(1700000000123)) == {"response_type": "ping_pong", "timestamp": 1700000000123}


def test_words_are_a_response_and_nothing_unset_is_sent() -> None:
    plain = {"response_type": "response", "response_id": 1, "content": " Hi", "content_complete": False}
    assert frame_of(commands.Say(1, " Hi")) == plain
    assert frame_of(commands.Say(1, " Hi", is_uninterruptible=True)) == {**plain, "no_interruption_allowed": True}


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        (parts.HangUp("Bye."), {"end_call": True}),
        (parts.Transfer("+4930123456"), {"transfer_number": "+4930123456"}),
        (
            parts.Transfer("+4930123456", shows_caller_number=True),
            {"transfer_number": "+4930123456", "show_transferee_as_caller": True},
        ),
        (parts.PressDigits("12#"), {"digit_to_press": "12#"}),
    ],
)
def test_an_action_travels_on_the_final_frame(action: parts.Action, fields: dict[str, object]) -> None:
    frame = {"response_type": "response", "response_id": 1, "content": "", "content_complete": True, **fields}
    assert frame_of(commands.Say(1, "", is_final=True, action=action)) == frame
    fields.pop("show_transferee_as_caller", None)
    interrupt = {"response_type": "agent_interrupt", "interrupt_id": 9, "content": "x", "content_complete": True}
    uninterruptible = {"no_interruption_allowed": True}
    assert frame_of(commands.Interject(9, "x", action=action)) == {**interrupt, **uninterruptible, **fields}


def test_tool_rows_are_text() -> None:
    assert frame_of(commands.ShowToolCall(ToolCalled("t", "find", '{"a":1}'))) == {
        "response_type": "tool_call_invocation",
        "tool_call_id": "t",
        "name": "find",
        "arguments": '{"a":1}',
    }
    result = {"response_type": "tool_call_result", "tool_call_id": "t", "content": "x"}
    assert frame_of(commands.ShowToolResult(ToolAnswered("t", "x"))) == result
    done = ToolAnswered("t", "x", is_successful=False)
    assert frame_of(commands.ShowToolResult(done)) == {**result, "successful": False}


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        (VoiceSettings(), {}),
        (
            VoiceSettings(responsiveness=-1, interruption_sensitivity=7),
            {"responsiveness": 0, "interruption_sensitivity": 1},
        ),
        (VoiceSettings(reminder_after=-3, reminder_limit=-1), {"reminder_trigger_ms": 1, "reminder_max_count": 0}),
        (VoiceSettings(responsiveness=0.5, reminder_after=12.5), {"responsiveness": 0.5, "reminder_trigger_ms": 12500}),
    ],
)
def test_voice_settings_are_clamped_to_what_retell_takes(settings: VoiceSettings, fields: dict[str, object]) -> None:
    assert frame_of(commands.TuneVoice(settings)) == {"response_type": "update_agent", "agent_config": fields}


def test_page_data_goes_out_as_it_is() -> None:
    page = commands.TellPage(PageMessage.of({"a": [1, "é"]}))
    assert frame_of(page) == {"response_type": "metadata", "metadata": {"a": [1, "é"]}}


@pytest.mark.parametrize("text", ["\ud83d", "Hi \ude00\ud83d!", "\x00", "é"])
def test_any_text_of_an_agent_can_be_sent(text: str) -> None:
    frame = json.loads(RETELL.encode(commands.Say(1, text, action=parts.HangUp())))
    assert frame["end_call"] is True
    assert frame["content"].encode()
    assert frame_of(commands.ShowToolResult(ToolAnswered("t", text)))


def test_an_oddity_names_the_assumption_it_breaks() -> None:
    assert RETELL.assumption_broken_by(Oddity.REQUEST_NOT_NEWER) == "A6"
    assert RETELL.assumption_broken_by(Oddity.MALFORMED_FRAME) is None
    assert RETELL.name == "retell"
    assert RETELL.tells_call_details
