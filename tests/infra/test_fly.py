"""Fly.io's files: the keys are documented ones, and what they say is what the code does."""

import asyncio
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.cold_start import free_port
from service.app import create_app
from service.drain import GRACE_SECONDS
from service.environment import read_settings, unknown_variables
from service.server import LAST_SECONDS
from service.settings import Settings
from service.telemetry import serve_metrics
from tests.alerts import promtool
from tests.infra.fly_keys import CHOICES, KEYS, LONGEST_KILL_TIMEOUT

ROOT = Path(__file__).parents[2]
HERE = ROOT / "infra" / "fly"
FILES = ["fly.toml", *(str(file.relative_to(ROOT)) for file in sorted(HERE.glob("*.toml")))]


def read(name: str = "fly.toml") -> dict[str, Any]:
    return tomllib.loads((ROOT / name).read_text(encoding="utf-8"))


FLY = read()


def leaves(table: dict[str, Any], section: str = "") -> Iterator[tuple[str, str, Any]]:
    """Each key's section, name and value."""
    for key, value in table.items():
        inner = f"{section}.{key}".lstrip(".")
        match value:
            case _ if inner == "env":
                pass
            case dict():
                yield from leaves(value, inner)
            case [*tables] if tables and isinstance(tables[0], dict):
                for each in tables:
                    yield from leaves(each, f"{inner}[]")
            case _:
                yield section, key, value


def seconds(text: str | int) -> float:
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)?", str(text)).groups()  # type: ignore[union-attr]  # or the test fails
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit or "s"]


@pytest.mark.parametrize("name", FILES)
def test_each_key_and_each_choice_is_documented(name: str) -> None:
    for section, key, value in leaves(read(name)):
        assert key in KEYS.get(section, ()), f"{section}.{key} is not a key of Fly's"
        choices = CHOICES.get(f"{section}.{key}".lstrip("."))
        assert choices is None or value in choices


def test_a_key_that_fly_does_not_know_would_be_found() -> None:
    found = list(leaves({"deploy": {"stratgy": "x"}, "vm": [{"size": "y"}], "env": {"A": "b"}}))
    assert found == [("deploy", "stratgy", "x"), ("vm[]", "size", "y")]


@pytest.mark.parametrize("name", FILES)
def test_variables_are_texts_and_not_fly_s_own(name: str) -> None:
    for key, value in read(name).get("env", {}).items():
        assert isinstance(value, str)
        assert not key.startswith("FLY_")


def test_the_settings_exist_and_can_be_read() -> None:
    assert list(unknown_variables(FLY["env"])) == []
    assert read_settings(FLY["env"]).max_calls == int(FLY["env"]["CUEBOX_MAX_CALLS"])
    text = (ROOT / "fly.toml").read_text(encoding="utf-8")
    commented = dict(re.findall(r'(?m)^ *# (CUEBOX_\w+) = "(.*?)"', text))
    assert commented
    assert list(unknown_variables(commented)) == []
    read_settings(commented)


def test_ports_and_paths_are_the_code_s() -> None:
    settings = read_settings({**FLY["env"], "FLY_APP_NAME": FLY["app"]})
    service = FLY["http_service"]
    assert service["internal_port"] == settings.port
    assert (FLY["metrics"]["port"], FLY["metrics"]["path"]) == (settings.metrics_port, "/metrics")
    paths = {route.path for route in create_app(Settings(agent="dummy", metrics_port=0)).routes}
    assert {check["path"] for check in service["checks"]} <= paths
    assert service["checks"], "bluegreen wants one"


async def test_metrics_are_found_over_both_of_fly_s_networks() -> None:
    settings = read_settings({**FLY["env"], "CUEBOX_METRICS_PORT": str(free_port())})
    close = serve_metrics(create_app(settings).state.metrics, settings)
    try:
        for host in ("127.0.0.1", "::1"):
            _, writer = await asyncio.open_connection(host, settings.metrics_port)
            writer.close()
    finally:
        close()


def test_calls_may_drain_before_fly_kills_and_the_deploy_waits_for_it() -> None:
    drain = read_settings(FLY["env"]).drain_seconds
    assert drain + GRACE_SECONDS + LAST_SECONDS + 1 <= FLY["kill_timeout"] <= LONGEST_KILL_TIMEOUT
    assert seconds(FLY["deploy"]["wait_timeout"]) > FLY["kill_timeout"]
    assert FLY["kill_signal"] in {"SIGTERM", "SIGINT"}


def test_the_proxy_turns_to_other_machines_before_one_has_to_refuse() -> None:
    limits = FLY["http_service"]["concurrency"]
    assert limits["type"] == "connections"
    assert limits["soft_limit"] < limits["hard_limit"] <= int(FLY["env"]["CUEBOX_MAX_CALLS"])


def test_a_machine_that_has_left_stays_away_until_a_call_comes() -> None:
    assert [each["policy"] for each in FLY["restart"]] == ["on-failure"]
    assert FLY["http_service"]["auto_stop_machines"] == "off"
    assert FLY["http_service"]["auto_start_machines"]


def test_nothing_that_bluegreen_cannot_do_is_asked() -> None:
    assert FLY["deploy"]["strategy"] == "bluegreen"
    assert "mounts" not in FLY


def test_the_image_is_made_of_files_that_are_here() -> None:
    assert all((ROOT / path).is_file() for path in FLY["build"].values())


def test_prometheus_takes_what_it_is_given_there(tmp_path: Path) -> None:
    for file in read("infra/fly/prometheus.toml")["files"]:
        given = (HERE / file["local_path"]).read_text(encoding="utf-8")
        (tmp_path / Path(file["guest_path"]).name).write_text(given)
    promtool.run("promtool", "check", "config", tmp_path / "prometheus.yml")
    config = yaml.safe_load((tmp_path / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    assert job["dns_sd_configs"][0]["names"] == [f"{FLY['app']}.internal"]
    assert job["dns_sd_configs"][0]["port"] == FLY["metrics"]["port"]
    (alertmanager,) = config["alerting"]["alertmanagers"]
    assert alertmanager["dns_sd_configs"][0]["names"] == [read("infra/fly/alertmanager.toml")["app"] + ".internal"]


def test_alertmanager_gets_the_file_that_is_tested() -> None:
    (file,) = read("infra/fly/alertmanager.toml")["files"]
    assert (HERE / file["local_path"]).resolve() == ROOT / "infra" / "alertmanager" / "alertmanager.yml"


def test_the_autoscaler_starts_machines_below_the_soft_limit_and_stops_none() -> None:
    environ = read("infra/fly/autoscaler.toml")["env"]
    assert "cuebox_calls_open" in environ["FAS_PROMETHEUS_QUERY"]
    assert environ["FAS_APP_NAME"] == FLY["app"]
    room, of = map(int, re.findall(r"\d+", environ["FAS_MIN_STARTED_MACHINE_COUNT"]))
    assert room + of <= FLY["http_service"]["concurrency"]["soft_limit"]
    assert int(environ["FAS_MAX_STARTED_MACHINE_COUNT"]) >= 1000
