"""Watch a Cuebox on this machine: with Docker all of compose.yaml, else the programs that are here."""

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

INFRA = Path(__file__).parent
LINKS = {
    "grafana": ("http://127.0.0.1:3000/dashboards", "dashboards"),
    "prometheus": ("http://127.0.0.1:9090/alerts", "alerts, and queries"),
    "alertmanager": ("http://127.0.0.1:9093", "who is told of what"),
}
ADVICE = (
    "Neither Docker Compose nor Prometheus is here. Install one of them (Debian: prometheus, prometheus-alertmanager)."
)


def programs(data: Path, addresses: dict[str, str] | None = None) -> dict[str, list[str]]:
    """The commands of the programs that are installed; they keep what they learn in `data`."""
    at = {"prometheus": "127.0.0.1:9090", "alertmanager": "127.0.0.1:9093"} | (addresses or {})
    commands = {
        "prometheus": [
            f"--config.file={INFRA}/prometheus/prometheus.yml",
            f"--storage.tsdb.path={data}/prometheus",
            "--enable-feature=exemplar-storage",
        ],
        "alertmanager": [
            f"--config.file={INFRA}/alertmanager/alertmanager.yml",
            f"--storage.path={data}/alertmanager",
            "--cluster.listen-address=",
        ],
    }
    found = {name: shutil.which(name) or shutil.which(f"prometheus-{name}") for name in commands}
    return {
        name: [program, f"--web.listen-address={at[name]}", "--log.level=warn", *commands[name]]
        for name, program in found.items()
        if program
    }


@contextlib.contextmanager
def running(commands: dict[str, list[str]]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The programs, until the block is left."""
    started = [subprocess.Popen(command) for command in commands.values()]  # noqa: S603  # our own words
    try:
        yield started
    finally:
        for program in started:
            program.terminate()
        for program in started:
            program.wait()


def has_compose() -> bool:
    """Docker is here, can read compose files, and runs."""
    docker = shutil.which("docker")
    asked = (["compose", "version"], ["info"])
    return docker is not None and all(
        subprocess.run([docker, *words], capture_output=True, check=False).returncode == 0  # noqa: S603
        for words in asked
    )


def main() -> int:
    """Run until Ctrl-C. Returns 1 when there is nothing to run."""
    if has_compose():
        _tell(LINKS)
        return subprocess.run(["docker", "compose", "-f", f"{INFRA}/compose.yaml", "up"], check=False).returncode  # noqa: S603, S607
    with tempfile.TemporaryDirectory(prefix="cuebox-observe-") as data:
        commands = programs(Path(data))
        if not commands:
            sys.stderr.write(ADVICE + "\n")
            return 1
        with running(commands) as started, contextlib.suppress(KeyboardInterrupt):
            _tell(commands)
            print("Docker Compose would bring Grafana and Tempo too. Elsewhere, import dashboards/*.json.")
            for program in started:
                program.wait()
    return 0


def _tell(names: dict[str, list[str]] | dict[str, tuple[str, str]]) -> None:
    for name in names:
        link, purpose = LINKS[name]
        print(f"{link}  {purpose}", flush=True)
    print("Ctrl-C ends it.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
