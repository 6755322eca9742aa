"""One call of a storm: its platform, its caller, its lines, and what is expected of all of them."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from service.simulator import retell_steps as steps
from service.simulator.line import Dial, NotConnected, SimulatedLine
from service.simulator.retell import RetellCall
from service.simulator.retell_steps import Step
from service.simulator.storm import rubbish
from service.simulator.storm.caller import Caller
from service.simulator.storm.effects import Effects
from service.simulator.storm.findings import Findings
from service.simulator.storm.line import RoughLine
from service.simulator.storm.weather import Trouble, Weather

REMEMBERED = 600
"""Steps of a call."""

LONGEST_TOOL = 20.0
"""Seconds within which the result of a tool is shown, on the line on which its call was."""

MOST_DROPS = 3
"""A platform dials four times again; a few are left for processes that die."""

_WEATHERS_OWN = ("no ping was answered for", "the line ended with code 1006")
"""Rules that break by what the weather did to a line."""

Moment = tuple[float, Step | str]


class Scene:
    """`play` is the call, from its dialling to its end."""

    def __init__(
        self,
        number: int,
        weather: Weather,
        effects: Effects,
        findings: Findings,
        dial: Callable[[str, Callable[[RoughLine], None]], Dial],
        *,
        heed: Callable[[bytes], None],
    ) -> None:
        """`dial` opens lines for a call id, and tells of each; `heed` is given all frames, in their order."""
        self.call_id = f"call_{weather.chance('id', number).getrandbits(40):010x}_{number}"
        self.moments: deque[Moment] = deque(maxlen=REMEMBERED)
        self.frames = 0
        self.began_at: float | None = None
        self.ended_at = 0.0
        self._weather, self._effects, self._findings = weather, effects, findings
        self._now = asyncio.get_running_loop().time
        self._call = RetellCall(self.call_id, _details(number), epoch=EPOCH)
        self._simulated = SimulatedLine(self._call, dial(self.call_id, self._on_line), self._see)
        self._caller = Caller(self._call, self._simulated, weather.chance("caller", number), weather.temper(number))
        self._number, self._heed = number, heed
        self._line: RoughLine | None = None
        self._lines = self._drops = 0
        self._newest_here: int | None = None
        self._shows_tools = self._has_flooded = False
        settings = weather.climate.settings
        self._may_greet_again = settings["when_full"] == "busy" or not settings["retell_call_details"]
        self._greeted: set[int] = set()
        self._tools: dict[str, tuple[float, str, str]] = {}
        self._answered: set[str] = set()

    @property
    def reason(self) -> str:
        """Why the call ended."""
        return self._call.ended or ""

    async def play(self) -> None:
        """Come when the time has come, and stay until the end."""
        await asyncio.sleep(self._weather.temper(self._number).comes_at)
        async with asyncio.TaskGroup() as tasks:
            others = [tasks.create_task(self._caller.live()), tasks.create_task(self._suffer())]
            try:
                await self._simulated.play()
            except NotConnected:
                self.note("nobody took the call")
            self.ended_at = self._now()
            for task in others:
                task.cancel()

    def note(self, what: str) -> None:
        """Something to be seen in the timeline."""
        self.moments.append((self._now(), what))

    # What happens to its lines.

    def _on_line(self, line: RoughLine) -> None:
        self._line = line
        self._lines += 1

    async def _suffer(self) -> None:
        chance = self._weather.chance("suffering", self._number)
        for after, trouble in self._weather.troubles(self._number):
            await asyncio.sleep(after)
            if self._line is not None and not self._call.ended:
                self.note(f"weather: {trouble}")
                await self._befall(trouble, self._line, chance)

    async def _befall(self, trouble: Trouble, line: RoughLine, chance: Random) -> None:
        match trouble:
            case "drop" if self._drops < MOST_DROPS:
                self._drops += 1
                self._simulated.carry_out(self._call.drop(self._now()))
            case "vanish" if self._drops < MOST_DROPS:
                self._drops += 1
                line.vanish(chance.choice((0.5, 3.0, 15.0)))
            case "stall":
                line.stall(chance.uniform(0.1, 6.0))
            case "slow":
                line.read_slowly(chance.uniform(0.1, 6.0))
            case "rubbish" if not line.is_stalled:
                frame = rubbish.drawn(chance, self._newest_here)
                self.note(f"weather: {frame[:100]!r}")
                times = chance.choice((1, 1, 1, 1, 60))
                self._has_flooded = self._has_flooded or times > 1
                await line.throw_in(frame, times)
            case _:
                pass

    # What is seen of it.

    def _see(self, step: Step) -> None:
        self._caller.see(step)
        match step:
            case steps.FrameReceived():
                self.frames += 1
                self._heed(step.frame if isinstance(step.frame, bytes) else step.frame.encode())
                return
            case steps.SendFrame():
                self._heed(step.text.encode())
                if step.text.startswith('{"interaction_type":"ping_pong"'):
                    return
            case steps.PingAnswered():
                return
            case _:
                pass
        self.moments.append((self._now(), step))
        self._judge(step)

    def _judge(self, step: Step) -> None:
        match step:
            case steps.RuleBroken():
                self._blame(step.rule)
            case steps.LineOpened():
                self.began_at = self._now() if self.began_at is None else self.began_at
                self._tools.clear()
                self._newest_here = None
                self._shows_tools = self._has_flooded = False  # until it is asked to on this line
                self._effects.line_opened(self.call_id)
            case steps.ChunkArrived(turn_id=0):
                self._greeted.add(self._lines)
                if len(self._greeted) > 1 and not self._may_greet_again:
                    self._findings.broken("greeted once", self.call_id, f"once more on line {self._lines}")
            case steps.Configured():
                self._shows_tools = step.wants_rows
            case steps.TurnAsked():
                self._newest_here = step.turn_id
                if self._shows_tools:
                    self._effects.shown(self.call_id)
                self._expect_answers()
            case steps.ToolCalled() | steps.ToolAnswered():
                self._note_tool(step)
            case _:
                pass

    def _note_tool(self, step: steps.ToolCalled | steps.ToolAnswered) -> None:
        if isinstance(step, steps.ToolCalled):
            self._tools[step.tool_call_id] = self._now(), step.name, step.arguments
            return
        if step.tool_call_id in self._answered:
            self._findings.broken("tools answered", self.call_id, f"{step.tool_call_id} has a second result")
        self._answered.add(step.tool_call_id)
        _, name, arguments = self._tools.pop(step.tool_call_id, (0.0, "", ""))
        if name == "note" and step.is_successful:
            self._effects.told(self.call_id, json.loads(arguments)["item"])

    def _blame(self, rule: str) -> None:
        is_excused = rule == "a second greeting" and self._may_greet_again
        is_excused = is_excused or ("stale words" in rule and self._has_flooded)  # a request may have been dropped, too
        if not (is_excused or rule.startswith(_WEATHERS_OWN)):
            self._findings.broken("as the platform says", self.call_id, rule)

    def _expect_answers(self) -> None:
        for tool_call_id, (at, name, _) in self._tools.items():
            if self._now() - at > LONGEST_TOOL:
                detail = f"{name} ({tool_call_id}) was shown {self._now() - at:.1f} s ago, and its result was not"
                self._findings.broken("tools answered", self.call_id, detail)


EPOCH = 1_772_442_000.0
"""Moment 0 of each storm: a Monday morning in March 2026, at nine (UTC)."""


def _details(number: int) -> Mapping[str, Any]:
    return {
        "call_type": "phone_call",
        "direction": "inbound",
        "from_number": f"+1207555{number % 10_000:04}",
        "to_number": "+12075550100",
        "retell_llm_dynamic_variables": {"language": "de"} if number % 5 == 4 else {},  # noqa: PLR2004
    }


def told_of(scene: Scene, event: str) -> Mapping[str, object]:
    """A webhook about this call."""
    began = scene.began_at or 0.0
    call: dict[str, object] = {"call_id": scene.call_id, "agent_id": "agent_of_storms", "call_type": "phone_call"}
    if event != "call_started":
        started, ended = round(1000 * (EPOCH + began)), round(1000 * (EPOCH + scene.ended_at))
        call |= {"call_status": "ended", "disconnection_reason": scene.reason or "user_hangup"}
        call |= {"start_timestamp": started, "end_timestamp": ended}
    return {"event": event, "call": call}
