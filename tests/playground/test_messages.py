"""What a page may say, and what it is answered when it says something else."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.playground import messages
from service.playground.messages import NotUnderstood, Press, Start, read


def test_a_start_needs_nothing_but_its_kind() -> None:
    assert read('{"kind": "start"}') == Start()


def test_details_are_those_that_retell_registers() -> None:
    details = {"from_number": "+14155550123", "retell_llm_dynamic_variables": {"name": "Ada"}, "metadata": {"a": 1}}
    start = read(json.dumps({"kind": "start", "details": details}))
    assert isinstance(start, Start)
    assert start.details == details


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        pytest.param("{", "not understood", id="no JSON"),
        pytest.param("[]", "Expected `object`", id="no object"),
        pytest.param('{"kind": "sing"}', "'sing'", id="unknown kind"),
        pytest.param('{"kind": "say"}', "`text`", id="missing field"),
        pytest.param('{"kind": "say", "text": "a", "loud": 1}', "`loud`", id="unknown field"),
        pytest.param('{"kind": "model", "mood": "sad"}', "'sad'", id="unknown mood"),
        pytest.param('{"kind": "start", "words_per_second": 0}', ">= 1", id="too slow a speech"),
        pytest.param('{"kind": "press", "digits": "12a"}', "Keys to press", id="no digits"),
        pytest.param("[" * 50_000, "not understood", id="too deep"),
        pytest.param('"' + "a" * 70_000 + '"', "65536 at most", id="too long"),
        pytest.param(b"{}", "bytes", id="bytes"),
        pytest.param(None, "bytes", id="a binary frame as ASGI has it"),
    ],
)
def test_what_is_not_understood_is_told_in_words(message: Any, answer: str) -> None:
    with pytest.raises(NotUnderstood) as caught:
        read(message)
    assert answer in str(caught.value)


@pytest.mark.parametrize(
    ("details", "answer"),
    [
        pytest.param({"from_number": "555"}, "from_number is '555'", id="number"),
        pytest.param({"to_number": 5}, "to_number is 5", id="number that is no text"),
        pytest.param({"retell_llm_dynamic_variables": {"age": 7}}, "'age' is no text", id="variable"),
        pytest.param({"retell_llm_dynamic_variables": [1]}, "retell_llm_dynamic_variables", id="no variables"),
        pytest.param({"direction": 1}, "direction", id="field"),
    ],
)
def test_details_that_retell_could_not_send_are_refused_before_the_call(details: Any, answer: str) -> None:
    with pytest.raises(NotUnderstood) as caught:
        read(json.dumps({"kind": "start", "details": details}))
    assert answer in str(caught.value)


def test_keys_are_what_a_phone_has() -> None:
    assert read('{"kind": "press", "digits": "12*#"}') == Press("12*#")


@given(st.text() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps))
def test_nothing_that_is_said_breaks_the_reading(text: str) -> None:
    with suppress(NotUnderstood):
        assert read(text)


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers())))
def test_no_details_break_it_either(details: dict[str, Any]) -> None:
    with suppress(NotUnderstood):
        assert read(json.dumps({"kind": "start", "details": details}))


def test_each_kind_of_message_to_the_page_says_what_it_is() -> None:
    assert json.loads(messages.encode(messages.Trouble("No."))) == {"kind": "trouble", "text": "No."}
