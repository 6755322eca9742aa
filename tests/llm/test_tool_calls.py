"""Deltas of tool calls as endpoints really send them; the sources are issues of their clients."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.llm.model import StreamBroken, ToolCall
from service.llm.wire import AnswerReader

Fields = dict[str, object]
PARIS, OSLO = '{"city": "Paris"}', '{"city": "Oslo"}'


def delta(
    index: int | None = None, identity: str | None = None, name: str | None = None, arguments: str | None = None
) -> Fields:
    """Fields that are None are left out."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    fields = {"index": index, "id": identity, "type": "function", "function": function}
    return {key: value for key, value in fields.items() if value is not None}


def read(*chunks: list[Fields]) -> AnswerReader:
    reader = AnswerReader()
    for calls in chunks:
        reader.feed(b"data: %s\n\n" % json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": calls}}]}).encode())
    return reader


def calls_of(*chunks: list[Fields]) -> list[tuple[str, str]]:
    reader = read(*chunks)
    assert reader.failure is None
    return [(call.name, call.arguments) for call in reader.tool_calls.whole()]


TWO = [("weather", PARIS), ("weather", OSLO)]
OPENAI = [
    [delta(0, "call_1", "weather", "")],
    [delta(0, arguments='{"city"')],
    [delta(0, arguments=': "Paris"}')],
    [delta(1, "call_2", "weather", "")],
    [delta(1, arguments=OSLO)],
]
IN_ONE_CHUNK = [[delta(0, "a", "weather", PARIS), delta(1, "b", "weather", OSLO)]]  # Groq sends calls whole
ALWAYS_INDEX_0 = [[delta(0, "call_x", "weather", PARIS)], [delta(0, "call_y", "weather", OSLO)]]  # ollama #15457
NO_INDEX = [[delta(None, "call_x", "weather", PARIS)], [delta(None, "call_y", "weather", OSLO)]]  # ollama #7881
NO_INDEX_IN_PIECES = [  # as Gemini's proxies, AstrBot #6692
    [delta(None, "a", "weather", "")],
    [delta(None, arguments=PARIS)],
    [delta(None, "b", "weather", "")],
    [delta(None, arguments='{"city": ')],
    [delta(None, arguments='"Oslo"}')],
]
EMPTY_IDS_AT_INDEX_0 = [[delta(0, "", "weather", PARIS)], [delta(0, "", "weather", OSLO)]]  # Gemini's own
NEITHER = [[delta(name="weather", arguments=PARIS)], [delta(name="weather", arguments=OSLO)]]
VLLM = [  # lmdeploy #3412: index 0 always, an empty id on what goes on
    [delta(0, "chatcmpl-tool-1", "weather", "")],
    [delta(0, "", arguments='{"city": "Pa')],
    [delta(0, "", arguments='ris"}')],
    [delta(0, "chatcmpl-tool-2", "weather", "")],
    [delta(0, "", arguments=OSLO)],
]
SGLANG = [  # the same, with the id on each
    [delta(0, "0", "weather", "")],
    [delta(0, "0", arguments=PARIS)],
    [delta(0, "1", "weather", "")],
    [delta(0, "1", arguments=OSLO)],
]
NEW_ID_ON_EACH = [  # vLLM before 0.7
    [delta(0, "r1", "weather", "")],
    [delta(0, "r2", arguments=PARIS)],
    [delta(1, "r3", "weather", "")],
    [delta(1, "r4", arguments=OSLO)],
]
NAME_ON_EACH = [
    [delta(0, name="weather", arguments='{"city": ')],
    [delta(0, name="weather", arguments='"Paris"}')],
    [delta(0, name="weather", arguments="")],
    [delta(1, name="weather", arguments=OSLO)],
]
NAME_LAST = [  # vercel/ai #14760
    [delta(0, "a", arguments=PARIS)],
    [delta(0, name="weather")],
    [delta(1, "b", arguments='{"city": ')],
    [delta(1, name="weather", arguments='"Oslo"}')],
]
NAME_IN_PIECES = [
    [delta(0, "a", "wea", "")],
    [delta(0, name="ther")],
    [delta(0, arguments=PARIS)],
    [delta(1, "b", "weather", OSLO)],
]
HEAD_WITH_A_WRONG_INDEX = [  # agno #8880: the head says 0, the rest 1
    [delta(0, "a", "weather", "")],
    [delta(0, arguments=PARIS)],
    [delta(0, "b", "weather", "")],
    [delta(1, arguments='{"city": ')],
    [delta(1, arguments='"Oslo"}')],
]
WOVEN = [
    [delta(0, "a", "weather", "")],
    [delta(1, "b", "weather", "")],
    [delta(1, arguments='{"city": ')],
    [delta(0, arguments=PARIS)],
    [delta(1, arguments='"Oslo"}')],
]
AZURE = [[], *OPENAI, []]


@pytest.mark.parametrize(
    "name",
    [name for name, value in list(globals().items()) if name.isupper() and isinstance(value, list) and name != "TWO"],
)
def test_two_calls_are_two_calls_as(name: str) -> None:
    assert calls_of(*globals()[name]) == TWO


def test_ids_are_kept_and_missing_ones_made_up() -> None:
    assert [call.id for call in read(*OPENAI).tool_calls.whole()] == ["call_1", "call_2"]
    made_up = [call.id for _ in range(2) for call in read(*EMPTY_IDS_AT_INDEX_0).tool_calls.whole()]
    assert len(set(made_up)) == 4  # no two answers of a call have one in common
    assert all(made_up)


def test_a_call_without_arguments_has_none() -> None:
    assert read([delta(0, "a", "now")]).tool_calls.whole() == [ToolCall("a", "now", "{}")]


def test_a_call_without_a_name_calls_nothing() -> None:
    calls = read([delta(0, "a", arguments=PARIS)], [{"index": 1, "id": "b"}]).tool_calls
    assert (calls.whole(), calls.has_begun) == ([], False)


def test_a_call_with_a_name_has_begun() -> None:
    assert read([delta(0, "a", "weather")]).tool_calls.has_begun


@pytest.mark.parametrize("name", [None, "weather"])
def test_arguments_before_anything_else_do_no_harm(name: str | None) -> None:
    assert calls_of([delta(arguments=PARIS)], [delta(name=name)] if name else []) == ([(name, PARIS)] if name else [])


def test_deeply_nested_arguments_do_no_harm() -> None:
    deep = "[" * 100_000
    assert len(calls_of([delta(0, name="weather", arguments=deep)], [delta(0, name="weather", arguments=PARIS)])) == 1


def test_more_calls_than_anybody_makes_break_the_answer() -> None:
    assert isinstance(read([delta(n, f"{n}", "weather") for n in range(33)]).failure, StreamBroken)


def test_arguments_that_do_not_end_break_the_answer() -> None:
    reader = read(*[[delta(0, "a", "weather", "x" * 10_000)]] * 30)
    assert isinstance(reader.failure, StreamBroken)


_arguments = st.dictionaries(st.text(max_size=5), st.text(max_size=8), max_size=3).map(json.dumps)


@given(
    st.lists(st.tuples(st.sampled_from(["find", "book", "now"]), _arguments), min_size=1, max_size=4),
    st.lists(st.integers(1, 7), min_size=1, max_size=5),
    st.sampled_from(
        [(True, True, True), (True, False, True), (True, True, False), (False, True, False), (False, False, True)]
    ),
)
def test_calls_are_the_same_however_they_are_cut(
    calls: list[tuple[str, str]], sizes: list[int], style: tuple[bool, bool, bool]
) -> None:
    """With ids and indices that are right, missing or all 0."""
    has_ids, has_indices, has_ids_on_all = style
    chunks = []
    for number, (name, arguments) in enumerate(calls):
        index = number if has_indices else 0
        identity = f"id{number}" if has_ids else None
        size = sizes[number % len(sizes)]
        pieces = [arguments[at : at + size] for at in range(0, len(arguments), size)]
        chunks.append([delta(index, identity, name, pieces[0])])
        chunks += [[delta(index, identity if has_ids_on_all else None, arguments=piece)] for piece in pieces[1:]]
    assert calls_of(*chunks) == calls
