"""What a tool is handed so that those whom it asks are seen in its turn's trace."""

import pytest

from service.agents.call import Call
from service.agents.tools import tool
from service.llm.model import Occasion
from service.virtual.loop import run
from tests.agents.stage import Stage, calls, folder_of
from tests.conversation.play import CALL_ID


def traceparent(occasion: Occasion, tool_call_id: str) -> str:
    return f"{occasion.call_id} {occasion.turn_index} {tool_call_id}"


@pytest.mark.parametrize("is_traced", [True, False])
def test_each_tool_call_has_a_traceparent_of_its_own_where_turns_are_traced(is_traced: bool) -> None:
    handed: dict[str, str | None] = {}

    @tool(effect="read")
    async def look(call: Call) -> None:
        """Look."""
        handed["look"] = call.traceparent

    @tool
    async def book(call: Call) -> None:
        """Book."""
        handed["book"] = call.traceparent

    async def play() -> Stage:
        stage = Stage(folder_of(look, book), [calls("look"), calls("book", number=2)], ["Done."])
        if is_traced:
            stage.agent.trace = traceparent
            stage.answerer = stage.agent.take(CALL_ID, stage.asides.append)
        await stage.turn("Go")
        return stage

    ids = {called.name: called.tool_call_id for called in run(play()).called}
    assert handed == {name: f"{CALL_ID} 0 {ids[name]}" if is_traced else None for name in ("look", "book")}
