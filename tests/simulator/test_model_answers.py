"""The stand-in model seen through real sockets: whole answers, scripts and faults."""

import asyncio
from typing import Any

import openai
import pytest

from service.simulator.model import StandInModel
from service.simulator.model_script import (
    Call,
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
from service.simulator.model_spelling import ChatRequest
from tests.simulator.wired import (
    DELTAS,
    ROLE,
    THREE,
    deltas,
    events,
    said,
    sdk_for,
    wire_to,
)

# Whole answers.


async def test_a_stream_is_spelt_as_openai_spells_it() -> None:
    async with StandInModel(THREE) as model, wire_to(model) as wire:
        await wire.ask()
        head, _, body = (await wire.until(b"0\r\n\r\n")).partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 ")
    assert "content-type: text/event-stream" in head
    assert deltas(body) == DELTAS
    *chunks, done = events(body)
    assert done is None
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, None, "stop"]
    assert {chunk["id"] for chunk in chunks} == {"chatcmpl-1"}
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert all("usage" not in chunk for chunk in chunks)


async def test_usage_comes_in_a_chunk_of_its_own_to_those_who_ask() -> None:
    async with StandInModel(THREE) as model, wire_to(model) as wire:
        await wire.ask("Four words it is.", stream_options={"include_usage": True})
        *chunks, usage, done = events(await wire.until(b"0\r\n\r\n"))
    assert done is None
    assert usage["choices"] == []
    assert (usage["usage"]["prompt_tokens"], usage["usage"]["completion_tokens"]) == (4, 3)
    assert [chunk["usage"] for chunk in chunks] == [None] * 5


async def test_the_sdk_hears_the_words_over_one_connection() -> None:
    async with StandInModel(THREE) as model, sdk_for(model) as client:
        assert [await said(client) for _ in range(3)] == ["One two three."] * 3
        assert model.open_connections == 1
        assert (model.open_streams, model.peak_streams, model.closed_by_client) == (0, 1, 0)


async def test_chunks_are_sent_as_given() -> None:
    async with StandInModel(Script(("On", "e. ", " Two"))) as model, wire_to(model) as wire:
        await wire.ask()
        assert deltas(await wire.until(b"0\r\n\r\n"))[1:-1] == [{"content": c} for c in ("On", "e. ", " Two")]


async def test_without_stream_the_answer_is_one_piece_of_json() -> None:
    async with StandInModel(THREE) as model, sdk_for(model) as client:
        answer = await client.chat.completions.create(model="any", messages=[{"role": "user", "content": "Hi."}])
    assert answer.choices[0].message.content == "One two three."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage
    assert answer.usage.completion_tokens == 3


async def test_the_models_are_listed() -> None:
    async with StandInModel() as model, sdk_for(model) as client:
        assert [listed.id async for listed in client.models.list()] == ["stand-in"]


async def test_the_role_comes_at_once_and_the_words_at_their_times() -> None:
    clock = asyncio.get_running_loop().time
    async with StandInModel(Script(("a", "b"), first_token_after=0.1, gap=0.05)) as model, wire_to(model) as wire:
        start = clock()
        await wire.ask()
        await wire.until(b'"role"')
        assert clock() - start < 0.08
        await wire.until(b'"content":"a"')
        assert clock() - start >= 0.09
        await wire.until(b'"content":"b"')
        assert clock() - start >= 0.14
        await wire.until(b"[DONE]")
        assert clock() - start >= 0.19
        assert model.requests[0].at == pytest.approx(start, abs=0.05)


# Scripts.


async def test_queued_scripts_are_used_once_each_then_the_standing_one() -> None:
    async with StandInModel(Script("standing")) as model, sdk_for(model) as client:
        model.scripts.append(Script("first"))
        model.scripts.append(Script("second"))
        assert [await said(client) for _ in range(3)] == ["first", "second", "standing"]
        model.script = Script("changed")
        assert await said(client) == "changed"


async def test_a_function_may_answer_from_the_request() -> None:
    def echo(chat: ChatRequest) -> Script:
        return Script(f"You said {chat.last_user_text}")

    async with StandInModel(echo) as model, sdk_for(model) as client:
        assert await said(client, "so") == "You said so"


async def test_a_function_may_call_tools_again_when_it_is_brought_results_and_a_script_does_not() -> None:
    rows: list[Any] = [
        {"role": "user", "content": "Book it."},
        {"role": "tool", "tool_call_id": "c", "content": "free"},
    ]
    again = Script("Done.", calls=(Call("book"),))
    for script, called in ((lambda _: again, ["book"]), (again, [])):
        async with StandInModel(script) as model, sdk_for(model) as client:
            answer = await client.chat.completions.create(model="any", messages=rows)
            calls: list[Any] = answer.choices[0].message.tool_calls or []
            assert [call.function.name for call in calls] == called


async def test_a_provider_may_have_more_in_its_address_before_the_path() -> None:
    async with StandInModel(Script("Here.")) as model, sdk_for(model) as client:
        address = model.base_url.replace("/v1", "/openai/v1")
        assert await said(client.with_options(base_url=address)) == "Here."


