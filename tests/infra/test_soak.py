"""Whether a soak would tell of what grows. The soak itself is `make soak`."""

import pytest

from infra.soak import Sample, grown, page, soak


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
        ({"memory": 60.0}, "memory grew from 129.9 to 149.9"),
        ({"sockets": 30.0}, "sockets grew from 64.5 to 74.5"),
        ({"tasks": 30.0}, "tasks grew from 34.5 to 44.5"),
    ],
)
def test_what_grows_is_told(what: dict[str, float], told: str) -> None:
    assert grown(samples(**what)) == [told]


def test_the_page_has_a_chart_of_each() -> None:
    assert page(samples()).count("<svg") == 4


async def test_calls_that_come_and_go_are_watched() -> None:
    seen, errors, _ = await soak(0.01, calls=2, seconds=1.0)
    assert errors == {}
    assert seen[0].memory > 10
    assert seen[0].tasks > 0
