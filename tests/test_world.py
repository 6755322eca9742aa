"""Processes in virtual time: what happens to a call when one is killed, drained, or full."""

import asyncio
import json
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
import pytest

from service.conversation.call import CallRecord
from service.observability.watch import Part
from service.settings import Settings, SettingsError
from service.simulator import retell_steps as steps
from service.simulator.line import NotConnected, SimulatedLine
from service.simulator.model import StandInModel
from service.simulator.model_script import Script
from service.simulator.retell import RetellCall
from service.simulator.retell_steps import Step
from service.virtual.loop import run
from service.virtual.process import Connection, Process, Refused
from service.world import World, settings_of_world, world

T = TypeVar("T")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ANSWER = "We open at nine. And we close at five."
Frame = dict[str, Any]


class Caller:
    """Somebody on the line of a world."""

    def __init__(self, made: World, call_id: str = "call_1") -> None:
        self.call = RetellCall(call_id, epoch=NOON.timestamp())
        self.told: list[Step] = []
        self.line = SimulatedLine(self.call, made.way_in(f"/llm-websocket/{call_id}", call_id), self.told.append)

    def say(self, text: str) -> None:
        self.line.carry_out(self.call.caller_says(text, self.line.now()))

    def hang_up(self) -> None:
        self.line.carry_out(self.call.hang_up(self.line.now()))

    def all(self, kind: type[T]) -> list[T]:
        return [step for step in self.told if isinstance(step, kind)]

    @property
    def answers(self) -> list[str]:
        return [step.text.strip() for step in self.all(steps.TurnFinished) if step.turn_id]


def played(
    play: Coroutine[Any, Any, T],
) -> T:
    return run(play, starts=NOON, seed=1)


def model(**script: Any) -> StandInModel:
    return StandInModel(Script(**{"text": ANSWER, "first_token_after": 0.4, "gap": 0.02, **script}), seed=1)


def settings(**changes: Any) -> Settings:
    return msgspec.structs.replace(settings_of_world(Settings()), **changes)


class Ends(Part):
    """Remembers which calls were over."""

    name = "ends"

    def __init__(self) -> None:
        self.calls: list[str] = []

    def ended(self, call_id: str, record: CallRecord | None) -> None:
        assert record is not None
        self.calls.append(call_id)


def test_a_call_is_answered_by_the_whole_service_in_no_time() -> None:
    async def play() -> Caller:
        async with world(settings(), model()) as made, asyncio.TaskGroup() as tasks:
            caller = Caller(made)
            tasks.create_task(caller.line.play())
            await asyncio.sleep(8)
            caller.say("When do you open?")
            await asyncio.sleep(8)
            caller.hang_up()
        return caller

    caller = played(play())
    assert caller.answers == [ANSWER]
    assert [step.waited for step in caller.all(steps.SpeechStarted)] == pytest.approx([0.0, 0.46], abs=0.01)
    assert caller.line.close_codes == [1000]
    assert caller.all(steps.RuleBroken) == []


def test_a_killed_process_takes_nothing_down_but_itself() -> None:
    seen: list[Ends] = []

    def watched(app: Any) -> None:
        seen.append(Ends())
        app.state.watch.show_to([*app.state.watch.parts, seen[-1]])

    async def play() -> Caller:
        async with (
            world(settings(), model(), processes=2, on_app=watched) as made,
            asyncio.TaskGroup() as tasks,
        ):
            caller = Caller(made)
            tasks.create_task(caller.line.play())
            await asyncio.sleep(8)
            caller.say("When do you open?")
            await asyncio.sleep(0.2)
            first = made.home_of("call_1")
            assert first is not None
            first.kill()
            await asyncio.sleep(8)
            assert made.home_of("call_1") not in {first, None}
            assert made.ready == [made.processes[0]]
            with pytest.raises(ConnectionRefusedError):
                await first.dial("/llm-websocket/call_2")
            with pytest.raises(ConnectionRefusedError):
                await first.post("/webhook", b"")
            await asyncio.sleep(120)  # its timers would have ended the call by now
            caller.hang_up()
        return caller

    caller = played(play())
    assert caller.answers[:1] == [ANSWER]
    assert caller.line.close_codes == [1006, 1000]
    assert [step.turn_id for step in caller.all(steps.SpeechStarted)].count(0) == 1
    assert sorted(ends.calls for ends in seen) == [[], ["call_1"]]


