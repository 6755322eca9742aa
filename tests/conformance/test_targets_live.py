"""Several targets behind one agent, through the real service: who is asked, who is left alone, what is told."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.llm.breaker import BreakerRules, State
from service.llm.candidate import AnswerRules, Rules
from service.llm.hedge import HedgeRules
from service.llm.records import AttemptRecord
from service.settings import Settings
from service.simulator.model import StandInModel
from service.simulator.model_script import Fault, HangAfterRole, Refuse, Script
from service.simulator.model_spelling import ChatRequest
from tests.conformance.receptionists import LINES, reception
from tests.live import PlatformLine, serving

AGENT_TOML = """
greeting = "Hello."

[[targets]]
name = "eu"
provider = "azure"
model = "our-deployment"
base_url = "{url}"
api_version = "2024-10-21"

[[targets]]
model = "spare"
base_url = "{url}/v1"
key = "SPARE_API_KEY"
"""
QUICK = BreakerRules(least=2, open_for=0.2)
IMPATIENT = Rules(AnswerRules(slow_after=0.05, cold_slow_after=0.05), HedgeRules(is_on=False), QUICK)


def named(ill: dict[str, Fault]) -> Callable[[ChatRequest], Script]:
    """A stand-in that says which target was asked, unless that one is ill."""
    return lambda chat: Script(f"This is {chat.model}.", fault=ill.get(chat.model))


async def heard(line: PlatformLine, turn_id: int) -> str:
    """Which target answers."""
    await line.ask(turn_id, "", "Who is there?")
    return (await line.answer(turn_id)).removeprefix("This is ").removesuffix(".")


def asked(records: list[AttemptRecord]) -> list[str]:
    return [record.target for record in records]


@pytest.mark.parametrize("fault", [Refuse(503), HangAfterRole()], ids=["refuses", "hangs"])
async def test_a_target_that_fails_is_left_alone_and_comes_back_when_it_is_well(fault: Fault) -> None:
    ill = {"first": fault}
    async with (
        StandInModel(named(ill)) as model,
        reception(model, "first", "spare", rules=IMPATIENT) as desk,
        desk.line() as line,
    ):
        await line.greeted()
        assert [await heard(line, turn) for turn in (1, 2)] == ["spare", "spare"]
        assert asked(desk.records) == ["first", "spare"] * 2  # enough to know that it fails
        desk.records.clear()
        assert [await heard(line, turn) for turn in (3, 4)] == ["spare", "spare"]
        assert asked(desk.records) == ["spare", "spare"]
        await asyncio.sleep(QUICK.open_for)
        desk.records.clear()
        assert await heard(line, 5) == "spare"
        assert asked(desk.records) == ["first", "spare"]  # one real turn tried, in vain
        assert await heard(line, 6) == "spare"
        assert asked(desk.records) == ["first", "spare", "spare"]
        ill.clear()
        await asyncio.sleep(2 * QUICK.open_for)  # a try in vain doubles the time
        assert [await heard(line, turn) for turn in (7, 8)] == ["first", "first"]
        assert desk.records[-1].breaker is State.CLOSED


async def test_only_one_of_many_calls_tries_a_target_that_may_be_well_again() -> None:
    ill: dict[str, Fault] = {"first": Refuse(503)}
    async with StandInModel(named(ill)) as model, reception(model, "first", "spare", rules=IMPATIENT) as desk:
        async with desk.line() as line:
            await line.greeted()
            assert [await heard(line, turn) for turn in (1, 2)] == ["spare", "spare"]
        ill["first"] = HangAfterRole()
        await asyncio.sleep(QUICK.open_for)
        desk.records.clear()

        async def call(number: int) -> str:
            async with desk.line(f"call_{number}") as line:
                await line.greeted()
                return await heard(line, 1)

        assert set(await asyncio.gather(*(call(number) for number in range(10)))) == {"spare"}
        assert asked(desk.records).count("first") == 1


@pytest.mark.parametrize("fault", [Refuse(401), Refuse(429, "insufficient_quota"), Refuse(429, retry_after=30)])
async def test_a_target_that_will_refuse_everything_is_asked_once(fault: Refuse) -> None:
    async with (
        StandInModel(named({"first": fault})) as model,
        reception(model, "first", "spare") as desk,
        desk.line() as line,
    ):
        await line.greeted()
        assert [await heard(line, turn) for turn in (1, 2, 3)] == ["spare"] * 3
        assert asked(desk.records) == ["first", "spare", "spare", "spare"]
        assert desk.records[0].breaker is State.OPEN


async def test_when_all_targets_are_left_alone_a_turn_is_tried_nevertheless() -> None:
    ill: dict[str, Fault] = {"first": Refuse(401), "spare": Refuse(429, retry_after=30)}
    async with (
        StandInModel(named(ill)) as model,
        reception(model, "first", "spare") as desk,
        desk.line() as line,
    ):
        await line.greeted()
        assert await heard(line, 1) == LINES.apologies["RateLimited"]
        ill.clear()
        assert await heard(line, 2) == "spare"  # the first of them to be asked again


async def test_an_azure_target_and_a_plain_one_stand_in_for_each_other(tmp_path: Path) -> None:
    ill: dict[str, Fault] = {"our-deployment": Refuse(503)}
    async with StandInModel(named(ill)) as model:
        (tmp_path / "receptionist").mkdir()
        (tmp_path / "receptionist" / "prompt.md").write_text("Be brief.")
        (tmp_path / "receptionist" / "agent.toml").write_text(AGENT_TOML.format(url=model.base_url.removesuffix("/v1")))
        keys = {"AZURE_OPENAI_API_KEY": "azures", "SPARE_API_KEY": "spares"}
        with capture_logs() as logs:
            settings = Settings(agent="receptionist", agents_dir=str(tmp_path), other_keys=keys)
            async with serving(settings=settings) as service, service.line() as line:
                await line.greeted()
                assert await heard(line, 1) == "spare"
                ill.clear()
                assert await heard(line, 2) == "our-deployment"
        told = [
            (line["turn_index"], line["target"], line["cause"], line["result"], line["error"])
            for line in logs
            if line["event"] == "model.attempt"
        ]
        assert told == [(1, "eu", "first", "failed", "ServerFailed"), (1, "spare", "failover", "answered", None)]
        azure, spare, again = model.requests
        assert azure.path == again.path == "/openai/deployments/our-deployment/chat/completions"
        assert (azure.query, azure.headers["api-key"]) == ("api-version=2024-10-21", "azures")
        assert (spare.path, spare.headers["authorization"]) == ("/v1/chat/completions", "Bearer spares")
