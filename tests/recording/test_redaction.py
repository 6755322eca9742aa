import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.recording.redaction import redacted, redacted_frame, redacted_pieces, redacted_text, without_secrets

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def digits_of(text: str) -> set[str]:
    return {sign for sign in text if sign.isdigit()}


@given(st.text())
def test_no_digit_survives_in_words(text: str) -> None:
    assert digits_of(redacted(text)) <= {"1"}
    assert digits_of(redacted_text(text)) <= {"1"}


@given(st.lists(st.sampled_from(["four ", "se", "ven", " 9", "two", ", ", "oh ", "hello ", ""])))
def test_words_in_pieces_are_redacted_as_the_whole_and_stay_as_many(pieces: list[str]) -> None:
    told = redacted_pieces(pieces)
    assert len(told) == len(pieces)
    assert "".join(told) == redacted("".join(pieces))
    assert not re.search(r"\b(four|seven|two|nine)\b", "".join(told))


@given(st.text())
def test_what_is_redacted_stays_as_it_is(text: str) -> None:
    assert redacted(redacted(text)) == redacted(text)


def leaves(value: Any) -> Iterator[str]:
    """All but the names of fields, which are the customer's own and may count: `address_2`."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from leaves(item)
    else:
        yield str(value)


@settings(max_examples=60)
@given(ANY_JSON)
def test_no_digit_survives_in_arguments_and_they_stay_json(arguments: Any) -> None:
    told = json.loads(redacted_text(json.dumps({"arguments": arguments})))
    assert type(told["arguments"]) is type(arguments)
    assert digits_of("".join(leaves(told))) <= {"1"}


@settings(max_examples=60)
@given(ANY_JSON)
def test_no_digit_survives_in_a_frame_but_those_of_the_protocol(anything: Any) -> None:
    frame = {"interaction_type": "call_details", "call": {"call_id": "call_42", "metadata": {"about": anything}}}
    told = redacted_frame(frame)
    assert told["call"].pop("call_id") == "call_42"
    assert digits_of("".join(leaves(told))) <= {"1"}


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("My number is four two seven, nine oh one.", "My number is one one one, one one one."),
        ("call +49 151 2345", "call +11 111 1111"),
        ("Sieben, acht und NEUN", "one, one und one"),
        ("double seven", "one one"),
        ("zéro six, douze, trente-quatre", "one one, one, one-one"),
        ("fünfundzwanzig achtzehn, dann dreißig", "one one, dann one"),
        ("once veintidós noventa y cinco", "one one one y one"),
        ("I was there once", "I was there once"),
        ("Oh, hello. O Romeo, none of the others", "Oh, hello. O Romeo, none of the others"),
        ("on 2026-03-02 at 9:30", "on 1111-11-11 at 1:11"),
        ("٣ and ⁵", "1 and 1"),
        ("jane42@example.com", "jane11@example.com"),
    ],
)
def test_numbers_become_ones(said: str, kept: str) -> None:
    assert redacted(said) == kept


def test_numbers_stay_of_their_kind() -> None:
    assert json.loads(redacted_text('{"a": 42, "b": -1.5e30, "c": true, "d": null, "e": [7]}')) == {
        "a": 11,
        "b": 1.1,
        "c": True,
        "d": None,
        "e": [1],
    }


def test_what_a_replay_needs_stays() -> None:
    frame = {
        "interaction_type": "response_required",
        "response_id": 27,
        "transcript_with_tool_calls": [
            {"role": "user", "content": "room 9", "words": [{"word": "9", "start": 2.5, "end": 2.75}]},
            {"role": "tool_call_invocation", "tool_call_id": "t_93", "name": "find_2", "arguments": '{"id":"83"}'},
        ],
    }
    told = redacted_frame(frame)
    said, called = told["transcript_with_tool_calls"]
    assert told["response_id"] == 27
    assert said == {"role": "user", "content": "room 1", "words": [{"word": "1", "start": 2.5, "end": 2.75}]}
    assert called == {
        "role": "tool_call_invocation",
        "tool_call_id": "t_93",
        "name": "find_2",
        "arguments": '{"id":"11"}',
    }


def test_numbers_of_the_call_go_wherever_a_customer_put_them() -> None:
    call = {"call_id": "call_9", "from_number": "+49151", "metadata": {"customer_id": 93, "tel_004915": "x"}}
    told = redacted_frame({"interaction_type": "call_details", "call": call})["call"]
    assert told == {"call_id": "call_9", "from_number": "+11111", "metadata": {"customer_id": 11, "tel_111111": "x"}}


def test_secrets_go_even_where_numbers_are_kept() -> None:
    metadata = {"api_key": "k", "secrets": {"a": "b"}, "passwords": ["c"]}
    call = {"access_token": "ey123", "from_number": "+49", "metadata": metadata}
    told = without_secrets({"call": call})["call"]
    assert told == {"access_token": "…", "from_number": "+49", "metadata": dict.fromkeys(metadata, "…")}


def test_what_only_looks_like_json_is_redacted_as_words() -> None:
    assert redacted_text('{"number": 42') == '{"number": 11'
    assert redacted_text("[" * 5000) == "[" * 5000
