"""Cases 1, 4 and 6 to 14: a line opens, and the greeting."""

import json
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from msgspec import structs
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from service.conversation.call import Turn
from service.conversation.parts import Part, Speech
from service.settings import Settings
from tests.conformance.agents import replying, saying
from tests.live import PlatformLine, ScriptedAgent, Service, serving

GREETING = "How may I help you?"
SILENCE = {"response_type": "response", "response_id": 0, "content": "", "content_complete": True}
PATIENT = Settings(agent="dummy", greeting_wait=5)
SPELLINGS = {
    "/llm-websocket/call_1": "call_1",
    "/llm-websocket/call_1/": "call_1",
    "/llm-websocket//call_1": "call_1",  # of a configured address that ends with a slash
    "/llm-websocket/call%5F1": "call_1",
    "/llm-websocket/call_1?tenant=7&x=/y": "call_1",
    "/llm-websocket/call_1/?tenant=7": "call_1",
    "/llm-websocket/c": "c",
    "/llm-websocket/" + "aZ0_-9aZ" * 16: "aZ0_-9aZ" * 16,  # 128 characters
}
NO_CALLS = (
    "/llm-websocket/" + "a" * 129,
    "/llm-websocket/call.1",
    "/llm-websocket/call%201",
    "/llm-websocket/call_1%0A",
    "/llm-websocket/call%00",
    "/llm-websocket/c%C3%A4ll",
    "/llm-websocket/%FF%FE",
    "/llm-websocket/%EF%BC%91",  # a digit, but not of ASCII
    "/llm-websocket/a/b",
    "/llm-websocket/a%2Fb",
    "/llm-websocket/..%2Fcall_1",
)
NO_PLACES = (
    "/",
    "/healthz",
    "/other/call_1",
    "/llm-websocket",
    "/llm-websocket/",
    "/llm-websocket//",
    "/llm-websocket?token=x",
    "/llm-websocket?s3cret",  # not the id of a call, which would be logged
    "/llm-websocket/?s3cret",
)
MALFORMED_CALLS: tuple[Any, ...] = ({}, None, [], "x", {"call_id": 7}, {"call_id": "call_1", "start_timestamp": "now"})


def told(**call: Any) -> dict[str, Any]:
    return {"interaction_type": "call_details", "call": call}


async def greeting_on(line: PlatformLine) -> list[str]:
    """The chunks of the greeting, of which there is one and nothing behind it."""
    frames = await line.until(lambda frame: frame.get("content_complete") is True)
    await line.nothing(0.05)
    assert all(frame["response_id"] == 0 for frame in frames if frame["response_type"] == "response")
    return [frame["content"] for frame in frames if frame["response_type"] == "response"]


async def test_case_1_the_upgrade_succeeds_at_once() -> None:
    async with serving() as service:
        begun = time.monotonic()
        async with service.line() as line:
            assert line.socket.response is not None
            assert line.socket.response.status_code == 101
            assert time.monotonic() - begun < 1


async def test_case_4_the_call_id_is_read_from_every_spelling_of_its_path() -> None:
    agent = saying("Yes.")
    async with serving(agent) as service:
        for path, call_id in SPELLINGS.items():
            async with service.line(call_id, path=path) as line:
                await line.greeted()
                await line.ask(1, "", "Hi.")
                await line.answer(1)
                assert agent.turns[-1].call_id == call_id, path
                assert agent.turns[-1].call is not None, f"the details are taken for another call's: {path}"


async def test_case_4_a_path_without_a_good_call_id_is_refused_with_404_before_the_upgrade() -> None:
    async with serving() as service:
        for path in NO_CALLS:
            assert await refusal(service, path) == 404, path
        assert await is_well(service)


async def test_a_websocket_where_no_call_lives_is_refused_before_the_upgrade() -> None:
    async with serving() as service:
        for path in NO_PLACES:
            assert 400 <= await refusal(service, path) < 500, path
        assert await is_well(service)


async def test_case_4_a_query_string_before_the_id_names_the_same_call() -> None:
    """What becomes of `wss://host/llm-websocket?token=x` when Retell appends `/{call_id}` (section 9.5)."""
    async with serving() as service, service.line(path="/llm-websocket?token=x/call_1") as line:
        await line.greeted()
        assert "call_1" in service.calls._sessions


async def test_case_1_a_client_with_the_usual_extensions_is_served() -> None:
    async with serving(settings=Settings(agent="dummy", open=True)) as service:
        url = f"ws://{service.address}/llm-websocket/call_1"
        async with connect(url, subprotocols=[Subprotocol("retell")], origin=Origin("https://x")) as socket:
            assert (socket.subprotocol, socket.protocol.extensions) == (None, [])
            assert json.loads(await socket.recv())["response_type"] == "config"


async def test_case_6_the_first_frame_is_the_config() -> None:
    async with serving() as service, service.line() as line:
        assert await line.frame() == {
            "response_type": "config",
            "config": {"auto_reconnect": True, "call_details": True, "transcript_with_tool_calls": True},
        }


