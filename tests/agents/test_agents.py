"""The agents that ship, and the registry that names them."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import pytest

from service.agents.agent import Agent
from service.agents.dummy import ANSWER, GREETING, Dummy
from service.agents.folder import read_folder
from service.agents.receptionist import Receptionist
from service.agents.registry import FOLDERS, WITH_MODEL, WITHOUT_MODEL
from service.conversation.call import Prompt, Turn
from service.conversation.parts import Part, Speech
from service.llm.model import Message, Role, ServerFailed
from tests.conversation.play import caller
from tests.fakes import FakeModel

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
GREETING_TURN = Turn("call_1", 0, 0, Prompt.GREETING)
CALLER_TURN = Turn("call_1", 1, 1, Prompt.CALLER_SPOKE, (caller("Hi"),))


def receptionist(model: FakeModel) -> Receptionist:
    return Receptionist(read_folder(FOLDERS / "receptionist"), model, lambda: NOON)


async def said(parts: AsyncGenerator[Part]) -> list[str]:
    return [part.text async for part in parts if isinstance(part, Speech)]


def test_the_registry_names_agents_as_they_name_themselves() -> None:
    agents: dict[str, Agent] = {name: build() for name, build in WITHOUT_MODEL.items()}
    for name, build in WITH_MODEL.items():
        agents[name] = build(read_folder(FOLDERS / name), FakeModel(), lambda: NOON)
    assert all(agent.name == name for name, agent in agents.items())


async def test_the_dummy_says_what_the_guide_s_dummy_says() -> None:
    dummy = Dummy()
    await dummy.warm_up()
    assert await said(dummy.reply(GREETING_TURN)) == [GREETING] == ["How may I help you?"]
    assert await said(dummy.reply(CALLER_TURN)) == [ANSWER] == ["I am sorry, can you say that again?"]
    await dummy.close()


async def test_the_receptionist_greets_without_its_model() -> None:
    model = FakeModel()
    (greeting,) = await said(receptionist(model).reply(GREETING_TURN))
    assert greeting.endswith("How may I help you?")
    assert model.asked == []


async def test_the_receptionist_says_what_its_model_says() -> None:
    assert await said(receptionist(FakeModel("Good ", "morning!")).reply(CALLER_TURN)) == ["Good ", "morning!"]


async def test_the_prompt_stands_first_and_the_date_at_its_end() -> None:
    model = FakeModel("Yes.")
    await said(receptionist(model).reply(CALLER_TURN))
    system, heard = model.asked[0]
    assert isinstance(system, Message)
    assert system.text.endswith("Today is Monday, 23 November 2026 (UTC).\n")
    assert heard == Message(Role.USER, "Hi")


async def test_a_model_s_failure_is_the_session_s_to_handle_and_the_stream_is_closed() -> None:
    model = FakeModel("We are", error=ServerFailed())
    with pytest.raises(ServerFailed):
        await said(receptionist(model).reply(CALLER_TURN))
    assert model.open_streams == 0


async def test_an_abandoned_reply_closes_its_stream() -> None:
    model = FakeModel("We ", "are ", "open.")
    reply = receptionist(model).reply(CALLER_TURN)
    await anext(reply)
    await reply.aclose()
    assert model.open_streams == 0


async def test_the_receptionist_warms_and_closes_its_model() -> None:
    model = FakeModel()
    agent = receptionist(model)
    await agent.warm_up()
    await agent.close()
    assert model.is_warm
    assert model.is_closed
