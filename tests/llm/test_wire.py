import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.llm.model import (
    KeyRejected,
    ModelError,
    QuotaExhausted,
    RateLimited,
    RequestRejected,
    ServerFailed,
    StreamBroken,
)
from service.llm.wire import AnswerReader, refusal_of


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


def test_an_error_with_a_status_is_of_its_class() -> None:
    reader = AnswerReader()
    reader.feed(b'data: {"error": {"code": 429, "message": "slow down"}}\n\n')
    assert isinstance(reader.failure, RateLimited)


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
    ],
)
def test_a_refusal_is_of_its_class(status: int, body: bytes, kind: type[ModelError]) -> None:
    assert type(refusal_of(status, body)) is kind
