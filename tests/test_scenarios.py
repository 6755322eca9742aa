"""All scenarios of the project and of the example agent, through the code behind `cuebox simulate`."""

import sys
from pathlib import Path

import pytest

from service.agents.library import SHIPPED
from service.stage import played_from

HERE = Path(__file__).parent / "scenarios"
FILES = [*sorted(HERE.rglob("*.yaml")), *sorted(SHIPPED.glob("*/scenarios/*.yaml"))]


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the indexes of knowledge are kept from one to the next."""
    return tmp_path_factory.mktemp("indexes")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_scenario(file: Path, indexes: Path) -> None:
    played = played_from(file, cache=str(indexes))
    assert not played.failures, f"{played.name}\n{file}\n{played.drawing}"
    sys.stdout.write(f"{played.call_seconds:.1f} s of call in {played.took:.2f} s\n")
