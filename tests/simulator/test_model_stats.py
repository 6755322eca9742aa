"""The stand-in model with chances, seeds and tool calls, seen through real sockets; its Azure; and what it counts."""

import json
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from service.simulator.model import StandInModel
from service.simulator.model_script import Call, Chances, Empty, HangAfterHeaders, Script
from service.simulator.model_times import Uniform
from tests.simulator.wired import SOON, THREE, Wire, deltas, events, said, sdk_for, wire_to

# Chances and seeds.


async def seen(model: StandInModel, *contents: str) -> list[Any]:
    """Which of these requests was refused, and which was answered."""
    async with wire_to(model) as wire:
        heads = []
        for content in contents:
            await wire.ask(content, stream=False)
            heads.append((await wire.until(b"\r\n\r\n")).split()[1])
            await wire.until(b"}}")
    return heads


async def test_a_fault_may_come_by_chance() -> None:
    async with StandInModel(chances=Chances("100%refuse status=503")) as model:
        assert await seen(model, "Hi.") == ["503"]


async def test_a_directive_or_the_scripts_own_fault_overrides_chance() -> None:
    async with StandInModel(chances=Chances("100%refuse status=503")) as model:
        model.scripts.extend([Script(fault=Empty()), Script()])
        assert await seen(model, "Hi.", "[[empty]]") == ["200", "200"]


async def test_the_same_seed_has_the_same_faults_and_times() -> None:
    async def drawn(seed: int | None) -> tuple[list[Any], list[float]]:
        script = Script(first_token_after=Uniform(0.0001, 0.0002))
        async with StandInModel(script, Chances("50%refuse status=503"), seed=seed) as model:
            return await seen(model, *["Hi."] * 20), list(model.first_tokens)

    assert await drawn(5) == await drawn(5)
    assert await drawn(5) != await drawn(6)
    assert await drawn(None) != await drawn(None)


async def test_answers_in_progress_do_not_change_what_others_draw() -> None:
    """Gaps are drawn while others stream: each answer has a generator of its own."""
    drawn = []
    for streams in (1, 2):
        async with StandInModel(Script(first_token_after=Uniform(0, 0.001), gap=Uniform(0, 0.001)), seed=5) as model:
            async with wire_to(model) as one, wire_to(model) as two:
                for wire in (one, two)[:streams]:
                    await wire.ask()
                for wire in (one, two)[:streams]:
                    await wire.until(b"0\r\n\r\n")
                await one.ask()
                await one.until(b"0\r\n\r\n")
            drawn.append(list(model.first_tokens)[:2])
    assert drawn[0] == drawn[1]


# Tool calls.

TOOL: ChatCompletionToolParam = {"type": "function", "function": {"name": "find_slot", "parameters": {}}}


async def test_the_sdk_hears_tool_calls_and_brings_their_results() -> None:
    script = Script("At nine.", calls=(Call("find_slot", '{"day": "Monday"}'), Call("note")), lead_in="One moment.")
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "When?"}]
    async with StandInModel(script) as model, sdk_for(model) as client:
        async with client.chat.completions.stream(model="any", messages=messages, tools=[TOOL]) as stream:
            choice = (await stream.get_final_completion()).choices[0]
        assert (choice.message.content, choice.finish_reason) == ("One moment.", "tool_calls")
        calls = [call.function for call in choice.message.tool_calls or ()]
        assert [(call.name, call.arguments) for call in calls] == [("find_slot", '{"day": "Monday"}'), ("note", "{}")]
        messages.append({"role": "tool", "tool_call_id": "call_1_0", "content": "09:00"})
        answer = await client.chat.completions.create(model="any", messages=messages)
        assert answer.choices[0].message.content == "At nine."


async def test_a_directive_calls_tools_once() -> None:
    user = {"role": "user", "content": '[[calls="find_slot {\\"day\\": 1}" text=Nine.]]'}
    async with StandInModel() as model, wire_to(model) as wire:
        await wire.ask(messages=[user])
        called = deltas(await wire.until(b"0\r\n\r\n"))
        assert [call["function"]["arguments"] for delta in called[1:-1] for call in delta["tool_calls"]] == [
            "",
            '{"day": 1}',
        ]
        await wire.ask(messages=[user, {"role": "tool", "content": "9", "tool_call_id": "call_1_0"}])
        assert deltas(await wire.until(b"0\r\n\r\n"))[1] == {"content": "Nine."}


# Headers, and Azure.


