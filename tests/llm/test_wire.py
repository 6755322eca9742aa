import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.llm.model import (
    AnswerBegun,
    AnswerFiltered,
    KeyRejected,
    ModelError,
    QuotaExhausted,
    RateLimited,
    RequestRejected,
    ServerFailed,
    StreamBroken,
    Usage,
)
from service.llm.wire import AnswerReader, begun_of, refusal_of


def event(delta: object = None, finish: str | None = None) -> bytes:
    return b"data: %s\n\n" % json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}).encode()


ANSWER = b"".join(
    [
        event({"role": "assistant", "content": ""}),
        b": keep-alive\n\n",
        event({"content": "Grüß "}),
        b"event: ping\n\n",
        event({"content": "Gott."}),
        event({}, "stop"),
        b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n',
        b"data: [DONE]\n\n",
    ]
)


@given(st.lists(st.integers(0, len(ANSWER)), max_size=30))
def test_the_text_is_the_same_however_the_bytes_are_cut(cuts: list[int]) -> None:
    reader = AnswerReader()
    places = [0, *sorted(cuts), len(ANSWER)]
    text = "".join(reader.feed(ANSWER[start:end]) for start, end in pairwise(places))
    assert (text, reader.finish_reason, reader.failure) == ("Grüß Gott.", "stop", None)


def test_chunks_of_one_read_are_one_text() -> None:
    assert AnswerReader().feed(event({"content": "a"}) + event({"content": "b"})) == "ab"


def test_an_answer_that_was_cut_has_no_finish_reason() -> None:
    reader = AnswerReader()
    reader.feed(event({"content": "a"}) + b"data: [DONE]\n\n")
    assert reader.finish_reason is None


@pytest.mark.parametrize(
    "rubbish",
    [
        b"data: {broken\n\n",
        b'data: {"choices": 5}\n\n',
        b'data: {"choices": [{"delta": {"content": 5}}]}\n\n',
        b'data: {"choices": [{"delta": {"content": "a\xff"}}]}\n\n',
        b"data: " + b"[" * 100_000 + b"\n\n",
        b"data: " + b"x" * (1 << 21),
        b'data: {"error": "overloaded"}\n\n',
        b'data: {"error": {"message": "x"}}\n\n',
    ],
    ids=["broken", "types", "content", "no-utf8", "deep", "endless", "error-text", "error"],
)
def test_rubbish_ends_the_answer_and_the_text_before_it_stands(rubbish: bytes) -> None:
    reader = AnswerReader()
    assert reader.feed(event({"content": "We are"}) + rubbish) == "We are"
    assert isinstance(reader.failure, StreamBroken)


@pytest.mark.parametrize("chunk", [b"data: {}\n\n", b'data: {"choices": null}\n\n', b'data:{"choices":[{}]}\r\n\r\n'])
def test_a_chunk_may_say_nothing(chunk: bytes) -> None:
    reader = AnswerReader()
    assert reader.feed(chunk) == ""
    assert reader.failure is None


@pytest.mark.parametrize(
    ("code", "kind"), [("429", RateLimited), ("403", KeyRejected), ('"content_filter"', AnswerFiltered)]
)
def test_an_error_inside_the_stream_is_of_its_class(code: str, kind: type[ModelError]) -> None:
    reader = AnswerReader()
    reader.feed(b'data: {"error": {"code": %s, "message": "no"}}\n\n' % code.encode())
    assert type(reader.failure) is kind


@pytest.mark.parametrize("empty", [b"data:\n\n", b"data: \r\n\r\n", b"data\n\n"], ids=repr)
def test_an_event_without_data_is_nothing(empty: bytes) -> None:
    reader = AnswerReader()
    assert reader.feed(event({"content": "We "}) + empty + event({"content": "are"})) == "We are"
    assert (reader.failure, reader.is_done) == (None, False)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b"", RequestRejected),
        (401, b"", KeyRejected),
        (402, b"", QuotaExhausted),
        (403, b"", KeyRejected),
        (404, b"", RequestRejected),
        (408, b"", ServerFailed),
        (429, b"", RateLimited),
        (429, b"[" * 100_000, RateLimited),
        (429, b'{"error": {"code": "\xff"}}', RateLimited),
        (429, b'{"error": {"code": "rate_limit_exceeded"}}', RateLimited),
        (429, b'{"error": {"code": "insufficient_quota"}}', QuotaExhausted),
        (500, b"", ServerFailed),
        (529, b"", ServerFailed),
        (400, b'{"error": {"code": "content_filter", "status": 400}}', AnswerFiltered),
        (403, b'{"error": {"code": 403, "metadata": {"flagged_input": "..."}}}', AnswerFiltered),
        (403, b'{"error": {"code": 403, "metadata": "flagged_input"}}', KeyRejected),
    ],
)
def test_a_refusal_is_of_its_class(status: int, body: bytes, kind: type[ModelError]) -> None:
    assert type(refusal_of(status, {}, body)) is kind


