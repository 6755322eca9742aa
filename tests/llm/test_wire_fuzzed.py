"""Whatever a model endpoint sends: text until it breaks, and errors of ours alone."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from service.llm.model import ModelError
from service.llm.wire import AnswerReader, begun_of, refusal_of

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
JSON: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=6), below, max_size=3)
)
MAYBE = JSON | st.none() | st.text(max_size=8)
CALLS = st.lists(st.fixed_dictionaries({}, optional={"index": MAYBE, "id": MAYBE, "function": MAYBE}), max_size=2)
DELTAS = st.fixed_dictionaries({}, optional={"content": MAYBE, "role": MAYBE, "tool_calls": CALLS | MAYBE})
CHOICES = st.fixed_dictionaries({}, optional={"index": MAYBE, "delta": DELTAS | MAYBE, "finish_reason": MAYBE})
CHUNKS = st.fixed_dictionaries(
    {}, optional={"choices": st.lists(CHOICES, max_size=2) | MAYBE, "usage": MAYBE, "error": MAYBE, "model": MAYBE}
)
EVENTS = (CHUNKS | JSON).map(lambda chunk: f"data: {json.dumps(chunk)}\n\n".encode())
STREAMS = st.lists(EVENTS | st.binary(max_size=30) | st.sampled_from([b"data: [DONE]\n\n", b"\r\n", b": x\n\n"]))
NAMES = st.sampled_from(["retry-after", "retry-after-ms", "x-ratelimit-remaining-requests", "x-request-id"])
HEADERS = st.dictionaries(NAMES | st.text(max_size=20), st.text(max_size=30))


@given(STREAMS)
def test_any_stream_is_text_until_an_error_of_ours(stream: list[bytes]) -> None:
    reader = AnswerReader()
    for data in stream:
        reader.feed(data).encode()  # half a surrogate pair would end the caller's line
        if reader.failure is not None:
            break
    assert reader.failure is None or isinstance(reader.failure, ModelError)


@given(st.integers(100, 599), HEADERS, st.binary(max_size=80) | JSON.map(lambda body: json.dumps(body).encode()))
def test_any_refusal_is_an_error_of_ours(status: int, headers: dict[str, str], body: bytes) -> None:
    assert isinstance(refusal_of(status, headers, body), ModelError)
    begun_of(headers)
