"""Runs Debian's `promtool` and `amtool`: skipped where they are missing, but never in CI."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml


def run(tool: str, *arguments: str | Path) -> str:
    """What the tool prints. Fails the test when the tool does."""
    program = shutil.which(tool)
    if program is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{tool} is not installed")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_rules(folder: Path, expressions: dict[str, str]) -> None:
    """Fail unless Prometheus can read each expression."""
    rules = [{"record": f"cuebox:{index}", "expr": expr} for index, expr in enumerate(expressions.values())]
    file = folder / "expressions.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    run("promtool", "check", "rules", file)


def test_rules(folder: Path, rules: Path, step: str, tests: list[dict[str, Any]]) -> None:
    """Fail unless the rules do what the tests say."""
    content = {"rule_files": [str(rules)], "evaluation_interval": step, "tests": tests}
    file = folder / f"cases-{step}.yml"
    file.write_text(yaml.safe_dump(content))
    run("promtool", "test", "rules", file)
