import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.conversation import events
from service.conversation.call import Prompt
from service.conversation.events import Event, Oddity, OddityNoticed
from service.conversation.transcript import DigitPressed, Note, Row, ToolAnswered, ToolCalled
from service.platforms.retell.protocol import Retell
from tests.conversation.play import agent, caller

RETELL = Retell()


def event_of(frame: object) -> Event:
    (event,) = RETELL.decode(json.dumps(frame), 7.0)
    return event


def test_a_ping_keeps_its_timestamp() -> None:
    assert event_of({"interaction_type": "ping_pong", "timestamp": 1700000000123}) == events.Pinged(7.0, 1700000000123)


@pytest.mark.parametrize(
    ("kind", "prompt"),
    [("response_required", Prompt.CALLER_SPOKE), ("reminder_required", Prompt.CALLER_SILENT)],
)
def test_a_request_carries_its_id_and_transcript(kind: str, prompt: Prompt) -> None:
    rows = [{"role": "agent", "content": "Hello"}, {"role": "user", "content": "Hi", "words": [{"word": "Hi"}]}]
    frame = {"interaction_type": kind, "response_id": 3, "transcript": rows, "timestamp": 3, "new": {"x": 1}}
    assert event_of(frame) == events.ReplyRequested(7.0, 3, prompt, (agent("Hello"), caller("Hi")))


def test_every_role_is_understood() -> None:
    rows = [
        {"role": "agent", "content": "Hello"},
        {"role": "user", "content": "(unintelligible audio)"},
        {"role": "transfer_target", "content": "Yes?"},
        {"role": "system", "content": "x"},
        {"role": "somebody", "content": "y", "words": None},
        {"role": "tool_call_invocation", "tool_call_id": "t1", "name": "find", "arguments": '{"a":1}'},
        {"role": "tool_call_result", "tool_call_id": "t1", "content": "none", "successful": False},
        {"role": "tool_call_result", "tool_call_id": "t2", "content": "some"},
        {"role": "dtmf", "digit": "1#"},
        {"role": "node_transition", "former_node_id": "a", "new_node_id": "b"},
        {"role": "sms", "content": "my number", "time_sec": 3},
        {"role": "injected", "content": "the caller is a customer"},
        {"content": None},
    ]
    event = event_of({"interaction_type": "update_only", "transcript": [], "transcript_with_tool_calls": rows})
    assert isinstance(event, events.TranscriptUpdated)
    assert event.transcript == (
        agent("Hello"),
        caller("(unintelligible audio)"),
        caller("Yes?"),
        caller("x"),
        caller("y"),
        ToolCalled("t1", "find", '{"a":1}'),
        ToolAnswered("t1", "none", is_successful=False),
        ToolAnswered("t2", "some"),
        DigitPressed("1"),
        DigitPressed("#"),
        Note("Text message from the caller: my number"),
        Note("the caller is a customer"),
        caller(""),
    )


def test_an_update_may_come_without_a_transcript() -> None:
    assert event_of({"interaction_type": "update_only", "turntaking": "user_turn"}) == events.TranscriptUpdated(
        7.0, None
    )


def test_call_details_of_a_phone_call() -> None:
    call = {
        "call_id": "c",
        "call_type": "phone_call",
        "call_status": "ongoing",
        "direction": "inbound",
        "from_number": "+1",
        "to_number": "+2",
        "start_timestamp": 1700000000500,
        "metadata": {"a": 1},
        "retell_llm_dynamic_variables": {"name": "Ada", "age": 36},
        "access_token": "secret",
    }
    event = event_of({"interaction_type": "call_details", "call": call})
    assert isinstance(event, events.CallDetailsReceived)
    details = event.details
    assert (details.from_number, details.to_number, details.direction) == ("+1", "+2", "inbound")
    assert (details.is_ongoing, details.is_web_call, details.started_at) == (True, False, 1700000000.5)
    assert details.variables == {"name": "Ada", "age": "36"}
    assert details.metadata == {"a": 1}
    assert "secret" not in repr(event)


