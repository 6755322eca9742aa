"""Cases 25, 26, 32 to 35 and 65 with a model that fails: one final frame each time, and no open stream."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from service.settings import Settings
from service.simulator.model import StandInModel
from service.simulator.model_script import (
    FAULTS,
    Cut,
    Empty,
    Fault,
    Garble,
    HangAfterHeaders,
    HangAfterRole,
    HangBeforeHeaders,
    OnlyComments,
    Refuse,
    Script,
    Stall,
)
from tests.live import Service, serving, words

TEXT = "We open at nine. Do come by."
APOLOGY = "I am sorry, I had a problem just now. Could you say that again?"
CLOSING = "— I am sorry, I lost my thread."
HANGING: list[Fault] = [HangBeforeHeaders(), HangAfterHeaders(), HangAfterRole(), OnlyComments(), Stall(0)]
BREAKING: list[Fault] = [Cut(0), Garble(0), *(Refuse(status) for status in (400, 401, 403, 404, 422))]
RETRIED: list[Fault] = [Refuse(429, retry_after=0.01), Refuse(500), Refuse(503), Refuse(429, "insufficient_quota")]


@asynccontextmanager
async def receptionist(model: StandInModel, turn_budget: float = 25) -> AsyncIterator[Service]:
    settings = Settings(
        agent="receptionist", openai_api_key="k", openai_base_url=model.base_url, turn_budget=turn_budget
    )
    async with serving(settings=settings) as service:
        yield service


async def one_each(model: StandInModel, faults: list[Fault], turn_budget: float = 25) -> list[str]:
    """What calls say whose model fails, one call a fault and all at once; each goes on when it is well again."""
    async with receptionist(model, turn_budget) as service:

        async def call(number: int, fault: Fault) -> str:
            async with service.line(f"call_{number}") as line:
                await line.greeted()
                await line.ask(1, "", f"call {number}")
                said = await line.answer(1)
                await line.ping(1)
                await line.ask(2, "", "well again")
                assert await line.answer(2) == TEXT, fault
                return said

        by_call = {f"call {number}": fault for number, fault in enumerate(faults)}
        model.script = lambda chat: Script(TEXT, fault=by_call.get(chat.last_user_text))
        said = await asyncio.gather(*(call(number, fault) for number, fault in enumerate(faults)))
        await model.quiet()
        return said


def test_every_fault_of_the_stand_in_model_is_tried_here() -> None:
    tried = {type(fault) for fault in [*HANGING, *BREAKING, *RETRIED, Empty()]}
    assert tried == set(FAULTS.values())


async def test_case_34_a_model_that_hangs_is_apologised_for_and_left() -> None:
    async with StandInModel() as model:
        assert await one_each(model, HANGING, turn_budget=0.6) == [APOLOGY] * len(HANGING)
        assert model.closed_by_client >= len(HANGING)


async def test_case_32_a_model_that_refuses_or_breaks_before_it_speaks_is_apologised_for() -> None:
    async with StandInModel() as model:
        assert await one_each(model, BREAKING) == [APOLOGY] * len(BREAKING)


async def test_case_32_a_model_that_refuses_twice_is_apologised_for() -> None:
    async with StandInModel() as model:
        assert await one_each(model, RETRIED) == [APOLOGY] * len(RETRIED)


@pytest.mark.parametrize("kind", [Stall, Cut, Garble])
async def test_case_33_a_model_that_fails_in_mid_sentence_gets_a_closing_line(kind: type[Stall | Cut | Garble]) -> None:
    async with StandInModel() as model:
        faults: list[Fault] = [kind(2), kind(4), kind(6)]
        assert await one_each(model, faults, turn_budget=0.6 if kind is Stall else 25) == [
            f"We open {CLOSING}",
            "We open at nine.",  # a sentence is whole: nobody waits for more
            f"We open at nine. Do come {CLOSING}",
        ]


async def test_case_34_a_model_that_keeps_its_caller_waiting_with_retry_after_is_left_at_the_budget() -> None:
    async with StandInModel() as model:
        assert await one_each(model, [Refuse(429, retry_after=30)], turn_budget=0.6) == [APOLOGY]


async def test_case_35_a_model_that_says_nothing_is_apologised_for() -> None:
    async with StandInModel() as model:
        assert await one_each(model, [Empty()]) == [APOLOGY]


async def test_case_32_a_model_that_is_not_there_is_apologised_for() -> None:
    async with StandInModel() as model:
        gone = model.base_url
    settings = Settings(agent="receptionist", openai_api_key="k", openai_base_url=gone)
    async with serving(settings=settings) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "Hello.", "When do you open?")
        assert await line.answer(1) == APOLOGY
        await line.nothing(0.03)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(Script(TEXT, first_token_after=30), id="before-the-first-token"),
        pytest.param(Script(TEXT, fault=HangBeforeHeaders()), id="before-the-headers"),
        pytest.param(Script(TEXT, gap=0.05), id="while-it-streams"),
    ],
)
async def test_case_25_and_26_a_newer_request_closes_the_models_stream(script: Script) -> None:
    async with StandInModel(Script("New.")) as model, receptionist(model) as service, service.line() as line:
        model.scripts.append(script)
        await line.greeted()
        await line.ask(1, "", "Hi.")
        await model.until(lambda: model.open_streams == 1, within=5)
        if script.gap:
            await line.frame()
        await line.ask(2, "", "Hi.", "", "Wait.")
        assert await line.answer(2) == "New."
        await model.quiet()
        assert model.closed_by_client == 1
        assert not TEXT.startswith(words(line.frames, 1)) or len(words(line.frames, 1)) < len(TEXT)


async def test_case_65_when_the_platform_hangs_up_the_models_stream_is_closed() -> None:
    async with StandInModel(Script(TEXT, gap=0.05)) as model, receptionist(model) as service:
        for is_cut in (False, True):
            async with service.line(f"call_{is_cut}") as line:
                await line.greeted()
                await line.ask(1, "", "Hi.")
                await line.frame()
                if is_cut:
                    line.cut()
            await model.quiet()
        assert model.closed_by_client == 2


async def test_case_22_the_first_words_are_sent_before_the_model_has_ended() -> None:
    async with StandInModel(Script(TEXT, gap=0.03)) as model, receptionist(model) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "", "Hi.")
        first = await line.frame()
        assert model.open_streams == 1
        assert TEXT.startswith(first["content"])
        assert first["content"] + await line.answer(1) == TEXT
