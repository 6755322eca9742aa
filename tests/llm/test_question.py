"""What goes out, byte by byte: the tools, the rounds of calls, and what stays the same."""

import json
from typing import Any

import pytest

from service.llm.model import NO_TOOLS, Message, Messages, Role, ToolCall, ToolExchange, Toolset, ToolSpec
from service.llm.question import QuestionSpelling
from service.llm.targets import Target

SCHEMA = {
    "type": "object",
    "properties": {"day": {"type": "string"}, "doctor": {"type": ["string", "null"]}},
    "required": ["day", "doctor"],
    "additionalProperties": False,
}
FIND = ToolSpec("find_slots", "Free slots of a day.", SCHEMA)
BOOK = ToolSpec("book", "Book a slot.", SCHEMA)
HI = [Message(Role.SYSTEM, "Be brief."), Message(Role.USER, "Hi")]
OPENAI = Target("m")


def said(messages: Messages, tools: Toolset = NO_TOOLS, target: Target = OPENAI) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(QuestionSpelling(target).body(messages, tools))
    return body


def strict_of(schema: dict[str, object], target: Target = OPENAI) -> bool:
    [tool] = said(HI, Toolset((ToolSpec("find", "", schema),)), target)["tools"]
    return bool(tool["function"].get("strict", False))


def exchange(number: int, *, is_parallel: bool = False) -> ToolExchange:
    return ToolExchange(ToolCall(f"t{number}", "find_slots", "{}"), f"slot {number}", is_parallel)


# The tools.


def test_tools_are_told_as_the_protocol_spells_them() -> None:
    [tool] = said(HI, Toolset((FIND,)))["tools"]
    function = {"name": "find_slots", "description": "Free slots of a day.", "parameters": SCHEMA, "strict": True}
    assert tool == {"type": "function", "function": function}


@pytest.mark.parametrize("tools", [NO_TOOLS, Toolset(may_call=False)])
def test_no_tools_are_not_told(tools: Toolset) -> None:
    assert said(HI, tools).keys() == {"model", "stream", "stream_options", "messages"}


def test_all_turns_and_calls_begin_with_the_same_bytes_also_where_no_tool_may_be_called() -> None:
    target = Target("m", options={"temperature": 0.4})
    tools, again, closed = (Toolset((FIND, BOOK), may_call=may) for may in (True, True, False))
    short = QuestionSpelling(target).body(HI, tools)
    begun = short.removesuffix(b"]}")
    assert b'"temperature":0.4,"tools":[{' in begun
    assert begun.index(b'"tools"') < begun.index(b'"messages"')
    later: Messages = [*HI, exchange(1), Message(Role.USER, "Bye")]
    for toolset in (tools, again, closed):
        assert QuestionSpelling(target).body(HI, toolset).startswith(begun)
        assert QuestionSpelling(target).body(later, toolset).startswith(begun)


def test_where_no_tool_may_be_called_the_end_says_so() -> None:
    assert QuestionSpelling(OPENAI).body(HI, Toolset((FIND,), may_call=False)).endswith(b'],"tool_choice":"none"}')
    assert "tool_choice" not in said(HI, Toolset((FIND,)))


@pytest.mark.parametrize(
    ("target", "is_strict"),
    [
        (OPENAI, True),
        (Target("m", base_url="https://eu.api.openai.com/v1"), True),
        (Target("m", "azure", base_url="https://our.openai.azure.com", api_version="2024-10-21"), True),
        (Target("m", base_url="http://localhost:9000/v1"), False),
        (Target("m", base_url="https://notapi.openai.com.example/v1"), False),
        (Target("m", "groq"), False),
        (Target("m", "groq", strict_tools=True), True),
        (Target("m", strict_tools=False), False),
    ],
    ids=repr,
)
def test_a_model_is_held_to_the_schema_where_its_endpoint_can(target: Target, *, is_strict: bool) -> None:
    assert strict_of(SCHEMA, target) is is_strict


@pytest.mark.parametrize(
    ("schema", "is_strict"),
    [
        ({"type": "object", "properties": {}, "required": [], "additionalProperties": False}, True),
        ({"type": "object", "properties": {}, "additionalProperties": False}, True),
        (SCHEMA | {"required": ["day"]}, False),
        (SCHEMA | {"additionalProperties": True}, False),
        (SCHEMA | {"properties": {"day": {"type": "object"}, "doctor": {}}}, False),
        (SCHEMA | {"properties": {"day": {"type": ["object", "null"]}, "doctor": {}}}, False),
        (SCHEMA | {"properties": {"day": {"anyOf": [{"type": "object"}, {"type": "null"}]}, "doctor": {}}}, False),
        (SCHEMA | {"properties": {"day": {"anyOf": [SCHEMA, {"type": "null"}]}, "doctor": {}}}, True),
    ],
    ids=repr,
)
def test_a_schema_that_leaves_something_open_goes_out_without(schema: dict[str, object], *, is_strict: bool) -> None:
    """An endpoint would refuse the whole request."""
    assert strict_of(schema) is is_strict


# The rounds.


def calls_in(message: dict[str, Any]) -> list[str]:
    return [call["id"] for call in message["tool_calls"]]


def test_a_call_and_its_answer_are_two_messages() -> None:
    asking, answer = said([*HI, exchange(1)])["messages"][2:]
    function = {"name": "find_slots", "arguments": "{}"}
    assert asking == {"role": "assistant", "tool_calls": [{"id": "t1", "type": "function", "function": function}]}
    assert answer == {"role": "tool", "tool_call_id": "t1", "content": "slot 1"}


def test_what_the_model_said_as_it_called_is_in_the_same_message() -> None:
    asking, answer = said([*HI, Message(Role.ASSISTANT, "One moment."), exchange(1)])["messages"][2:]
    assert (asking["role"], asking["content"], calls_in(asking)) == ("assistant", "One moment.", ["t1"])
    assert answer["role"] == "tool"


def test_what_others_said_before_a_call_is_not() -> None:
    assert said([*HI, exchange(1)])["messages"][1] == {"role": "user", "content": "Hi"}


def test_parallel_calls_are_one_message_and_the_next_round_is_another() -> None:
    round_1: Messages = [Message(Role.ASSISTANT, "One moment."), exchange(1), exchange(2, is_parallel=True)]
    asking, one, two, again, three = said([*HI, *round_1, exchange(3)])["messages"][2:]
    assert (asking["content"], calls_in(asking), calls_in(again)) == ("One moment.", ["t1", "t2"], ["t3"])
    assert [each["tool_call_id"] for each in (one, two, three)] == ["t1", "t2", "t3"]


def test_a_parallel_call_whose_first_is_missing_begins_a_round() -> None:
    _, _, asking, answer = said([*HI, exchange(2, is_parallel=True)])["messages"]
    assert (calls_in(asking), answer["tool_call_id"]) == (["t2"], "t2")