NOW = "Wed, 21 Oct 2015 07:28:00 GMT"


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "many", "retry-after": "1"}, 1.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT", "date": NOW}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:27:30 GMT", "date": NOW}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:30", "date": NOW}, None),
        ({"retry-after": "Wed, 21 Oct 99999999 07:28:30 GMT", "date": NOW}, None),
        ({}, None),
    ],
    ids=repr,
)
def test_a_limit_tells_when_to_come_again(told: dict[str, str], seconds: float | None) -> None:
    refusal = refusal_of(429, told, b"")
    assert isinstance(refusal, RateLimited)
    assert refusal.retry_after == seconds


@pytest.mark.parametrize("name", ["x-request-id", "apim-request-id"])
def test_a_refusal_tells_its_request(name: str) -> None:
    assert refusal_of(500, {name: "req_1"}, b"").request_id == "req_1"


def test_the_headers_tell_what_is_left() -> None:
    told = {"x-request-id": "r", "x-ratelimit-remaining-requests": "99", "x-ratelimit-remaining-tokens": "149984"}
    assert begun_of(told) == AnswerBegun("r", 99, 149984)
    assert begun_of({"x-ratelimit-remaining-tokens": "many", "x-ratelimit-remaining-requests": "-1"}) == AnswerBegun()


def counted(usage: object) -> Usage | None:
    reader = AnswerReader()
    reader.feed(b"data: %s\n\n" % json.dumps({"choices": [], "usage": usage}).encode())
    assert reader.failure is None
    return reader.usage


def test_tokens_are_counted_as_the_endpoint_tells() -> None:
    openai = {
        "prompt_tokens": 90,
        "completion_tokens": 20,
        "total_tokens": 110,
        "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 7},
    }
    assert counted(openai) == Usage(90, 64, 20, 7)
    assert counted({"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}) == Usage(9, 0, 2, 0)  # Ollama
    assert counted({"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": None}) == Usage(9, 0, 2, 0)


@pytest.mark.parametrize("usage", [None, 5, "many", {"prompt_tokens": "nine"}, {"prompt_tokens_details": 3}])
def test_an_answer_is_worth_more_than_its_bill(usage: object) -> None:
    assert counted(usage) is None


def test_the_last_count_holds() -> None:
    """Some endpoints count along in each chunk."""
    reader = AnswerReader()
    for tokens in (1, 2, 3):
        reader.feed(b'data: {"usage": {"prompt_tokens": 5, "completion_tokens": %d}}\n' % tokens)
    assert reader.usage == Usage(5, 0, 3, 0)


def test_chunks_as_azure_and_openrouter_send_them_are_read() -> None:
    reader = AnswerReader()
    said = [
        reader.feed(b'data: {"choices":[],"prompt_filter_results":[{"prompt_index":0}]}\n\n'),
        reader.feed(b'data: {"choices":[{"delta":{"content":"Hi","refusal":null},"content_filter_results":{}}]}\n\n'),
        reader.feed(b'data: {"choices":[{"index":0,"content_filter_offsets":{}}],"usage":null}\n\n'),
        reader.feed(b": OPENROUTER PROCESSING\n\n"),
        reader.feed(b'data: {"choices":[{"delta":{"content":"","reasoning":"Hm."},"native_finish_reason":null}]}\n\n'),
        reader.feed(event({"content": None, "reasoning_content": "Let me think."})),
        reader.feed(b'data: {"error":{"code":502,"message":"x"},"choices":[{"delta":{"content":""},'
                    b'"finish_reason":"error"}]}\n\n'),
    ]  # fmt: skip
    assert "".join(said) == "Hi"
    assert isinstance(reader.failure, ServerFailed)


@pytest.mark.parametrize("code", ["rate_limit_exceeded", "server_error", None, 7])
def test_an_error_without_a_status_breaks_the_answer(code: str | int | None) -> None:
    reader = AnswerReader()
    reader.feed(b"data: %s\n\n" % json.dumps({"error": {"code": code, "message": "x"}}).encode())
    assert isinstance(reader.failure, StreamBroken)
