"""The rounds of model and tools, in a whole turn of a prompted agent."""

import asyncio
import json
from collections.abc import Sequence

import pytest

from service.agents.actions import ActionRules, Rules
from service.agents.folder import Limits, Script
from service.agents.tools import ToolError, tool
from service.conversation.call import Prompt
from service.conversation.parts import HangUp, HoldLine, Speech
from service.conversation.transcript import ToolAnswered, ToolCalled
from service.llm.model import Message, NothingSaid, Role, ServerFailed, ToolExchange
from service.virtual.loop import run
from tests.agents.stage import Piece, Stage, calls, folder_of, kinds, said

ENDS = Script(actions=ActionRules(end_call=Rules(unless_said="wait")))


@tool(effect="read")
async def find(day: str) -> str:
    """Find free times."""
    await asyncio.sleep(len(day) / 10)
    return f"{day} at nine"


@tool(effect="read", hold="Let me look.", hold_after=0.5)
async def look() -> str:
    """Look something up, slowly."""
    await asyncio.sleep(2)
    return "found"


@tool(effect="read", timeout=1)
async def hang() -> str:
    """Never answer."""
    await asyncio.sleep(3600)
    return ""


@tool(effect="read")
async def fail() -> str:
    """Fail."""
    raise KeyError("a secret")


@tool(effect="read")
async def refuse() -> str:
    """Refuse."""
    raise ToolError("Ask for the day first.")


@tool(effect="read")
async def flood() -> str:
    """Say far too much."""
    return "word " * 200_000


@tool(effect="read")
async def nothing() -> None:
    """Return nothing."""


TOOLS = (find, look, hang, fail, refuse, flood, nothing)
BYE = calls("end_call", '{"message": "Bye!"}')


def played(*rounds: Sequence[Piece], script: Script | None = None) -> Stage:
    """One turn with these rounds of the model."""

    async def play() -> Stage:
        stage = Stage(folder_of(*TOOLS, script=script), *rounds)
        await stage.turn("Hello, is there time on Monday?")
        await stage.close()
        return stage

    stage = run(play())
    assert stage.model.open_streams == 0
    assert len({call.tool_call_id for call in stage.called}) == len(stage.called)
    assert all(len(stage.results(call.tool_call_id)) == 1 for call in stage.called)
    return stage


def test_words_pass_through_as_they_come() -> None:
    stage = played(["Good ", "morning!"])
    assert stage.parts == [Speech("Good "), Speech("morning!")]
    assert stage.model.asked[0][-1] == Message(Role.USER, "Hello, is there time on Monday?")


def test_a_tool_s_answer_reaches_the_model_behind_the_words_it_said_before() -> None:
    stage = played(["Let me see.", calls("find", '{"day": "Monday"}')], ["At nine."])
    assert kinds(stage.parts) == ["Speech", "ToolCalled", "ToolAnswered", "Speech"]
    assert said(stage.parts) == "Let me see. At nine.", "the space between rounds is ours"
    words, exchange = stage.model.asked[1][-2:]
    assert words == Message(Role.ASSISTANT, "Let me see.")
    assert isinstance(exchange, ToolExchange)
    assert (exchange.call.name, exchange.call.arguments, exchange.result) == (
        "find",
        '{"day":"Monday"}',
        "Monday at nine",
    )


def test_a_space_that_is_there_is_not_doubled() -> None:
    assert said(played(["Let me see. ", calls("nothing")], ["Yes."]).parts) == "Let me see. Yes."
    assert said(played(["Let me see.", calls("nothing")], ["", " Yes."]).parts) == "Let me see. Yes."


def test_parallel_tools_run_side_by_side_and_are_told_as_they_end() -> None:
    stage = played([calls("find", '{"day": "Wednesday"}'), calls("find", '{"day": "Monday"}')], ["Yes."])
    told = [part for part in stage.parts if isinstance(part, ToolCalled | ToolAnswered)]
    assert [type(part) for part in told] == [ToolCalled, ToolCalled, ToolAnswered, ToolAnswered]
    assert [part.content for part in told if isinstance(part, ToolAnswered)] == ["Monday at nine", "Wednesday at nine"]
    assert [result for _, result in stage.model.exchanges] == ["Wednesday at nine", "Monday at nine"]
    assert [message.is_parallel for message in stage.model.asked[1] if isinstance(message, ToolExchange)] == [
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("name", "arguments", "fault"),
    [
        pytest.param("hang", "{}", "timeout", id="hangs"),
        pytest.param("fail", "{}", "raised", id="raises"),
        pytest.param("refuse", "{}", "refused", id="refuses"),
        pytest.param("find", '{"dy": "Monday"}', "arguments", id="wrong arguments"),
        pytest.param("find", '{"day": ', "arguments", id="no JSON"),
        pytest.param("find", "[" * 100_000, "arguments", id="deep"),
        pytest.param("find", "9" * 1_000_000, "arguments", id="huge"),
        pytest.param("fnid", "{}", "unknown", id="no such tool"),
        pytest.param("f" * 1_000_000, "{}", "unknown", id="a name without end"),
    ],
)
def test_what_goes_wrong_is_data_for_the_model(name: str, arguments: str, fault: str) -> None:
    stage = played([calls(name, arguments)], ["I am sorry."])
    (answered,) = [part for part in stage.parts if isinstance(part, ToolAnswered)]
    assert (answered.is_successful, answered.fault) == (False, fault)
    assert "error" in json.loads(answered.content)
    assert "secret" not in answered.content
    (called,) = stage.called
    assert isinstance(json.loads(called.arguments), dict)
    assert len(called.name) + len(called.arguments) < 5000
    assert said(stage.parts) == "I am sorry."