@pytest.mark.parametrize(
    ("fields", "may_store"),
    [
        ({}, True),
        ({"data_storage_setting": "everything"}, True),
        ({"data_storage_setting": "everything_except_pii"}, False),
        ({"data_storage_setting": "something new"}, False),
        ({"opt_out_sensitive_data_storage": True}, False),
        ({"opt_out_sensitive_data_storage": False}, True),
    ],
)
def test_the_call_s_storage_setting_is_heeded(fields: dict[str, object], *, may_store: bool) -> None:
    event = event_of({"interaction_type": "call_details", "call": {"call_id": "c", "metadata": "text", **fields}})
    assert isinstance(event, events.CallDetailsReceived)
    assert event.details.may_store_content is may_store
    assert event.details.metadata == {}


@pytest.mark.parametrize(
    ("frame", "oddity"),
    [
        pytest.param("Hello", Oddity.NOT_JSON, id="typed-by-hand"),
        pytest.param("", Oddity.NOT_JSON, id="empty"),
        pytest.param('{"interaction_type":', Oddity.NOT_JSON, id="cut"),
        pytest.param('{"a":"\\ud800', Oddity.NOT_JSON, id="cut-behind-half-an-emoji"),
        pytest.param("[]", Oddity.MALFORMED_FRAME, id="array"),
        pytest.param("{}", Oddity.MALFORMED_FRAME, id="no-type"),
        pytest.param('{"interaction_type": null}', Oddity.MALFORMED_FRAME, id="null-type"),
        pytest.param('{"interaction_type": 5}', Oddity.MALFORMED_FRAME, id="number-type"),
        pytest.param('{"interaction_type":"ping_pong"}', Oddity.MALFORMED_FRAME, id="ping-without-timestamp"),
        pytest.param('{"interaction_type":"call_details","call":{}}', Oddity.MALFORMED_FRAME, id="no-call-id"),
        pytest.param('{"interaction_type":"response_required"}', Oddity.MALFORMED_FRAME, id="request-without-id"),
        pytest.param(
            '{"interaction_type":"response_required","response_id":"one"}', Oddity.MALFORMED_FRAME, id="id-is-text"
        ),
        pytest.param('{"interaction_type":"my card is 4111"}', Oddity.UNKNOWN_TYPE, id="words-as-type"),
        pytest.param(
            '{"interaction_type":"response_required","response_id":1e400}', Oddity.MALFORMED_FRAME, id="id-is-infinite"
        ),
        pytest.param('{"interaction_type":"clear"}', Oddity.UNKNOWN_TYPE, id="unknown-type"),
        pytest.param("[" * 100_000, Oddity.MALFORMED_FRAME, id="deep-array"),
        pytest.param('{"a":' + "[" * 100_000, Oddity.MALFORMED_FRAME, id="deep-object"),
        pytest.param('{"a":"\\ud800","b":' + "[" * 100_000, Oddity.MALFORMED_FRAME, id="deep-behind-half-an-emoji"),
        pytest.param(b"\x00\x01", Oddity.BINARY_FRAME, id="binary"),
    ],
)
def test_what_cannot_be_read_is_an_oddity(frame: str | bytes, oddity: Oddity) -> None:
    (event,) = RETELL.decode(frame, 7.0)
    assert isinstance(event, OddityNoticed)
    assert event.oddity is oddity
    assert "4111" not in event.detail


@pytest.mark.parametrize(
    ("transcript", "readable"),
    [
        ("text", None),
        ({"a": 1}, None),
        ([5], None),
        ([{"role": "user", "content": 5}, {"role": "user", "content": "Hi"}, None], (caller("Hi"),)),
        ([{"role": "dtmf", "digit": 5}, {"role": "agent", "content": "Yes?"}], (agent("Yes?"),)),
    ],
)
@pytest.mark.parametrize("field", ["transcript", "transcript_with_tool_calls"])
def test_an_odd_row_hides_neither_the_request_nor_the_other_rows(
    transcript: object, readable: tuple[Row, ...] | None, field: str
) -> None:
    frame = {"interaction_type": "response_required", "response_id": 4, field: transcript}
    odd, request = RETELL.decode(json.dumps(frame), 7.0)
    assert isinstance(odd, OddityNoticed)
    assert odd.oddity is Oddity.TRANSCRIPT_UNREADABLE
    assert request == events.ReplyRequested(7.0, 4, Prompt.CALLER_SPOKE, readable)
    odd, update = RETELL.decode(json.dumps({**frame, "interaction_type": "update_only"}), 7.0)
    assert update == events.TranscriptUpdated(7.0, readable)


