import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.conversation.verdict import CallAnnounced, CallConcluded, CallMeasured
from service.platforms.retell.webhooks import REASONS, BadSignature, Malformed, Seal, check, read, seal_of
from tests.posting import signed

# Of the TypeScript SDK's tests.
BODY, KEY, AT = b'{"event":"call_ended"}', "test-api-key", 1_700_000_000.0
DIGEST = "07024cabe7dd8f6d1c6e4a8324ca92c812e6ad4a7ee506c04f7e462e3321823e"
SIGNATURE = f"v=1700000000000,d={DIGEST}"


def verify(
    body: bytes = BODY, keys: tuple[str, ...] = (KEY,), signature: str | None = SIGNATURE, now: float = AT
) -> None:
    check(seal_of(signature, now), body, keys)


def test_the_vector_of_the_sdk_is_genuine() -> None:
    verify()


def test_any_of_the_keys_may_have_signed() -> None:
    verify(keys=("the new one", KEY))
    verify(keys=(KEY, "the old one"))


@pytest.mark.parametrize("late", [-300, 300])
def test_a_signature_of_five_minutes_is_fresh_and_one_millisecond_more_is_stale(late: int) -> None:
    verify(now=AT + late)
    with pytest.raises(BadSignature, match=r"^stale$"):
        verify(now=AT + late * 1.00001)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        pytest.param({"body": BODY + b" "}, "wrong", id="one byte more"),
        pytest.param({"body": b'{"event": "call_ended"}'}, "wrong", id="the same JSON, spaced"),
        pytest.param({"keys": ("another",)}, "wrong", id="another key"),
        pytest.param({"keys": ()}, "wrong", id="no key"),
        pytest.param({"signature": f"v=1700000000001,d={DIGEST}"}, "wrong", id="another moment"),
        pytest.param({"signature": f"v=1700000000000,d={'0' * 64}"}, "wrong", id="another digest"),
        pytest.param({"signature": None}, "missing", id="none"),
        pytest.param({"signature": ""}, "unreadable", id="empty"),
        pytest.param({"signature": DIGEST}, "unreadable", id="digest alone"),
        pytest.param({"signature": SIGNATURE + "0"}, "unreadable", id="too long"),
        pytest.param({"signature": SIGNATURE[:-1]}, "unreadable", id="too short"),
        pytest.param({"signature": " " + SIGNATURE}, "unreadable", id="space before"),
        pytest.param({"signature": SIGNATURE + "\n"}, "unreadable", id="newline after"),
        pytest.param({"signature": SIGNATURE.replace("v=", "v=-")}, "unreadable", id="negative"),
        pytest.param({"signature": f"v={'9' * 5000},d={DIGEST}"}, "unreadable", id="a number of 5000 digits"),
        pytest.param({"signature": "v=\u0661\u0667" + SIGNATURE[4:]}, "unreadable", id="digits of another script"),
    ],
)
def test_what_was_not_signed_so_is_refused(changed: dict[str, Any], why: str) -> None:
    with pytest.raises(BadSignature, match=f"^{why}$"):
        verify(**changed)


def test_a_digest_may_be_spelled_in_capitals_and_a_moment_with_noughts_before() -> None:
    assert seal_of(f"V=0001700000000000,D={DIGEST.upper()}", AT) == Seal(1_700_000_000_000, bytes.fromhex(DIGEST))
    verify(signature=f"v=0001700000000000,d={DIGEST.upper()}")


@given(st.binary())
def test_whatever_the_body_is_its_own_signature_fits(body: bytes) -> None:
    check(seal_of(signed(body, KEY, AT), AT), body, [KEY])


@given(st.text())
def test_whatever_the_header_says_it_is_taken_or_refused(signature: str) -> None:
    with pytest.raises(BadSignature):
        verify(signature=signature)


def posted(event: str, **call: Any) -> bytes:
    return json.dumps({"event": event, "call": {"call_id": "call_1", "call_status": "ended", **call}}).encode()


def test_a_call_that_started_is_announced() -> None:
    assert read(posted("call_started", metadata={"any": [1e-7]}, from_number=None)) == CallAnnounced("call_1")


