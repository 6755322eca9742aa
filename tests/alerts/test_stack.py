"""The local stack: compose.yaml by its schema, and that its parts fit together."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from infra import observe
from infra.alerts import GRAFANAS_PROMETHEUS, INFRA

COMPOSE = INFRA / "compose.yaml"
PROVISIONING = INFRA / "grafana" / "provisioning"


def content(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return read


def test_compose_keeps_to_the_schema_of_compose_files() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_compose_starts_the_four_with_versions_and_on_loopback_only() -> None:
    services = content(COMPOSE)["services"]
    assert services.keys() == {"prometheus", "alertmanager", "tempo", "grafana"}
    assert all(re.search(r":v?\d+\.\d+\.\d+$", service["image"]) for service in services.values())
    listening = json.dumps(services) + (INFRA / "tempo" / "tempo.yaml").read_text()
    for address in ("127.0.0.1:9090", "127.0.0.1:9093", "127.0.0.1:4318", "http_listen_address: 127.0.0.1"):
        assert address in listening
    assert content(COMPOSE)["services"]["grafana"]["environment"]["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"


def test_every_folder_that_compose_mounts_is_there() -> None:
    mounts = [mount for service in content(COMPOSE)["services"].values() for mount in service["volumes"]]
    folders = [INFRA / mount.split(":")[0] for mount in mounts if mount.startswith(".")]
    assert len(folders) == 5
    assert all(any(folder.iterdir()) for folder in folders)


def test_grafana_finds_the_data_sources_that_alerts_and_exemplars_ask_for() -> None:
    sources = {source["uid"]: source for source in content(PROVISIONING / "datasources" / "cuebox.yaml")["datasources"]}
    exemplars = sources[GRAFANAS_PROMETHEUS]["jsonData"]["exemplarTraceIdDestinations"]
    assert sources[exemplars[0]["datasourceUid"]]["type"] == "tempo"
    assert exemplars[0]["name"] == "trace_id"
    assert {source["url"] for source in sources.values()} == {f"http://127.0.0.1:{port}" for port in (9090, 9093, 3200)}


def test_without_docker_what_is_installed_is_started(tmp_path: Path) -> None:
    commands = observe.programs(tmp_path)
    assert commands.keys() <= observe.LINKS.keys()
    assert all(f"--config.file={INFRA}" in " ".join(command) for command in commands.values())
