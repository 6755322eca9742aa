"""Case 69, and what a long day leaves behind: nothing."""

import asyncio
import gc
import time
import tracemalloc
from collections.abc import AsyncGenerator, Callable

from service.conversation.call import Prompt, Turn
from service.conversation.parts import Part, Speech
from service.conversation.transcript import Utterance
from service.settings import Settings
from service.simulator.model import StandInModel
from service.simulator.model_script import Script
from tests.conformance.agents import saying
from tests.conformance.receptionists import reception
from tests.live import Frame, PlatformLine, ScriptedAgent, Service, serving

CALLS = 100
TURNS = 5


async def echo(turn: Turn) -> AsyncGenerator[Part]:
    """Say whose call it is and what its caller said, slowly and word by word."""
    if turn.prompt is Prompt.GREETING:
        yield Speech(f"Hello {turn.call_id}.")
        return
    heard = " ".join(row.text for row in turn.history if isinstance(row, Utterance))
    for word in f"{turn.call_id} {heard}".split():
        yield Speech(f"{word} ")
        await asyncio.sleep(0.002)


async def conversation(line: PlatformLine, delays: list[float]) -> None:
    """A whole call: each answer is this call's own, and pings go on all the while."""
    greeting = await line.greeted()
    assert "".join(frame["content"] for frame in greeting[1:]) == f"Hello {line.call_id}."
    for turn_id in range(1, TURNS + 1):
        said = f"I am {line.call_id} in turn {turn_id}"
        await line.update("", said)
        await line.ask(turn_id, "", said)
        begun = time.monotonic()
        await line.send({"interaction_type": "ping_pong", "timestamp": turn_id})
        frames = await line.until(lambda frame: frame["response_type"] == "ping_pong")
        delays.append(time.monotonic() - begun)
        early = "".join(frame["content"] for frame in frames[:-1])
        assert early + await line.answer(turn_id) == f"{line.call_id} {said} "


async def test_case_69_a_hundred_calls_at_once_keep_apart_and_their_pings_are_answered() -> None:
    delays: list[float] = []

    async def call(service: Service, number: int) -> None:
        async with service.line(f"call_{number}") as line:
            await conversation(line, delays)

    async with serving(ScriptedAgent(echo), Settings(reconnect_window=0)) as service:
        async with asyncio.TaskGroup() as tasks:
            for number in range(CALLS):
                tasks.create_task(call(service, number))
        await service.forgets()
    assert len(delays) == CALLS * TURNS
    assert sorted(delays)[int(0.99 * len(delays))] < 1


async def test_case_69_one_hundred_open_lines_answer_a_ping_each_at_once() -> None:
    async with serving(saying("Yes."), Settings(retell_call_details=False)) as service:

        async def held(number: int, opened: asyncio.Barrier) -> float:
            async with service.line(f"call_{number}") as line:
                await line.frame()
                await opened.wait()
                begun = time.monotonic()
                await line.ping(number)
                took = time.monotonic() - begun
                await opened.wait()
                return took

        opened = asyncio.Barrier(CALLS)
        assert max(await asyncio.gather(*(held(number, opened) for number in range(CALLS)))) < 1


async def barge_in(line: PlatformLine, model: StandInModel, turns: range) -> None:
    """Cut the agent off in each turn: after a first word, at once, or while its model has not said a word yet."""
    for turn_id in turns:
        is_mute = turn_id % 4 == 2
        streams = model.answered
        await line.ask(turn_id, "", "Tell me more. [[first_token_after=30]]" if is_mute else "Tell me more.")
        while is_mute and not (model.open_streams == 1 and model.answered > streams):
            await asyncio.sleep(0.001)
        if turn_id % 2:
            await line.until(is_of(turn_id))
    await line.ask(turns.stop, "", "Done? [[gap=0 text=Yes.]]")
    assert await line.answer(turns.stop) == "Yes."
    await model.quiet()
    line.frames.clear()


async def test_case_25_five_hundred_barge_ins_leave_no_stream_no_socket_no_task_and_no_memory() -> None:
    script = Script("word " * 50, gap=0.05)
    async with StandInModel(script, remembered=1) as model, reception(model, "only") as desk, desk.line() as line:
        await line.greeted()
        await barge_in(line, model, range(1, 251))
        desk.records.clear()
        tasks, objects = len(asyncio.all_tasks()), _objects()
        tracemalloc.start()
        try:
            await barge_in(line, model, range(252, 377))
            desk.records.clear()
            memory = _memory()
            await barge_in(line, model, range(378, 503))
            desk.records.clear()
            assert _memory() - memory < 100_000
        finally:
            tracemalloc.stop()
        assert _objects() - objects < 500
        assert len(asyncio.all_tasks()) <= tasks
        assert model.open_streams == 0
        assert model.open_connections <= 3  # the one used last, and two to spare
        assert model.closed_by_client >= 375


def is_of(turn_id: int) -> Callable[[Frame], bool]:
    return lambda frame: frame["response_id"] == turn_id


def _memory() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def _objects() -> int:
    gc.collect()
    return len(gc.get_objects())
