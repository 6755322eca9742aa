"""What callers are promised (`slo.toml`): the one place of the thresholds in alerts and dashboards."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

import msgspec

FILE = Path(__file__).with_name("slo.toml")


@dataclass(frozen=True, slots=True)
class FirstWords:
    """Seconds to the first words of an answer, and the share of turns that keep `promise`."""

    promise: float
    satisfied: float
    hopeless: float
    share: float


@dataclass(frozen=True, slots=True)
class Overhead:
    """Seconds that we add to the model's own time, and the share of turns that keep `promise`."""

    promise: float
    share: float


@dataclass(frozen=True, slots=True)
class Interrupts:
    """The share of settled turns that is too much, and how many times last week's."""

    share: float
    growth: float


@dataclass(frozen=True, slots=True)
class Cost:
    """How many times last week's is too much, and the dollars an hour below which nobody is told."""

    growth: float
    dollars: float


@dataclass(frozen=True, slots=True)
class Tools:
    """The share of a tool's calls that may fail, and the seconds that nine in ten should not exceed."""

    failing: float
    slow: float


@dataclass(frozen=True, slots=True)
class Knowledge:
    """The share of searches whose turns may go on without."""

    missed: float


@dataclass(frozen=True, slots=True)
class Service:
    """Whether no machine may be the ordinary thing."""

    scales_to_zero: bool


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses that alerts point to."""

    runbooks: str
    """Of the folder with the runbooks, as whoever is paged can open it; empty for none but the path here."""
    grafana: str


@dataclass(frozen=True, slots=True)
class Slo:
    """All of `slo.toml`."""

    first_words: FirstWords
    overhead: Overhead
    interrupts: Interrupts
    cost: Cost
    tools: Tools
    knowledge: Knowledge
    service: Service
    links: Links


def read(file: Path = FILE) -> Slo:
    """Read the file. Raises msgspec.ValidationError, which names what is missing or of the wrong type."""
    return msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), Slo)


def edge(seconds: float) -> str:
    """A bucket's edge as Prometheus writes it: 2.0, not 2."""
    return f'le="{float(seconds)}"'
