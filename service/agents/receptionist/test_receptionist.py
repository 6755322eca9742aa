"""Tests of this agent, without a model and without a phone: run pytest in its folder."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.agents.call import Call
from service.agents.folder import read_folder
from service.agents.prompted import PromptedAgent
from service.agents.tools import Answer
from service.conversation.call import CallDetails, Prompt, Turn
from service.conversation.parts import HangUp, Part, Transfer
from service.conversation.transcript import Speaker, Transcript, Utterance
from service.llm.model import NO_TOOLS, Messages, Occasion, ToolCall, Toolset

HERE = Path(__file__).parent
TOOLS = {tool.name: tool for tool in read_folder(HERE).tools}
MARIA = CallDetails("call_1", from_number="+12075550150")
NEXT_WEEK = f"{datetime.now(UTC).date() + timedelta(7)}"


@pytest.fixture(autouse=True)
def _book_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPOINTMENTS_FILE", str(tmp_path / "appointments.db"))


class ScriptedModel:
    """Answers each question with the next of these: words, and calls of tools."""

    def __init__(self, *answers: str | ToolCall) -> None:
        self._answers = list(answers)

    async def stream(
        self,
        messages: Messages,  # noqa: ARG002
        occasion: Occasion,  # noqa: ARG002
        tools: Toolset = NO_TOOLS,  # noqa: ARG002
    ) -> AsyncGenerator[str | ToolCall]:
        yield self._answers.pop(0)

    async def warm_up(self) -> None:
        pass

    async def close(self) -> None:
        pass


def use(tool: str, key: str = "", **arguments: object) -> Answer:
    """What a tool answers Maria."""
    call = Call("call_1", lambda _: None, MARIA, key=key)
    return asyncio.run(TOOLS[tool].run(call, TOOLS[tool].read(json.dumps(arguments))))


def a_booking() -> dict[str, object]:
    """A wish that can be fulfilled."""
    free = use("find_slots", location="Northgate", day=NEXT_WEEK, dentist="Raman").content
    found = re.search(r"\((.{16})\)", free)  # such as 2026-12-07T09:30
    assert found
    wish = {"location": "Northgate", "dentist": "Raman", "visit": "check-up", "name": "Maria Lopez"}
    return {**wish, "start": found[1]}


def heard(*said: str) -> Transcript:
    """What was said, the agent first."""
    return tuple(Utterance((Speaker.AGENT, Speaker.CALLER)[i % 2], words) for i, words in enumerate(said))


async def answered(model: ScriptedModel, *said: str) -> list[Part]:
    """What the agent does when the caller has said that."""
    agent = PromptedAgent(read_folder(HERE), model, lambda: datetime.now(UTC))
    turn = Turn("call_1", 1, 1, Prompt.CALLER_SPOKE, heard(*said), MARIA)
    parts = [part async for part in agent.take("call_1", lambda _: None).reply(turn)]
    await agent.close()
    return parts


def test_a_time_is_given_once_and_others_are_offered_instead() -> None:
    wish = a_booking()
    first, second = use("book_appointment", "key 1", **wish), use("book_appointment", "key 2", **wish)
    assert (first.fault, second.fault) == (None, "refused")
    assert "The next free times at Northgate" in second.content


def test_the_same_wish_books_once() -> None:
    wish = a_booking()
    first, again = use("book_appointment", "key 1", **wish), use("book_appointment", "key 1", **wish)
    assert first == again
    assert use("my_appointments").content.count("Maria Lopez") == 1


@pytest.mark.parametrize(
    ("asked", "said", "is_yes"),
    [
        ("Shall I cancel it?", "Yes, please.", True),
        ("Shall I cancel it?", "Okay, do it.", True),
        ("Shall I cancel it?", "No, keep it.", False),
        ("Shall I cancel it?", "Yes, no, wait.", False),
        ("How may I help you?", "Yes, cancel my visit.", False),
    ],
)
def test_cancelling_needs_a_yes_to_the_question(asked: str, said: str, is_yes: bool) -> None:
    confirm = TOOLS["cancel_appointment"].confirm
    assert confirm
    assert confirm(heard(asked, said)) is is_yes
    assert not confirm(heard())


def test_a_caller_books_a_visit() -> None:
    wish = json.dumps(a_booking())
    model = ScriptedModel(ToolCall("1", "book_appointment", wish), "You are booked.")
    parts = asyncio.run(answered(model, "Which time suits you?", "The first one, Maria Lopez."))
    assert any(getattr(part, "text", "") == "You are booked." for part in parts)
    assert "Maria Lopez, check-up, Northgate" in use("my_appointments").content


@pytest.mark.parametrize(
    ("tool", "arguments", "action"),
    [
        ("transfer_call", {"to": "front desk", "message": "One moment."}, Transfer),
        ("end_call", {"message": "Goodbye."}, HangUp),
    ],
)
def test_the_call_is_handed_over_and_ended(tool: str, arguments: dict[str, str], action: type[Part]) -> None:
    model = ScriptedModel(ToolCall("1", tool, json.dumps(arguments)))
    assert isinstance(asyncio.run(answered(model, "Hello.", "My face is swollen."))[-1], action)
