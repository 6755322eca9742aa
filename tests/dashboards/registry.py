"""What there is to ask about: the registry's metrics, their labels, and those labels' values."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from service.observability.metrics import Metrics
from service.platforms.retell.webhooks import REASONS

TARGET_LABELS = {"app", "region", "instance", "job"}
"""Labels that the scrape adds."""
CONFIGURED = {"target", "model", "tool", "assumption", "version", "agent", "folder_hash", "python"}
"""Labels whose values are configured, or are a list of their own."""
ELSEWHERE = ("scrape_", "fly_", "process_", "python_", "ALERTS")

SELECTOR = re.compile(r"\b((?:cuebox|process|python|scrape|fly)_[a-z0-9_]+|ALERTS)\b(?:\{([^{}]*)\})?")
MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|on|group_left) \(([^)]*)\)")


@dataclass(frozen=True, slots=True)
class Family:
    """A metric: what it means, its labels' values, and the edges of its buckets."""

    name: str
    help: str
    labels: dict[str, set[str]]
    samples: frozenset[str]


def families() -> dict[str, Family]:
    """Every metric of the service, by the name it has in queries."""
    registry = Metrics(
        [("first", "m"), ("second", "n")], ["A1", "A9"], reasons=REASONS, tools=["find", "book"]
    ).registry
    found = {}
    for metric in registry.collect():
        labels: dict[str, set[str]] = {}
        for sample in metric.samples:
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
        name = metric.name + ("_total" if metric.type == "counter" else "")
        samples = frozenset(sample.name for sample in metric.samples)
        found[name] = Family(name, metric.documentation, labels, samples | {name})
    return found


FAMILIES = families()
SAMPLES = {sample: family for family in FAMILIES.values() for sample in family.samples}


def faults(expr: str) -> Iterator[str]:
    """What is wrong with the names, labels, values and bucket edges of a query."""
    known = set(TARGET_LABELS)
    for name, matchers in SELECTOR.findall(expr):
        if name not in SAMPLES:
            known.add("alertname")
            if not name.startswith(ELSEWHERE):
                yield f"{name} is no metric"
            continue
        labels = SAMPLES[name].labels
        known |= labels.keys() | ({"le"} if name.endswith("_bucket") else set())
        for label, operator, value in MATCHER.findall(matchers):
            yield from _label_faults(name, labels, label, operator, value)
    for label in (label.strip() for group in GROUPING.findall(expr) for label in group.split(",")):
        if label and label not in known:
            yield f"nothing in {expr} has a label {label}"


def _label_faults(name: str, labels: dict[str, set[str]], label: str, operator: str, value: str) -> Iterator[str]:
    if label in TARGET_LABELS or "$" in value:
        return
    if label not in labels:
        yield f"{name} has no label {label}"
    elif label not in CONFIGURED:
        wanted = value.split("|") if operator in ("=~", "!~") else [value]
        yield from (f"{name} has no {label} {one}" for one in wanted if not any(_is(one, it) for it in labels[label]))


def _is(wanted: str, value: str) -> bool:
    return re.fullmatch(wanted, value) is not None if ".*" in wanted else wanted == value
