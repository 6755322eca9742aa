"""Against an address, in real time."""

from pathlib import Path

import pytest
from msgspec import convert

from service.app import create_app
from service.server import running
from service.settings import Settings
from service.simulator.scenario.calling import played_over
from service.simulator.scenario.reach import why_inside
from service.simulator.scenario.reading import BrokenScenario, Mistake
from service.simulator.scenario.script import Scenario

DUMMY = Settings(agent="dummy", host="127.0.0.1", port=1, metrics_port=0, dev=True)
FAST = "words_per_second: 100\n"


def written(folder: Path, **texts: str) -> list[Path]:
    """Files of these texts."""
    files = []
    for name, text in texts.items():
        files.append(folder / f"{name}.yaml")
        files[-1].write_text(text)
    return files


async def test_calls_are_played_against_a_service_and_what_needs_its_inside_is_skipped(tmp_path: Path) -> None:
    files = written(
        tmp_path,
        good=f"{FAST}steps: [{{listen: {{matches: '.'}}}}, {{say: Hello., expect: {{matches: '.', within_ms: 5000}}}}]",
        bad=f"{FAST}steps: [{{say: Hello., expect: {{contains: a parrot}}}}]",
        inside="steps: [{kill: home}]",
        broken="steps: [{sya: x}]",
    )
    async with running(create_app(DUMMY), DUMMY) as address:
        results = played_over(files, f"ws://{address}/llm-websocket", repeat=2)
        good, bad, inside, broken = [each async for each in results]
    assert not isinstance(good, BrokenScenario)
    assert good.is_passed, good.failures
    assert not isinstance(bad, BrokenScenario)
    assert "should contain “a parrot”" in bad.failures[0]
    assert not isinstance(inside, BrokenScenario)
    assert inside.skipped == "step 1 (kill: home) needs the inside"
    assert isinstance(broken, BrokenScenario)


async def test_where_nobody_answers_a_call_fails(tmp_path: Path) -> None:
    (file,) = written(tmp_path, any="steps: [{say: Hello.}]")
    (told,) = [each async for each in played_over([file], "mailto:x")]
    assert not isinstance(told, BrokenScenario)
    assert "is no address to call" in told.failures[0]


@pytest.mark.parametrize(
    ("scenario", "why"),
    [
        ({}, None),
        ({"call": {"from_number": "+1"}, "environment": {"A": "b"}, "others": 2}, None),
        ({"steps": [{"do": "say", "say": "x", "expect": {"contains": "y"}}]}, None),
        ({"model": {"answers": ["x"]}}, "it says what the model does"),
        ({"model": "none"}, "it says what the model does"),
        ({"settings": {"CUEBOX_DEV": True}}, "it has `settings` of its own"),
        ({"now": "2026-03-02T10:00:00Z"}, "it has a date of its own"),
        ({"processes": 2}, "it has several processes"),
        (
            {"steps": [{"do": "say", "say": "x", "expect": {"outcome": "failed"}}]},
            "it expects `outcome`, which no line shows",
        ),
        ({"steps": [{"do": "listen", "listen": {"model_asked": 0}}]}, "it expects `model_asked`, which no line shows"),
        ({"expect": {"log": {"x": 0}}}, "it expects `log`, which no line shows"),
    ],
)
def test_what_needs_the_inside_is_known_before(scenario: dict[str, object], why: str | None) -> None:
    assert why_inside(convert(scenario, Scenario)) == why


def test_broken_files_come_back_from_another_process() -> None:
    import pickle  # noqa: PLC0415

    broken = BrokenScenario([Mistake(Path("a.yaml"), 3, "no")])
    assert str(pickle.loads(pickle.dumps(broken))) == "a.yaml:3: no"  # noqa: S301  our own
