"""The alerts, written for Prometheus and for Grafana from one source: `.venv/bin/python -m infra.alerts`."""

import re
from pathlib import Path
from typing import Any

import yaml

from infra import alerts_agents as agents
from infra import alerts_callers as callers
from infra import alerts_machinery as machinery
from infra.alert import Alert
from infra.slo import Slo, read

INFRA = Path(__file__).parent
PROMETHEUS = INFRA / "prometheus" / "cuebox.rules.yml"
GRAFANA = INFRA / "grafana" / "provisioning" / "alerting" / "cuebox.yaml"
SOURCE = "# Written by infra/alerts.py: change that, or infra/slo.toml, and say `make rules`.\n"
GRAFANAS_PROMETHEUS = "cuebox-prometheus"
"""The uid of Grafana's data source, as in `grafana/provisioning/datasources`. Change it for one of your own."""


def groups(slo: Slo) -> dict[str, tuple[Alert, ...]]:
    """All alerts with the thresholds of `slo`, by what they watch."""
    return {
        "first words": tuple(callers.first_words(slo)),
        "overhead": tuple(callers.overhead(slo)),
        "turns": tuple(callers.turns(slo)),
        "model": tuple(machinery.model(slo)),
        "tools": tuple(agents.tools(slo)),
        "knowledge": tuple(agents.knowledge(slo)),
        "platform": tuple(machinery.platform()),
        "machine": (*machinery.machine(), *machinery.capacity(), *machinery.drain()),
        "telemetry": tuple(machinery.telemetry(slo)),
    }


def prometheus_rules(slo: Slo) -> str:
    """The file for Prometheus, and for whatever else evaluates its rules."""
    return _document({"groups": [_group(name, slo, alerts) for name, alerts in groups(slo).items()]})


def grafana_rules(slo: Slo) -> str:
    """The file for Grafana's provisioning, which spells `keepFiringFor` its own way and ignores any other."""
    return _document(
        {
            "apiVersion": 1,
            "groups": [
                {
                    "orgId": 1,
                    "name": name,
                    "folder": "Cuebox",
                    "interval": "1m",
                    "rules": [_managed(a, slo) for a in alerts],
                }
                for name, alerts in groups(slo).items()
            ],
        }
    )


def _group(name: str, slo: Slo, alerts: tuple[Alert, ...]) -> dict[str, Any]:
    rules = [
        {
            "alert": alert.name,
            "expr": alert.expr,
            "for": alert.hold,
            "keep_firing_for": alert.keep,
            "labels": _labels(alert),
            "annotations": _annotations(alert, slo),
        }
        for alert in alerts
    ]
    return {"name": f"cuebox {name}", "rules": rules}


def _managed(alert: Alert, slo: Slo) -> dict[str, Any]:
    return {
        "uid": alert.name.lower(),
        "title": alert.name,
        "condition": "fires",
        "data": [
            _node("query", GRAFANAS_PROMETHEUS, {"expr": alert.expr, "instant": True, "range": False}),
            # Prometheus fires for every series there is, whatever its value; so do Grafana's own conversions of rules.
            _node(
                "series",
                "__expr__",
                {"type": "math", "expression": "is_number($query) || is_nan($query) || is_inf($query)"},
            ),
            _node(
                "fires",
                "__expr__",
                {
                    "type": "threshold",
                    "expression": "series",
                    "conditions": [{"evaluator": {"type": "gt", "params": [0]}}],
                },
            ),
        ],
        "noDataState": "OK",
        "execErrState": "Error",
        "for": alert.hold,
        "keepFiringFor": alert.keep,
        "labels": _labels(alert),
        "annotations": {
            key: text.replace("$value", "$values.query.Value") for key, text in _annotations(alert, slo).items()
        },
    }


def _node(ref: str, datasource: str, model: dict[str, Any]) -> dict[str, Any]:
    return {
        "refId": ref,
        "datasourceUid": datasource,
        "relativeTimeRange": {"from": 600, "to": 0},
        "model": {"refId": ref, **model},
    }


def _labels(alert: Alert) -> dict[str, str]:
    return {"severity": alert.severity, "slo": alert.slo}


def _annotations(alert: Alert, slo: Slo) -> dict[str, str]:
    return {
        "summary": alert.summary,
        "description": alert.description,
        "what_to_do": "\n".join(advice(alert.name)),
        "runbook_url": f"{slo.links.runbooks or 'infra/runbooks'}/{alert.name}.md",
        "dashboard_url": f"{slo.links.grafana}/d/{alert.board}",
    }


def advice(name: str) -> list[str]:
    """What an alert's runbook says to do, a line each: it goes with the alert, to whoever cannot open the page."""
    page = (INFRA / "runbooks" / f"{name}.md").read_text(encoding="utf-8")
    return re.findall(r"^- .+", page.partition("## What to do")[2].partition("\n## ")[0], re.MULTILINE)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def _document(content: dict[str, Any]) -> str:
    return SOURCE + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=10_000, allow_unicode=True)


if __name__ == "__main__":
    PROMETHEUS.write_text(prometheus_rules(read()), encoding="utf-8")
    GRAFANA.write_text(grafana_rules(read()), encoding="utf-8")
