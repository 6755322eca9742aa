"""The committed JSON: what the code draws, in the classic schema, by the rules of Grafana's linter and our own."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.__main__ import files
from dashboards.panel import HERE
from infra.slo import read
from tests.dashboards.test_contract import BOARDS, panels

PANELS = {f"{name}: {panel['title']}": panel for name, board in BOARDS.items() for panel in panels(board)}
QUERIED = {place: panel for place, panel in PANELS.items() if panel["type"] not in ("alertlist", "table")}
PERCENTILES = {place: panel for place, panel in QUERIED.items() if "histogram_quantile" in json.dumps(panel)}
WAITING = {
    place: panel
    for place, panel in PERCENTILES.items()
    if panel["type"] == "timeseries"
    and panel["title"] in ("First words", "First sentence", "How long callers wait for first words")
}
NO_WAIT = {"Length of replies, p95", "Length of calls"}
"""How long things last: that is nobody's wait."""

WINDOWS = {"$__rate_interval", "$__range", "5m", "1h", "7d"}

each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
each_panel = pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
each_queried_panel = pytest.mark.parametrize("panel", QUERIED.values(), ids=QUERIED)


def test_the_files_are_what_the_code_draws() -> None:
    stale = [file.name for file, text in files(read()) if file.read_text(encoding="utf-8") != text]
    assert stale == [], "say `make dashboards`"


def test_six_boards_and_no_file_without_code() -> None:
    assert {file.stem for file, _ in files(read())} == BOARDS.keys() | {"README"}
    assert len(BOARDS) == 6


def test_another_promise_moves_lines_and_queries() -> None:
    slo = read()
    drawn = "".join(text for _, text in files(replace(slo, first_words=replace(slo.first_words, promise=1.5))))
    assert '\\"1.5\\"' in drawn
    assert '\\"2.0\\"' not in drawn
    assert '"value": 1.5' in drawn


@each_board
def test_the_classic_schema_has_a_place_for_everything_in_a_board(board: dict[str, Any]) -> None:
    understood = Dashboard.from_json(board)
    assert seen(json.loads(JSONEncoder().encode(understood))) == board
    assert board["schemaVersion"] >= 39


def seen(part: Any) -> Any:
    """Without the SDK's wish to hide links and annotations in a menu."""
    if isinstance(part, list):
        return [seen(each) for each in part]
    return (
        {key: seen(value) for key, value in part.items() if value != "inControlsMenu"}
        if isinstance(part, dict)
        else part
    )


@each_board
def test_a_board_can_be_pointed_at_any_data_source_app_and_machine(board: dict[str, Any]) -> None:
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert {"datasource", "tempo", "app", "region", "instance"} <= variables.keys()
    assert all(variable["refresh"] == 2 for variable in variables.values() if variable["type"] == "query")
    assert set(re.findall(r'"uid": "([^"]*)"', json.dumps(board["panels"]))) <= {"${datasource}", "${tempo}"}


@each_board
def test_a_board_shows_deploys_new_agents_and_alerts_and_leads_to_the_others(board: dict[str, Any]) -> None:
    assert [note["name"] for note in board["annotations"]["list"]] == ["Deploys", "Agents", "Changes", "Alerts"]
    assert board["links"][0]["tags"] == board["tags"] == ["cuebox"]
    assert board["editable"] is False
    assert board["graphTooltip"] == 1
    assert board["refresh"] == "30s"


@each_board
def test_a_board_has_few_panels_a_row_and_no_gaps(board: dict[str, Any]) -> None:
    rows: dict[int, list[int]] = {}
    for panel in board["panels"]:
        rows.setdefault(panel["gridPos"]["y"], []).append(panel["gridPos"]["w"])
    assert all(sum(widths) == 24 and len(widths) <= 4 for widths in rows.values())


@each_panel
def test_a_panel_says_what_it_shows_and_what_to_do(panel: dict[str, Any]) -> None:
    shows, _, wrong = panel["description"].partition("\n\n**When it looks wrong:** ")
    assert len(shows) > 30
    assert len(wrong) > 20
    assert panel["title"]


@each_queried_panel
def test_a_panel_has_a_unit_and_queries_over_chosen_machines_only(panel: dict[str, Any]) -> None:
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["interval"] in {"1m", "5m", "15m"}  # it is scraped every 15 s
    assert panel["targets"]
    assert panel["datasource"]["uid"] == "${datasource}"
    for target in panel["targets"]:
        selectors = re.findall(r"\b(?:cuebox|process|python|fly|scrape)_\w+(\{[^}]*\})?", target["expr"])
        assert all(HERE in selector for selector in selectors if selector)
        assert set(re.findall(r"\[([^\]]+)\]", target["expr"])) <= WINDOWS
        assert re.search(r"\b(sum|max|min|count|histogram_quantile)\b", target["expr"]), (
            "it draws a line for each machine"
        )
        counters = re.findall(r"(\w*\(?)\w+_(?:total|bucket|count|sum)\{", target["expr"])
        assert set(counters) <= {"rate(", "increase("}, "a counter grows for ever: what it did lately is told by a rate"


@each_queried_panel
def test_a_legend_names_only_labels_that_its_query_keeps(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        kept = {label.strip() for group in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in group.split(",")}
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept


@pytest.mark.parametrize("panel", PERCENTILES.values(), ids=PERCENTILES)
def test_a_percentile_says_of_how_many(panel: dict[str, Any]) -> None:
    behind = {rule["matcher"]["options"] for rule in panel["fieldConfig"]["overrides"]}
    assert behind & {target["legendFormat"] for target in panel["targets"]}, "there is no count behind it"


@pytest.mark.parametrize("panel", PERCENTILES.values(), ids=PERCENTILES)
def test_a_percentile_of_waiting_has_a_line_not_to_cross(panel: dict[str, Any]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    if defaults["unit"] != "s" or panel["title"] in NO_WAIT:
        return
    assert [step["value"] for step in defaults["thresholds"]["steps"]][1:], "nobody can tell whether that is slow"
    assert panel["type"] == "stat" or defaults["custom"]["thresholdsStyle"]["mode"] == "dashed"


@pytest.mark.parametrize("panel", WAITING.values(), ids=WAITING)
def test_what_callers_wait_for_has_the_promise_drawn_and_leads_to_traces(panel: dict[str, Any]) -> None:
    limits = [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]
    assert read().first_words.promise in limits
    assert panel["fieldConfig"]["defaults"]["custom"]["thresholdsStyle"]["mode"] == "dashed"
    assert any(target.get("exemplar") for target in panel["targets"])
    assert "${tempo}" in panel["links"][0]["url"]
