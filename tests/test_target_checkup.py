"""`cuebox check --target`: what is told of a target's tools."""

import pytest

from service.checkup import Finding, Verdict, target_findings
from service.settings import Settings
from service.simulator.model import StandInModel
from service.simulator.model_script import Call, Fault, Refuse, Script
from service.simulator.model_spelling import ChatRequest

CALLS = Script(calls=(Call("note_number", '{"number": 7}'),))


async def findings(script: Script) -> list[Finding]:
    """Of a target that plays this when it is told of a tool."""

    def answered(chat: ChatRequest) -> Script:
        return script if chat.tools else Script("One, two, three.")

    async with StandInModel(answered) as model:
        settings = Settings(agent="receptionist", openai_api_key="k", openai_base_url=model.base_url)
        return [finding async for finding in target_findings(settings, "gpt-4.1")]


@pytest.mark.parametrize(
    ("script", "verdict", "text"),
    [
        pytest.param(CALLS, Verdict.GOOD, "called as told", id="calls"),
        pytest.param(Script("Seven."), Verdict.ODD, "none called", id="talks"),
        pytest.param(Script(fault=Refuse(400)), Verdict.ODD, "refused", id="refuses"),
    ],
)
async def test_the_target_is_told_to_call_a_tool(script: Script, verdict: Verdict, text: str) -> None:
    *_, last = await findings(script)
    assert (last.verdict, last.subject) == (verdict, "tools")
    assert last.text.startswith(text)


async def test_a_target_that_fails_when_it_has_tools_is_bad() -> None:
    fault: Fault = Refuse(503)
    *_, last = await findings(Script(fault=fault))
    assert last.verdict is Verdict.BAD
