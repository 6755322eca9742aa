"""Tools and actions that an operator switched off."""

from pathlib import Path

import msgspec

from service.agents.folder import Script, read_folder
from service.agents.library import Library, Shelved
from service.agents.prompted import PromptedAgent
from service.conversation.parts import HangUp
from service.virtual.loop import run
from tests.agents.diary import BOOK, CANCEL, Diary
from tests.agents.folders import written
from tests.agents.stage import NOON, Stage, calls, folder_of, said


def test_a_tool_that_is_switched_off_does_nothing_and_its_model_is_told() -> None:
    async def play() -> tuple[Diary, Stage]:
        diary = Diary()
        stage = diary.stage([BOOK, CANCEL], ["I cannot book now."], [BOOK], ["Booked."])
        stage.agent.switches.tools_off.add("book")
        await stage.turn("Book Monday, and cancel the other one")
        assert diary.done == ["cancel"]
        (_, refusal), _ = stage.model.exchanges
        assert "The operator switched this off for now. Nothing was done." in refusal
        stage.agent.switches.tools_off.clear()
        await stage.turn("Try again")
        return diary, stage

    diary, stage = run(play())
    assert diary.done == ["cancel", "book Monday"]
    assert [stage.results(call.tool_call_id)[0].fault for call in stage.called] == ["refused", None, None]


def test_an_action_that_is_switched_off_does_not_happen() -> None:
    async def play() -> Stage:
        script = msgspec.toml.decode("greeting = 'Hi.'\n[actions.end_call]", type=Script)
        stage = Stage(folder_of(script=script), [calls("end_call", '{"farewell": "Bye."}')], ["I stay."])
        stage.agent.switches.tools_off.add("end_call")
        await stage.turn("Bye")
        return stage

    stage = run(play())
    assert said(stage.parts) == "I stay."
    assert not any(isinstance(part, HangUp) for part in stage.parts)


async def test_an_agent_that_follows_its_files_stays_switched_and_traced(tmp_path: Path) -> None:
    path = written(tmp_path / "desk")
    agent = PromptedAgent(read_folder(path), None, lambda: NOON, lambda _, __: "00-1")
    library = Library({"desk": Shelved(agent)}, {"desk": 1.0}, lambda *_: None)
    (path / "prompt.md").write_text("You are changed.")
    await library.refresh()
    taker = library.pick("call_1").agent
    assert isinstance(taker, PromptedAgent)
    assert (taker is agent, taker.switches is agent.switches, taker.trace is agent.trace) == (False, True, True)
