"""A script becomes bytes, waits and a stop: each fault where it should stand, each word as OpenAI spells it."""

import json
import re
from itertools import islice
from typing import Any

import pytest

from service.simulator.model_script import (
    FAULTS,
    Call,
    Cut,
    Dribble,
    Empty,
    Fault,
    Finish,
    Garble,
    HangAfterHeaders,
    HangAfterRole,
    HangBeforeHeaders,
    Huge,
    OnlyComments,
    Refuse,
    Repeat,
    Runaway,
    Script,
    Stall,
    WrongCalls,
    WrongType,
)
from service.simulator.model_spelling import ChatRequest, Message, Part, Spelling, StreamOptions
from service.simulator.model_times import Uniform
from service.simulator.model_wire import Move, Stop, streamed, whole
from tests.simulator.wired import seeded

CHAT = ChatRequest("any", [Message("user", "Four words it is.")])
COUNTED = ChatRequest(
    "any", [*CHAT.messages, Message("system", "word " * 300)], stream_options=StreamOptions(include_usage=True)
)


def told(move: Move) -> Any:
    """What a move is in a word."""
    if not isinstance(move, bytes):
        return move
    marks = (
        b"retry-after",
        b" 503 ",
        b"200 OK",
        b'"role"',
        b": keep",
        b'"delta": {"',
        b'"One"',
        b'" two"',
        b"[DONE]",
        b"200 ",
        b'"wandered"',
        b'"and so on, a"',
        b'"content":7',
    )
    words = re.search(rb'"content":("[^"]{1,9}")}', move)
    if words and not any(mark in move for mark in marks):
        return words[1].decode()
    return " ".join(mark.decode().strip(' "') for mark in marks if mark in move)


def laid_out(script: Script, chat: ChatRequest = CHAT, moves: int = 9) -> list[Move]:
    return list(islice(streamed(script, Spelling(1, chat, script), script.pauses(seeded())), moves))


def in_one_piece(script: Script) -> list[Move]:
    return list(whole(script, Spelling(1, CHAT, script), script.pauses(seeded())))


STREAMS: list[tuple[Fault | None, list[Any]]] = [
    (None, ["200 OK role 200", 5, "One", 2, "two", 2, "[DONE]"]),
    (HangBeforeHeaders(), [Stop.SILENT]),
    (HangAfterHeaders(), ["200 OK 200", Stop.SILENT]),
    (HangAfterRole(), ["200 OK role 200", Stop.SILENT]),
    (OnlyComments(9), ["200 OK 200", 9, ": keep", 9, ": keep", 9, ": keep", 9, ": keep"]),
    (Dribble(0.5), ["200 OK role 200", 5, '"O"', 0.5, '"n"', 0.5, '"e"', 0.5, '" "']),
    (Repeat(0.5), ["200 OK role 200", 5, "One", 0.5, "two", 0.5, "two", 0.5, "two"]),
    (Runaway(0.5), ["200 OK role 200", 5, "One", 0.5, "two", 0.5, '" word1"', 0.5, '" word2"']),
    (Empty(), ["200 OK role 200", 5, "[DONE]"]),
    (Stall(), ["200 OK role 200", 5, Stop.SILENT]),
    (Stall(1), ["200 OK role 200", 5, "One", 2, Stop.SILENT]),
    (Stall(9), ["200 OK role 200", 5, "One", 2, "two", 2, Stop.SILENT]),
    (Cut(0), ["200 OK role 200", 5, Stop.CUT]),
    (Garble(1), ["200 OK role 200", 5, "One", 2, 'delta": {', 2, "two", 2, "[DONE]"]),
    (Huge(1, size=12), ["200 OK role 200", 5, "One", 2, "and so on, a", 2, "two", 2, "[DONE]"]),
    (WrongType(1), ["200 OK role 200", 5, "One", 2, 'content":7', 2, "two", 2, "[DONE]"]),
    (Finish("wandered"), ["200 OK role 200", 5, "One", 2, "two", 2, "[DONE] wandered"]),
    (WrongCalls(), ["200 OK role 200", 5, "One", 2, "two", 2, "[DONE]"]),
    (Refuse(503), [5, "503"]),
    (Refuse(503, retry_after=0.5), [5, "retry-after 503"]),
]


