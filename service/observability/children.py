"""The children of metrics, all made at the start: every series is there, and the hot path looks no labels up."""

from collections.abc import Iterable
from itertools import product
from typing import TypeVar

from prometheus_client import Counter, Gauge, Histogram

Child = TypeVar("Child", Counter, Gauge, Histogram)


def of(metric: Child, values: Iterable[str]) -> dict[str, Child]:
    """By the values of its one label."""
    return {value: metric.labels(value) for value in values}


def each(metric: Child, *values: Iterable[str]) -> dict[tuple[str, ...], Child]:
    """By all combinations of its labels' values."""
    return these(metric, product(*values))


def these(metric: Child, labels: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], Child]:
    """By these combinations alone."""
    return {values: metric.labels(*values) for values in labels}
