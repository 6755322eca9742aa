"""The programs that look at image, scripts and manifests (infra/checks.lock)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def run(program: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run one of them. Where it is not installed the test is skipped; in CI it fails."""
    found = shutil.which(program, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        tell = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        tell(f"{program} is not installed: make .venv/setup-checks")
    return subprocess.run([found, *words], capture_output=True, text=True, timeout=60, check=False)
