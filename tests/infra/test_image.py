"""The image: its file is well formed, locked, and true to the code. No Docker is needed; nothing is built here."""

import asyncio
import fnmatch
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.app import create_app
from service.environment import unknown_variables
from service.server import running
from service.settings import Settings
from tests.infra import checkers

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "infra" / "Dockerfile"
TEXT = re.sub(r"\\\n\s*", "", DOCKERFILE.read_text(encoding="utf-8"))
LINES = [line.split(maxsplit=1) for line in TEXT.splitlines() if line and not line.startswith(("#", " "))]
FINAL = LINES[max(index for index, (word, _) in enumerate(LINES) if word == "FROM") :]
ENVIRON = dict(pair.split("=", 1) for word, rest in FINAL if word == "ENV" for pair in rest.split())


def pins(name: str) -> dict[str, str]:
    """The versions that a lock names."""
    return dict(re.findall(r"(?m)^(\S+?)==(\S+)", (ROOT / name).read_text(encoding="utf-8")))


def test_hadolint_finds_nothing() -> None:
    result = checkers.run("hadolint", DOCKERFILE)
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize("script", ["infra/fly/deploy.sh", ".ci/run"])
def test_shellcheck_finds_nothing(script: str) -> None:
    result = checkers.run("shellcheck", ROOT / script)
    assert (result.returncode, result.stdout) == (0, "")


def test_what_is_installed_is_locked_as_it_is_tested() -> None:
    assert "uv pip install --require-hashes --compile-bytecode -r infra/image.lock" in TEXT
    image, tested = pins("infra/image.lock"), pins("requirements-dev.lock")
    assert pins("requirements.lock").items() <= image.items()
    assert image.items() <= (pins("requirements.lock") | tested).items()
    assert {"opentelemetry-sdk", "flit-core"} <= image.keys()
    requirements = re.split(r"\n(?! )", (ROOT / "infra" / "image.lock").read_text(encoding="utf-8").strip())
    assert all("--hash=sha256:" in requirement for requirement in requirements)


def test_all_that_is_built_on_has_a_version() -> None:
    images = re.findall(r"(?:FROM|--from=)\s*(\S+)", TEXT)
    outside = [image for image in images if image != "build"]
    assert outside
    assert all(re.search(r":\d+\.\d+", image) for image in outside)
    assert len({image for image in outside if image.startswith("python:")}) == 1, "bytecode is of one version"


def test_it_runs_as_nobody_who_matters_on_all_addresses() -> None:
    (user,) = [rest for word, rest in FINAL if word == "USER"]
    assert user.isdecimal(), "Kubernetes' runAsNonRoot wants a number"
    assert int(user) > 0
    assert ENVIRON["HOST"] == "0.0.0.0"  # noqa: S104 - of a container
    assert list(unknown_variables(ENVIRON)) == []
    (ports,) = [rest for word, rest in FINAL if word == "EXPOSE"]
    assert ports.split() == [str(Settings().port), str(Settings().metrics_port)]
    assert ("ENTRYPOINT", '["cuebox"]') in map(tuple, FINAL)


def test_what_agents_write_has_a_place_of_its_user() -> None:
    assert ENVIRON["APPOINTMENTS_FILE"].startswith("/data/")
    assert "--owner=cuebox --group=cuebox /data" in TEXT
    assert ("WORKDIR", "/data") in map(tuple, FINAL)


def test_what_is_copied_is_here_and_not_ignored() -> None:
    rules = (ROOT / "infra" / "Dockerfile.dockerignore").read_text(encoding="utf-8").split("\n")
    taken = {rule[1:] for rule in rules if rule.startswith("!")}
    sources = [path for word, rest in LINES if word == "COPY" and "--from" not in rest for path in rest.split()[:-1]]
    for path in sources:
        assert path in taken or any(fnmatch.fnmatch(each, path) for each in taken), path
        assert "[" in path or (ROOT / path).exists()
    assert "**" in rules, "all the rest stays out, keys and .git too"


async def test_its_health_check_tells_a_service_that_answers_from_one_that_does_not() -> None:
    (check,) = re.findall(r"HEALTHCHECK .*? CMD (\[.*\])", TEXT)
    _, *words = json.loads(check)
    settings = Settings(agent="dummy", metrics_port=0)
    async with running(create_app(settings), settings) as address:
        environ = os.environ | {"PORT": address.rpartition(":")[2]}
        alive = await _code_of(words, environ)
    assert (alive, await _code_of(words, environ) != 0) == (0, True)


async def _code_of(words: list[str], environ: dict[str, str]) -> int:
    process = await asyncio.create_subprocess_exec(sys.executable, *words, env=environ, stderr=subprocess.DEVNULL)
    return await process.wait()
