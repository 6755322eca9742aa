"""README's performance table, measured on this machine: `make bench` (some ten minutes; `--quick` for a look).

Every figure comes from shipped instruments: `cuebox load` against the service, the stand-in model and the floor, each
in a process of its own; `infra/cold_start.py`; `infra/tail.py`. CPU is told as a ratio to the floor of the same run,
in turns, because a shared machine is never the same twice.
"""

import argparse
import asyncio
import http.client
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, replace

import uvloop

from infra.cold_start import free_port, greeted_after
from infra.gameday_watch import taking_posts
from service.simulator.load import find_knee, measure
from service.simulator.load_host import Host, started
from service.simulator.load_run import Plan, Run

TINY = Plan(calls=100, seconds=20, frames="tiny", turn_every=1.0, barge_in=0.0)
"""The traffic that the goals are told for."""

REAL = Plan(calls=20, seconds=40)
CUTTING = Plan(calls=40, seconds=25, turn_every=3.0, barge_in=0.8, gap="0.05")


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    what: str
    conditions: str
    figure: str


async def main(*, is_quick: bool) -> list[Figure]:
    """All rows, in the order of the table."""
    shorter = 4 if is_quick else 1
    tiny = replace(TINY, seconds=TINY.seconds / shorter)
    with _environ(CUEBOX_AGENTS_DIR="infra/bench_agents", CUEBOX_AGENT="plain"):
        rounds = [await _round(tiny) for _ in range(1 if is_quick else 3)]
    figures = [*_of_rounds(rounds), _of_receptionist(await measure(tiny))]
    for minute in (1, 10, 30):
        run = await measure(replace(REAL, minute=minute, seconds=REAL.seconds / shorter))
        figures.append(_of_minute(minute, run))
    figures.append(_of_cancelling(await measure(replace(CUTTING, seconds=CUTTING.seconds / shorter))))
    figures.append(await _cold_start(3 if is_quick else 9))
    if not is_quick:
        _, knee = await find_knee(replace(TINY, calls=300, seconds=6), measure)
        say = f"{knee.calls} calls, {knee.calls_per_core} a core"
        figures.append(Figure("Calls with one turn a second", "until added p99 > 50 ms, or errors", say))
    return figures


@dataclass(frozen=True, slots=True)
class _Round:
    """The floor, the service with metrics, and with more and less telemetry, one after the other."""

    floor: Run
    ours: Run
    traced: Run
    """With metrics, logs and traces."""
    unmetered: Run
    """With logs alone."""
    silent: Run
    """With nothing at all."""
    scrapes: list[float]
    """Seconds."""


async def _round(plan: Plan) -> _Round:
    port = free_port()
    with _environ(CUEBOX_METRICS_PORT=str(port)):
        async with started(plan) as host, _floor_before(host) as floor:
            beneath, ours = await measure(plan, floor), await measure(plan, host)
            scrapes = [await asyncio.to_thread(_scrape, port) for _ in range(9)]
        with taking_posts(lambda _path, _body: None) as collector, _environ(OTEL_EXPORTER_OTLP_ENDPOINT=collector):
            traced = await measure(plan)
    unmetered = await measure(plan)
    with _environ(CUEBOX_LOG_LEVEL="error"):
        return _Round(beneath, ours, traced, unmetered, await measure(plan), scrapes)


@contextmanager
def _environ(**variables: str) -> Iterator[None]:
    os.environ |= variables
    yield
    for name in variables:
        del os.environ[name]


def _scrape(port: int) -> float:
    began = time.perf_counter()
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
        connection.getresponse().read()
    return time.perf_counter() - began


@asynccontextmanager
async def _floor_before(host: Host) -> AsyncIterator[Host]:
    port = free_port()
    model_port = (host.model or "").rpartition(":")[2].partition("/")[0]
    process = await asyncio.create_subprocess_exec(sys.executable, "infra/floor.py", str(port), model_port)
    try:
        await asyncio.sleep(1.0)
        yield Host(f"ws://127.0.0.1:{port}", process.pid, host.model)
    finally:
        process.kill()
        await process.wait()


