"""Everything that can go wrong with a model, and what its caller hears then: the table that the fault tests walk."""

import asyncio
import re
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace

from service.llm.records import AttemptRecord
from service.simulator.model import StandInModel
from service.simulator.model_script import (
    Call,
    Cut,
    Dribble,
    Empty,
    Fault,
    Finish,
    Garble,
    HangAfterHeaders,
    HangAfterRole,
    HangBeforeHeaders,
    Huge,
    OnlyComments,
    Refuse,
    Repeat,
    Runaway,
    Script,
    Stall,
    WrongCalls,
    WrongType,
)
from service.simulator.model_spelling import ChatRequest
from tests.conformance.receptionists import LINES, reception

TEXT = "We open at nine. Do come by."
LATE = f"{LINES.hold[0]} {LINES.give_up}"
WITHIN = 5.0
"""Seconds from the request to the end of the turn: for words, or for an honest line."""


@dataclass(frozen=True)
class Trouble:
    """What goes wrong, what the caller hears (a pattern), and the error of the attempts; None where there is none."""

    script: Script
    heard: str
    error: str | None = None


@dataclass(frozen=True)
class Heard:
    """What a caller heard of a trouble, and what was recorded of the turn."""

    trouble: Trouble
    said: str
    records: list[AttemptRecord]
    seconds: float


def _all(*faults: Fault, heard: str, error: str | None = None) -> list[Trouble]:
    return [Trouble(Script(TEXT, fault=fault), re.escape(heard), error) for fault in faults]


def _refused(reason: str, *faults: Refuse) -> list[Trouble]:
    return _all(*faults, heard=LINES.apologies.get(reason, LINES.apology), error=reason)


def _broken(after: int) -> list[Fault]:
    wrong = [WrongType(after, of) for of in ("content", "delta", "choices", "event")]
    return [Cut(after), Garble(after), *wrong]


def _calling(fault: WrongCalls) -> Trouble:
    calls = (Call("find_slot", '{"day": 1}'), Call("find_slot"))
    heard = f"Let me see. {TEXT}"  # it is told that there is no such tool
    return Trouble(Script(TEXT, fault=fault, calls=calls, lead_in="Let me see."), re.escape(heard))


BEFORE_WORDS = [
    *_all(HangBeforeHeaders(), HangAfterHeaders(), HangAfterRole(), OnlyComments(), Stall(0), heard=LATE),
    *_all(*_broken(0), heard=LINES.apology, error="StreamBroken"),
    *_all(Huge(0), heard=LINES.apology, error="AnswerRan"),
    *_all(Huge(0, size=2_000_000), heard=LINES.apology, error="StreamBroken"),
    *_all(Empty(), heard=LINES.apology, error="NothingSaid"),
    Trouble(Script("", fault=Finish("content_filter")), re.escape(LINES.apology), "AnswerFiltered"),
    *_refused("RequestRejected", Refuse(400), Refuse(404), Refuse(422)),
    *_refused("KeyRejected", Refuse(401), Refuse(403)),
    *_refused("RateLimited", Refuse(429), Refuse(429, retry_after=0.01), Refuse(429, retry_after=30)),
    *_refused("QuotaExhausted", Refuse(429, "insufficient_quota"), Refuse(402)),
    *_refused("ServerFailed", Refuse(408), Refuse(500), Refuse(503), Refuse(503, retry_after=30)),
]
AFTER_WORDS = [
    *_all(*_broken(2), heard=f"We open {LINES.closing_line}", error="StreamBroken"),
    *_all(*_broken(4), heard="We open at nine.", error="StreamBroken"),  # a sentence is whole: nobody waits for more
    *_all(*_broken(6), heard=f"We open at nine. Do come {LINES.closing_line}", error="StreamBroken"),
    *_all(Huge(2), heard=f"We open {LINES.closing_line}", error="AnswerRan"),
    *_all(Stall(2), heard=f"We open {LINES.closing_line}"),
    *_all(Stall(4), heard="We open at nine."),
    *_all(Stall(6), heard=f"We open at nine. Do come {LINES.closing_line}"),
    *_all(Dribble(), Finish(), heard=TEXT),
    *_all(Finish("length"), heard=TEXT, error="AnswerRan"),
    *_all(Finish("content_filter"), heard=TEXT, error="AnswerFiltered"),
    Trouble(Script(TEXT, fault=Repeat(0.001)), rf"{re.escape(TEXT)}( by\.)+", "AnswerRan"),
    Trouble(Script(TEXT, fault=Runaway(0.001)), rf"{re.escape(TEXT)}( word\d+)+ {LINES.closing_line}", "AnswerRan"),
    *map(_calling, (WrongCalls("zero"), WrongCalls("missing", "every", "every"))),
]


async def heard(troubles: Sequence[Trouble], *spare: str) -> list[Heard]:
    """What callers hear, each of a target in trouble (and of `spare` ones that are well), all at the same time.

    Each has a service of its own, because the calls of one share what it has learnt of its targets. When its target
    is well again a caller is answered; and in the end nothing is left of any of them.
    """
    ill: dict[str, Script] = {}
    told: list[AttemptRecord] = []
    all_greeted = asyncio.Barrier(len(troubles))  # to start so many services takes its time, which nobody's answer has

    def script(chat: ChatRequest) -> Script:
        wanted = ill.get(chat.model, Script(TEXT))
        return replace(wanted, calls=()) if chat.brings_tool_result else wanted

    async with StandInModel(script) as model:

        async def call(trouble: Trouble, *targets: str) -> Heard:
            async with reception(model, *targets) as desk, desk.line() as line:
                await line.greeted()
                ill[targets[0]] = trouble.script
                await all_greeted.wait()
                said, seconds = await _timed(line.ask(1, "", "When do you open?"), line.answer(1, WITHIN))
                assert await line.ping(1) == [], "something behind the final frame"
                assert desk.open_replies == 0
                records = list(desk.records)
                del ill[targets[0]]
                await line.ask(2, "", "When do you open?", said, "Once more?")
                assert await line.answer(2, WITHIN) == TEXT, trouble
                told.extend(desk.records)
                return Heard(trouble, said, records, seconds)

        async with asyncio.TaskGroup() as tasks:
            calls = [tasks.create_task(call(each, f"ill {at}", *spare)) for at, each in enumerate(troubles)]
        await model.quiet()
        assert len(told) == model.received, "a request that nobody was told of"
        return [each.result() for each in calls]


async def _timed(asking: Awaitable[None], answer: Awaitable[str]) -> tuple[str, float]:
    started_at = asyncio.get_running_loop().time()
    await asking
    return await answer, asyncio.get_running_loop().time() - started_at
