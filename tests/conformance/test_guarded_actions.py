"""Cases 42 to 47 with the actions that a model asks for: by their rules, and what a caller can still turn around."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import msgspec

from service.agents.actions import ActionRules, actions_of
from service.conversation.call import Turn
from service.conversation.parts import Part, Speech
from tests.conformance.agents import Gate, replying
from tests.live import Frame, ScriptedAgent, serving

NUMBER = "+4930123456"
RULES = msgspec.toml.decode(
    f"""
    [end_call]
    unless_said = "wait|before you go"
    uninterruptible = true
    [transfer_call]
    numbers = {{ reception = "{NUMBER}" }}
    shows_caller_number = true
    only_if_said = "human"
    [press_digits]
    min_turns = 2
    """,
    type=ActionRules,
)


def wishing(tool: str, **arguments: Any) -> ScriptedAgent:
    """An agent whose model always asks for one action, and goes on talking when it is refused."""

    async def reply(turn: Turn) -> AsyncGenerator[Part]:
        decided = actions_of(RULES)[tool].decide(json.dumps(arguments), turn)
        yield Speech("Then let us go on.") if isinstance(decided, str) else decided

    return replying(reply)


async def final_of(agent: ScriptedAgent, *said: str) -> Frame:
    """The final frame, with all words of the turn."""
    async with serving(agent) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, *said)
        words = await line.answer(1)
        return {**line.frames[-1], "content": words}


async def test_case_42_a_hang_up_travels_with_the_model_s_goodbye() -> None:
    final = await final_of(wishing("end_call", message="Bye, Ada."), "", "That is all.")
    assert (final["content"], final["end_call"], final["no_interruption_allowed"]) == ("Bye, Ada.", True, True)


async def test_case_42_a_hang_up_without_a_goodbye_gets_one() -> None:
    final = await final_of(wishing("end_call"), "", "That is all.")
    assert (final["content"], final["end_call"]) == ("Goodbye.", True)


async def test_case_44_a_transfer_goes_to_the_number_behind_the_name() -> None:
    agent = wishing("transfer_call", to="reception", message="One moment.", number="+1900")
    final = await final_of(agent, "", "A human, please.")
    assert (final["content"], final["transfer_number"]) == ("One moment.", NUMBER)
    assert final["show_transferee_as_caller"] is True


async def test_case_44_a_transfer_that_the_rules_refuse_is_not_on_the_wire() -> None:
    for agent in (wishing("transfer_call", to="reception"), wishing("transfer_call", to="+1900")):
        final = await final_of(agent, "", "What do you cost?")
        assert final["content"] == "Then let us go on."
        assert "transfer_number" not in final


async def test_case_45_keys_are_pressed_when_the_rules_allow_it() -> None:
    agent = wishing("press_digits", digits="1#")
    assert "digit_to_press" not in await final_of(agent, "", "Press one.")
    assert (await final_of(agent, "", "Press one.", "Sorry?", "Press one."))["digit_to_press"] == "1#"


async def test_case_47_a_caller_who_cuts_off_the_goodbye_and_asks_to_wait_is_not_hung_up_on_again() -> None:
    agent = wishing("end_call", message="Goodbye, Ada.")
    async with serving(agent) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "", "That is all.")
        assert await line.answer(1) == "Goodbye, Ada."
        await line.ask(2, "", "That is all.", "Goodbye,", "Oh, before you go!")
        assert await line.answer(2) == "Then let us go on."
        assert "end_call" not in line.frames[-1]
        await line.ask(3, "", "That is all.", "Goodbye,", "Oh, before you go!", "Then let us go on.", "No. Bye.")
        assert await line.answer(3) == "Goodbye, Ada."
        assert line.frames[-1]["end_call"] is True
        assert service.calls.connected == 1


async def test_case_46_an_action_decided_in_an_overtaken_turn_is_never_sent() -> None:
    gate = Gate()

    async def reply(turn: Turn) -> AsyncGenerator[Part]:
        decided = actions_of(RULES)["end_call"].decide('{"message": "Bye."}', turn)
        if isinstance(decided, str):
            yield Speech("I am listening.")
            return
        yield decided
        gate.is_reached.set()
        await gate.opens.wait()

    async with serving(replying(reply)) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "", "That is all.")
        await gate.is_reached.wait()
        await line.ask(2, "", "That is all. No, wait.")
        assert await line.answer(2) == "I am listening."
        gate.opens.set()
        await line.nothing()
        assert not any("end_call" in frame for frame in line.frames)
