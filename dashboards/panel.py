"""The words that dashboards are written in: panels, what they ask of Prometheus, and what to do when they look wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

HERE = 'app=~"$app",region=~"$region",instance=~"$instance"'
"""What the variables at the top of a dashboard choose. Without Fly there is no region, which `.*` matches too."""


@dataclass(frozen=True, slots=True)
class Query:
    """One line or number. `count` is for how many it rests on: an axis of its own, and bars behind the lines."""

    expr: str
    legend: str
    exemplars: bool = False
    count: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel. `shows` is what, `wrong` what to do when it looks wrong, `limits` the dashed lines not to cross.

    `width` is of 24. `every` is the least time between two points: rare events need a longer one. `traces` is a TraceQL
    search for the turns behind the panel, for where exemplars are dropped.
    """

    title: str
    unit: str
    shows: str
    wrong: str
    queries: tuple[Query, ...] = ()
    kind: Literal["lines", "bars", "steps", "stat", "heatmap", "traces", "alerts"] = "lines"
    limits: tuple[float, ...] = ()
    higher_is_better: bool = False
    width: int = 12
    height: int = 8
    every: str = "1m"
    traces: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A heading. A `folded` one hides its panels until it is clicked."""

    title: str
    panels: tuple[Panel, ...]
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard; its most important row comes first."""

    uid: str
    title: str
    asks: str
    rows: tuple[Row, ...]


def series(metric: str, labels: str = "") -> str:
    """The metric (with its prefix, if it is not ours), where the variables choose."""
    name = metric if metric.startswith(("process_", "python_", "fly_", "scrape_")) else f"cuebox_{metric}"
    return f"{name}{{{HERE}{',' if labels else ''}{labels}}}"


def total(metric: str, labels: str = "", *, by: str = "", window: str = "$__rate_interval", offset: str = "") -> str:
    """How many there were in the window."""
    return f"sum{_by(by)} (increase({series(metric, labels)}[{window}]{offset}))"


def rate(metric: str, labels: str = "", *, by: str = "") -> str:
    """How many a second."""
    return f"sum{_by(by)} (rate({series(metric, labels)}[$__rate_interval]))"


def quantile(share: float, histogram: str, labels: str = "", *, by: str = "", window: str = "$__rate_interval") -> str:
    """The value that `share` of a histogram's observations do not exceed."""
    grouped = f"le, {by}" if by else "le"
    return (
        f"histogram_quantile({share:g}, sum by ({grouped}) (rate({series(f'{histogram}_bucket', labels)}[{window}])))"
    )


def percentiles(
    histogram: str, labels: str = "", shares: Sequence[float] = (0.5, 0.95), *, by: str = "", exemplars: bool = False
) -> tuple[Query, ...]:
    """A line for each share, and how many observations they rest on: a p95 of six turns says nothing."""
    group = f"{{{{{by}}}}} " if by else ""
    lines = [
        Query(quantile(share, histogram, labels, by=by), f"{group}p{share * 100:g}", exemplars=exemplars)
        for share in shares
    ]
    return (*lines, Query(total(f"{histogram}_count", labels), "n", count=True))


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""
