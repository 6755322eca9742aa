"""Whether a soak would tell of what grows. The soak itself is `make soak`."""

import re
from dataclasses import replace

import pytest

from infra.readme import README
from infra.soak import CALLS, TURN_EVERY, Sample, grown, page, soak


def samples(memory: float = 0.0, sockets: float = 0.0, tasks: float = 0.0) -> list[Sample]:
    """An hour in which so much more of each is held at its end."""
    return [
        Sample(at, 100 + memory * at / 3600, int(50 + sockets * at / 3600), int(20 + tasks * at / 3600), 10)
        for at in range(0, 3600, 10)
    ]


def test_what_is_flat_is_well() -> None:
    assert grown(samples(memory=5, sockets=2, tasks=2)) == []


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ({"memory": 60.0}, "memory grew from 121.8 to 141.8"),
        ({"sockets": 30.0}, "sockets grew from 50 to 79, with nobody there"),
        ({"tasks": 30.0}, "tasks grew from 20 to 49, with nobody there"),
    ],
)
def test_what_grows_is_told(what: dict[str, float], told: str) -> None:
    assert grown(samples(**what)) == [told]


def test_what_a_busy_moment_holds_and_lets_go_is_no_leak() -> None:
    *quiet, last = samples()
    busy = [replace(sample, tasks=900, sockets=400) if n > 200 else sample for n, sample in enumerate(quiet)]
    assert grown([*busy, last]) == []
    assert grown(busy) != []


def test_the_page_has_a_chart_of_each() -> None:
    assert page(samples()).count("<svg") == 4


def test_it_soaks_at_half_the_knee_that_readme_tells() -> None:
    (knee,) = re.findall(r"\| Calls with one turn a second \|.*\| (\d+) calls,", README.read_text(encoding="utf-8"))
    assert TURN_EVERY == 1.0
    assert 0.45 <= CALLS / int(knee) <= 0.55


async def test_calls_that_come_and_go_are_watched() -> None:
    seen, errors, _ = await soak(0.01, calls=2, seconds=1.0, rest=0.0)
    assert errors == {}
    assert seen[0].memory > 10
    assert seen[0].tasks > 0