@pytest.mark.parametrize(("fault", "moves"), STREAMS, ids=repr)
def test_a_stream_runs_as_its_script_says(fault: Fault | None, moves: list[Any]) -> None:
    script = Script("One two", first_token_after=5, gap=2, fault=fault)
    assert [told(move) for move in laid_out(script)] == moves


PIECES: list[tuple[Fault | None, list[Any]]] = [
    (None, [9, "role 200"]),
    (HangBeforeHeaders(), [Stop.SILENT]),
    (HangAfterHeaders(), [Stop.SILENT]),
    (HangAfterRole(), [Stop.SILENT]),
    (OnlyComments(), [Stop.SILENT]),
    (Stall(1), [Stop.SILENT]),
    (Repeat(), [Stop.SILENT]),
    (Runaway(), [Stop.SILENT]),
    (Cut(1), [9, Stop.CUT]),
    (Dribble(0.5), [8.5, "role 200"]),
    (Garble(1), [9, "200"]),
    (WrongType(1), [9, "200"]),
    (Huge(1, size=10), [9, "role 200"]),
    (Finish("wandered"), [9, "role 200 wandered"]),
    (WrongCalls(), [9, "role 200"]),
    (Empty(), [9, "role 200"]),
    (Refuse(503), [5, "503"]),
]


@pytest.mark.parametrize(("fault", "moves"), PIECES, ids=repr)
def test_an_answer_in_one_piece_comes_when_a_stream_would_have_ended(fault: Fault | None, moves: list[Any]) -> None:
    assert [told(move) for move in in_one_piece(Script("One two", first_token_after=5, gap=2, fault=fault))] == moves


@pytest.mark.parametrize("table", [STREAMS, PIECES])
def test_no_fault_lacks_its_place_on_the_wire(table: list[tuple[Fault | None, list[Any]]]) -> None:
    assert {type(fault) for fault, _ in table if fault} == set(FAULTS.values())


def test_repeating_nothing_still_says_something() -> None:
    assert told(laid_out(Script("", fault=Repeat()))[2]) == '"Hello, "'


def test_each_gap_is_drawn_anew() -> None:
    moves = laid_out(Script("a b c d", first_token_after=9, gap=Uniform(1, 2)))
    first, *gaps = (move for move in moves if isinstance(move, float))
    assert first == 9
    assert len(set(gaps)) == len(gaps) == 3
    assert all(1 < gap < 2 for gap in gaps)


# Tool calls.

TWO = (Call("find_slot", '{"day": "Monday", "hour": 9}'), Call("take_message"))


def tool_calls(script: Script) -> list[Any]:
    """Every tool-call delta of a stream, then its finish reason."""
    text = b"".join(move for move in laid_out(script, moves=99) if isinstance(move, bytes))
    lines = [line[6:] for line in text.split(b"\n") if line.startswith(b"data: {")]
    choices = [json.loads(line)["choices"][0] for line in lines]
    deltas = [call for choice in choices for call in choice["delta"].get("tool_calls", [])]
    return [*deltas, choices[-1]["finish_reason"]]