def test_an_unknown_tool_s_answer_names_those_there_are() -> None:
    ((_, answer),) = played([calls("fnid")], ["Well."]).model.exchanges
    assert "find, look, hang" in answer


def test_a_megabyte_is_cut_and_nothing_is_done() -> None:
    ((_, flood_of_words), (_, none)) = played([calls("flood"), calls("nothing")], ["Well."]).model.exchanges
    assert len(flood_of_words) < 20_000
    assert none == "done"


def test_a_slow_tool_is_bridged_by_its_line_once_in_a_round() -> None:
    stage = played(["One second.", calls("look"), calls("look")], ["Found."])
    assert kinds(stage.parts) == [
        "Speech",
        "ToolCalled",
        "ToolCalled",
        "HoldLine",
        "ToolAnswered",
        "ToolAnswered",
        "Speech",
    ]
    assert HoldLine("Let me look.") in stage.parts


def test_a_tool_without_a_line_waits_in_silence() -> None:
    assert "HoldLine" not in kinds(played([calls("hang")], ["Sorry."]).parts)


def test_the_last_round_is_for_words_and_its_tools_stay_the_same() -> None:
    stage = played(*([[calls("nothing")]] * 3), ["Done.", calls("nothing")])
    assert [toolset.may_call for toolset in stage.model.toolsets] == [True, True, True, False]
    assert all(toolset.specs is stage.model.toolsets[0].specs for toolset in stage.model.toolsets)
    assert len(stage.called) == 3
    assert said(stage.parts) == "Done."


def test_an_agent_without_tools_asks_without_any() -> None:
    async def play() -> Stage:
        stage = Stage(folder_of(), ["Hi."], ["Hi."])
        await stage.turn("Hello")
        await stage.turn("Hello")
        return stage

    assert {toolset.specs for toolset in run(play()).model.toolsets} == {()}


def test_more_calls_than_a_round_takes_are_refused() -> None:
    stage = played([calls("nothing", number=number) for number in range(10)], ["Done."])
    assert [result.fault for call in stage.called for result in stage.results(call.tool_call_id)] == [
        *[None] * 8,
        *["refused"] * 2,
    ]


def test_an_action_ends_the_turn() -> None:
    stage = played(["All is settled.", BYE], ["Never asked for."], script=ENDS)
    assert stage.parts == [Speech("All is settled."), HangUp("Bye!")]
    assert len(stage.model.asked) == 1


def test_a_goodbye_that_is_refused_goes_back_to_the_model() -> None:
    async def play() -> Stage:
        stage = Stage(folder_of(script=ENDS), [BYE], ["Yes?"])
        await stage.turn("Bye. Wait!")
        return stage

    stage = run(play())
    assert kinds(stage.parts) == ["ToolCalled", "ToolAnswered", "Speech"]
    ((name, answer),) = stage.model.exchanges
    assert name == "end_call"
    assert "speaks against it" in answer


def test_tools_beside_an_action_run_before_it() -> None:
    stage = played([BYE, calls("nothing")], script=ENDS)
    assert kinds(stage.parts) == ["ToolCalled", "ToolAnswered", "HangUp"]


def test_nobody_hangs_up_when_what_was_asked_for_beside_it_failed() -> None:
    stage = played([calls("fail"), BYE], ["That did not work."], script=ENDS)
    assert "HangUp" not in kinds(stage.parts)
    assert [name for name, _ in stage.model.exchanges] == ["fail", "end_call"]
    assert said(stage.parts) == "That did not work."


def test_a_turn_without_a_word_or_an_action_has_failed() -> None:
    with pytest.raises(NothingSaid):
        played([calls("nothing")], [" ", "\n"])
    with pytest.raises(NothingSaid):
        played([calls("nothing")], script=Script(limits=Limits(rounds=1)))


def test_words_before_a_tool_count_as_words() -> None:
    assert said(played(["It is done.", calls("nothing")], [""]).parts) == "It is done."


def test_a_model_s_failure_in_a_later_round_is_the_turn_s() -> None:
    with pytest.raises(ServerFailed):
        played([calls("nothing")], [ServerFailed()])


def test_tools_of_a_round_that_broke_off_do_not_run() -> None:
    async def play() -> Stage:
        stage = Stage(folder_of(*TOOLS), [calls("nothing"), ServerFailed()])
        with pytest.raises(ServerFailed):
            await stage.turn("Hello")
        return stage

    assert run(play()).parts == []


def test_a_reminder_may_use_tools_as_well() -> None:
    async def play() -> Stage:
        stage = Stage(folder_of(*TOOLS), [calls("nothing")], ["Still there?"])
        await stage.turn("Hello", prompt=Prompt.CALLER_SILENT)
        return stage

    assert said(run(play()).parts) == "Still there?"