@pytest.mark.parametrize(
    ("call", "reason", "word"),
    [
        ({"disconnection_reason": "user_hangup"}, "user_hangup", "user_hangup"),
        ({"disconnection_reason": "error_llm_websocket_open"}, "error_llm_websocket_open", "error_llm_websocket_open"),
        ({"disconnection_reason": "error_asr"}, "error_other", "error_asr"),
        ({"disconnection_reason": "dial_busy", "call_status": "not_connected"}, "not_connected", "dial_busy"),
        ({"disconnection_reason": "a_word_of_tomorrow"}, "other", "a_word_of_tomorrow"),
        ({"disconnection_reason": "<script>"}, "other", ""),
        ({"disconnection_reason": "x" * 61}, "other", ""),
        ({"disconnection_reason": None}, "other", ""),
        ({}, "other", ""),
    ],
)
def test_why_a_call_ended_is_one_of_a_closed_set(call: dict[str, Any], reason: str, word: str) -> None:
    assert read(posted("call_ended", **call)) == CallConcluded("call_1", reason, word)
    assert reason in REASONS


@pytest.mark.parametrize(
    ("latency", "llm", "e2e"),
    [
        ({"llm": {"p50": 812, "p95": 2000, "values": [812.5]}, "e2e": {"p50": 1640.5}}, 0.812, 1.6405),
        ({"llm": {"p50": 0, "num": 1}}, 0.0, None),
        ({"llm": {"p50": None}, "e2e": None}, None, None),
        ({"llm": {"p50": -1}, "e2e": {}}, None, None),
        ({}, None, None),
        (None, None, None),
    ],
)
def test_an_analyzed_call_tells_medians_in_seconds(latency: Any, llm: float | None, e2e: float | None) -> None:
    assert read(posted("call_analyzed", latency=latency)) == CallMeasured("call_1", llm, e2e)


@pytest.mark.parametrize(
    "body",
    [
        posted("transcript_updated"),
        b'{"event":"chat_ended","chat":{"chat_id":"chat_1"}}',
        b'{"event":"of_tomorrow","call":"another shape"}',
        b'{"event":"call_inbound","call_inbound":{"from_number":"+1"}}',
    ],
)
def test_an_event_that_is_not_read_is_of_no_concern(body: bytes) -> None:
    assert read(body) is None


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"null", b"[]", b"{}", b"{", b"\xff", b'{"event":7}', b'{"event":null}', BODY),
        b'{"event":"call_ended","call":null}',
        b'{"event":"call_ended","data":{"call_id":"call_1"}}',
        b'{"event":"call_ended","call":{"call_id":""}}',
        b'{"event":"call_ended","call":{"call_id":7}}',
        posted("call_ended", call_id="x" * 129),
        posted("call_analyzed", latency={"llm": {"p50": "fast"}}),
        b'{"event":' + b"[" * 100_000,
    ],
)
def test_what_cannot_be_read_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        read(body)


def test_half_an_emoji_in_a_transcript_is_not_our_affair() -> None:
    assert read(posted("call_ended", transcript="half \ud83d", disconnection_reason="user_hangup")) is not None


def test_a_key_that_is_there_twice_is_no_riddle() -> None:
    assert read(b'{"event":"call_ended","event":"call_started","call":{"call_id":"call_1"}}') is not None


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda odd: st.lists(odd) | st.dictionaries(st.text(), odd),
    max_leaves=8,
)
CALLS = st.dictionaries(st.sampled_from(["call_id", "call_status", "disconnection_reason", "latency"]), ODD) | ODD
EVENTS = st.sampled_from(["call_started", "call_ended", "call_analyzed", "call_inbound"]) | ODD


def survives(body: bytes) -> None:
    try:
        verdict = read(body)
    except Malformed:
        return
    if verdict is not None:
        assert 1 <= len(verdict.call_id) <= 128
    if isinstance(verdict, CallConcluded):
        assert verdict.reason in REASONS
        assert len(verdict.word) <= 60


@given(st.fixed_dictionaries({"event": EVENTS, "call": CALLS}))
def test_the_reader_raises_nothing_but_its_own_error(posted: dict[str, Any]) -> None:
    survives(json.dumps(posted).encode())


@given(st.binary())
def test_the_reader_survives_any_bytes(body: bytes) -> None:
    survives(body)


@given(st.floats(allow_nan=True) | st.integers(), st.floats(min_value=0, max_value=1e6))
def test_a_median_is_never_negative_nor_not_a_number(llm: float, e2e: float) -> None:
    body = json.dumps(
        {"event": "call_analyzed", "call": {"call_id": "c", "latency": {"llm": {"p50": llm}, "e2e": {"p50": e2e}}}}
    )
    try:
        verdict = read(body.encode())
    except Malformed:
        return
    assert isinstance(verdict, CallMeasured)
    assert verdict.llm is None or verdict.llm >= 0
    assert verdict.e2e == e2e / 1000