def test_tool_calls_come_with_id_and_name_and_then_their_arguments_in_pieces() -> None:
    assert tool_calls(Script(calls=TWO)) == [
        {"index": 0, "id": "call_1_0", "type": "function", "function": {"name": "find_slot", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"day": "Mon'}},
        {"index": 0, "function": {"arguments": 'day", "hour"'}},
        {"index": 0, "function": {"arguments": ": 9}"}},
        {"index": 1, "id": "call_1_1", "type": "function", "function": {"name": "take_message", "arguments": ""}},
        {"index": 1, "function": {"arguments": "{}"}},
        "tool_calls",
    ]


@pytest.mark.parametrize(
    ("wrong", "firsts", "followers"),
    [
        (WrongCalls(), [("call_1_0", 0), ("call_1_1", 0)], {"index", "function"}),
        (WrongCalls("missing"), [("call_1_0", None), ("call_1_1", None)], {"function"}),
        (WrongCalls("missing", id="every"), [("call_1_0", None), ("call_1_1", None)], {"id", "type", "function"}),
    ],
)
def test_tool_calls_may_be_numbered_wrongly(
    wrong: WrongCalls, firsts: list[tuple[str, int | None]], followers: set[str]
) -> None:
    *deltas, finish = tool_calls(Script(calls=TWO, fault=wrong))
    opening = [delta for delta in deltas if not delta["function"]["arguments"]]
    assert [(delta["id"], delta.get("index")) for delta in opening] == firsts
    assert all(set(delta) == followers for delta in deltas if delta not in opening)
    assert finish == "tool_calls"


def test_the_name_of_a_tool_may_be_repeated() -> None:
    *deltas, _ = tool_calls(Script(calls=TWO, fault=WrongCalls("right", name="every")))
    assert [delta["function"]["name"] for delta in deltas] == ["find_slot"] * 4 + ["take_message"] * 2
    assert [delta["index"] for delta in deltas] == [0] * 4 + [1] * 2


def test_what_is_said_before_tool_calls_is_the_lead_in_and_not_the_text() -> None:
    role, first, *_ = (move for move in laid_out(Script("No.", calls=TWO, lead_in="Wait.")) if isinstance(move, bytes))
    assert b'"content":""' in role
    assert b'{"content":"Wait."}' in first
    alone = laid_out(Script("No.", calls=TWO))[0]
    assert isinstance(alone, bytes)
    assert b'"content":null' in alone


def test_tool_calls_stand_in_an_answer_in_one_piece_too() -> None:
    _, answer = in_one_piece(Script(calls=TWO, lead_in="Wait."))
    assert isinstance(answer, bytes)
    choice = json.loads(answer.partition(b"\r\n\r\n")[2])["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", "Wait.")
    function = {"name": "take_message", "arguments": "{}"}
    assert choice["message"]["tool_calls"][1] == {"id": "call_1_1", "type": "function", "function": function}


# Wire truth.


def test_usage_is_counted_for_those_who_ask() -> None:
    assert b"usage" not in Spelling(1, CHAT, Script()).end(3)
    ending = Spelling(1, COUNTED, Script(reasoning_tokens=40)).end(3)
    _, usage, done, *_ = (line for line in ending.split(b"\n") if line.startswith(b"data: "))
    assert json.loads(usage[6:])["usage"] == {
        "prompt_tokens": 304,
        "completion_tokens": 43,
        "total_tokens": 347,
        "prompt_tokens_details": {"cached_tokens": 256},
        "completion_tokens_details": {"reasoning_tokens": 40},
    }
    assert done == b"data: [DONE]"


@pytest.mark.parametrize(
    ("of", "event"),
    [
        ("content", '"choices":[{"index":0,"delta":{"content":7}'),
        ("delta", '"choices":[{"index":0,"delta":["content"]'),
        ("choices", '"choices":{"index":0}'),
        ("event", "data: 7\n"),
    ],
)
def test_a_wrong_type_may_stand_anywhere(of: Any, event: str) -> None:
    wrong = laid_out(Script("One", fault=WrongType(of=of)))[2]
    assert isinstance(wrong, bytes)
    assert event in wrong.decode()


def test_on_azure_the_first_event_is_about_the_prompt() -> None:
    role = Spelling(1, CHAT, Script(), is_azure=True).role()
    first, second, *_ = (line for line in role.split(b"\n") if line.startswith(b"data: "))
    assert (json.loads(first[6:])["choices"], b'"role"' in second) == ([], True)


def test_the_last_user_message_is_the_one_that_counts() -> None:
    parts = Message("user", [Part("a"), Part(), Part("b")])
    assert ChatRequest("any", [*CHAT.messages, parts, Message("assistant")]).last_user_text == "ab"
    assert Message("assistant").text == ChatRequest("any", []).last_user_text == ""