async def test_case_7_a_flag_that_is_set_off_is_false_and_no_other_is() -> None:
    flags = ("auto_reconnect", "call_details", "transcript_with_tool_calls")
    for off in flags:
        settings = structs.replace(Settings(agent="dummy"), **{f"retell_{off}": False})
        async with serving(settings=settings) as service, service.line() as line:
            assert (await line.frame())["config"] == {flag: flag != off for flag in flags}


async def test_case_8_the_greeting_is_one_response_under_id_0() -> None:
    async with serving() as service, service.line() as line:
        frames = await line.greeted()
        assert "".join(frame["content"] for frame in frames[1:]) == GREETING
        await line.nothing()


async def test_case_9_an_agent_that_lets_the_caller_start_greets_with_one_empty_frame() -> None:
    async with serving(saying("Yes.")) as service, service.line() as line:
        assert (await line.greeted())[1:] == [SILENCE]


async def test_case_9_so_does_an_agent_that_returns_nothing() -> None:
    async def nothing(turn: Turn) -> AsyncGenerator[Part]:
        if turn.index < 0:
            yield Speech("never")

    async with serving(ScriptedAgent(nothing)) as service, service.line() as line:
        assert (await line.greeted())[1:] == [SILENCE]


async def test_case_10_the_greeting_waits_for_the_call_details_and_comes_once() -> None:
    agent = replying(lambda turn: saying().reply(turn), greeting="Hello.")
    async with serving(agent, PATIENT) as service, service.line() as line:
        await line.frame()
        await line.nothing()
        await line.send(told(call_id="call_1", direction="inbound", retell_llm_dynamic_variables={"name": "Ada"}))
        assert "".join(await greeting_on(line)) == "Hello."
        await line.send(told(call_id="call_1", direction="inbound"))
        await line.nothing(0.05)
        (turn,) = agent.turns
        assert turn.call is not None
        assert turn.call.variables == {"name": "Ada"}


async def test_case_11_a_greeting_whose_call_details_never_come_is_spoken_without() -> None:
    async with serving(settings=Settings(agent="dummy", greeting_wait=0.2)) as service, service.line() as line:
        await line.frame()
        begun = time.monotonic()
        assert "".join(await greeting_on(line)) == GREETING
        assert 0.1 < time.monotonic() - begun < 1
        await line.send(told(call_id="call_1"))
        await line.nothing()


async def test_case_11_with_call_details_off_the_greeting_does_not_wait() -> None:
    settings = Settings(agent="dummy", greeting_wait=5, retell_call_details=False)
    async with serving(settings=settings) as service, service.line() as line:
        await line.frame()
        assert (await line.frame(within=1))["content"] == GREETING


async def test_case_12_a_web_call_without_numbers_is_greeted() -> None:
    agent = saying()
    async with serving(agent, PATIENT) as service, service.line() as line:
        await line.greeted(call_type="web_call", agent_id="a", agent_version=3, call_status="registered", metadata=None)
        (turn,) = agent.turns
        assert turn.call is not None
        assert turn.call.is_web_call
        assert turn.call.from_number is turn.call.to_number is turn.call.direction is None


async def test_case_13_the_details_of_another_call_are_not_used() -> None:
    agent = replying(lambda turn: saying("Yes.").reply(turn), greeting="Hello.")
    async with serving(agent, Settings(greeting_wait=0.1)) as service, service.line() as line:
        await line.frame()
        await line.send(told(call_id="call_2", from_number="+15550100", call_status="ongoing"))
        assert "".join(await greeting_on(line)) == "Hello."
        await line.ask(1, "Hello.", "Hi.")
        assert await line.answer(1) == "Yes."
        assert [turn.call for turn in agent.turns] == [None, None]


async def test_case_11_malformed_call_details_are_ignored() -> None:
    async with serving(settings=Settings(agent="dummy", greeting_wait=0.1)) as service:
        for number, call in enumerate(MALFORMED_CALLS):
            async with service.line(f"call_{number}") as line:
                await line.send({"interaction_type": "call_details", "call": call})
                await line.frame()
                assert "".join(await greeting_on(line)) == GREETING, call


async def test_case_14_every_kind_of_text_leaves_as_one_json_object() -> None:
    words = 'Quotes " and \\ and \n and \u2028 and é and 日本 and 🙂 and \x00\x1f.'
    async with serving(saying(Speech(words))) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "", "Hi.")
        assert await line.answer(1) == words


async def test_case_14_half_an_emoji_leaves_as_valid_json() -> None:
    async with serving(saying("Half \ud83d an emoji.")) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "", "Hi.")
        assert await line.answer(1) == "Half \ufffd an emoji."


async def refusal(service: Service, path: str) -> int:
    """The HTTP status with which the upgrade is refused."""
    with pytest.raises(InvalidStatus) as refused:
        async with service.line(path=path):
            pass
    return refused.value.response.status_code


async def is_well(service: Service) -> bool:
    """Whether another call is answered."""
    async with service.line("another_call") as line:
        await line.greeted()
        await line.ask(1, "", "Hi.")
        return bool(await line.answer(1))
