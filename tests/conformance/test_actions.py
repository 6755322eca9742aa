"""Cases 41 to 50: types and actions. What holds of every frame is checked in `strict`, on every line of every test."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from structlog.testing import capture_logs

from service.conversation.call import Turn
from service.conversation.parts import (
    HangUp,
    Interjection,
    PageMessage,
    Part,
    PressDigits,
    Speech,
    Transfer,
    VoiceSettings,
)
from service.conversation.transcript import ToolAnswered, ToolCalled
from tests.conformance.agents import Gate, failing, replying, saying
from tests.live import Frame, ScriptedAgent, is_final, serving, words

NUMBER = "+15550100"


async def frames_of(agent: ScriptedAgent) -> list[Frame]:
    """The frames of a turn, to its final one."""
    async with serving(agent) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "", "Hi.")
        frames = await line.until(is_final(1))
        await line.nothing(0.03)
        return frames


async def final_of(*parts: Part | str) -> Frame:
    return (await frames_of(saying(*parts)))[-1]


async def test_case_41_a_plain_answer_has_nothing_but_its_three_fields() -> None:
    for frame in await frames_of(saying("Good ", "day.")):
        assert frame.keys() == {"response_type", "response_id", "content", "content_complete"}


async def test_case_42_a_hang_up_ends_the_call_with_its_farewell() -> None:
    final = await final_of("You are booked. ", HangUp("Bye.", is_uninterruptible=True))
    assert (final["content"], final["end_call"], final["no_interruption_allowed"]) == ("Bye.", True, True)


@pytest.mark.parametrize("farewell", ["", "  "])
async def test_case_42_a_hang_up_without_words_gets_a_farewell(farewell: str) -> None:
    final = await final_of(HangUp(farewell))
    assert (final["content"], final["end_call"]) == ("Goodbye.", True)
    assert "no_interruption_allowed" not in final


async def test_case_42_words_that_may_not_be_interrupted_say_so_one_by_one() -> None:
    frames = await frames_of(saying(Speech("By law: ", is_uninterruptible=True), "and now freely."))
    assert [frame.get("no_interruption_allowed", False) for frame in frames] == [True, False, False]


async def test_case_43_of_two_actions_the_first_by_rank_is_sent() -> None:
    hang_up, transfer, digits = HangUp("Bye."), Transfer(NUMBER, "One moment."), PressDigits("1")
    for parts in ((hang_up, transfer), (digits, hang_up), (digits, transfer, hang_up, digits)):
        final = await final_of(*parts)
        assert final["end_call"] is True
        assert final["content"] == "Bye."
    assert (await final_of(digits, transfer))["transfer_number"] == NUMBER


async def test_case_44_a_transfer_names_its_number() -> None:
    final = await final_of("Gladly.", Transfer(NUMBER, "One moment."))
    assert (final["content"], final["transfer_number"]) == (" One moment.", NUMBER)
    assert "show_transferee_as_caller" not in final
    shown = await final_of(Transfer(NUMBER, shows_caller_number=True))
    assert (shown["content"], shown["show_transferee_as_caller"]) == ("", True)


@pytest.mark.parametrize("number", ["", "5550100", "+0123", "+1 555 0100", "+155501\uff10", "+1" + "5" * 15, "sip:a@b"])
async def test_case_44_a_number_that_is_not_e164_is_refused_where_it_is_made(number: str) -> None:
    with pytest.raises(ValueError, match=r"E\.164"):
        Transfer(number)


async def test_case_45_digits_are_pressed_with_or_without_words() -> None:
    final = await final_of(PressDigits("1*0#"))
    assert (final["content"], final["digit_to_press"]) == ("", "1*0#")
    assert (await final_of(PressDigits("9", "Now.")))["content"] == "Now."
    with pytest.raises(ValueError, match="digits"):
        PressDigits("1a")


async def test_case_46_an_action_of_an_overtaken_turn_is_never_sent() -> None:
    gate = Gate()

    async def reply(turn: Turn) -> AsyncGenerator[Part]:
        if turn.turn_id == 1:
            yield Speech("Then ")
            yield HangUp("Bye.")
            gate.is_reached.set()
            await gate.opens.wait()
        yield Speech("Yes.")

    async with serving(replying(reply)) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "", "That is all.")
        await gate.is_reached.wait()
        await line.ask(2, "", "That is all. No, wait.")
        assert await line.answer(2) == "Yes."
        gate.opens.set()
        await line.nothing()
        assert not any("end_call" in frame for frame in line.frames)


async def test_case_46_an_action_of_a_failed_turn_is_never_sent() -> None:
    async def reply(_: Turn) -> AsyncGenerator[Part]:
        yield Transfer(NUMBER, "One moment.")
        raise OSError

    (final,) = await frames_of(replying(reply))
    assert "transfer_number" not in final
    assert final["content"]


async def test_case_48_interjections_have_growing_ids_and_withdraw_their_turn() -> None:
    async def reply(turn: Turn) -> AsyncGenerator[Part]:
        yield Speech("Let me see ")
        yield Interjection(f"Stop {turn.turn_id}.")
        yield Speech("words that are stale")

    async with serving(replying(reply)) as service, service.line() as line:
        await line.greeted()
        ids = []
        for turn_id in (1, 2, 3):
            await line.ask(turn_id, "", "Hi.")
            frames = await line.until(lambda frame: frame["response_type"] == "agent_interrupt")
            assert words(frames[:-1], turn_id) in ("", "Let me see ")
            assert (frames[-1]["content"], frames[-1]["content_complete"]) == (f"Stop {turn_id}.", True)
            assert frames[-1]["no_interruption_allowed"] is True
            ids.append(frames[-1]["interrupt_id"])
        assert ids == sorted(set(ids))
        await line.nothing()
    async with serving(replying(reply)) as service, service.line() as line:  # another process, later
        await line.greeted()
        await line.ask(4, "", "Hi.")
        frames = await line.until(lambda frame: frame["response_type"] == "agent_interrupt")
        assert frames[-1]["interrupt_id"] > 0


async def test_case_46_an_interjection_that_waits_for_a_slow_peer_is_dropped_by_a_newer_request() -> None:
    """Its words are as stale as any other of its turn, and its action would hang up on a caller who just spoke."""

    said: list[int] = []

    async def reply(turn: Turn) -> AsyncGenerator[Part]:
        while turn.turn_id == 1:
            said.append(1)
            yield Speech("x" * 100_000)  # without end: more than the sockets take in
        said.append(turn.turn_id)
        yield Interjection("Sorry.", action=HangUp("Bye.")) if turn.turn_id == 2 else Speech("Yes.")

    async with serving(replying(reply)) as service, service.line() as line:
        await line.greeted()
        for turn_id in (1, 2, 3):
            await line.ask(turn_id, "", "Hi.")
            looks = [0]
            while turn_id not in said or len(set(looks[-6:])) > 1:  # until the agent waits for the peer
                looks.append(len(said))
                await asyncio.sleep(0.05)
        assert await line.answer(3) == "Yes."
        assert all(frame["response_type"] != "agent_interrupt" for frame in line.frames)


async def test_case_48_an_interjection_instead_of_a_greeting_still_opens_the_call_with_response_0() -> None:
    """Retell says nothing before a response 0 (section 2.1)."""

    async def reply(_: Turn) -> AsyncGenerator[Part]:
        yield Interjection("This call is recorded.")

    async with serving(ScriptedAgent(reply)) as service, service.line() as line:
        await line.send({"interaction_type": "call_details", "call": {"call_id": "call_1"}})
        await line.until(lambda frame: frame["response_type"] == "agent_interrupt")
        await line.nothing()
        assert any(frame.get("response_id") == 0 for frame in line.frames)


async def test_case_48_an_interjection_closes_the_agent_that_made_it() -> None:
    gate = Gate()

    async def reply(turn: Turn) -> AsyncGenerator[Part]:
        if turn.turn_id == 2:
            yield Speech("Yes.")
            return
        try:
            yield Interjection("Hold on.", is_uninterruptible=False, action=Transfer(NUMBER, "Connecting."))
            await gate.opens.wait()
        finally:
            gate.is_closed.set()

    async with serving(replying(reply)) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "", "Hi.")
        frame = await line.frame()
        assert (frame["content"], frame["transfer_number"]) == ("Hold on. Connecting.", NUMBER)
        assert "no_interruption_allowed" not in frame
        await gate.is_closed.wait()
        await line.ask(2, "", "Hi.")
        assert await line.answer(2) == "Yes."


async def test_case_49_voice_settings_are_clamped_to_what_retell_takes() -> None:
    odd = VoiceSettings(responsiveness=7, interruption_sensitivity=-0.5, reminder_after=0, reminder_limit=-3)
    frame, *_ = await frames_of(saying(odd, "Yes."))
    assert frame["agent_config"] == {
        "responsiveness": 1,
        "interruption_sensitivity": 0,
        "reminder_trigger_ms": 1,
        "reminder_max_count": 0,
    }
    frame, *_ = await frames_of(saying(VoiceSettings(reminder_after=12.5), "Yes."))
    assert frame["agent_config"] == {"reminder_trigger_ms": 12_500}
    for bad in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(ValueError, match="finite"):
            VoiceSettings(reminder_after=bad)


async def test_case_50_a_page_message_is_json_or_refused_where_it_is_made() -> None:
    frame, *_ = await frames_of(saying(PageMessage.of({"step": 2, "note": "ünï 🙂", "empty": None}), "Yes."))
    assert frame["metadata"] == {"step": 2, "note": "ünï 🙂", "empty": None}
    for bad in ({"x": object()}, {"x": float("nan")}, {"x": {1, 2}}, {"x": b""}, {"x": "\ud83d"}, {(1,): 2}):
        with pytest.raises((TypeError, ValueError)):
            PageMessage.of(bad)  # type: ignore[arg-type]  # as an agent's author may


async def test_case_50_an_agent_that_makes_a_bad_page_message_is_apologised_for() -> None:
    async def reply(_: Turn) -> AsyncGenerator[Part]:
        yield PageMessage.of({"x": object()})

    (final,) = await frames_of(replying(reply))
    assert final["content"]


async def test_case_41_tool_rows_are_shown_between_the_words_where_they_belong() -> None:
    call, answer = (
        ToolCalled("t1", "find", '{"day": "Monday"}'),
        ToolAnswered("t1", '{"free": true}', is_successful=True),
    )
    frames = await frames_of(saying("One moment. ", call, answer, ToolAnswered("t2", ""), "Yes."))
    assert [frame["response_type"] for frame in frames] == [
        "response",
        "tool_call_invocation",
        *["tool_call_result"] * 2,
        *["response"] * 2,
    ]
    assert frames[1]["arguments"] == '{"day": "Monday"}'
    assert (frames[2]["successful"], "successful" in frames[3]) == (True, False)


async def test_a_failure_is_logged_by_its_class_and_never_by_its_words() -> None:
    with capture_logs() as logs:
        await frames_of(failing(ValueError("card 4111")))
    (settled,) = (line for line in logs if line["event"] == "turn.settled" and line["prompt"] == "caller_spoke")
    assert (settled["outcome"], settled["reason"]) == ("failed", "ValueError")
    assert "4111" not in str(logs)
