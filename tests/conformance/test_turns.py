"""Cases 21 to 31: who is answered, under which id, and what becomes of a turn that is overtaken."""

import asyncio
import time
from collections.abc import AsyncGenerator

import pytest
from structlog.testing import capture_logs

from service.conversation.call import Prompt, Turn
from service.conversation.parts import HangUp, Part, Speech
from service.settings import Settings
from tests.conformance.agents import Gate, replying, saying
from tests.live import is_final, serving, words


async def patient(turn: Turn) -> AsyncGenerator[Part]:
    """Think for a moment, then answer."""
    await asyncio.sleep(0.03)
    yield Speech(f"Answer {turn.turn_id}.")


async def test_case_21_a_request_is_answered_under_its_id_and_completed_once() -> None:
    async with serving(saying("Good ", "day.")) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "", "Hi.")
        frames = await line.until(is_final(1))
        assert [frame["response_id"] for frame in frames] == [1] * len(frames)
        assert words(frames, 1) == "Good day."
        await line.nothing()


async def test_case_22_words_are_sent_as_they_come_and_keep_their_spaces() -> None:
    gate = Gate("  Well,", " let me", "\n", "see ", " ")
    async with serving(gate.agent) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "", "Hi.")
        await gate.is_reached.wait()
        frames = [await line.frame() for _ in range(5)]  # the agent has not ended yet
        assert words(frames, 1) == "  Well, let me\nsee  "
        gate.opens.set()
        assert await line.answer(1) == "late words"


async def test_case_22_no_word_waits_in_the_socket_for_the_one_before_to_be_acknowledged() -> None:
    """Nagle's algorithm (no TCP_NODELAY) would hold the second chunk until the peer's delayed ACK, 40 ms later."""
    async with serving(saying("One ", "two ", "three.")) as service, service.line() as line:
        await line.greeted()
        delays = [1.0]
        while min(delays) >= 0.03 and len(delays) < 50:  # a slow machine may need a few
            begun = time.monotonic()
            await line.ask(len(delays), "", "Hi.")
            await line.answer(len(delays))
            delays.append(time.monotonic() - begun)
        assert min(delays) < 0.03


async def test_case_23_an_empty_transcript_is_answered() -> None:
    async with serving(saying("Hello?")) as service, service.line() as line:
        await line.greeted()
        await line.ask(1)
        assert await line.answer(1) == "Hello?"
        await line.send({"interaction_type": "response_required", "response_id": 2})  # nor is it required
        assert await line.answer(2) == "Hello?"


async def test_case_24_an_update_is_not_answered_and_cancels_nothing() -> None:
    gate = Gate("One moment. ")
    async with serving(gate.agent) as service, service.line() as line:
        await line.greeted()
        await line.update("", "Hi.", turntaking="user_turn")
        await line.nothing()
        await line.ask(1, "", "Hi.")
        await gate.is_reached.wait()
        await line.update("", "Hi.", "One moment.", turntaking="agent_turn")
        await line.update("", "Hi.", "One moment.", "Yes?")
        assert await line.ping(1) != []
        assert not gate.is_closed.is_set()
        gate.opens.set()
        assert await line.answer(1) == "late words"
        assert len(gate.agent.turns) == 2


async def test_case_25_a_newer_request_cancels_the_older_one() -> None:
    gate = Gate("Old ", "words ")
    async with serving(gate.agent) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "", "Hi.")
        await gate.is_reached.wait()
        await line.ask(2, "", "Hi.", "Old", "No, wait.")
        assert await line.answer(2) == "Answer 2."
        assert gate.is_closed.is_set()
        gate.opens.set()
        await line.nothing()


async def test_case_26_a_request_overtaken_before_its_first_word_never_speaks() -> None:
    gate = Gate()
    async with serving(gate.agent) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "", "Hi.")
        await gate.is_reached.wait()
        await line.ask(2, "", "Hi. Hello?")
        assert await line.answer(2) == "Answer 2."
        assert gate.is_closed.is_set()
        gate.opens.set()
        await line.nothing()
        assert words(line.frames, 1) == ""


async def test_case_27_of_a_burst_only_the_newest_is_answered() -> None:
    agent = replying(patient)
    async with serving(agent) as service, service.line() as line:
        await line.greeted()
        before = len(asyncio.all_tasks())
        for turn_id in range(1, 11):
            await line.ask(turn_id, "", "Hi.")
        assert await line.answer(10) == "Answer 10."
        await line.nothing()
        assert {frame["response_id"] for frame in line.frames if "response_id" in frame} == {0, 10}
        assert len(asyncio.all_tasks()) <= before