async def test_a_function_that_fails_is_answered_with_its_error() -> None:
    def broken(chat: ChatRequest) -> Script:
        raise KeyError(chat.model)

    async with StandInModel(broken) as model, sdk_for(model) as client:
        with pytest.raises(openai.InternalServerError, match=r"the script failed: KeyError\('any'\)"):
            await said(client)


# Faults.


@pytest.mark.parametrize(
    ("fault", "heard"),
    [
        (HangBeforeHeaders(), None),
        (HangAfterHeaders(), []),
        (HangAfterRole(), DELTAS[:1]),
        (Stall(0), DELTAS[:1]),
        (Stall(2), DELTAS[:3]),
        (Stall(99), DELTAS[:4]),
    ],
    ids=repr,
)
async def test_a_silent_answer_keeps_its_connection_until_the_client_goes(fault: Fault, heard: list[Any]) -> None:
    async with StandInModel(Script("One two three.", fault=fault)) as model:
        async with wire_to(model) as wire:
            await wire.ask()
            if heard is not None:
                await wire.until(b"x-request-id: req_1\r\n\r\n")
                assert deltas("".join([await wire.until(b"\n\n\r\n") for _ in heard])) == heard
            assert await wire.is_silent()
            assert (model.open_streams, model.open_connections, model.closed_by_client) == (1, 1, 0)
        await model.quiet()
        await model.until(lambda: model.open_connections == 0)
        assert (model.open_streams, model.peak_streams, model.closed_by_client) == (0, 1, 1)


async def test_only_comments_come_for_ever() -> None:
    async with StandInModel(Script(fault=OnlyComments(every=0.001))) as model:
        async with wire_to(model) as wire:
            await wire.ask()
            await wire.until(b"\r\n\r\n")
            assert [await wire.until(b"\n\n\r\n") for _ in range(5)] == ["e\r\n: keep-alive\n\n\r\n"] * 5
        await model.quiet()
        assert model.closed_by_client == 1


@pytest.mark.parametrize(("after", "heard"), [(0, DELTAS[:1]), (2, DELTAS[:3]), (99, DELTAS[:4])])
async def test_a_cut_ends_the_connection_amid_the_body(after: int, heard: list[Any]) -> None:
    async with StandInModel(Script("One two three.", fault=Cut(after))) as model, wire_to(model) as wire:
        await wire.ask()
        text = await wire.rest()
        assert deltas(text) == heard
        assert "0\r\n\r\n" not in text
        assert (model.open_streams, model.closed_by_client) == (0, 0)


async def test_the_sdk_takes_a_cut_for_a_broken_connection() -> None:
    async with StandInModel(Script("One two.", gap=0.01, fault=Cut(1))) as model, sdk_for(model) as client:
        with pytest.raises(openai.APIConnectionError):
            await said(client)


@pytest.mark.parametrize(("after", "place"), [(0, 1), (2, 3), (99, 4)])
async def test_a_garbled_chunk_stands_among_good_ones(after: int, place: int) -> None:
    async with StandInModel(Script("One two three.", fault=Garble(after))) as model, wire_to(model) as wire:
        await wire.ask()
        text = await wire.until(b"0\r\n\r\n")
        assert deltas(text) == DELTAS
        assert isinstance(events(text)[place], str)


async def test_an_empty_answer_stops_without_a_word() -> None:
    async with StandInModel(Script(fault=Empty())) as model, wire_to(model) as wire:
        await wire.ask()
        text = await wire.until(b"0\r\n\r\n")
        assert deltas(text) == [ROLE, {}]
        assert events(text)[1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("fault", "error", "code", "kind"),
    [
        (Refuse(400), openai.BadRequestError, None, "invalid_request_error"),
        (Refuse(401), openai.AuthenticationError, "invalid_api_key", "invalid_request_error"),
        (Refuse(404), openai.NotFoundError, "model_not_found", "invalid_request_error"),
        (Refuse(429), openai.RateLimitError, "rate_limit_exceeded", "requests"),
        (Refuse(429, "insufficient_quota"), openai.RateLimitError, "insufficient_quota", "insufficient_quota"),
        (Refuse(500), openai.InternalServerError, None, "server_error"),
        (Refuse(503, retry_after=1.5), openai.InternalServerError, None, "server_error"),
    ],
    ids=repr,
)
async def test_a_refusal_reaches_the_sdk_as_its_error(
    fault: Refuse, error: type[openai.APIStatusError], code: str | None, kind: str
) -> None:
    async with StandInModel(Script(fault=fault)) as model, sdk_for(model) as client:
        with pytest.raises(error) as raised:
            await said(client)
        assert (raised.value.status_code, raised.value.code, raised.value.type) == (fault.status, code, kind)
        assert raised.value.response.headers.get("retry-after") == ("1.5" if fault.retry_after else None)
        assert model.open_connections == 1
