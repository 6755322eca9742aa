"""Who is told what, and that one fault rings once: asked of the real Alertmanager."""

import json
import re
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra import observe
from infra.alert import Alert
from infra.alerts import INFRA, groups
from infra.slo import read
from tests.alerts import promtool

CONFIG = INFRA / "alertmanager" / "alertmanager.yml"
ALERTS = {alert.name: alert for alerts in groups(read()).values() for alert in alerts}
RECEIVERS = {"page": "pager", "ticket": "chat", "none": "heartbeat"}


def labels(name: str, **more: str) -> dict[str, str]:
    alert = ALERTS[name]
    app = {} if name == "CueboxMetricsAbsent" else {"app": "cuebox"}
    return {"alertname": name, "severity": alert.severity, "slo": alert.slo} | app | more


def test_alertmanager_takes_its_configuration() -> None:
    promtool.run("amtool", "check-config", CONFIG)


@pytest.mark.parametrize("alert", ALERTS.values(), ids=ALERTS)
def test_an_alert_reaches_whom_it_should(alert: Alert) -> None:
    told = [f"{label}={value}" for label, value in labels(alert.name).items()]
    told_receiver = promtool.run("amtool", "config", "routes", "test", f"--config.file={CONFIG}", *told)
    assert told_receiver.strip() == RECEIVERS[alert.severity]


def test_a_webhook_is_all_that_the_example_needs() -> None:
    receivers = yaml.safe_load(CONFIG.read_text())["receivers"]
    assert {receiver["name"] for receiver in receivers} == set(RECEIVERS.values())
    assert all(receiver.keys() == {"name", "webhook_configs"} for receiver in receivers)


def test_what_hides_and_is_hidden_exists() -> None:
    for rule in yaml.safe_load(CONFIG.read_text())["inhibit_rules"]:
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            pattern = matcher.split("~" if "~" in matcher else "=")[1].strip(' "')
            assert any(re.fullmatch(pattern, name) for name in ALERTS), matcher


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    promtool.run("amtool", "--version")
    address = free_address()
    commands = observe.programs(tmp_path_factory.mktemp("observe"), {"alertmanager": address})
    with observe.running({"alertmanager": commands["alertmanager"]}):
        answers(f"http://{address}/-/ready")
        yield f"http://{address}"


@pytest.mark.parametrize(
    ("cause", "hidden"),
    [
        ("CueboxModelRejected", ["CueboxTurnFailures", "CueboxFirstWordsBudgetFastBurn"]),
        ("CueboxEventLoopStalled", ["CueboxPlatformFailures", "CueboxFirstWordsBudgetSlowBurn"]),
        ("CueboxRestarting", ["CueboxPlatformFailures", "CueboxTurnFailures"]),
        ("CueboxTurnFailures", ["CueboxFirstWordsBudgetFastBurn", "CueboxSpokenFallbacks"]),
        ("CueboxFirstWordsBudgetFastBurn", ["CueboxFirstWordsBudgetSlowBurn", "CueboxFirstWordsBudgetTicket"]),
        ("CueboxFirstWordsBudgetSlowBurn", ["CueboxFirstWordsBudgetTicket"]),
        ("CueboxMetricsAbsent", ["CueboxCallsVanished", "CueboxAbnormalCloses"]),
    ],
)
def test_a_cause_hides_what_it_brings_about(alertmanager: str, cause: str, hidden: list[str]) -> None:
    others = ["CueboxSpansDropped"] if cause != "CueboxMetricsAbsent" else ["CueboxWatchdog"]
    app = f"app-of-{cause}"
    post(
        alertmanager,
        [labels(name) | ({} if name == "CueboxMetricsAbsent" else {"app": app}) for name in (cause, *hidden, *others)],
    )
    assert suppressed(alertmanager, app, expected=set(hidden)) == set(hidden)
    assert {alert["labels"]["alertname"] for alert in get(alertmanager, app)} >= {*hidden, *others}
    if cause == "CueboxMetricsAbsent":
        resolve(alertmanager, labels(cause))


def test_a_cause_of_one_app_hides_nothing_of_another(alertmanager: str) -> None:
    post(alertmanager, [labels("CueboxModelRejected", app="one")])
    post(alertmanager, [labels("CueboxTurnFailures", app=app) for app in ("one", "two")])
    assert suppressed(alertmanager, "one", expected={"CueboxTurnFailures"}) == {"CueboxTurnFailures"}
    assert suppressed(alertmanager, "two", expected=set()) == set()


def suppressed(url: str, app: str, *, expected: set[str]) -> set[str]:
    """The alerts of the app that are hidden, as soon as they are the expected ones, or after two seconds."""
    for _ in range(40):
        alerts = get(url, app)
        hidden = {alert["labels"]["alertname"] for alert in alerts if alert["status"]["state"] == "suppressed"}
        if hidden == expected:
            break
        time.sleep(0.05)
    return hidden


def post(url: str, alerts: list[dict[str, str]], **more: str) -> None:
    body = json.dumps([{"labels": alert, **more} for alert in alerts]).encode()
    asked = urllib.request.Request(f"{url}/api/v2/alerts", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=5):
        pass


def resolve(url: str, alert: dict[str, str]) -> None:
    post(url, [alert], startsAt="2026-01-01T00:00:00Z", endsAt="2026-01-01T00:01:00Z")


def get(url: str, app: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{url}/api/v2/alerts?filter=app%3D{app}", timeout=5) as answer:
        alerts: list[dict[str, Any]] = json.load(answer)
    return alerts


def answers(url: str) -> None:
    """Wait until the program does. It starts within a second or so."""
    for _ in range(200):
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"{url} does not answer")


def free_address() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{found.getsockname()[1]}"


def test_prometheus_starts_with_what_we_ship(tmp_path: Path) -> None:
    promtool.run("promtool", "--version")
    address = free_address()
    commands = observe.programs(tmp_path, {"prometheus": address})
    with observe.running({"prometheus": commands["prometheus"]}):
        answers(f"http://{address}/-/ready")
        with urllib.request.urlopen(f"http://{address}/api/v1/rules", timeout=5) as answer:
            loaded = [rule["name"] for group in json.load(answer)["data"]["groups"] for rule in group["rules"]]
    assert sorted(loaded) == sorted(ALERTS)
