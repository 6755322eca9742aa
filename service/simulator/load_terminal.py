"""`cuebox load` in a terminal: a bar while it runs, then what was found: tables, JSON, a page with plots."""

import asyncio
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table
from uvicorn.loops.auto import auto_loop_factory

from service.reporting.html import Section, paragraph, table
from service.reporting.log_lines import facts_of, read_lines
from service.reporting.page import page
from service.reporting.plots import percentile_plot, time_plot
from service.simulator.line import NotConnected
from service.simulator.load import Knee, OnBeat, find_knee, measure
from service.simulator.load_host import Host
from service.simulator.load_run import KNEE_LIMIT, Plan, Run, Tally

_PACES = {"real": {"turn_every": 15.0, "barge_in": 0.1}, "tiny": {"turn_every": 1.0, "barge_in": 0.0}}

_WAITS = ("first_chunk", "first_sentence", "model_first_token", "added", "cancel_to_silence", "ping", "loop_lag")
_CPU = ("cpu_ms_per_turn", "cpu_seconds_per_call_minute", "cpu_share", "client_cpu_share")
_FIGURES = ("turns", "turns_per_second", "overtaken", "held", *_CPU, "kb_per_idle_call", "kb_per_call_at_end")


def run_load(
    target: Host | None, minutes: Sequence[float], report: Path | None, *, knee: bool, as_json: bool, **plan: Any
) -> int:
    """Carry out what the command's options say, and return the exit code; `plan` has fields of a Plan."""
    given = {name: value for name, value in plan.items() if value is not None}
    plans = [Plan(**{**_PACES[plan["frames"]], **given}, minute=minute) for minute in minutes]
    try:
        with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
            runs, found = runner.run(_measured(plans, target, knee=knee, keeps_log=report is not None))
    except NotConnected as error:
        click.secho(str(error), fg="red", err=True)
        return 2
    if as_json:
        click.echo(json_of(runs, found))
    else:
        show(runs, found, Console(highlight=False))
    if report is not None:
        report.write_text(report_of(runs, found), encoding="utf-8")
        click.echo(f"Report: {report}", err=True)
    return 0 if (found.calls > 0 if found else not any(run.errors for run in runs)) else 1


async def _measured(
    plans: Sequence[Plan], target: Host | None, *, knee: bool, keeps_log: bool
) -> tuple[list[Run], Knee | None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: whatever ends us, the processes we started end too
        loop.add_signal_handler(number, signal.raise_signal, signal.SIGINT)
    with _bar() as on_beat:
        one = partial(measure, target=target, on_beat=on_beat, keeps_log=keeps_log)
        return await find_knee(plans[0], one) if knee else ([await one(plan) for plan in plans], None)


@contextmanager
def _bar() -> Iterator[OnBeat]:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[seen]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=1.0, seen="")

        def on_beat(tally: Tally, share: float) -> None:
            seen = f"{tally.asked} turns, {tally.errors.total()} errors"
            progress.update(task, description=f"{tally.plan.calls} calls", completed=share, seen=seen)

        yield on_beat


def json_of(runs: Sequence[Run], knee: Knee | None) -> str:
    """The figures, without the samples behind them."""
    figures = [{name: figure for name, figure in run.items() if name != "tally"} for run in msgspec.to_builtins(runs)]
    return msgspec.json.format(msgspec.json.encode({"runs": figures, "knee": knee})).decode()


def show(runs: Sequence[Run], knee: Knee | None, console: Console) -> None:
    """Print what was found; of a search for the knee, only how the runs compare."""
    for run in runs if knee is None else ():
        console.print(_title(run), style="bold")
        console.print(_table(_WAITS_HEAD, _waits(run)))
        console.print(_table(("", ""), _figures(run)))
        console.print(f" {_errors(run)}\n", markup=False, soft_wrap=True)
    if len(runs) > 1:
        console.print(_table(_COMPARED_HEAD, _compared(runs)))
    if knee is not None:
        console.print(_told(knee), soft_wrap=True)


_Rows = Iterable[Sequence[str | float | None]]
_WAITS_HEAD = ("ms", "p50", "p95", "p99", "max", "n")
_COMPARED_HEAD = ("calls", "minute", "added p50", "added p99", *_CPU, "errors")


