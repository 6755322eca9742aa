"""A thousand turns that are let end in no peace, and what they leave behind: nothing."""

import asyncio
import gc
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random

import pytest
import uvloop

from service.conversation.call import Deadlines
from service.llm.attempt import Attempt
from service.llm.breaker import BreakerRules
from service.llm.candidate import AnswerRules, Rules
from service.llm.hedge import HedgeRules
from service.llm.http import Connection
from service.llm.records import AttemptRecord, Cause, Result
from service.session import Session
from service.settings import Settings
from service.simulator.model import StandInModel
from service.simulator.model_script import Chances, Huge, Script, Stall
from service.simulator.model_times import times
from tests.conformance.barge_ins import cancel_to_silence
from tests.conformance.receptionists import Reception, reception
from tests.live import serving

CALLS, LINES, TURNS = 50, 4, 5
DEADLINES = Deadlines(hold_after=0.1, give_up_after=0.25, stall_after=0.05, wire_silence=0.2)
RULES = Rules(
    AnswerRules(slow_after=0.08, cold_slow_after=0.08),
    HedgeRules(at_first=0.04, least=0.02, bucket=200, refill=1, off_above=1, off_after_limit=0),
    BreakerRules(share=0.8, open_for=0.05, open_at_most=0.1),
)
FAULTS = Chances(
    *("3%hang_before_headers", "3%hang_after_headers", "3%hang_after_role", "3%only_comments every=0.01"),
    *("3%stall after=3", "3%cut", "3%cut after=3", "3%garble", "3%garble after=3", "3%wrong_type", "3%empty"),
    *("3%refuse status=500", "3%refuse status=429 retry_after=0.05", "3%refuse status=401", "3%huge after=2"),
    *("2%repeat every=0.001", "2%runaway every=0.001", "2%dribble every=0.01"),
)
SAID = ["Hello?", "Hello?", "[[hang_after_role]]", "[[refuse status=503]]", "[[stall after=2]]", "[[cut after=4]]"]


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_thousand_mixed_disturbances_leave_nothing_behind(run: Callable[[Coroutine[None, None, None]], None]) -> None:
    run(a_thousand_disturbances())


async def a_thousand_disturbances() -> None:
    happened: Counter[str] = Counter()
    async with StandInModel() as model, reception(model, "only"):
        pass  # what a loop opens once for itself is open now
    begun, timers = open_files_and_tasks(), pending_timers()
    script = Script("One two three. Four five.", times("15%uniform:0.05,0.3+0.003"), 0.003)
    async with StandInModel(script, FAULTS, seed=1) as model:
        async with reception(model, "first", "second", rules=RULES, deadlines=DEADLINES) as desk:
            tasks = asyncio.all_tasks()
            async with asyncio.TaskGroup() as calls:
                for number in range(CALLS):
                    calls.create_task(disturbed(desk, number, happened))
            await model.quiet()
            await until(lambda: asyncio.all_tasks() == tasks)
            assert desk.open_replies == 0
            assert alive(Attempt) == 0
            assert alive(Session) == len(desk.service.calls) == CALLS
            assert_disturbed(happened, desk.records)
        await model.until(lambda: model.open_connections == 0)
        assert alive(Session, Connection) == 0
        assert pending_timers() == timers
    await until(lambda: open_files_and_tasks() == begun)


async def disturbed(desk: Reception, number: int, happened: Counter[str]) -> None:
    """A call over lines that are cut or closed amid a turn, whose caller interrupts, or listens to the end."""
    chance = Random(number)  # noqa: S311  wanted: the same again
    for _ in range(LINES):
        async with desk.line(f"call_{number}") as line:
            await line.greeted()
            for turn_id in range(1, TURNS + 1):
                await line.ask(turn_id, "Hello.", chance.choice(SAID))
                if chance.random() < 0.4:
                    await line.answer(turn_id)
                    happened["heard"] += 1
                else:
                    await asyncio.sleep(chance.choice((0, 0.001, 0.01, chance.uniform(0, 0.15))))
                    happened["overtaken"] += 1
            if chance.random() < 0.5:
                line.cut()
                happened["cut"] += 1


def assert_disturbed(happened: Counter[str], records: list[AttemptRecord]) -> None:
    """It was as wild as it was meant to be; and each turn was answered once at the most."""
    assert happened["heard"] + happened["overtaken"] == CALLS * LINES * TURNS
    assert min(happened["heard"], happened["overtaken"]) > 300
    assert happened["cut"] > 50
    causes, results = Counter(record.cause for record in records), Counter(record.result for record in records)
    assert causes[Cause.HEDGE] > 100, causes
    assert causes[Cause.FAILOVER] > 3, causes
    assert min(results[result] for result in Result) > 20, results
    for cause_or_result in (Cause.FIRST, Cause.HEDGE, Result.ANSWERED):
        of_turns = Counter(each.occasion for each in records if cause_or_result in (each.cause, each.result))
        assert max(of_turns.values()) == 1, cause_or_result


async def test_case_25_behind_a_newer_request_an_answer_is_silent_at_once() -> None:
    script = Script(tuple(f"word{number} " for number in range(200)), gap=0.01)
    async with StandInModel(script) as model, reception(model, "only") as desk:
        waits = await cancel_to_silence(desk.service, 200, others=20)
        assert len(waits) == 200
        assert max(waits) < 0.5  # a figure of comfort: the benchmark tells the real one
        await model.quiet()
        assert model.closed_by_client >= 200


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_deadline_that_is_due_at_once_passes(run: Callable[[Coroutine[None, None, None]], None]) -> None:
    async def call() -> None:
        async with serving(settings=Settings(agent="dummy", greeting_wait=0)) as service, service.line() as line:
            assert await line.answer(0) == "How may I help you?"

    run(call())


async def test_a_chunk_of_a_million_letters_holds_up_no_other_call() -> None:
    script = Script("Hello.", fault=Huge())
    async with (
        StandInModel(script) as model,
        reception(model, "only") as desk,
        desk.line("ill") as ill,
        desk.line("well") as well,
    ):
        await ill.greeted()
        await well.greeted()
        await ill.ask(1, "", "Hi.")
        while not desk.records:
            await well.ping(1, within=0.3)


async def test_an_answer_that_is_refused_for_its_length_is_closed_at_once() -> None:
    script = Script(("on and on, " * 1000, "for ever"), fault=Stall(1))
    async with StandInModel(script) as model, reception(model, "only") as desk, desk.line() as line:
        gc.disable()  # else the collector might close what was forgotten
        try:
            await line.greeted()
            await line.ask(1, "", "Hi.")
            await line.answer(1)
            await model.quiet()
        finally:
            gc.enable()
        assert [record.error for record in desk.records] == ["AnswerRan"] * 2
        assert model.closed_by_client == 2


def open_files_and_tasks() -> tuple[int, int]:
    return len(list(Path("/proc/self/fd").iterdir())), len(asyncio.all_tasks())


def pending_timers() -> int:
    """Of asyncio's own loop alone: there is no other way to know, and none on uvloop."""
    timers = getattr(asyncio.get_running_loop(), "_scheduled", ())
    return sum(not timer.cancelled() for timer in timers)


def alive(*kinds: type) -> int:
    gc.collect()
    return sum(isinstance(each, kinds) for each in gc.get_objects())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)
