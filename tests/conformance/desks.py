"""An agent with tools behind the real service, the stand-in model that calls them, and a platform that shows both."""

import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from service.agents.folder import Limits, Script
from service.agents.prompted import PromptedAgent
from service.agents.tools import Tool
from service.llm.candidate import Rules
from service.llm.dependable import DependableModel
from service.llm.openai_chat import OpenAIChat
from service.llm.targets import Target
from service.simulator import model_script
from service.simulator.model import StandInModel
from service.simulator.model_spelling import ChatRequest
from tests.agents.stage import folder_of
from tests.fakes import AttemptMemory
from tests.live import Frame, PlatformLine, Service, is_final, serving, words

SETTLE = Limits(settle_delay=0.05)
QUICK = Script(limits=SETTLE)
MONDAY = '{"day": "Monday"}'

Scripted = Callable[[ChatRequest], model_script.Script]


def wishing(*calls: model_script.Call, lead_in: str = "", fault: model_script.Fault | None = None) -> Scripted:
    """A model that makes these calls whenever the caller spoke last, and then reads out the newest result."""

    def script(chat: ChatRequest) -> model_script.Script:
        text = f"The answer is {chat.messages[-1].text[:200]}."
        wished = () if chat.brings_tool_result else calls
        return model_script.Script(text, calls=wished, lead_in=lead_in, fault=fault)

    return script


def book(day: str = "Monday") -> model_script.Call:
    return model_script.Call("book", json.dumps({"day": day}))


@dataclass
class Desk:
    """A running service whose agent has tools, and the model that it asks."""

    service: Service
    model: StandInModel

    @property
    def exchanges(self) -> list[tuple[str, str]]:
        """The tools that the model was told of last, and their results."""
        names: dict[str, str] = {}
        told: list[tuple[str, str]] = []
        for message in msgspec.json.decode(self.model.requests[-1].body)["messages"]:
            names |= {call["id"]: call["function"]["name"] for call in message.get("tool_calls", ())}
            if message["role"] == "tool":
                told.append((names[message["tool_call_id"]], message["content"]))
        return told

    @asynccontextmanager
    async def caller(self, rows: Iterable[Frame] = ()) -> AsyncIterator["Caller"]:
        """A caller on a line of the call; with rows, the call comes from somewhere else."""
        async with self.service.line() as line:
            rows = list(rows)
            if rows:
                await line.frame()
                await line.send({"interaction_type": "call_details", "call": {"call_id": line.call_id}})
            else:
                await line.greeted()
            yield Caller(line, rows)


@asynccontextmanager
async def desk(scripted: Scripted, *tools: Tool, script: Script = QUICK) -> AsyncIterator[Desk]:
    async with StandInModel(scripted) as model:
        asked = DependableModel(
            [OpenAIChat(Target("stand-in", base_url=model.base_url), "k")], Rules(), AttemptMemory()
        )
        agent = PromptedAgent(folder_of(*tools, script=script), asked, lambda: datetime.now(UTC))
        async with serving(agent) as service:
            await agent.warm_up()
            yield Desk(service, model)


@dataclass
class Caller:
    """A caller, on a platform that weaves the tools' rows into the transcript."""

    line: PlatformLine
    rows: list[Frame] = field(default_factory=list)

    async def says(self, turn_id: int, text: str) -> None:
        """Speak, and have an answer asked for."""
        self.rows.append({"role": "user", "content": text})
        await self.asked(turn_id)

    async def asked(self, turn_id: int) -> None:
        """The platform asks (once more) for an answer to what stands there."""
        await self.line.ask(turn_id, transcript_with_tool_calls=self.rows)

    async def hears(self, turn_id: int) -> str:
        """The words of a turn, to its final frame; its rows are in the transcript from then on."""
        frames = await self.until(is_final(turn_id))
        return words(frames, turn_id)

    async def until(self, matches: Callable[[Frame], bool]) -> list[Frame]:
        frames = await self.line.until(matches)
        self.rows += [row for row in map(_row, frames) if row]
        return frames

    async def gets(self, turn_id: int, text: str) -> str:
        await self.says(turn_id, text)
        return await self.hears(turn_id)

    @property
    def results(self) -> dict[str, Frame]:
        """By the id of the tool call; that there is one for each call, and for no other, is checked."""
        called = [frame["tool_call_id"] for frame in self.line.frames if is_called(frame)]
        answered = [frame for frame in self.line.frames if is_answered(frame)]
        assert sorted(called) == sorted(frame["tool_call_id"] for frame in answered)
        assert len(set(called)) == len(called)
        return {frame["tool_call_id"]: frame for frame in answered}

    @property
    def result(self) -> Frame:
        """The only one."""
        (result,) = self.results.values()
        return result


def is_called(frame: Frame) -> bool:
    return bool(frame["response_type"] == "tool_call_invocation")


def is_answered(frame: Frame) -> bool:
    return bool(frame["response_type"] == "tool_call_result")


def _row(frame: Frame) -> Frame | None:
    match frame:
        case {"response_type": "tool_call_invocation" | "tool_call_result" as role, **fields}:
            return {"role": role, **fields}
        case {"response_type": "response", "content": str(text)} if text:
            return {"role": "agent", "content": text}
        case _:
            return None