def _waits(run: Run) -> _Rows:
    waits = [(name, getattr(run, name)) for name in _WAITS]
    return [(name, *((it.p50, it.p95, it.p99, it.max, it.n) if it else 5 * (None,))) for name, it in waits]


def _figures(run: Run) -> _Rows:
    return [(name, getattr(run, name)) for name in _FIGURES]


def _errors(run: Run) -> str:
    return f"errors: {'; '.join(f'{kind} ({count})' for kind, count in run.errors.items()) or 'none'}"


def _compared(runs: Sequence[Run]) -> _Rows:
    added = [(run.added.p50, run.added.p99) if run.added else (None, None) for run in runs]
    costs = [(*(getattr(run, name) for name in _CPU), sum(run.errors.values())) for run in runs]
    return [(run.plan.calls, run.plan.minute, *a, *c) for run, a, c in zip(runs, added, costs, strict=True)]


def _told(knee: Knee) -> str:
    core = "" if knee.calls_per_core is None else f"; {knee.calls_per_core} calls per core"
    bound = f"at {knee.too_many}: added p99 over {KNEE_LIMIT:g} ms, or errors"
    return f"Knee: {knee.calls} calls are fine ({bound}){core}."


def _title(run: Run) -> str:
    plan = run.plan
    return f"{plan.calls} calls, {plan.frames} frames from minute {plan.minute:g} on, {plan.seconds:g} s"


def _table(head: Sequence[str], rows: _Rows) -> Table:
    table = Table(*(name.replace("_", " ") for name in head), box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*map(_cell, row))
    return table


def _cell(value: str | float | None) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    return "?" if value is None else str(value).replace("_", " ")


def report_of(runs: Sequence[Run], knee: Knee | None) -> str:
    """One page: what was measured from outside and, where the service was ours, what its log tells of those calls."""
    fine = [run for run in runs if knee is not None and run.plan.calls == knee.calls] or runs
    calls = frozenset[str]().union(*(run.tally.calls for run in fine))
    lines = (line for run in fine for line in read_lines(run.tally.log) if line.get("call_id") in calls)
    facts = facts_of(lines) if any(run.tally.log for run in fine) else None
    about = "a run of cuebox load and its service's log" if facts is not None else "a run of cuebox load"
    return page(facts, about, title="Under load", first=[*_comparison(runs, knee), *map(_section, runs)])


def _comparison(runs: Sequence[Run], knee: Knee | None) -> Iterator[Section]:
    if len(runs) > 1:
        told = "" if knee is None else paragraph(_told(knee), "lead")
        yield Section("The runs beside each other", f"{told}{_html('All runs', _COMPARED_HEAD, _compared(runs))}")


def _section(run: Run) -> Section:
    figures = _html("Waiting, in milliseconds", _WAITS_HEAD, _waits(run)) + _html("Figures", ("", ""), _figures(run))
    plots = "".join(_plots(run.tally))
    lead = f"Measured from outside, where the platform stands. {_errors(run).capitalize()}."
    return Section(_title(run), f'{paragraph(lead)}<div class="plots">{figures}{plots}</div>')


def _html(caption: str, head: Sequence[str], rows: _Rows) -> str:
    cells = ([name.replace("_", " ") if isinstance(name, str) else name, *rest] for name, *rest in rows)
    return table(caption, [name.replace("_", " ") for name in head], cells)


def _plots(tally: Tally) -> Iterator[str]:
    samples = {"first sentence": tally.sentence, "first chunk": tally.first}
    waits = {name: [(at - tally.began, 1000 * waited) for at, waited in of] for name, of in samples.items()}
    sets = {name: [waited for _, waited in curve] for name, curve in waits.items()}
    yield percentile_plot("Waiting, by percentile", "ms", {**sets, "model": [1000 * drawn for drawn in tally.model]})
    yield time_plot("Waiting over the run", "ms", waits)
    if tally.usage:
        began, looks = tally.began, tally.usage
        cpu = [(b.at - began, 100 * (b.cpu - a.cpu) / (b.at - a.at)) for a, b in pairwise(looks)]
        yield time_plot("Server CPU", "% core", {"": cpu})
        yield time_plot("Server memory", "MB", {"": [(each.at - began, each.rss / 2**20) for each in looks]})
