"""Cases 61 to 65, and point 5 of the issue: a line breaks and comes back, here or to another process."""

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.conversation.call import Turn
from service.conversation.parts import Part, Speech
from service.conversation.transcript import Utterance
from service.settings import Settings
from tests.conformance.agents import Gate, replying
from tests.live import Frame, PlatformLine, ScriptedAgent, Service, is_final, serving, words

SILENCE = {"response_type": "response", "response_id": 0, "content": "", "content_complete": True}
PATIENT = Settings(greeting_wait=5)


def talkative() -> ScriptedAgent:
    async def reply(turn: Turn) -> AsyncGenerator[Part]:
        yield Speech(f"Answer {turn.turn_id}.")

    return replying(reply, greeting="Hello.")


async def resumed(line: PlatformLine) -> list[Frame]:
    """The first frames of a line of a call that is known: the config and the empty response 0."""
    frames = [await line.frame(), await line.frame()]
    assert frames[0]["response_type"] == "config"
    assert frames[1] == SILENCE
    return frames


@asynccontextmanager
async def broken_call(service: Service, *asked: int) -> AsyncIterator[PlatformLine]:
    """A call that was greeted and has answered, and whose line broke."""
    async with service.line() as line:
        await line.greeted()
        for turn_id in asked:
            await line.ask(turn_id, "Hello.", "Hi.")
            await line.answer(turn_id)
        line.cut()
    async with service.line() as again:
        yield again


async def test_case_61_a_line_that_comes_back_gets_config_and_silence_and_its_state() -> None:
    agent = talkative()
    async with serving(agent) as service, broken_call(service, 1, 2) as line:
        await resumed(line)
        await line.nothing()
        await line.ask(3, "Hello.", "Hi.", "Answer 2.", "And now?")
        assert await line.answer(3) == "Answer 3."
        assert agent.turns[-1].call is not None  # the details of the line before
        assert len([turn for turn in agent.turns if turn.turn_id == 0]) == 1


async def test_case_61_call_details_told_again_bring_no_second_greeting() -> None:
    async with serving(talkative(), PATIENT) as service, broken_call(service) as line:
        await resumed(line)
        await line.send({"interaction_type": "call_details", "call": {"call_id": "call_1"}})
        await line.nothing()


async def test_case_62_any_id_is_answered_on_a_new_line() -> None:
    async with serving(talkative()) as service:
        for turn_id in (1, 2, 3, 7):
            async with broken_call(service, 1, 3) as line:
                await resumed(line)
                await line.ask(turn_id, "Hello.", "Hi.")
                assert await line.answer(turn_id) == f"Answer {turn_id}."


async def test_case_62_a_turn_in_flight_when_the_line_breaks_is_cancelled_and_answered_when_asked_again() -> None:
    gate = Gate("Let me see. ")
    async with serving(gate.agent) as service:
        async with service.line() as line:
            await line.greeted()
            await line.ask(1, "", "Hi.")
            await gate.is_reached.wait()
            line.cut()
        await asyncio.wait_for(gate.is_closed.wait(), 1)
        gate.opens.set()
        async with service.line() as again:
            await resumed(again)
            await again.ask(1, "", "Hi.")
            assert await again.answer(1) == "Answer 1."


async def test_case_62_a_request_sent_with_the_handshake_finds_the_line_opened_by_response_0() -> None:
    async with serving(talkative()) as service, broken_call(service, 1) as line:
        for turn_id in range(2, 12):
            await line.ask(turn_id, "Hello.", "Hi.")
        frames = await line.until(is_final(11))
        assert frames[1] == SILENCE


async def test_case_61_a_greeting_that_was_not_spoken_yet_is_spoken_on_the_new_line() -> None:
    async with serving(talkative(), PATIENT) as service:
        async with service.line() as line:
            await line.frame()
            line.cut()
        async with service.line() as again:
            assert words(await again.greeted(), 0) == "Hello."


async def test_case_61_the_same_holds_when_the_call_is_ongoing_by_then() -> None:
    """This process knows that nobody has greeted; what the details say matters to one that does not know the call."""
    assert await greeting_on_second_line({"call_status": "ongoing"}) == "Hello."


async def test_case_64_a_call_that_began_long_before_its_first_line_here_was_greeted_elsewhere() -> None:
    """Its first line here broke before the details came: that this process knows its id says nothing."""
    assert await greeting_on_second_line({"start_timestamp": int(time.time() * 1000) - 60_000}) == ""


async def greeting_on_second_line(call: dict[str, Any]) -> str:
    """The greeting of a call whose first line broke before it was greeted, and that tells this on its second."""
    async with serving(talkative(), PATIENT) as service:
        async with service.line() as line:
            await line.frame()
            line.cut()
        async with service.line() as again:
            return words(await again.greeted(**call), 0)


async def test_case_61_a_broken_line_is_logged_without_a_close_code_that_nobody_sent() -> None:
    with capture_logs() as logs:
        async with serving(talkative()) as service, broken_call(service) as line:
            await resumed(line)
    codes = [line["close_code"] for line in logs if line["event"] == "line.closed"]
    assert codes[0] in (None, 1006)
    assert codes[1:] == [1000]


