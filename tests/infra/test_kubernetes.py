"""The example for Kubernetes: valid for its versions, and true to the code."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from service.app import create_app
from service.drain import GRACE_SECONDS
from service.environment import read_settings, unknown_variables
from service.server import LAST_SECONDS
from service.settings import Settings
from tests.infra import checkers

MANIFEST = Path(__file__).parents[2] / "infra" / "kubernetes" / "cuebox.yaml"
PARTS: dict[str, Any] = {part["kind"]: part for part in yaml.safe_load_all(MANIFEST.read_text(encoding="utf-8"))}
POD = PARTS["Deployment"]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
ENVIRON = {each["name"]: each["value"] for each in CONTAINER["env"]}
LABELS = PARTS["Deployment"]["spec"]["template"]["metadata"]["labels"]


@pytest.mark.parametrize("version", ["1.32", "1.37"])
def test_kubernetes_knows_every_field(version: str) -> None:
    result = checkers.run("kubernetes-validate", "--strict", "-k", version, MANIFEST)
    assert (result.returncode, set(PARTS)) == (
        0,
        {"Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler"},
    ), result.stdout + result.stderr


def test_a_field_that_kubernetes_does_not_know_would_be_found(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(MANIFEST.read_text(encoding="utf-8").replace("maxUnavailable: 1", "maxUnavaliable: 1"))
    assert checkers.run("kubernetes-validate", "--strict", wrong).returncode != 0


def test_all_of_it_is_about_the_same_pods() -> None:
    assert PARTS["Deployment"]["spec"]["selector"]["matchLabels"] == LABELS
    assert PARTS["Service"]["spec"]["selector"] == LABELS
    assert PARTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == LABELS
    target = PARTS["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", PARTS["Deployment"]["metadata"]["name"])


def test_the_settings_exist_and_can_be_read() -> None:
    assert list(unknown_variables(ENVIRON)) == []
    read_settings(ENVIRON)


def test_ports_and_paths_are_the_code_s() -> None:
    ports = {each["name"]: each["containerPort"] for each in CONTAINER["ports"]}
    assert ports == {"http": Settings().port, "metrics": Settings().metrics_port}
    assert PARTS["Service"]["spec"]["ports"][0]["targetPort"] == "http"
    paths = {route.path for route in create_app(Settings(agent="dummy", metrics_port=0)).routes}
    probes = {kind: CONTAINER[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")}
    assert {each["port"] for each in probes.values()} == {"http"}
    assert {each["path"] for each in probes.values()} <= paths
    assert probes["liveness"]["path"] == "/healthz", "a process that drains is not to be restarted"
    annotations = PARTS["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(ports["metrics"])


def test_calls_may_drain_before_the_pod_is_killed() -> None:
    pause = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
    needed = pause + read_settings(ENVIRON).drain_seconds + GRACE_SECONDS + LAST_SECONDS + 1
    assert needed <= POD["terminationGracePeriodSeconds"]
    assert PARTS["Deployment"]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_pods_are_added_before_the_ones_that_are_there_are_full() -> None:
    (metric,) = PARTS["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == "cuebox_calls_open"
    assert int(metric["pods"]["target"]["averageValue"]) < read_settings(ENVIRON).max_calls * 0.8


def test_the_container_needs_nothing_that_could_be_taken() -> None:
    assert POD["securityContext"]["runAsNonRoot"]
    assert not POD["automountServiceAccountToken"]
    assert CONTAINER["securityContext"]["readOnlyRootFilesystem"]
    assert {each["mountPath"] for each in CONTAINER["volumeMounts"]} == {"/data", "/tmp"}  # noqa: S108 - its own
