"""Game day: that a fault raises the alert which names it, on the real service, Prometheus and Alertmanager."""

import io
import os
import re
from pathlib import Path

import pytest
from rich.console import Console

from infra import gameday
from infra.alerts import prometheus_rules
from infra.gameday import Finding, advice, main, table
from infra.gameday_faults import FAULTS
from infra.gameday_service import Subject
from infra.gameday_watch import Prometheus, Ring, Watch, shortened, shortened_routes, shortened_rules, shortened_scrapes
from infra.observe import programs
from infra.slo import read

FAST = ("revoked", "tool-down", "crashes", "blocked", "flooded", "cut", "given-up")


def shown(*findings: Finding) -> str:
    text = io.StringIO()
    Console(file=text, width=200).print(table(findings))
    return text.getvalue()


def test_the_fast_faults_raise_their_alerts_and_no_other_page_and_peace_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if programs(tmp_path).keys() != {"prometheus", "alertmanager"}:
        skip = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        skip("Prometheus and Alertmanager are not installed")
    code = main(FAST)
    text = capsys.readouterr().out
    assert (code, text.count("│ ok │"), "WRONG" in text) == (0, len(FAST) + 2, False), text
    assert all(fault.alert in text for fault in FAULTS if fault.name in FAST)
    assert "CueboxMetricsAbsent" in text


def test_only_spans_of_time_are_divided() -> None:
    original = prometheus_rules(read())
    rules = [rule for group in shortened_rules(60)["groups"] for rule in group["rules"]]
    assert len(rules) == original.count("- alert:")
    named = {rule["alert"]: rule for rule in rules}
    assert "[60000ms]" in named["CueboxFirstWordsBudgetFastBurn"]["expr"]
    assert named["CueboxFirstWordsBudgetFastBurn"]["for"] == "2000ms"
    assert "offset 10080000ms" in named["CueboxCostDoubled"]["expr"]
    at_full_length = [rule["expr"] for group in shortened_rules(1)["groups"] for rule in group["rules"]]
    assert re.findall(r"[<>=]+ [\d.]+", "".join(at_full_length)) == re.findall(
        r"[<>=]+ [\d.]+", "".join(rule["expr"] for rule in rules)
    )


@pytest.mark.parametrize(("span", "divided"), [("0s", "0ms"), ("15s", "250ms"), ("2m", "2000ms"), ("1w", "10080000ms")])
def test_a_span_is_divided_by_sixty(span: str, divided: str) -> None:
    assert shortened(span, 60) == divided


def test_routes_wait_less_and_post_to_the_pager() -> None:
    routes = shortened_routes(60, "http://127.0.0.1:1")
    assert routes["route"]["group_wait"] == "500ms"
    assert routes["route"]["routes"][0]["repeat_interval"] == "60000ms"
    assert routes["receivers"][0]["webhook_configs"][0]["url"] == "http://127.0.0.1:1/page"
    assert routes["inhibit_rules"]


def test_each_service_is_scraped_under_its_own_name() -> None:
    config = shortened_scrapes(60, "127.0.0.1:2", {"quiet": 3, "slow": 4})
    assert config["global"]["scrape_interval"] == config["global"]["scrape_timeout"] == "250ms"
    assert [each["labels"]["app"] for each in config["scrape_configs"][0]["static_configs"]] == ["quiet", "slow"]


def test_every_fault_has_its_own_name_and_an_alert_that_ships() -> None:
    alerts = {rule["alert"] for group in shortened_rules(60)["groups"] for rule in group["rules"]}
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 12
    assert {fault.alert for fault in FAULTS} <= alerts


def test_the_runbooks_line_is_the_one_that_names_the_cause() -> None:
    assert advice("CueboxAbnormalCloses", {"abnormal"}).startswith("`abnormal`")
    assert advice("CueboxAbnormalCloses", set()).startswith("`fault`")


def test_a_fault_without_its_alert_is_wrong_and_so_is_an_alarm_in_peace() -> None:
    late = Finding("stuck model", "CueboxTurnFailures", None)
    alarmed = Finding("nothing", "", None, others=frozenset({"CueboxPongsLate"}))
    right = Finding("stuck model", "CueboxTurnFailures", 1.0)
    assert [found.is_right for found in (late, alarmed, right)] == [False, False, True]
    text = shown(late, alarmed, right)
    assert text.count("WRONG") == 2
    assert "CueboxPongsLate" in text


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
def test_without_prometheus_it_says_so_and_fails_in_ci(
    ci: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", ci)
    assert main() == code
    assert "no alertmanager and no prometheus" in capsys.readouterr().out


def test_game_day_says_what_is_not_played(capsys: pytest.CaptureFixture[str]) -> None:
    assert "CueboxCallsVanished" in shown(Finding("nothing", "", None))
    assert gameday.SHORTER == 60


async def test_only_what_rings_after_the_fault_and_names_its_cause_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gameday, "_PATIENCE", 0.1)
    rings = [Ring(at, "page", {"alertname": "A", "app": "slow", "reason": why}) for at, why in ((1, "x"), (5, "y"))]
    watch = Watch(Prometheus("127.0.0.1:1"), lambda: None, rings)
    assert await gameday._rings(watch, "slow", {"alertname": "A", "reason": "y"}, began=2) == 3
    assert await gameday._rings(watch, "slow", {"alertname": "A", "reason": "x"}, began=2) is None
    assert await gameday._rings(watch, "stuck", {"alertname": "A"}, began=2) is None


async def test_a_service_that_ends_at_once_is_an_error_and_says_why(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="ended instead of starting"):
        async with Subject("slow", {"CUEBOX_AGENT": "nobody"}).running():
            pass
    assert "nobody" in capfd.readouterr().err