async def test_answers_tell_how_much_is_left() -> None:
    async with StandInModel() as model, wire_to(model) as wire:
        for left in ("9999", "9998", "0"):
            await wire.ask("[[refuse status=429]]" if left == "0" else "Hi.", stream=left == "9999")
            head = await wire.until(b"\r\n\r\n")
            assert f"x-ratelimit-remaining-requests: {left}\r\n" in head
            assert "x-ratelimit-remaining-tokens: " in head
            await wire.until(b"0\r\n\r\n" if left == "9999" else b"}}")


async def test_azure_is_answered_at_its_own_path() -> None:
    async with StandInModel(THREE) as model:
        root = model.base_url.removesuffix("/v1")
        async with openai.AsyncAzureOpenAI(azure_endpoint=root, api_key="k", api_version="2024-10-21") as client:
            stream = await client.chat.completions.create(
                model="deployed", stream=True, messages=[{"role": "user", "content": "Hi."}]
            )
            chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "One two three."
    assert not chunks[0].choices
    received = model.requests[0]
    assert (received.path, received.query) == (
        "/openai/deployments/deployed/chat/completions",
        "api-version=2024-10-21",
    )
    assert received.headers["api-key"] == "k"


@pytest.mark.parametrize(
    ("query", "header", "status"),
    [("", "api-key: k\r\n", 404), ("?api-version=", "api-key: k\r\n", 404), ("?a=b&api-version=1", "", 401)],
)
async def test_azure_wants_its_version_and_its_key(query: str, header: str, status: int) -> None:
    async with StandInModel(THREE) as model, wire_to(model) as wire:
        path = f"/openai/deployments/any/chat/completions{query}"
        wire.writer.write(f"POST {path} HTTP/1.1\r\n{header}\r\n".encode())
        assert (await wire.until(b"\r\n\r\n")).startswith(f"HTTP/1.1 {status} ")


# Stats.


async def stats(wire: Wire, line: bytes = b"GET /stats") -> Any:
    wire.writer.write(line + b" HTTP/1.1\r\n\r\n")
    head = await wire.until(b"\r\n\r\n")
    length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
    return json.loads(await wire.reader.readexactly(length))


async def test_another_process_may_read_what_was_drawn_and_counted() -> None:
    async with StandInModel(Script("Hi.", first_token_after=0.002), seed=4) as model, wire_to(model) as wire:
        async with wire_to(model) as hung:
            await wire.ask()
            await wire.until(b"0\r\n\r\n")
            await wire.ask("[[explode]]")
            await wire.until(b"}}")
            await hung.ask("[[hang_after_role first_token_after=9]]")
            await model.until(lambda: model.open_streams == 1)
            counted = {"requests": 3, "answered": 2, "closed_by_client": 0, "open_streams": 1, "peak_streams": 1}
            assert await stats(wire) == {**counted, "first_tokens": [0.002, 9.0], "seed": 4}
        await model.quiet()
        assert (await stats(wire))["closed_by_client"] == 1


async def test_stats_begin_anew_with_the_streams_that_are_open() -> None:
    async with StandInModel(Script(fault=HangAfterHeaders())) as model, wire_to(model) as wire, wire_to(model) as hung:
        await hung.ask()
        await model.until(lambda: model.open_streams == 1)
        assert await stats(wire, b"POST /stats/reset") == {}
        counted = {"requests": 0, "answered": 0, "closed_by_client": 0, "open_streams": 1, "peak_streams": 1}
        assert await stats(wire) == {**counted, "first_tokens": [], "seed": model.seed}


async def test_numbers_of_answers_go_on_after_a_reset() -> None:
    async with StandInModel(THREE) as model, wire_to(model) as wire:
        for number in (1, 2):
            await wire.ask()
            assert events(await wire.until(b"0\r\n\r\n"))[0]["id"] == f"chatcmpl-{number}"
            await stats(wire, b"POST /stats/reset")


# The faults that speak too much or too slowly.


@pytest.mark.parametrize("directive", ["repeat", "runaway", "dribble"])
async def test_a_stream_that_does_not_end_is_left_by_its_client(directive: str) -> None:
    async with StandInModel(THREE) as model:
        async with wire_to(model) as wire:
            await wire.ask(f"[[{directive} every=0.001]]")
            heard = [deltas(await wire.until(b"\n\n\r\n"))[-1] for _ in range(8)]
            assert all(delta["content"] for delta in heard[1:])
        await model.quiet(within=SOON * 10)
        assert model.closed_by_client == 1


async def test_a_huge_chunk_reaches_the_sdk() -> None:
    async with StandInModel(THREE) as model, sdk_for(model) as client:
        assert len(await said(client, "[[huge size=300000]]")) == 300_000 + len("One two three.")
