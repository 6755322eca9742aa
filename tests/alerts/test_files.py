"""The alerts' files: what the code writes, the same for Prometheus and Grafana, each alert with its page."""

import functools
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from infra.alert import Alert
from infra.alerts import GRAFANA, INFRA, PROMETHEUS, grafana_rules, groups, prometheus_rules
from infra.slo import FILE, read
from tests.alerts import promtool
from tests.alerts.cases import CASES

ALERTS = {alert.name: alert for alerts in groups(read()).values() for alert in alerts}
RUNBOOKS = INFRA / "runbooks"
SECTIONS = ["Meaning", "Impact", "First three checks", "Likely causes", "What to do", "How to silence"]

each_alert = pytest.mark.parametrize("alert", ALERTS.values(), ids=ALERTS)


@functools.cache
def rules(text: str) -> dict[str, dict[str, Any]]:
    """The rules of either file by the alert's name."""
    found = [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    return {rule.get("alert") or rule["title"]: rule for rule in found}


def test_the_files_are_what_the_code_writes() -> None:
    assert PROMETHEUS.read_text(encoding="utf-8") == prometheus_rules(read()), "say `make rules`"
    assert GRAFANA.read_text(encoding="utf-8") == grafana_rules(read()), "say `make rules`"


def test_prometheus_takes_its_file_and_its_configuration() -> None:
    promtool.run("promtool", "check", "config", INFRA / "prometheus" / "prometheus.yml")


def test_there_are_no_recording_rules() -> None:
    assert all("alert" in rule for group in yaml.safe_load(PROMETHEUS.read_text())["groups"] for rule in group["rules"])


def test_grafana_and_prometheus_have_the_same_alerts() -> None:
    ours, theirs = rules(PROMETHEUS.read_text()), rules(GRAFANA.read_text())
    assert ours.keys() == theirs.keys() == ALERTS.keys()
    for name, rule in ours.items():
        managed = theirs[name]
        assert managed["data"][0]["model"]["expr"] == rule["expr"]
        assert (managed["for"], managed["keepFiringFor"]) == (rule["for"], rule["keep_firing_for"])
        assert managed["labels"] == rule["labels"]
        assert managed["annotations"].keys() == rule["annotations"].keys()


@each_alert
def test_grafana_fires_for_every_series_that_prometheus_fires_for(alert: Alert) -> None:
    rule = rules(GRAFANA.read_text())[alert.name]
    query, series, fires = rule["data"]
    assert rule["condition"] == fires["refId"] == "fires"
    assert query["datasourceUid"] == "cuebox-prometheus"
    assert series["model"]["expression"].startswith(f"is_number(${query['refId']})")
    assert fires["model"]["expression"] == series["refId"]
    assert (rule["noDataState"], rule["execErrState"]) == ("OK", "Error")
    assert "keep_firing_for" not in rule


def test_grafana_reads_values_where_it_keeps_them() -> None:
    texts = [text for rule in rules(GRAFANA.read_text()).values() for text in rule["annotations"].values()]
    assert not any("$value " in text for text in texts)
    assert any("{{ $values.query.Value | humanizePercentage }}" in text for text in texts)


def test_another_promise_makes_other_rules() -> None:
    slo = read()
    other = prometheus_rules(replace(slo, first_words=replace(slo.first_words, promise=1.5, share=0.9)))
    assert 'le="1.5"' in other
    assert 'le="2.0"' not in other
    assert "> 0.672" in other


def test_who_scales_to_zero_is_not_told_of_absent_metrics() -> None:
    slo = read()
    assert "CueboxMetricsAbsent" in prometheus_rules(slo)
    assert "CueboxMetricsAbsent" not in prometheus_rules(
        replace(slo, service=replace(slo.service, scales_to_zero=True))
    )


def test_a_promise_that_is_missing_or_no_number_is_told(tmp_path: Path) -> None:
    file = tmp_path / "slo.toml"
    file.write_text(FILE.read_text().replace("promise = 2.0", 'promise = "soon"'))
    with pytest.raises(msgspec.ValidationError, match=r"first_words\.promise"):
        read(file)


PAGES = {
    *("FirstWordsBudgetFastBurn", "FirstWordsBudgetSlowBurn", "TurnFailures", "ModelRejected", "ToolFailing"),
    *("PlatformFailures", "CallsVanished", "EventLoopStalled", "Restarting", "MetricsAbsent"),
}
"""README, "See every turn", says them in words."""


def test_somebody_gets_up_for_these_alone() -> None:
    severities = {alert.severity: set[str]() for alert in ALERTS.values()}
    for alert in ALERTS.values():
        severities[alert.severity].add(alert.name.removeprefix("Cuebox"))
    assert severities.keys() == {"page", "ticket", "none"}
    assert severities["page"] == PAGES
    assert severities["none"] == {"Watchdog"}


def test_each_alert_has_its_cases_and_each_case_its_alert() -> None:
    assert {title.partition(":")[0] for title in CASES} | {"CueboxWatchdog"} == ALERTS.keys()


@each_alert
def test_an_alert_says_enough(alert: Alert) -> None:
    rule = rules(PROMETHEUS.read_text())[alert.name]
    assert rule["annotations"]["runbook_url"].endswith(f"/{alert.name}.md")
    assert (INFRA.parent / "dashboards" / f"{alert.board}.json").exists()
    assert len(alert.description) > 20
    named = set(re.findall(r"\$labels\.(\w+)", alert.summary))
    assert all(re.search(rf"by \([^)]*\b{label}\b", alert.expr) or label in alert.expr for label in named)


@each_alert
def test_an_alert_brings_along_what_its_page_says_to_do(alert: Alert) -> None:
    advice = rules(PROMETHEUS.read_text())[alert.name]["annotations"]["what_to_do"]
    assert advice.startswith("- ")
    assert "{{" not in advice  # Prometheus would take it for a template
    assert advice in (RUNBOOKS / f"{alert.name}.md").read_text(encoding="utf-8")


def test_a_pager_is_led_to_where_the_pages_are() -> None:
    slo, address = read(), "https://example.com/runbooks"
    assert address not in prometheus_rules(slo)
    led = prometheus_rules(replace(slo, links=replace(slo.links, runbooks=address)))
    assert f"runbook_url: {address}/CueboxToolFailing.md" in led


def test_there_is_a_page_for_each_alert_and_no_other() -> None:
    assert {file.stem for file in RUNBOOKS.glob("*.md")} == ALERTS.keys()


@each_alert
def test_a_page_has_all_that_is_needed_at_three_in_the_morning(alert: Alert) -> None:
    page = (RUNBOOKS / f"{alert.name}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {alert.name}\n")
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == SECTIONS
    checks = page.split("## First three checks")[1].split("## ")[0]
    assert re.findall(r"^(\d)\. ", checks, re.MULTILINE) == ["1", "2", "3"]
    assert "```promql" in checks


@each_alert
def test_a_page_tells_how_to_silence_that_alert(alert: Alert) -> None:
    silence = (RUNBOOKS / f"{alert.name}.md").read_text(encoding="utf-8").split("## How to silence")[1]
    matchers = re.findall(r"alertname(=~?)\"?([^\"\s]+)", silence)
    if alert.severity == "none":
        assert matchers == []
    else:
        assert any(re.fullmatch(name, alert.name) for _, name in matchers)


def test_no_sentence_stands_on_many_pages() -> None:
    sentences = Counter(
        line for file in RUNBOOKS.glob("*.md") for line in set(file.read_text().splitlines()) if len(line) > 60
    )
    assert [sentence for sentence, pages in sentences.items() if pages > 2 and "sum" not in sentence] == []
