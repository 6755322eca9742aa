"""What is drawn, alerted on and written about exists, and what exists is drawn."""

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from dashboards.__main__ import FOLDER
from infra.alerts import groups
from infra.slo import edge, read
from service.observability import conventions
from tests.alerts import promtool
from tests.dashboards.registry import CONFIGURED, FAMILIES, SAMPLES, SELECTOR, faults

ROOT = FOLDER.parent
BOARDS = {file.stem: json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))}
RUNBOOKS = sorted((ROOT / "infra" / "runbooks").glob("*.md"))
RANGES = {"$__rate_interval": "5m", "$__range": "6h"}


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in board["panels"]:
        yield from panel.get("panels") or ([panel] if panel["type"] != "row" else [])


def queries() -> dict[str, str]:
    """Every query of a panel, an annotation, an alert and a runbook, by where it stands."""
    found = {}
    for name, board in BOARDS.items():
        for panel in panels(board):
            for target in panel.get("targets", []):
                if "expr" in target:
                    found[f"{name}, {panel['title']}, {target['refId']}"] = target["expr"]
        for annotation in board["annotations"]["list"]:
            found[f"{name}, {annotation['name']}"] = annotation["expr"]
    found |= {alert.name: alert.expr for alerts in groups(read()).values() for alert in alerts}
    for file in RUNBOOKS:
        for index, block in enumerate(re.findall(r"```promql\n(.*?)```", file.read_text(), re.DOTALL)):
            found[f"{file.name} {index + 1}"] = block
    return found


@pytest.mark.parametrize(("place", "expr"), queries().items(), ids=queries())
def test_a_query_asks_only_for_what_the_service_has(place: str, expr: str) -> None:
    assert list(faults(expr)) == []


def test_prometheus_can_read_every_query(tmp_path: Path) -> None:
    readable = {place: re.sub(r"\$__\w+", lambda match: RANGES[match[0]], expr) for place, expr in queries().items()}
    readable = {place: re.sub(r"\$\w+", ".*", expr) for place, expr in readable.items()}
    promtool.check_rules(tmp_path, readable)


def test_every_metric_is_drawn() -> None:
    drawn = {
        name for place, expr in queries().items() if place.startswith("cuebox-") for name, _ in SELECTOR.findall(expr)
    }
    missing = {name for name, family in FAMILIES.items() if name.startswith("cuebox_") and not family.samples & drawn}
    assert missing == set()


def test_every_metric_is_explained() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name, family in FAMILIES.items():
        if name.startswith("cuebox_"):
            assert f"| `{name}` |" in page
            assert len(family.help) > 10


@pytest.mark.parametrize("file", [*RUNBOOKS, ROOT / "README.md", ROOT / "CHANGELOG.md"], ids=lambda file: file.name)
def test_a_text_names_only_metrics_that_exist(file: Path) -> None:
    named = {name for name, _ in SELECTOR.findall(file.read_text()) if name.startswith("cuebox_")}
    assert {name for name in named if name not in SAMPLES} == set()


VALUES = {value for family in FAMILIES.values() for label, values in family.labels.items() for value in values}


@pytest.mark.parametrize("file", RUNBOOKS, ids=lambda file: file.name)
def test_a_runbook_names_causes_by_values_that_labels_have(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    heads = re.findall(r"^- ((?:`[A-Za-z_]+`(?:, | or )?)+)", text, re.MULTILINE)
    causes = {cause for head in heads for cause in re.findall(r"`([A-Za-z][a-z_]+(?:[A-Z][a-z]+)*)`", head)}
    silenced = set(re.findall(r"\b(?!alertname|app|instance|region)(\w+)=([\w.]+)", "".join(silences(text))))
    assert causes - VALUES == set()
    assert {pair for pair in silenced if pair[0] not in CONFIGURED and pair[1] not in VALUES} == set()


def silences(text: str) -> list[str]:
    return re.findall(r"amtool silence add ([^`]*)", text)


def test_searches_for_traces_name_attributes_that_spans_carry() -> None:
    source = inspect.getsource(conventions)
    searches = "".join(unquote(json.dumps(board)) for board in BOARDS.values())
    named = set(re.findall(r"span\.([a-z_.]+)", searches))
    assert {name for name in named if f'"{name}"' not in source} == set()
    assert "cuebox.turn.time_to_first_chunk" in named


def test_the_promises_are_edges_of_buckets() -> None:
    slo = read()
    words = FAMILIES["cuebox_turn_time_to_first_chunk_seconds"].labels["le"]
    for seconds in (slo.first_words.promise, slo.first_words.satisfied, slo.first_words.hopeless):
        assert edge(seconds) in {f'le="{value}"' for value in words}
    assert edge(slo.overhead.promise) in {f'le="{value}"' for value in FAMILIES["cuebox_overhead_seconds"].labels["le"]}


@pytest.mark.parametrize(
    ("expr", "fault"),
    [
        ("rate(cuebox_turns_totals[5m])", "cuebox_turns_totals is no metric"),
        ('cuebox_turns_total{outcome="error"}', "cuebox_turns_total has no outcome error"),
        ('cuebox_turns_total{interaction="greeting"}', "cuebox_turns_total has no label interaction"),
        ('cuebox_overhead_seconds_bucket{le="0.07"}', "cuebox_overhead_seconds_bucket has no le 0.07"),
        ('cuebox_turns_total{outcome=~"completed|cut"}', "cuebox_turns_total has no outcome cut"),
        ("sum by (promt) (cuebox_turns_total)", "nothing in sum by (promt) (cuebox_turns_total) has a label promt"),
    ],
)
def test_a_slip_of_the_pen_is_found(expr: str, fault: str) -> None:
    assert list(faults(expr)) == [fault]