def _of_rounds(rounds: list[_Round]) -> list[Figure]:
    conditions = "100 calls, one turn a second each, 20 words, model's first token at 50 ms, metrics on"

    def middle(of: Callable[[_Round], float | None]) -> float:
        return statistics.median(value for each in rounds if (value := of(each)) is not None)

    added = [each.ours.added for each in rounds if each.ours.added is not None]
    beneath = middle(lambda each: None if each.floor.added is None else each.floor.added.p50)
    p50, p99 = statistics.median(each.p50 for each in added), statistics.median(each.p99 for each in added)
    ours, floor = middle(lambda each: each.ours.cpu_ms_per_turn), middle(lambda each: each.floor.cpu_ms_per_turn)
    traced = middle(lambda each: each.traced.cpu_ms_per_turn)
    logged = middle(lambda each: each.unmetered.cpu_ms_per_turn)
    silent = middle(lambda each: each.silent.cpu_ms_per_turn)
    ratio = middle(lambda each: (each.ours.cpu_ms_per_turn or 0) / (each.floor.cpu_ms_per_turn or 1))
    scrapes = [seconds for each in rounds for seconds in each.scrapes]
    idle = middle(lambda each: each.ours.kb_per_idle_call)
    stall = statistics.median(each.ours.loop_lag.max for each in rounds if each.ours.loop_lag is not None)
    return [
        Figure(
            "Added to the model's first chunk",
            conditions,
            f"p50 {p50:.1f} ms (the floor: {beneath:.1f}), p99 {p99:.1f} ms",
        ),
        Figure("CPU a turn", "the same", f"{ours:.2f} ms, {ratio:.1f} times the floor ({floor:.2f} ms)"),
        Figure(
            "CPU a turn of telemetry",
            "the same, against a run without: logs, metrics, traces as they are sampled",
            f"{traced - silent:.2f} ms ({logged - silent:.2f}, {ours - logged:.2f}, {traced - ours:.2f})",
        ),
        Figure(
            "A scrape of the metrics",
            "after those calls, over HTTP",
            f"{1000 * statistics.median(scrapes):.1f} ms, the longest {1000 * max(scrapes):.1f} ms",
        ),
        Figure("Memory of an idle call", "the same", f"{idle:.0f} kB"),
        Figure("Longest stall of the event loop", "the same, seen from outside", f"{stall:.1f} ms"),
    ]


def _of_receptionist(run: Run) -> Figure:
    conditions = "the same, by the shipped receptionist: five tools, 36 pages of knowledge, a search before each answer"
    added = "" if run.added is None else f", p50 {run.added.p50:.1f} ms added"
    return Figure("CPU a turn with tools and knowledge", conditions, f"{run.cpu_ms_per_turn:.1f} ms{added}")


def _of_minute(minute: int, run: Run) -> Figure:
    what, conditions = f"CPU a call-minute, in minute {minute}", "whole transcripts with word timings, barge-ins, pings"
    return Figure(what, conditions, f"{(run.cpu_seconds_per_call_minute or 0) * 1000:.0f} ms")


def _of_cancelling(run: Run) -> Figure:
    silence = run.cancel_to_silence
    said = f"p50 {silence.p50:.1f} ms, p99 {silence.p99:.1f} ms (n = {silence.n})" if silence else "none"
    return Figure("From a newer request to the old answer's last frame", "40 calls that cut answers off", said)


async def _cold_start(runs: int) -> Figure:
    environ = {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "CUEBOX_LOG_LEVEL": "error"}
    os.environ |= environ
    seconds = [await greeted_after([sys.executable, "-m", "service", "serve"]) for _ in range(runs)]
    for name in environ:
        del os.environ[name]
    return Figure(
        "From exec to the greeting", "the receptionist, a fresh socket", f"{statistics.median(seconds):.2f} s"
    )


def table(figures: list[Figure]) -> str:
    """The figures as Markdown."""
    rows = ["| What | Conditions | Figure |", "|---|---|---|"]
    return "\n".join([*rows, *(f"| {each.what} | {each.conditions} | {each.figure} |" for each in figures)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="shorter runs, without the knee and the tail")
    is_quick = parser.parse_args().quick
    print(table(uvloop.run(main(is_quick=is_quick))), flush=True)
    if not is_quick:
        subprocess.run([sys.executable, "infra/tail.py"], check=True)
