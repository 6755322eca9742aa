import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.alerts import PROMETHEUS
from tests.alerts import promtool
from tests.alerts.cases import CASES
from tests.alerts.series import Case, Series

FIRING = 'count{} (ALERTS{{alertstate="firing",{}}})'
ANY = 'alertname!="CueboxWatchdog"'
MACHINE = 'app="cuebox",instance="a:9091"'


LONG = {name: case for name, case in CASES.items() if case.steps > 100}


def test_each_alert_fires_when_it_should_and_no_other_and_is_quiet_when_it_should(tmp_path: Path) -> None:
    tests = [test for name, case in CASES.items() if name not in LONG for test in both_sides(name, case)]
    promtool.test_rules(tmp_path, PROMETHEUS, "1m", tests)


@pytest.mark.parametrize("name", LONG)
def test_an_alert_that_looks_far_back_fires_when_it_should_and_is_quiet_when_it_should(
    tmp_path: Path, name: str
) -> None:
    tests = list(both_sides(name, LONG[name]))
    promtool.test_rules(tmp_path, only(name, tmp_path), f"{LONG[name].minutes}m", tests)


def only(name: str, folder: Path) -> Path:
    """A week of all the rules would take half a minute."""
    groups = yaml.safe_load(PROMETHEUS.read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"] if rule["alert"] == name]
    file = folder / "one.rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": name, "rules": rules}]}))
    return file


def both_sides(title: str, case: Case) -> Iterator[dict[str, Any]]:
    name = title.partition(":")[0]
    label = f",{case.label}" if case.label else ""
    raised = {"labels": f'{{alertname="{name}"{label}}}', "value": 1}
    for series in case.sick:
        yield seen(
            case, series, FIRING.format(" by (alertname, reason, error, disconnection_reason, result)", ANY), [raised]
        )
    for series in case.well:
        yield seen(case, series, FIRING.format("", f'alertname="{name}"'), [])


def seen(case: Case, series: Series, asked: str, samples: list[dict[str, Any]]) -> dict[str, Any]:
    everything = {'build_info{version="1"}': f"1x{case.steps}"} | series
    return {
        "interval": f"{case.minutes}m",
        "input_series": [{"series": named(metric), "values": values} for metric, values in everything.items()],
        "promql_expr_test": [{"expr": asked, "eval_time": f"{case.steps * case.minutes}m", "exp_samples": samples}],
    }


def named(metric: str) -> str:
    prefix = "" if metric.startswith("process_") else "cuebox_"
    return prefix + (re.sub(r"\{", f"{{{MACHINE},", metric) if "{" in metric else f"{metric}{{{MACHINE}}}")