def test_a_drained_process_ends_when_its_calls_have() -> None:
    async def play() -> tuple[Caller, float]:
        async with world(settings(), model(), processes=2) as made, asyncio.TaskGroup() as tasks:
            caller, loop = Caller(made), asyncio.get_running_loop()
            tasks.create_task(caller.line.play())
            await asyncio.sleep(5)
            home = made.home_of("call_1")
            assert home is not None
            draining = tasks.create_task(made.drain(home, 60))
            await asyncio.sleep(10)
            assert made.ready == [each for each in made.processes if each is not home]
            began = loop.time()
            caller.hang_up()
            await draining
            assert home.is_dead
            return caller, loop.time() - began

    caller, took = played(play())
    assert caller.line.close_codes == [1000]
    assert took < 1


def test_without_a_process_nobody_answers() -> None:
    async def play() -> None:
        async with world(settings(), model()) as made:
            await made.drain(made.processes[0], 0)
            with pytest.raises(NotConnected, match="no process takes calls"):
                await made.way_in("/llm-websocket/call_1", "call_1")()
            await made.start()
            await made.way_in("/llm-websocket/call_1", "call_1")()

    played(play())


@pytest.mark.parametrize(
    ("path", "status"),
    [("/llm-websocket/no way", 404), ("/llm-websocket/nobody/call_1", 404), ("/elsewhere/call_1", 403)],
)
def test_a_refusal_comes_before_the_line(path: str, status: int) -> None:
    async def play() -> int:
        async with world(settings(), model()) as made:
            with pytest.raises(Refused) as refused:
                await made.processes[0].dial(path)
            with pytest.raises(NotConnected, match=f"HTTP {status}"):
                await made.way_in(path, "call_1")()
            return refused.value.status

    assert played(play()) == status


def test_webhooks_are_signed_as_the_platform_signs_them() -> None:
    event = {"event": "call_ended", "call": {"call_id": "call_1", "disconnection_reason": "user_hangup"}}

    async def play() -> list[int]:
        async with world(settings(), model()) as made:
            return [await made.post("/webhook", event), await made.post("/webhook", event, key="wrong")]

    assert played(play()) == [204, 401]


def test_a_service_whose_words_are_not_read_waits() -> None:
    async def play() -> tuple[int, Frame]:
        async with world(settings(), model(text="word " * 6000, first_token_after=0, gap=0)) as made:
            line = await made.processes[0].dial("/llm-websocket/call_1")
            assert isinstance(line, Connection)
            asked = {"interaction_type": "response_required", "response_id": 1, "transcript": []}
            for turn in range(1, 8):
                asked["response_id"] = turn
                await line.send(json.dumps({**asked, "transcript": [{"role": "user", "content": "Tell me all."}]}))
                await asyncio.sleep(30)
            waiting = line.unread
            await line.send('{"interaction_type": "ping_pong", "timestamp": 5}')
            frames = []
            async for frame in line:
                frames.append(json.loads(frame))
                if frames[-1]["response_type"] == "ping_pong":
                    break
            line.abort()
            return waiting, frames[-1]

    waiting, pong = played(play())
    assert waiting < 200_000
    assert pong == {"response_type": "ping_pong", "timestamp": 5}


def test_frames_that_are_no_text_arrive_too() -> None:
    async def play() -> int | None:
        async with world(settings(), model()) as made:
            line = await made.processes[0].dial("/llm-websocket/call_1")
            await line.send(b"\x00")
            await line.send("no JSON")
            await asyncio.sleep(1)
            assert line.close_code is None
            await line.close(1000)
            await line.send("lost")
            return line.close_code

    assert played(play()) == 1000


def test_an_app_that_cannot_begin_says_why() -> None:
    async def play() -> None:
        made = Broken()
        with pytest.raises(RuntimeError, match="no luck"):
            async with Process(made):  # type: ignore[arg-type]  # as much of an app as is asked for
                pass

    played(play())


class Broken:
    """An app whose lifespan fails."""

    def lifespan(self) -> "Broken":
        return self

    async def __aenter__(self) -> None:
        raise RuntimeError("no luck")

    async def __aexit__(self, *_: object) -> None:
        pass


def test_a_world_without_a_model_has_none() -> None:
    async def play() -> list[str]:
        bare = settings_of_world(Settings(), has_model=False)
        async with world(bare, model()) as made:
            return list(made.processes[0].app.state.without_model)

    assert played(play()) == ["receptionist"]


def test_a_setting_that_cannot_be_used_is_told() -> None:
    with pytest.raises(SettingsError, match="but the agents here are"):
        settings_of_world(Settings(agent="nobody"))
