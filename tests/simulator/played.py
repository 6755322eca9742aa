"""A simulated call played in virtual time, and the frames that a server sends it."""

import json
from typing import Any, TypeVar

from service.simulator import retell_steps as steps
from service.simulator.retell import RetellCall
from service.simulator.retell_steps import Step

Fact = TypeVar("Fact")
Frame = dict[str, Any]
ALL_ON = {"auto_reconnect": True, "call_details": True, "transcript_with_tool_calls": True}


class Played:
    """A call whose clock jumps from one thing due to the next; two words a second unless told otherwise."""

    def __init__(self, words_per_second: float = 2.0, details: Frame | None = None) -> None:
        self.call = RetellCall("call_1", details, words_per_second=words_per_second, epoch=1_000.0)
        self.now = 0.0
        self.steps: list[Step] = []
        self.keep(self.call.open(0.0))

    def keep(self, happened: list[Step]) -> list[Step]:
        self.steps += happened
        return happened

    def server(self, *frames: Frame | str | bytes) -> None:
        for frame in frames:
            self.keep(self.call.receive(json.dumps(frame) if isinstance(frame, dict) else frame, self.now))

    def config(self, **flags: bool) -> None:
        self.server({"response_type": "config", "config": flags})

    def says(self, turn_id: int, text: str, *, final: bool = True, **fields: Any) -> None:
        self.server(response(turn_id, text, final=final, **fields))

    def types(self, text: str) -> None:
        self.keep(self.call.caller_types(text, self.now))

    def caller(self, text: str) -> None:
        self.keep(self.call.caller_says(text, self.now))

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while (due := self.call.wakes_at()) <= until:
            self.now = max(self.now, due)
            self.keep(self.call.tick(self.now))
            assert self.call.wakes_at() > self.now, "a tick at its moment leaves nothing due"
        self.now = until

    def all(self, kind: type[Fact]) -> list[Fact]:
        return [step for step in self.steps if isinstance(step, kind)]

    def broken(self) -> list[str]:
        return [fact.rule for fact in self.all(steps.RuleBroken)]

    def frames(self, kind: str = "") -> list[Frame]:
        frames = [json.loads(step.text) for step in self.all(steps.SendFrame)]
        return [frame for frame in frames if kind in ("", frame["interaction_type"])]

    def transcript(self) -> list[tuple[str, str]]:
        """The transcript as last sent."""
        frame = [frame for frame in self.frames() if "transcript" in frame][-1]
        return [(row["role"], row["content"]) for row in frame["transcript"]]

    def woven(self) -> list[Frame]:
        frame = [frame for frame in self.frames() if "transcript" in frame][-1]
        rows: list[Frame] = frame["transcript_with_tool_calls"]
        return rows


def response(turn_id: int, text: str, *, final: bool = True, **fields: Any) -> Frame:
    return {
        "response_type": "response",
        "response_id": turn_id,
        "content": text,
        "content_complete": final,
        **fields,
    }


def interrupt(interrupt_id: int, text: str, *, final: bool = True, **fields: Any) -> Frame:
    return {
        "response_type": "agent_interrupt",
        "interrupt_id": interrupt_id,
        "content": text,
        "content_complete": final,
        **fields,
    }
