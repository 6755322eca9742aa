"""Times as they are spelt, drawn and known beforehand."""

from random import Random

import pytest

from service.simulator.model_times import Constant, LogNormal, Mixture, Uniform, times
from tests.simulator.wired import seeded


@pytest.mark.parametrize(
    ("spelt", "read"),
    [
        ("0.05", Constant(0.05)),
        ("0", Constant(0)),
        ("uniform:4,8", Uniform(4, 8)),
        (" lognormal:0.55,1.2 ", LogNormal(0.55, 1.2)),
        (
            "4%uniform:4,8+lognormal:0.55,1.2",
            Mixture(((0.04, Uniform(4, 8)), (0.96, LogNormal(0.55, 1.2)))),
        ),
        ("25%1 + 25%2 + 3", Mixture(((0.25, Constant(1)), (0.25, Constant(2)), (0.5, Constant(3))))),
    ],
)
def test_times_are_read_as_they_are_spelt(spelt: str, read: object) -> None:
    assert times(spelt) == read


@pytest.mark.parametrize(
    ("spelt", "why"),
    [
        ("", "'' is not seconds"),
        ("soon", "'soon' is not seconds"),
        ("1,2", "has 2 numbers, and should have 1"),
        ("-1", "0 or more"),
        ("inf", "0 or more"),
        ("nan", "0 or more"),
        ("normal:1,2", "no times are called 'normal'"),
        ("uniform:4", "has 1 numbers, and should have 2"),
        ("uniform:8,4", "the least before the most"),
        ("lognormal:1.2,0.55", "the median before the 95th percentile"),
        ("lognormal:0,1", "above 0"),
        ("4%uniform:4,8", "the rest has none"),
        ("uniform:4,8+0.1", "does not begin with its share"),
        ("4%1+4%2", "the rest has none"),
        ("0%1+2", "does not begin with its share"),
        ("50%1+50%2+3", "leave nothing for its rest"),
        ("50%1+51%2+3", "leave nothing for its rest"),
    ],
)
def test_times_that_make_no_sense_say_why(spelt: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        times(spelt)


@pytest.mark.parametrize(
    "spelt", ["0.05", "uniform:4,8", "lognormal:0.55,1.2", "4%uniform:4,8+lognormal:0.55,1.2", "30%1+20%uniform:1,2+0"]
)
def test_what_is_drawn_is_what_is_known_beforehand(spelt: str) -> None:
    waits, random = times(spelt), seeded()
    drawn = [waits.draw(random) for _ in range(8000)]
    for seconds in (-1.0, 0.0, 0.05, 0.3, 0.55, 1.0, 1.2, 1.5, 4.0, 6.0, 9.0):
        share = sum(wait <= seconds for wait in drawn) / len(drawn)
        assert waits.share_below(seconds) == pytest.approx(share, abs=0.02)


def test_a_lognormal_is_named_by_its_median_and_its_95th_percentile() -> None:
    waits = times("lognormal:0.55,1.2")
    assert waits.share_below(0.55) == pytest.approx(0.5)
    assert waits.share_below(1.2) == pytest.approx(0.95)


def test_the_same_seed_draws_the_same() -> None:
    def drawn(random: Random) -> list[float]:
        return [times("50%uniform:1,2+lognormal:1,2").draw(random) for _ in range(9)]

    assert drawn(seeded(3)) == drawn(seeded(3))
    assert drawn(seeded(3)) != drawn(seeded(4))