def test_numbers_in_another_spelling_are_numbers() -> None:
    request = RETELL.decode('{"interaction_type":"response_required","response_id":"78"}', 7.0)[-1]
    assert request == events.ReplyRequested(7.0, 78, Prompt.CALLER_SPOKE, None)
    assert event_of({"interaction_type": "ping_pong", "timestamp": 5.0}) == events.Pinged(7.0, 5)


def test_a_transcript_longer_than_any_call_is_unreadable() -> None:
    odd, update = RETELL.decode('{"interaction_type":"update_only","transcript":[' + "{}," * 50_000 + "{}]}", 7.0)
    assert isinstance(odd, OddityNoticed)
    assert update == events.TranscriptUpdated(7.0, None)


def test_an_utterance_longer_than_any_is_cut() -> None:
    update = event_of({"interaction_type": "update_only", "transcript": [{"role": "user", "content": "x" * 99_999}]})
    assert isinstance(update, events.TranscriptUpdated)
    assert update.transcript == (caller("x" * 65_536),)


def test_half_an_emoji_in_the_transcript_does_not_lose_the_request() -> None:
    frame = {
        "interaction_type": "response_required",
        "response_id": 4,
        "transcript": [{"role": "agent", "content": "Hi \ud83d"}],
    }
    assert event_of(frame) == events.ReplyRequested(7.0, 4, Prompt.CALLER_SPOKE, (agent("Hi \ufffd"),))


@given(st.one_of(st.text(), st.binary()))
def test_no_frame_raises(frame: str | bytes) -> None:
    assert RETELL.decode(frame, 7.0)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_PLAIN = '[{"role":"user","content":"plain"},{"role":"odd \\"],\\"transcript_with_tool_calls\\":[{","content":5}]'


@pytest.mark.parametrize(
    ("fields", "heard"),
    [
        pytest.param(',"transcript":PLAIN,"transcript_with_tool_calls":[{"content":"woven"}]', "woven", id="both"),
        pytest.param(',"transcript_with_tool_calls":[{"content":"woven"}],"transcript":[]', "woven", id="woven first"),
        pytest.param(',"transcript":[{"content":"plain"}],"transcript_with_tool_calls":[]', "plain", id="woven empty"),
        pytest.param(',"transcript":[{"content":"plain"}]', "plain", id="plain alone"),
        pytest.param(',"transcript_with_tool_calls":[{"content":"woven"}]', "woven", id="woven alone"),
        pytest.param(',"transcript":[],"turntaking":[],"transcript_with_tool_calls":[{"content":"w"}]', "w", id="more"),
    ],
)
def test_the_plain_transcript_is_not_read_beside_the_woven_one(fields: str, heard: str) -> None:
    frame = '{"interaction_type":"update_only"' + fields.replace("PLAIN", _PLAIN) + "}"
    assert RETELL.decode(frame, 7.0) == (events.TranscriptUpdated(7.0, (caller(heard),)),)


kinds = st.sampled_from(["ping_pong", "call_details", "update_only", "response_required", "reminder_required", "x"])
names = st.sampled_from(["response_id", "transcript", "transcript_with_tool_calls", "timestamp", "call", "x"])


@given(kinds, st.dictionaries(names, json_values))
def test_no_field_of_any_shape_raises(kind: str, fields: dict[str, object]) -> None:
    assert RETELL.decode(json.dumps({"interaction_type": kind, **fields}), 7.0)
