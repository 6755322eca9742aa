"""`cuebox load` as its user meets it."""

import asyncio
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec import json
from rich.console import Console

from service.cli import main
from service.simulator.load import Knee
from service.simulator.load_run import Plan, Run, Tally, Usage, run_of
from service.simulator.load_terminal import report_of, show
from tests.reporting.told import turn
from tests.simulator.platformed import called, says
from tests.simulator.test_load import on_request

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("CUEBOX_", "OPENAI_"))}
SHORT = ["--frames", "tiny", "--calls", "2", "--seconds", "1", "--turn-every", "0.3"]


@asynccontextmanager
async def cuebox_load(*words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", "load", *words), env=CLEAN, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def loaded(*words: str) -> tuple[int | None, str, str]:
    async with cuebox_load(*words) as process:
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_its_own_service_is_measured_with_all_figures_as_json_and_as_a_page(tmp_path: Path) -> None:
    report = tmp_path / "out.html"
    code, out, err = await loaded(*SHORT, "--json", "--first-token", "0.02", "--report", str(report))
    (run,) = json.decode(out)["runs"]
    assert code == 0
    assert run["model_first_token"]["p50"] == 20
    assert 0 < run["added"]["p50"] < 50
    assert run["cpu_ms_per_turn"] is not None
    assert run["kb_per_idle_call"] is not None
    assert "tally" not in run
    page = report.read_text()
    assert page.startswith("<!doctype html>")
    assert "2 calls of receptionist. Made from a run of cuebox load and its service&#x27;s log." in page
    assert f"<dt>Turns</dt><dd><b>{run['turns'] + 2}</b>" in page, "the greetings, and those open at the end, too"
    assert f"Report: {report}" in err


async def test_errors_in_the_run_are_printed_and_exit_code_1() -> None:
    async with called(on_request(says(0, ""))) as (host, _):
        code, out, _ = await loaded(host.url, *SHORT)
    assert code == 1
    assert out.startswith("2 calls, tiny frames from minute 0 on, 1 s\n")
    assert "errors: empty turn (" in out


async def test_nothing_to_connect_to_is_exit_code_2() -> None:
    async with called() as (host, _):
        pass
    code, out, err = await loaded(host.url, *SHORT)
    assert (code, out) == (2, "")
    assert "takes no calls (not connected: ConnectionRefusedError)" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_no_process_is_left_behind_when_it_is_ended(number: signal.Signals) -> None:
    async with cuebox_load(*SHORT) as process:
        async with asyncio.timeout(20):
            while len(children := _children(process.pid)) < 2:
                await asyncio.sleep(0.02)
        process.send_signal(number)
        await process.communicate()
    assert process.returncode == 1
    assert not [child for child in children if _is_running(child)]


def _is_running(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists()


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--at-minute", "soon"], "--at-minute"),
        (["--pid", "1"], "so they need one"),
        (["ws://127.0.0.1:9", "--find-knee"], "--find-knee needs --model"),
        (["--calls", "0"], "--calls"),
    ],
)
def test_bad_usage_is_exit_code_2_and_one_sentence(words: list[str], sentence: str) -> None:
    result = CliRunner().invoke(main, ["load", *words])
    assert result.exit_code == 2
    assert sentence in result.output


def test_help_teaches_with_examples() -> None:
    assert "Examples:\n    cuebox load  " in CliRunner().invoke(main, ["load", "--help"]).output


def test_without_the_socket_library_one_sentence_says_what_to_install() -> None:
    code = "import sys; sys.modules['picows'] = None; from service.cli import main; main(['load'])"
    result = subprocess.run([sys.executable, "-c", code], env=CLEAN, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "pip install 'cuebox[load]'" in result.stderr


# What is printed, and the page.


def measured() -> Run:
    tally = Tally(Plan(calls=10, seconds=60, minute=10), ended=60.0, asked=100, overtaken=3)
    tally.first, tally.sentence, tally.model = [(0.0, 0.0521)], [(0.0, 0.122)], [0.05]
    tally.empty, tally.idle = Usage(0, 0, 50 * 2**20), Usage(0, 0, 51 * 2**20)
    tally.usage = [Usage(at, at / 10, 53 * 2**20, 2 * at) for at in range(0, 60, 5)]
    return run_of(tally)


def printed(*runs: Run, knee: Knee | None = None) -> str:
    console = Console(file=io.StringIO(), width=150)
    show(runs, knee, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_run_is_printed_with_its_times_and_its_costs() -> None:
    text = printed(measured())
    assert "10 calls, real frames from minute 10 on, 60 s\n" in text
    assert re.search(r"first chunk +52.1 +52.1 +52.1 +52.1 +1 ", text)
    assert re.search(r"added +2.1 ", text)
    assert re.search(r"cpu ms per turn +50 ", text)
    assert re.search(r"kb per idle call +102.4 ", text)
    assert "errors: none" in text
    assert re.search(r"ping +\? ", text), "unknown"


def test_errors_are_printed_by_kind() -> None:
    assert "errors: empty turn (2); timeout (1)" in printed(replace(measured(), errors={"empty turn": 2, "timeout": 1}))


def test_several_runs_are_compared_and_the_knee_is_told() -> None:
    text = printed(measured(), replace(measured(), added=None), knee=Knee(5, 6, 5))
    assert "Knee: 5 calls are fine (at 6: added p99 over 50 ms, or errors); 5 calls per core." in text
    assert "first chunk" not in text
    assert re.findall(r"10 +10 +2.1 +2.1 +50 +0.6 +0.1 +0 +0\b", text)
    assert re.findall(r"10 +10 +\? +\? +50 +0.6 +0.1 +0 +0\b", text)
    assert "6: added p99 over 50 ms, or errors)." in printed(measured(), knee=Knee(5, 6, None))


def test_a_page_needs_nothing_from_elsewhere() -> None:
    html = report_of([measured(), measured()], Knee(5, 6, 5))
    assert "Knee: 5 calls" in html
    assert html.count("<svg") == 8
    assert html.count("<caption>Waiting, in milliseconds</caption>") == 2
    assert "At a glance" not in html, "nobody kept a log"
    assert not re.search(r"<script|https?:|@import|url\(", html)


def test_a_page_about_a_server_elsewhere_has_no_plot_of_its_cpu() -> None:
    tally = Tally(Plan(), ended=60.0, first=[(0.0, 0.05)])
    assert report_of([run_of(tally)], None).count("<svg") == 2


def test_a_page_about_a_knee_tells_of_the_calls_that_were_fine_and_of_no_others() -> None:
    runs = [measured(), replace(measured(), plan=Plan(calls=20))]
    for run, call_id in zip(runs, ("fine", "lost"), strict=True):
        run.tally.calls = frozenset({call_id})
        run.tally.log = [json.encode(turn(call_id=name, agent="desk")).decode() for name in (call_id, "probe")]
    html = report_of(runs, Knee(10, 20, 10))
    assert "1 call of desk" in html
    assert "<bdi>fine</bdi>" in html
    assert "<bdi>lost</bdi>" not in html
    assert "2 calls of desk" in report_of(runs, None)
