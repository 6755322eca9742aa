"""A script becomes bytes, waits and a stop: each fault where it should stand, each word as OpenAI spells it."""

import json
from itertools import islice
from typing import Any

import pytest

from service.simulator.model_script import (
    Cut,
    Empty,
    Fault,
    Garble,
    HangAfterHeaders,
    HangAfterRole,
    HangBeforeHeaders,
    OnlyComments,
    Refuse,
    Script,
    Stall,
)
from service.simulator.model_wire import (
    ChatRequest,
    Message,
    Move,
    Part,
    Spelling,
    Stop,
    StreamOptions,
    streamed,
    whole,
)

CHAT = ChatRequest("any", [Message("user", "Four words it is.")])
COUNTED = ChatRequest("any", CHAT.messages, stream_options=StreamOptions(include_usage=True))


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
    )
    return " ".join(mark.decode().strip(' "') for mark in marks if mark in move)


@pytest.mark.parametrize(
    ("fault", "moves"),
    [
        (None, ["200 OK role 200", 5, "One", 2, "two", 2, "[DONE]"]),
        (HangBeforeHeaders(), [Stop.SILENT]),
        (HangAfterHeaders(), ["200 OK 200", Stop.SILENT]),
        (HangAfterRole(), ["200 OK role 200", Stop.SILENT]),
        (OnlyComments(9), ["200 OK 200", 9, ": keep", 9, ": keep", 9, ": keep", 9, ": keep"]),
        (Empty(), ["200 OK role 200", 5, "[DONE]"]),
        (Stall(1), ["200 OK role 200", 5, "One", 2, Stop.SILENT]),
        (Stall(9), ["200 OK role 200", 5, "One", 2, "two", 2, Stop.SILENT]),
        (Cut(0), ["200 OK role 200", 5, Stop.CUT]),
        (Garble(1), ["200 OK role 200", 5, "One", 2, 'delta": {', 2, "two", 2, "[DONE]"]),
        (Refuse(503), [5, "503"]),
        (Refuse(503, retry_after=0.5), [5, "retry-after 503"]),
    ],
    ids=repr,
)
def test_a_stream_runs_as_its_script_says(fault: Fault | None, moves: list[Any]) -> None:
    answer = streamed(Script("One two", first_token_after=5, gap=2, fault=fault), Spelling(1, CHAT))
    assert [told(move) for move in islice(answer, 9)] == moves


@pytest.mark.parametrize(
    ("fault", "moves"),
    [
        (None, [9, "role 200"]),
        (Stall(1), [Stop.SILENT]),
        (Cut(1), [9, Stop.CUT]),
        (Garble(1), [9, "200"]),
        (Empty(), [9, "role 200"]),
        (Refuse(503), [5, "503"]),
    ],
    ids=repr,
)
def test_an_answer_in_one_piece_comes_when_a_stream_would_have_ended(fault: Fault | None, moves: list[Any]) -> None:
    answer = whole(Script("One two", first_token_after=5, gap=2, fault=fault), Spelling(1, CHAT))
    assert [told(move) for move in answer] == moves


def test_usage_is_counted_for_those_who_ask() -> None:
    assert b"usage" not in Spelling(1, CHAT).end(3)
    _, usage, done, *_ = (line for line in Spelling(1, COUNTED).end(3).split(b"\n") if line.startswith(b"data: "))
    assert json.loads(usage[6:])["usage"] == {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}
    assert done == b"data: [DONE]"


def test_the_last_user_message_is_the_one_that_counts() -> None:
    parts = Message("user", [Part("a"), Part(), Part("b")])
    assert ChatRequest("any", [*CHAT.messages, parts, Message("assistant")]).last_user_text == "ab"
    assert Message("assistant").text == ChatRequest("any", []).last_user_text == ""