async def test_case_27_a_burst_before_the_greeting_still_opens_the_call_with_id_0() -> None:
    """Retell says nothing before a response 0 (section 2.1), so the empty one may not be dropped as stale."""
    async with serving(replying(patient), Settings(greeting_wait=5)) as service, service.line() as line:
        for turn_id in range(1, 11):
            await line.ask(turn_id, "", "Hi.")
        assert await line.answer(10) == "Answer 10."
        assert [frame["response_id"] for frame in line.frames[1:3]] == [0, 10]


async def test_case_28_an_older_or_equal_id_is_not_answered_anew() -> None:
    with capture_logs() as logs:
        async with serving(replying(patient)) as service, service.line() as line:
            await line.greeted()
            await line.ask(5, "", "Hi.")
            for turn_id in (5, 4, 0, -1):
                await line.ask(turn_id, "", "Hi.")
            assert await line.answer(5) == "Answer 5."  # nor are they in its way
            for turn_id in (5, 4):
                await line.ask(turn_id, "", "Hi.")
            await line.nothing()
    assert [line["oddity"] for line in logs if line["event"] == "line.oddity"] == ["request_not_newer"]
    assert [line["event"] for line in logs if line["event"].startswith("assumption")] == ["assumption broken: A6"]


async def test_case_29_a_gap_in_the_ids_does_not_matter() -> None:
    async with serving(replying(patient)) as service, service.line() as line:
        await line.greeted()
        for turn_id in (3, 7, 2**40):
            await line.ask(turn_id, "", "Hi.")
            assert await line.answer(turn_id) == f"Answer {turn_id}."


async def test_case_30_a_reminder_is_answered_under_its_id_as_silence_and_not_as_speech() -> None:
    agent = saying("Are you there?")
    async with serving(agent) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "Hello.", kind="reminder_required")
        assert await line.answer(1) == "Are you there?"
        turn = agent.turns[-1]
        assert turn.prompt is Prompt.CALLER_SILENT
        assert [row.text for row in turn.history if hasattr(row, "text")] == ["Hello."]


@pytest.mark.parametrize("kinds", [("response_required", "reminder_required"), ("reminder_required",) * 2])
async def test_case_31_a_reminder_cancels_what_is_open(kinds: tuple[str, str]) -> None:
    await _second_cancels_first(*kinds)


async def test_case_31_a_request_cancels_an_open_reminder() -> None:
    await _second_cancels_first("reminder_required", "response_required")


async def _second_cancels_first(first: str, second: str) -> None:
    gate = Gate("Old words ")
    async with serving(gate.agent) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "", "Hi.", kind=first)
        await gate.is_reached.wait()
        await line.ask(2, "", "Hi.", kind=second)
        assert await line.answer(2) == "Answer 2."
        assert gate.is_closed.is_set()
        await line.nothing()


async def test_a_request_cancels_the_greeting() -> None:
    """Retell asked for the caller's words while the greeting was made: nobody wants the rest of it."""
    gate = Gate()

    async def greeting(turn: Turn) -> AsyncGenerator[Part]:
        if turn.prompt is Prompt.GREETING:
            yield Speech("Good ")
            gate.is_reached.set()
            await gate.opens.wait()
            yield Speech("evening.")
        else:
            yield Speech("Yes?")

    gate.agent.reply = greeting  # type: ignore[method-assign]  # this one greets
    async with serving(gate.agent, Settings(retell_call_details=False)) as service, service.line() as line:
        await gate.is_reached.wait()
        await line.ask(1, "Good", "Hello?")
        assert await line.answer(1) == "Yes?"
        gate.opens.set()
        await line.nothing()
        assert words(line.frames, 0) == "Good "


async def test_case_47_a_farewell_that_is_cut_off_does_not_end_the_conversation() -> None:
    async def reply(turn: Turn) -> AsyncGenerator[Part]:
        yield HangUp("Bye.") if turn.turn_id == 1 else Speech("We open at nine.")

    agent = replying(reply)
    async with serving(agent) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "", "That is all.")
        assert await line.answer(1) == "Bye."
        assert line.frames[-1]["end_call"] is True
        await line.ask(2, "", "That is all.", "By", "Wait, when do you open?")
        assert await line.answer(2) == "We open at nine."
        assert "end_call" not in line.frames[-1]
        assert service.calls.connected == 1
