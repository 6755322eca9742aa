"""How long the stand-in model lets wait: a number of seconds, or a distribution from which each wait is drawn.

Spelt alike in code, in a directive and on the command line: `0.05`; `uniform:4,8`; `lognormal:0.55,1.2`, which are its
median and its 95th percentile; and mixtures, shares first and then the rest: `4%uniform:4,8+lognormal:0.55,1.2`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import inf, log
from random import Random
from statistics import NormalDist
from typing import Self

_Z95 = NormalDist().inv_cdf(0.95)


class Constant(float):
    """Always so many seconds: a plain number, for whoever compares it."""

    __slots__ = ()

    def __new__(cls, seconds: float) -> Self:
        if not 0 <= seconds < inf:
            raise ValueError("times are seconds, 0 or more")
        return super().__new__(cls, seconds)

    def draw(self, _random: Random) -> float:
        return float(self)

    def share_below(self, seconds: float) -> float:
        """Return the share of draws that are no longer than this."""
        return float(self <= seconds)


@dataclass(frozen=True, slots=True)
class Uniform:
    """Any time from the least to the most, in seconds, with equal chance."""

    least: float
    most: float

    def __post_init__(self) -> None:
        if not 0 <= self.least < self.most < inf:
            raise ValueError("uniform takes seconds, 0 or more, the least before the most")

    def draw(self, random: Random) -> float:
        return random.uniform(self.least, self.most)

    def share_below(self, seconds: float) -> float:
        """Return the share of draws that are no longer than this."""
        return min(max((seconds - self.least) / (self.most - self.least), 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class LogNormal:
    """The usual shape of a model's waits, by its median and its 95th percentile in seconds."""

    median: float
    p95: float

    def __post_init__(self) -> None:
        if not 0 < self.median < self.p95 < inf:
            raise ValueError("lognormal takes seconds above 0, the median before the 95th percentile")

    @property
    def sigma(self) -> float:
        return log(self.p95 / self.median) / _Z95

    def draw(self, random: Random) -> float:
        return random.lognormvariate(log(self.median), self.sigma)

    def share_below(self, seconds: float) -> float:
        """Return the share of draws that are no longer than this."""
        return NormalDist(log(self.median), self.sigma).cdf(log(seconds)) if seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Mixture:
    """Each draw is from one of these, by its share; the shares make 1."""

    parts: "tuple[tuple[float, Constant | Uniform | LogNormal], ...]"

    def draw(self, random: Random) -> float:
        _, times = random.choices(self.parts, [share for share, _ in self.parts])[0]
        return times.draw(random)

    def share_below(self, seconds: float) -> float:
        """Return the share of draws that are no longer than this."""
        return sum(share * times.share_below(seconds) for share, times in self.parts)


Times = Constant | Uniform | LogNormal | Mixture
_NAMED: dict[str, tuple[Callable[..., Constant | Uniform | LogNormal], int]] = {
    "": (Constant, 1),
    "uniform": (Uniform, 2),
    "lognormal": (LogNormal, 2),
}


def times(spelt: str) -> Times:
    """Read a distribution; ValueError names what is wrong with it."""
    *shared, rest = spelt.split("+")
    if not shared:
        return _one(rest)
    parts = [(share, _one(of)) for share, of in map(share_of, shared)]
    left = 1 - sum(share for share, _ in parts)
    if left <= 0:
        raise ValueError(f"the shares of {spelt!r} leave nothing for its rest")
    return Mixture((*parts, (left, _one(rest))))


def share_of(spelt: str) -> tuple[float, str]:
    """Take the share off the front: of `4%hang_after_role`, 0.04 and the rest; ValueError if there is none."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?)%(.+)", spelt)
    if not found or not 0 < float(found[1]) <= 100:  # noqa: PLR2004  per cent
        raise ValueError(f"{spelt!r} does not begin with its share, such as 4%")
    return float(found[1]) / 100, found[2]


def _one(spelt: str) -> Constant | Uniform | LogNormal:
    if "%" in spelt:
        raise ValueError(f"{spelt!r} stands last and has a share: the rest has none, as in 4%0.5+0.1")
    name, _, numbers = spelt.strip().rpartition(":")
    if name not in _NAMED:
        raise ValueError(f"no times are called {name!r}; write 0.5, uniform:LEAST,MOST or lognormal:MEDIAN,P95")
    kind, count = _NAMED[name]
    try:
        given = [float(number) for number in numbers.split(",")]
    except ValueError:
        raise ValueError(f"{numbers!r} is not seconds") from None
    if len(given) != count:
        raise ValueError(f"{spelt!r} has {len(given)} numbers, and should have {count}")
    return kind(*given)
