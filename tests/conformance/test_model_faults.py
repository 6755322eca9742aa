"""Cases 22, 25, 26, 32 to 35 and 65 with a model that fails: one final frame each time, and no open stream."""

import re

import pytest

from service.agents.folder import read_folder
from service.agents.library import SHIPPED
from service.llm.records import Cause, Result
from service.settings import Settings
from service.simulator.model import StandInModel
from service.simulator.model_script import FAULTS, Cut, Empty, Fault, Garble, HangBeforeHeaders, Refuse, Script
from tests.conformance.receptionists import reception
from tests.conformance.troubles import AFTER_WORDS, BEFORE_WORDS, TEXT, heard
from tests.live import serving, words


def test_every_fault_of_the_stand_in_model_is_tried_here() -> None:
    assert {type(trouble.script.fault) for trouble in [*BEFORE_WORDS, *AFTER_WORDS]} == set(FAULTS.values())


async def test_case_32_to_35_whatever_a_model_does_its_caller_hears_words_or_an_honest_line() -> None:
    for call in await heard([*BEFORE_WORDS, *AFTER_WORDS]):
        assert re.fullmatch(call.trouble.heard, call.said), (call.trouble, call.said)
        assert {record.error for record in call.records if record.result is Result.FAILED} <= {call.trouble.error}
        if call.trouble.error is not None:
            assert call.records[-1].error == call.trouble.error, call


async def test_a_target_that_fails_before_its_words_is_followed_by_the_next_and_nobody_hears_of_it() -> None:
    for call in await heard(BEFORE_WORDS, "spare"):
        failed, spoke = call.records
        assert call.said == TEXT, call
        assert (spoke.target, spoke.result) == ("spare", Result.ANSWERED)
        if call.trouble.error is None:  # it hangs: the spare one is asked beside it, and is faster
            assert (failed.result, spoke.cause) == (Result.LOST, Cause.HEDGE)
        else:
            assert (failed.error, spoke.cause) == (call.trouble.error, Cause.FAILOVER)
            assert call.seconds < 1


async def test_what_one_target_began_to_say_is_never_continued_by_another() -> None:
    for call in await heard([trouble for trouble in AFTER_WORDS if trouble.error], "spare"):
        assert re.fullmatch(call.trouble.heard, call.said), (call.trouble, call.said)
        assert [record.cause for record in call.records] == [Cause.FIRST]


@pytest.mark.parametrize("fault", [Cut(), Garble(), Empty(), Refuse(503)])
async def test_a_single_target_that_may_do_better_is_asked_again_and_nobody_hears_of_it(fault: Fault) -> None:
    async with StandInModel(Script(TEXT)) as model, reception(model, "only") as desk, desk.line() as line:
        model.scripts.append(Script(TEXT, fault=fault))
        await line.greeted()
        await line.ask(1, "", "When do you open?")
        assert await line.answer(1) == TEXT
        assert [record.cause for record in desk.records] == [Cause.FIRST, Cause.RETRY]


async def test_case_32_a_model_that_is_not_there_is_apologised_for_and_its_caller_put_through() -> None:
    async with StandInModel() as model:
        gone = model.base_url
    settings = Settings(agent="receptionist", openai_api_key="k", openai_base_url=gone)
    async with serving(settings=settings) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "Hello.", "When do you open?")
        rescue = read_folder(SHIPPED / "receptionist").script.rescue
        assert rescue is not None
        assert await line.answer(1) == rescue.words
        assert line.frames[-1]["transfer_number"]
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
    async with StandInModel(Script("New.")) as model, reception(model, "only") as desk, desk.line() as line:
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
        assert TEXT.startswith(words(line.frames, 1))
        assert len(words(line.frames, 1)) < len(TEXT)


async def test_case_65_when_the_platform_hangs_up_the_models_stream_is_closed() -> None:
    async with StandInModel(Script(TEXT, gap=0.05)) as model, reception(model, "only") as desk:
        for is_cut in (False, True):
            async with desk.line(f"call_{is_cut}") as line:
                await line.greeted()
                await line.ask(1, "", "Hi.")
                await line.frame()
                if is_cut:
                    line.cut()
            await model.quiet()
        assert model.closed_by_client == 2


async def test_case_22_the_first_words_are_sent_before_the_model_has_ended() -> None:
    async with StandInModel(Script(TEXT, gap=0.03)) as model, reception(model, "only") as desk, desk.line() as line:
        await line.greeted()
        await line.ask(1, "", "Hi.")
        first = await line.frame()
        assert model.open_streams == 1
        assert TEXT.startswith(first["content"])
        assert first["content"] + await line.answer(1) == TEXT