async def test_case_63_the_newest_line_wins_and_the_older_one_is_cut_and_gets_no_more_words() -> None:
    gate = Gate("Let me see. ")
    async with serving(gate.agent) as service, service.line() as old:
        await old.greeted()
        await old.ask(1, "", "Hi.")
        await gate.is_reached.wait()
        async with service.line() as new:
            begun = time.monotonic()
            await resumed(new)
            gate.opens.set()
            assert await old.closed() == 1006
            assert time.monotonic() - begun < 2
            assert words(old.frames, 1) in ("", "Let me see. ")
            await new.ask(1, "", "Hi.")
            assert await new.answer(1) == "Answer 1."
            await new.ping(1)
        assert service.calls.connected == 0


async def test_case_63_of_many_lines_at_once_one_is_left_and_works() -> None:
    async with serving(talkative()) as service, AsyncExitStack() as stack:
        lines = await asyncio.gather(*(stack.enter_async_context(service.line()) for _ in range(10)))
        codes = await asyncio.gather(*(_code_within(line, 0.3) for line in lines))
        (alive,) = (line for line, code in zip(lines, codes, strict=True) if code is None)
        assert [code for code in codes if code] == [1006] * 9
        await alive.ask(1, "", "Hi.")
        assert await alive.answer(1) == "Answer 1."


async def _code_within(line: PlatformLine, seconds: float) -> int | None:
    try:
        return await line.closed(seconds)
    except TimeoutError:
        return None


async def test_case_64_another_process_greets_a_fresh_call() -> None:
    fresh = int(time.time() * 1000)
    for call in ({}, {"call_status": "registered"}, {"start_timestamp": fresh - 1000}, {"start_timestamp": None}):
        assert await greeting_elsewhere(call) == "Hello.", call


async def test_case_64_another_process_does_not_greet_a_call_that_is_under_way() -> None:
    old = int(time.time() * 1000) - 6000
    for call in (
        {"call_status": "ongoing"},
        {"start_timestamp": old},
        {"call_status": "registered", "start_timestamp": 0},
    ):
        assert await greeting_elsewhere(call) == "", call


async def greeting_elsewhere(call: dict[str, Any]) -> str:
    """The greeting of a process that learns this of a call."""
    async with serving(talkative(), PATIENT) as service, service.line() as line:
        return words(await line.greeted(**call), 0)


@pytest.mark.parametrize("with_what", ["update", "request"])
async def test_case_64_a_transcript_in_which_the_agent_has_spoken_comes_first_and_nobody_greets(with_what: str) -> None:
    agent = talkative()
    async with serving(agent, PATIENT) as service, service.line() as line:
        await line.frame()
        said = ("Hello.", "When do you open?", "At nine.", "And close?")
        if with_what == "update":
            await line.update(*said)
            assert await line.frame() == SILENCE
            await line.send({"interaction_type": "call_details", "call": {"call_id": "call_1"}})
        await line.ask(8, *said)
        frames = await line.until(is_final(8))
        assert words(frames, 8) == "Answer 8."
        assert sum(frame.get("response_id") == 0 for frame in line.frames) == 1
        (turn,) = agent.turns
        assert [row.text for row in turn.history if isinstance(row, Utterance)] == list(said)


async def test_case_64_a_transcript_of_the_caller_alone_does_not_stop_the_greeting() -> None:
    async with serving(talkative(), PATIENT) as service, service.line() as line:
        await line.update("", "Hello?")
        assert words(await line.greeted(), 0) == "Hello."


async def test_case_65_when_the_platform_hangs_up_the_agent_is_closed_and_the_call_forgotten() -> None:
    gate = Gate("Let me see. ")
    with capture_logs() as logs:
        async with serving(gate.agent, Settings(reconnect_window=0.05)) as service:
            before = len(asyncio.all_tasks())
            async with service.line() as line:
                await line.greeted()
                await line.ask(1, "", "Hi.")
                await gate.is_reached.wait()
                session = weakref.ref(service.calls._sessions["call_1"])
            await asyncio.wait_for(gate.is_closed.wait(), 1)
            assert (len(service.calls), service.calls.connected) == (1, 0)
            await asyncio.sleep(0.1)
            assert len(service.calls) == 0
            assert len(asyncio.all_tasks()) <= before
            gc.collect()
            assert session() is None
    ended = [line for line in logs if line["event"] in ("call.ended", "call.fault")]
    assert [line["event"] for line in ended] == ["call.ended"]


async def test_case_65_a_call_that_comes_back_in_time_is_not_forgotten() -> None:
    async with serving(talkative(), Settings(reconnect_window=0.15)) as service:
        for _ in range(3):
            async with service.line() as line:
                await line.frame()
                await asyncio.sleep(0.1)
        assert len(service.calls) == 1


async def test_case_67_a_service_that_stops_cuts_its_lines_and_closes_none() -> None:
    gate = Gate("Let me see. ")
    async with AsyncExitStack() as stack:
        async with serving(gate.agent) as service:
            line = await stack.enter_async_context(service.line())
            quiet = await stack.enter_async_context(service.line("call_2"))
            await line.greeted()
            await line.ask(1, "", "Hi.")
            await gate.is_reached.wait()
        assert [await line.closed(1), await quiet.closed(1)] == [1006, 1006]
    assert gate.is_closed.is_set()
    assert len(service.calls) == 0
