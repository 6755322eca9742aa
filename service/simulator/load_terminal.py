"""`cuebox load` in a terminal: a bar while it runs, then what was found: tables, JSON, a page with plots."""

import asyncio
import io
import signal
from collections.abc import Iterator, Sequence
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

from service.simulator.line import NotConnected
from service.simulator.load import Knee, OnBeat, find_knee, measure
from service.simulator.load_host import Host
from service.simulator.load_run import KNEE_LIMIT, Plan, Run, Tally
from service.simulator.plots import percentile_plot, time_plot

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
            runs, found = runner.run(_measured(plans, target, knee=knee))
    except NotConnected as error:
        click.secho(str(error), fg="red", err=True)
        return 2
    if as_json:
        click.echo(json_of(runs, found))
    else:
        show(runs, found, Console(highlight=False))
    if report is not None:
        report.write_text(page(runs, found), encoding="utf-8")
        click.echo(f"Report: {report}", err=True)
    return 0 if (found.calls > 0 if found else not any(run.errors for run in runs)) else 1


async def _measured(plans: Sequence[Plan], target: Host | None, *, knee: bool) -> tuple[list[Run], Knee | None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: whatever ends us, the processes we started end too
        loop.add_signal_handler(number, signal.raise_signal, signal.SIGINT)
    with _bar() as on_beat:
        one = partial(measure, target=target, on_beat=on_beat)
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
        waits = [(name, getattr(run, name)) for name in _WAITS]
        spreads = [(name, *((it.p50, it.p95, it.p99, it.max, it.n) if it else (None,))) for name, it in waits]
        console.print(_table(("ms", "p50", "p95", "p99", "max", "n"), spreads))
        console.print(_table(("", ""), [(name, getattr(run, name)) for name in _FIGURES]))
        errors = "; ".join(f"{kind} ({count})" for kind, count in run.errors.items())
        console.print(f" errors: {errors or 'none'}\n", markup=False, soft_wrap=True)
    if len(runs) > 1:
        added = [(run.added.p50, run.added.p99) if run.added else (None, None) for run in runs]
        costs = [(*(getattr(run, name) for name in _CPU), sum(run.errors.values())) for run in runs]
        rows = [(run.plan.calls, run.plan.minute, *a, *c) for run, a, c in zip(runs, added, costs, strict=True)]
        console.print(_table(("calls", "minute", "added p50", "added p99", *_CPU, "errors"), rows))
    if knee is not None:
        core = "" if knee.calls_per_core is None else f"; {knee.calls_per_core} calls per core"
        bound = f"at {knee.too_many}: added p99 over {KNEE_LIMIT:g} ms, or errors"
        console.print(f"Knee: {knee.calls} calls are fine ({bound}){core}.", soft_wrap=True)


def _title(run: Run) -> str:
    plan = run.plan
    return f"{plan.calls} calls, {plan.frames} frames from minute {plan.minute:g} on, {plan.seconds:g} s"


def _table(head: Sequence[str], rows: Sequence[Sequence[str | float | None]]) -> Table:
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


def page(runs: Sequence[Run], knee: Knee | None) -> str:
    """The report as one HTML page that needs nothing from elsewhere."""
    console = Console(file=io.StringIO(), record=True, width=150, highlight=False)
    show(runs, knee, console)
    tables = console.export_html(inline_styles=True, code_format="<pre>{code}</pre>")
    plots = "".join(f"<h2>{_title(run)}</h2>{''.join(_plots(run.tally))}" for run in runs)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>cuebox load</title>{_STYLE}{tables}{plots}</html>\n"
    )


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


_STYLE = """<style>
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1340px; margin: 2rem auto; padding: 0 1.5rem; }
svg { width: 640px; max-width: 100%; } svg line { stroke: #8884; } svg text { fill: CanvasText; font-size: 13px; }
.c0 { --own: #d9730d; } .c1 { --own: #3b82d9; } .c2 { --own: #5a9e3a; }
polyline { fill: none; stroke: var(--own); stroke-width: 2; } circle, svg text.name { fill: var(--own); }
</style>"""
