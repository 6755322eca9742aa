import re
from pathlib import Path

from service.platforms.retell.assumptions import ASSUMPTIONS

SERVICE = Path(__file__).parents[3] / "service"


def test_ids_are_unique_and_in_order() -> None:
    assert [assumption.id for assumption in ASSUMPTIONS] == [f"A{i}" for i in range(1, len(ASSUMPTIONS) + 1)]


def test_the_code_names_no_assumption_that_is_not_listed() -> None:
    sources = [path.read_text() for path in SERVICE.rglob("*.py") if path.name != "assumptions.py"]
    named = {name for source in sources for name in re.findall(r"[#(]\s?(A[0-9]+)\b", source)}
    assert named
    assert named <= {assumption.id for assumption in ASSUMPTIONS}


def test_an_oddity_breaks_at_most_one_assumption() -> None:
    oddities = [assumption.broken_by for assumption in ASSUMPTIONS if assumption.broken_by]
    assert len(oddities) == len(set(oddities))
