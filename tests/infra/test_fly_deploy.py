"""infra/fly/deploy.sh, with a flyctl that only pretends."""

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from service.ctl import ctl

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "infra" / "fly" / "deploy.sh"
MANAGED = {"fly_platform_version": "v2", "fly_process_group": "app"}

FLYCTL = """
import json, os, sys
place, words = os.environ["FAKE_FLY"], sys.argv[1:]
state = json.load(open(place))
state["asked"].append(words)
machines, code = state["machines"], 0
def one(): return next(each for each in machines if each["id"] == words[2])
line = " ".join(words)
if any(fault in line for fault in state["faults"]):
    code = 1
elif words[:2] == ["machine", "list"]:
    print(json.dumps(machines))
    for each in machines:  # a draining machine ends when its last call does
        if each.get("left") is not None:
            each["left"] -= 1
            if each["left"] < 0: each["state"] = "stopped"
elif words[:2] == ["machine", "clone"]:
    state["clones"] += 1
    machines.append(json.loads(json.dumps(one())) | {"id": f"new{state['clones']}", "state": "started", "calls": 0})
elif words[:2] == ["machine", "exec"]:
    one()["left"] = one()["calls"] if not state["is_old"] else None
    print(json.dumps({"exit_code": 2 if state["is_old"] else 0, "stdout": "", "stderr": ""}))
elif words[:2] == ["machine", "stop"]:
    one()["state"] = "stopped"
elif words[:2] == ["machine", "destroy"]:
    machines.remove(one())
json.dump(state, open(place, "w"))
sys.exit(code)
"""


class Fly:
    """An app at Fly.io with two machines of its own, one of them stopped, and one that `fly deploy` does not know."""

    def __init__(self, place: Path, **state: Any) -> None:
        self._place, self._state = place, place / "state.json"
        config = {"metadata": MANAGED}
        machines = [
            {"id": "old1", "state": "started", "calls": 3, "config": config},
            {"id": "old2", "state": "stopped", "calls": 0, "config": config},
            {"id": "mine", "state": "started", "calls": 0, "config": {"metadata": {}}},
        ]
        empty = {"machines": machines, "asked": [], "faults": [], "clones": 0, "is_old": False}
        self._state.write_text(json.dumps(empty | state))
        program = place / "flyctl"
        program.write_text(f"#!{sys.executable} -ES{FLYCTL}")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        (place / "python3").symlink_to(sys.executable)

    def deploy(self, *words: str) -> subprocess.CompletedProcess[str]:
        environ = os.environ | {"PATH": f"{self._place}:{os.environ['PATH']}", "FAKE_FLY": str(self._state)}
        environ |= {"POLL_SECONDS": "0", "SETTLE_SECONDS": "0"}
        return subprocess.run([SCRIPT, *words], env=environ, capture_output=True, text=True, timeout=30, check=False)

    @property
    def asked(self) -> list[str]:
        """What was ordered; looking does not count."""
        state = json.loads(self._state.read_text())
        return [" ".join(words) for words in state["asked"] if words[:2] != ["machine", "list"]]

    @property
    def machines(self) -> set[str]:
        return {each["id"] for each in json.loads(self._state.read_text())["machines"]}


def first(asked: list[str], beginning: str) -> int:
    return next(index for index, line in enumerate(asked) if line.startswith(beginning))


def last(asked: list[str], beginning: str) -> int:
    return len(asked) - 1 - first(asked[::-1], beginning)


def test_new_machines_come_before_the_old_ones_go_and_no_call_is_cut(tmp_path: Path) -> None:
    fly = Fly(tmp_path)
    result = fly.deploy()
    assert result.returncode == 0, result.stderr
    assert fly.machines == {"new1", "new2", "mine"}
    asked = fly.asked
    assert first(asked, "deploy --app cuebox --build-only --push") == 0
    for clone in ("new1", "new2"):
        assert first(asked, f"machine cordon {clone}") < first(asked, "deploy --app cuebox --image")
        assert last(asked, f"machine uncordon {clone}") < first(asked, "machine cordon old1")
    assert "--only-machines new1,new2 --strategy rolling" in asked[first(asked, "deploy --app cuebox --image")]
    assert first(asked, "machine cordon old1") < first(asked, "machine exec old1")
    assert "/opt/cuebox/bin/cuebox ctl drain --seconds 7200" in asked[first(asked, "machine exec old1")]
    assert not [line for line in asked if "--force" in line or line.startswith(("machine stop", "machine exec old2"))]
    assert not [line for line in asked if "mine" in line]


