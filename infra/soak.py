"""Calls come and go for ten minutes and more, and nothing may grow: memory, sockets, tasks. Usage: soak.py [MINUTES].

A page with charts is written. Exit code 0: flat; 1: something grew, or calls went wrong.
"""

import argparse
import asyncio
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

from service.app import create_app
from service.environment import read_settings
from service.observability.logs import configure_logs
from service.reporting.plots import time_plot
from service.server import running
from service.simulator.load import measure
from service.simulator.load_host import Host
from service.simulator.load_run import Plan
from service.simulator.model import StandInModel

ROUND = 60.0
"""Seconds that one set of callers talks; then others come."""

CALLS, TURN_EVERY = 206, 1.0
"""Half of the knee in README's table, which is measured with one turn a second; tests/infra/test_soak.py compares."""

SAMPLE_EVERY = 2.0
REST = 65.0
"""Seconds without calls at the end: by then none is remembered, and idle connections to the model are closed."""

MEMORY_LIMIT, MEMORY_SLACK = 0.05, 3.0
"""By which share, and MB beside, the last third may exceed the second; the first is for warming up."""

SLACK = 8
"""Sockets and tasks that may be more at rest than at the start, such as spare connections to the model."""

STYLE = """<style>
body { font: 15px system-ui; max-width: 660px; margin: 2em auto }
svg line { stroke: #ddd } polyline { fill: none; stroke-width: 1.5 }
polyline.c0 { stroke: #1668b8 } text.c0 { fill: #1668b8 } text.tick { font-size: 11px; fill: #777 }
</style>"""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the service's process holds at a moment, in seconds since the first: memory in MB."""

    at: float
    memory: float
    sockets: int
    tasks: int
    calls: int


async def serve() -> None:
    """Be the service, and write a line about itself now and then."""
    settings = read_settings(os.environ)
    configure_logs("json", "error")
    app, began = create_app(settings), time.monotonic()
    async with running(app, settings) as address:
        say(address)
        while True:
            pages = int(Path("/proc/self/statm").read_text().split()[1])  # noqa: ASYNC240  it is no disk
            held = {
                "at": time.monotonic() - began,
                "memory": pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
                "sockets": len(os.listdir("/proc/self/fd")),  # noqa: PTH208
                "tasks": len(asyncio.all_tasks()),
                "calls": len(app.state.calls),
            }
            say(json.dumps(held))
            await asyncio.sleep(SAMPLE_EVERY)


def say(line: str) -> None:
    """Tell whoever started this process."""
    print(line, flush=True)


@asynccontextmanager
async def service(model_url: str, samples: list[Sample]) -> AsyncIterator[str]:
    """The service in a process of its own, whose samples are taken down; yields its address."""
    own = {"CUEBOX_AGENT": "receptionist", "OPENAI_API_KEY": "stand-in", "OPENAI_BASE_URL": model_url}
    own |= {"CUEBOX_METRICS_PORT": "0", "CUEBOX_RECONNECT_WINDOW": "5"}
    words = (sys.executable, "-m", "infra.soak", "--serve")
    process = await asyncio.create_subprocess_exec(*words, env=os.environ | own, stdout=asyncio.subprocess.PIPE)
    lines = process.stdout
    assert lines is not None  # noqa: S101  a pipe was asked for
    if not (address := (await lines.readline()).decode().strip()):
        raise RuntimeError("The service did not start.")
    samples.append(Sample(**json.loads(await lines.readline())))

    async def take_down() -> None:
        while line := await lines.readline():
            samples.append(Sample(**json.loads(line)))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(take_down())
        try:
            yield address
        finally:
            process.kill()
            await process.wait()


async def soak(
    minutes: float, calls: int, seconds: float = ROUND, rest: float = REST
) -> tuple[list[Sample], dict[str, int], int]:
    """Play rounds for so long, and rest. Returns the samples, the errors by name, and how many turns were asked."""
    samples: list[Sample] = []
    errors: dict[str, int] = {}
    turns = 0
    async with StandInModel() as model, service(model.base_url, samples) as address:
        plan, until = Plan(calls=calls, seconds=seconds, turn_every=TURN_EVERY), time.monotonic() + 60 * minutes
        while time.monotonic() < until:
            run = await measure(plan, Host(f"ws://{address}/llm-websocket"))
            gc.collect()
            turns += run.turns
            for name, times in run.errors.items():
                errors[name] = errors.get(name, 0) + times
            if sys.stderr.isatty():
                print(f"{turns} turns, {samples[-1]}", file=sys.stderr)
        await asyncio.sleep(rest)
    return samples, errors, turns


def grown(samples: Sequence[Sample]) -> list[str]:
    """What leaks: memory by the lowest tenths of the second and last thirds, all else by the first and last sample.

    A plain sentence each. What a busy moment holds is let go again, so it does not count.
    """
    third, told = len(samples) // 3, []
    parts = samples[third : 2 * third], samples[2 * third :]
    before, after = (statistics.quantiles((sample.memory for sample in part), n=10)[0] for part in parts)
    if after > before * (1 + MEMORY_LIMIT) + MEMORY_SLACK:
        told.append(f"memory grew from {before:.1f} to {after:.1f}")
    for name in ("sockets", "tasks"):
        first, last = (getattr(sample, name) for sample in (samples[0], samples[-1]))
        if last > first + SLACK:
            told.append(f"{name} grew from {first} to {last}, with nobody there")
    return told


def page(samples: Sequence[Sample]) -> str:
    """Charts of everything that must be flat."""
    reads: dict[str, tuple[str, Callable[[Sample], float]]] = {
        "Memory": ("MB", lambda sample: sample.memory),
        "Sockets and files": ("", lambda sample: sample.sockets),
        "Tasks": ("", lambda sample: sample.tasks),
        "Calls": ("", lambda sample: sample.calls),
    }
    plots = "".join(
        time_plot(title, unit, {"": [(sample.at, read(sample)) for sample in samples]})
        for title, (unit, read) in reads.items()
    )
    return f"<!doctype html><html lang=en><meta charset=utf-8><title>cuebox soak</title>{STYLE}{plots}</html>\n"


def main() -> int:
    """Soak, tell what grew, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", type=float, nargs="?", default=10)
    parser.add_argument(
        "--calls", type=int, default=CALLS, help="at once, one turn a second each; half of what a core holds"
    )
    parser.add_argument("--report", type=Path, default=Path("soak.html"))
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if given.serve:
            runner.run(serve())
        samples, errors, turns = runner.run(soak(given.minutes, given.calls))
    given.report.write_text(page(samples), encoding="utf-8")
    told = [*grown(samples), *(f"{times} times: {name}" for name, times in errors.items())]
    first, last = samples[len(samples) // 3], samples[-1]
    print(f"{turns} turns; memory {first.memory:.1f} to {last.memory:.1f} MB. Charts: {given.report}")
    print("\n".join(told) or "Flat.")
    return int(bool(told))


if __name__ == "__main__":
    sys.exit(main())
