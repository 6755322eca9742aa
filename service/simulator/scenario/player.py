"""Plays a scenario's steps over a line, and keeps what happens."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Protocol, assert_never

import msgspec

from service.simulator import retell_steps as steps
from service.simulator.line import Dial, NotConnected, SimulatedLine
from service.simulator.model_http import Received
from service.simulator.retell import RetellCall
from service.simulator.retell_steps import Step as Fact
from service.simulator.scenario import script
from service.simulator.scenario.expectations import Reply, is_within
from service.simulator.scenario.script import AnyStep, Asking, Model, Scenario, Which
from service.simulator.scenario.tap import Tap
from service.simulator.scenario.timeline import Expected, StepBegan, Timeline, Trouble, What

LONGEST_WAIT = 60.0
"""Seconds that a step waits for its moment."""

_EVENTS: dict[str, Callable[[Any], bool]] = {
    "asked": lambda fact: isinstance(fact, steps.TurnAsked),
    "reminder": lambda fact: isinstance(fact, steps.TurnAsked) and fact.is_reminder,
    "first_words": lambda fact: isinstance(fact, steps.ChunkArrived) and fact.waited is not None,
    "first_sentence": lambda fact: isinstance(fact, steps.SpeechStarted),
    "final": lambda fact: isinstance(fact, steps.TurnFinished),
    "spoken": lambda fact: isinstance(fact, steps.SpeechFinished),
    "cut": lambda fact: isinstance(fact, steps.SpeechCut),
    "tool": lambda fact: isinstance(fact, steps.ToolCalled),
    "tool_result": lambda fact: isinstance(fact, steps.ToolAnswered),
    "action": lambda fact: isinstance(fact, steps.ActionTaken),
    "opened": lambda fact: isinstance(fact, steps.LineOpened),
    "lost": lambda fact: isinstance(fact, steps.Redial),
    "ended": lambda fact: isinstance(fact, steps.CallEnded),
}


class Inside(Protocol):
    """The world around a call, for the steps that change it."""

    def change_model(self, model: Model) -> None: ...
    def kill(self, which: Which, call_id: str) -> None:
        """Raises LookupError where there is none."""
        ...

    def drain(self, which: Which, call_id: str, seconds: float) -> None: ...
    async def start(self, count: int) -> None: ...
    async def post(self, webhook: script.Webhook, call: dict[str, Any]) -> tuple[int, bytes]: ...


class _Stuck(Exception):
    """A step whose moment does not come. The message is a plain sentence."""


class Player:
    """One scenario on one line. `way_in` says how a call of this id is dialled."""

    def __init__(
        self,
        scenario: Scenario,
        way_in: Callable[[str], Dial],
        inside: Inside | None = None,
        *,
        call_id: str | None = None,
        epoch: float = 0.0,
    ) -> None:
        """`inside` is for the steps that need it; `epoch` is what the loop's clock calls 0, in seconds since 1970."""
        self.timeline = Timeline()
        self._scenario, self._way_in, self._inside = scenario, way_in, inside
        self._call_id = call_id or scenario.call_id
        self._now = asyncio.get_running_loop().time
        self._began_at, self._epoch = self._now(), epoch
        self._call = RetellCall(self._call_id, scenario.call, words_per_second=scenario.words_per_second, epoch=epoch)
        self._tap = Tap(way_in(self._call_id))
        self._line = SimulatedLine(self._call, self._tap, self._see)
        self._news = asyncio.Event()
        self._is_over = False
        self._heard = self._turn_id = self._since = self._number = 0

    async def play(self) -> Timeline:
        """Play it to its end. What goes wrong stands in the timeline."""
        async with asyncio.TaskGroup() as tasks:
            others = [await self._other(number, tasks) for number in range(self._scenario.others)]
            tasks.create_task(self._hold())
            try:
                for number, step in enumerate(self._scenario.steps, 1):
                    await self._take(number, step)
                await self._until(lambda: self._is_over or self._call.is_listening, "the agent to have spoken")
            except (_Stuck, LookupError) as stuck:
                self.note(Trouble(self._number, str(stuck.args[0])))
            for line in [self._line, *others]:
                line.carry_out(line.call.hang_up(self._now()))
        return self.timeline

    async def _hold(self) -> None:
        try:
            await self._line.play()
        except NotConnected as error:
            self.timeline.refused, self.timeline.refusal = _status_of(error), str(error)
        self._is_over = True
        self._news.set()

    async def _other(self, number: int, tasks: asyncio.TaskGroup) -> SimulatedLine:
        """Somebody else calls, and says nothing."""
        call_id, opened = f"{self._call_id}_other_{number}", asyncio.Event()
        line = SimulatedLine(RetellCall(call_id), self._way_in(call_id), lambda _: opened.set())
        tasks.create_task(line.play())
        await opened.wait()
        return line

    def _see(self, fact: Fact) -> None:
        self.note(fact)
        match fact:
            case steps.TurnAsked():
                self._heard, self._turn_id = 0, fact.turn_id
            case steps.SpeechStarted():
                self._heard = 0
            case steps.WordsHeard():
                self._heard = fact.count
            case _:
                pass
        self._news.set()

    def since_it_began(self, requests: Iterable[Received]) -> list[Received]:
        """The same, by the moments of the timeline."""
        return [replace(request, at=request.at - self._began_at) for request in requests]

    def note(self, what: What) -> None:
        """It happens now."""
        self.timeline.moments.append((self._now() - self._began_at, what))

    # The moment of a step.

    async def _take(self, number: int, step: AnyStep) -> None:
        self._number = number
        await self._moment_of(step)
        if step.IS_CALLERS and self._is_over:
            raise _Stuck("the call was over before the caller could do this")
        self.note(StepBegan(number, step.told))
        before = len(self.timeline.moments)
        await self._do(step)
        if isinstance(step, Asking) and step.expect is not None:
            was_asked = any(isinstance(what, steps.TurnAsked) for _, what in self.timeline.moments[before:])
            self._expect(step.expect, self._turn_id if was_asked else None)
        self._since = len(self.timeline.moments)

    async def _moment_of(self, step: AnyStep) -> None:
        if step.when is not None:
            happens = _EVENTS[step.when]
            await self._until(lambda: any(happens(what) for _, what in self.timeline.moments[self._since :]), step.when)
        if step.after_words is not None:
            wanted = step.after_words
            await self._until(lambda: self._heard >= wanted, f"{wanted} words to be heard")
        if step.after_ms is not None:
            await asyncio.sleep(step.after_ms / 1000)
        if step.WAITS and not step.has_moment:
            await self._until(lambda: self._is_over or self._call.is_listening, "the agent to have spoken")

    async def _until(self, is_so: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(LONGEST_WAIT):
                while not is_so():
                    if self._is_over:
                        raise _Stuck(f"it waits for {what}, and the call is over")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise _Stuck(f"it has waited {LONGEST_WAIT:g} s for {what}") from None

    def _expect(self, reply: Reply, turn_id: int | None) -> None:
        self.timeline.expected.append(Expected(self._number, turn_id, reply))

    # What a step does.

    async def _do(self, step: AnyStep) -> None:
        match step:
            case script.Say():
                await self._say(step)
            case script.Type():
                self._line.carry_out(self._call.caller_types(step.type, self._now()))
            case script.Press():
                self._line.carry_out(self._call.press(step.press, self._now()))
            case script.Remind():
                self._line.carry_out(self._call.remind(self._now()))
            case script.Listen():
                turn_id = self._turn_id
                await self._until(lambda: self._is_over or self._call.is_listening, "the agent to have spoken")
                if isinstance(step.listen, Reply):
                    self._expect(step.listen, max(turn_id, self._turn_id))
            case script.Wait():
                await asyncio.sleep(step.wait)
            case script.HangUp():
                self._line.carry_out(self._call.hang_up(self._now()))
            case script.Drop() | script.Mute() | script.Frame():
                await self._disturb(step)
            case _:
                await self._change(step)

    async def _say(self, step: script.Say) -> None:
        words = len(step.say.split()) or 2
        begins, ends = len(self.timeline.moments), self._now() + words / self._scenario.words_per_second
        if step.instantly:
            self._line.carry_out(self._call.caller_says(step.say, self._now()))
            return
        self._line.carry_out(self._call.caller_speaks(step.say, self._now(), frozenset(step.asked_early_after)))

        def is_asked() -> bool:
            asked = [at for at, what in self.timeline.moments[begins:] if isinstance(what, steps.TurnAsked)]
            return bool(asked) and asked[-1] + self._began_at >= ends - 0.001

        def is_silenced() -> bool:
            return self._is_over or (self._now() > ends and self._call.is_listening)

        await self._until(lambda: is_asked() or is_silenced(), "the platform to ask")

    async def _disturb(self, step: script.Drop | script.Mute | script.Frame) -> None:
        match step:
            case script.Drop():
                self._line.carry_out(self._call.drop(self._now()))
            case script.Mute():
                self._tap.mute(step.mute)
            case script.Frame():
                frame = step.spelt()
                for _ in range(step.repeat):
                    await self._tap.push(frame)

    async def _change(self, step: script.Webhook | script.Change | script.Kill | script.Drain | script.Start) -> None:
        inside = self._inside
        assert inside is not None, "who plays it has looked whether there is an inside"  # noqa: S101
        match step:
            case script.Webhook():
                await self._post(step, inside)
            case script.Change():
                inside.change_model(step.model)
            case script.Kill():
                inside.kill(step.kill, self._call_id)
            case script.Drain():
                inside.drain(step.drain, self._call_id, step.seconds)
            case script.Start():
                await inside.start(step.start)
            case _:
                assert_never(step)

    async def _post(self, step: script.Webhook, inside: Inside) -> None:
        status, answer = await inside.post(step, {**self._about(step), **self._scenario.call, **step.call})
        wanted = 200 if step.webhook == "call_inbound" and step.status == 204 else step.status  # noqa: PLR2004
        if status != wanted:
            self.note(Trouble(self._number, f"{step.webhook} was answered by HTTP {status}, not {wanted}"))
        elif step.answer and not is_within(step.answer, found := _decoded(answer)):
            self.note(Trouble(self._number, f"{step.webhook} was answered by {msgspec.json.encode(found).decode()}"))

    def _about(self, step: script.Webhook) -> dict[str, Any]:
        """The call object, as far as it is known."""
        if step.webhook == "call_inbound":
            return {"agent_id": "agent_simulated"}
        about = {"call_id": self._call_id, "agent_id": "agent_simulated", "call_status": "ongoing"}
        times = {"start_timestamp": round((self._epoch + self._began_at) * 1000)}
        if step.webhook == "call_started":
            return {**about, **times}
        times["end_timestamp"] = round((self._epoch + self._now()) * 1000)
        return {**about, **times, "call_status": "ended", "disconnection_reason": self._call.ended or "user_hangup"}


def _decoded(answer: bytes) -> object:
    try:
        return msgspec.json.decode(answer)
    except msgspec.DecodeError:
        return answer.decode(errors="replace")


def _status_of(error: NotConnected) -> int:
    """The HTTP status that stands behind it; 0 for none."""
    cause = error.__cause__
    status: int = getattr(getattr(cause, "response", None), "status_code", 0) or getattr(cause, "status", 0)
    return status