def test_the_image_that_was_built_is_the_one_that_is_deployed(tmp_path: Path) -> None:
    fly = Fly(tmp_path)
    fly.deploy("--wait", "60", "--build-arg", "A=b")
    build, deploy = [line for line in fly.asked if line.startswith("deploy")]
    (label,) = re.findall(r"--image-label (\S+) --build-arg A=b$", build)
    assert f"--image registry.fly.io/cuebox:{label} " in deploy
    assert any("drain --seconds 60" in line for line in fly.asked)


@pytest.mark.parametrize("fault", ["machine clone old2", "deploy --app cuebox --image", "machine uncordon new1"])
def test_a_failure_leaves_the_old_machines_and_takes_the_new_ones_away(tmp_path: Path, fault: str) -> None:
    fly = Fly(tmp_path, faults=[fault])
    result = fly.deploy()
    assert result.returncode != 0
    assert fly.machines == {"old1", "old2", "mine"}
    assert not [line for line in fly.asked if line.startswith("machine exec")]


def test_a_build_that_fails_changes_nothing(tmp_path: Path) -> None:
    fly = Fly(tmp_path, faults=["--build-only"])
    assert fly.deploy().returncode != 0
    assert len([line for line in fly.asked if not line.startswith("machine uncordon old")]) == 1


def test_an_old_version_without_the_order_gets_fly_s_own_time(tmp_path: Path) -> None:
    fly = Fly(tmp_path, is_old=True)
    result = fly.deploy()
    assert (result.returncode, fly.machines) == (0, {"new1", "new2", "mine"})
    assert "machine stop old1 --signal SIGTERM --timeout 300 --app cuebox" in fly.asked
    assert "its calls get 300 seconds" in result.stderr


def test_the_first_deploy_is_a_plain_one(tmp_path: Path) -> None:
    fly = Fly(tmp_path, machines=[])
    assert fly.deploy("--ha=false").returncode == 0
    assert fly.asked == ["deploy --app cuebox --ha=false"]


def test_a_dry_run_tells_all_and_does_nothing(tmp_path: Path) -> None:
    fly = Fly(tmp_path)
    result = fly.deploy("--dry-run")
    assert (result.returncode, fly.asked, fly.machines) == (0, [], {"old1", "old2", "mine"})
    told = [line for line in result.stderr.splitlines() if line.startswith("+")]
    assert "+ flyctl machine exec old1 'cuebox ctl drain --seconds 7200'" in told
    assert told[-1] == "+ flyctl machine destroy old2 --app cuebox"


@pytest.mark.parametrize(("words", "text"), [(["--wait", "2h"], "whole seconds"), (["--wait", "7201"], "at the most")])
def test_a_wait_that_the_service_would_refuse_is_refused(tmp_path: Path, words: list[str], text: str) -> None:
    fly = Fly(tmp_path)
    result = fly.deploy(*words)
    assert (result.returncode, text in result.stderr, fly.asked) == (2, True, [])


def test_help_is_the_head_of_the_file(tmp_path: Path) -> None:
    result = Fly(tmp_path).deploy("--help")
    assert (result.returncode, "--dry-run  only say" in result.stdout) == (0, True)


def test_the_order_that_it_gives_is_one_that_a_machine_takes() -> None:
    (seconds,) = [each for each in ctl.commands["drain"].params if "--seconds" in each.opts]
    assert isinstance(seconds.type, click.FloatRange)
    assert seconds.type.max == 7200
    assert "-le 7200 ]" in SCRIPT.read_text(encoding="utf-8")
