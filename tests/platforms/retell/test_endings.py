import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.conversation.call import Ending
from service.conversation.transcript import Speaker, ToolAnswered, ToolCalled, Utterance
from service.conversation.verdict import CallConcluded
from service.platforms.retell.endings import ending_of

VERDICT = CallConcluded("call_1", "user_hangup", "user_hangup")
HELLO = {"role": "agent", "content": "Hello.", "words": [{"word": "Hello.", "start": 0.1, "end": 0.5}]}


def ending(**call: Any) -> Ending:
    return ending_of(json.dumps({"event": "call_ended", "call": {"call_id": "call_1", **call}}).encode(), VERDICT)


def test_the_webhook_tells_the_call_s_details_and_times() -> None:
    told = ending(
        call_type="phone_call",
        call_status="ended",
        from_number="+491",
        direction="inbound",
        start_timestamp=1_700_000_000_500,
        end_timestamp=1_700_000_060_000,
        retell_llm_dynamic_variables={"name": "Ada", "age": None},
        metadata={"a": 1},
    )
    assert (told.reason, told.ended_at) == ("user_hangup", 1_700_000_060.0)
    assert told.details is not None
    assert (told.details.call_id, told.details.from_number, told.details.started_at) == (
        "call_1",
        "+491",
        1_700_000_000.5,
    )
    assert (told.details.variables, told.details.metadata) == ({"name": "Ada"}, {"a": 1})


def test_the_transcript_with_tools_counts_before_the_plain_one() -> None:
    called = {"role": "tool_call_invocation", "tool_call_id": "t1", "name": "book", "arguments": "{}"}
    answered = {"role": "tool_call_result", "tool_call_id": "t1", "content": "yes", "successful": True}
    woven = ending(
        transcript="Agent: Hello.", transcript_object=[HELLO], transcript_with_tool_calls=[HELLO, called, answered]
    )
    hello = Utterance(Speaker.AGENT, "Hello.")
    assert woven.transcript == (hello, ToolCalled("t1", "book", "{}"), ToolAnswered("t1", "yes", is_successful=True))
    assert ending(transcript_object=[HELLO], transcript_with_tool_calls=[]).transcript == (hello,)
    assert ending(transcript_object=[HELLO]).transcript == (hello,)


def test_what_cannot_be_read_is_unknown_and_hides_nothing_else() -> None:
    odd = ending(retell_llm_dynamic_variables=[1], transcript_object=[7, HELLO], end_timestamp=2000)
    assert (odd.details, odd.ended_at, len(odd.transcript)) == (None, 2.0, 1)
    odd = ending(end_timestamp="late", transcript_object=[HELLO])
    assert odd.details is not None
    assert (odd.ended_at, odd.transcript) == (None, ())


def test_half_an_emoji_costs_no_row() -> None:
    told = ending(transcript_object=[{"role": "user", "content": "half \ud83d"}])
    assert told.transcript == (Utterance(Speaker.CALLER, "half \ufffd"),)


@pytest.mark.parametrize("body", [b"", b"\xff", b"{}", b'{"call":7}', b'{"call":' + b"[" * 100_000])
def test_a_body_of_another_shape_tells_nothing_but_why(body: bytes) -> None:
    assert ending_of(body, VERDICT) == Ending("user_hangup")


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda odd: st.lists(odd) | st.dictionaries(st.text(), odd),
    max_leaves=8,
)
FIELDS = ["call_id", "start_timestamp", "end_timestamp", "metadata", "transcript_object", "transcript_with_tool_calls"]


@given(st.dictionaries(st.sampled_from(FIELDS), ODD) | ODD)
def test_whatever_the_call_is_it_has_an_ending(call: Any) -> None:
    assert ending_of(json.dumps({"event": "call_ended", "call": call}).encode(), VERDICT).reason == "user_hangup"
