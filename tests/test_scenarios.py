"""All scenarios of the project and of the example agent, through the code behind `cuebox simulate`."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.agents.library import SHIPPED
from service.simulator.scenario.telling import Played, summed_up
from service.stage import played_from

HERE = Path(__file__).parent / "scenarios"
FILES = [*sorted(HERE.rglob("*.yaml")), *sorted(SHIPPED.glob("*/scenarios/*.yaml"))]

Play = Callable[[Path], Played]


@pytest.fixture(scope="module")
def play(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    """Plays a file. Indexes of knowledge are kept from one to the next; in the end it is told how long all took."""
    indexes = str(tmp_path_factory.mktemp("indexes"))
    results: list[Played] = []

    def play(file: Path) -> Played:
        results.append(played_from(file, cache=indexes))
        return results[-1]

    yield play
    took = sum(each.took for each in results)
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        sys.stdout.write(f"\nscenarios: {summed_up(results, took)}\n")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_scenario(file: Path, play: Play) -> None:
    played = play(file)
    assert not played.failures, f"{played.name}\n{file}\n{played.drawing}"
