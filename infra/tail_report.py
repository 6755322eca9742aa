"""What was measured beside what theory allows: in the terminal, as JSON, and as a page that needs nothing else."""

from collections.abc import Iterator, Sequence
from html import escape
from math import sqrt

import msgspec
from rich.console import Console
from rich.table import Table

from infra.tail_run import Sample
from infra.tail_theory import NEVER, best
from service.reporting.plots import line_plot, percentile_plot
from service.simulator.model_times import Times, times

_SHARES = (0.5, 0.95, 0.99)
_BUDGETS = [step / 200 for step in range(25)]
_SURE = 1.96  # standard errors to either side: 95 %


class Percentile(msgspec.Struct, frozen=True):
    """One percentile. Times are seconds, each with what it may be off by (95 % sure); shares are from 0 to 1."""

    share: float
    computed: float
    """Without hedging, computed from the model's distribution: what the instrument should show."""
    without: float
    without_error: float
    hedged: float
    hedged_error: float
    shorter: float
    """By which share of `without`."""
    shorter_error: float
    best: float
    """The least that any single second attempt reaches with as many extra requests."""
    best_delay: float
    best_chance: float

    @property
    def over_best(self) -> float:
        return self.hedged / self.best - 1


class Figures(msgspec.Struct, frozen=True):
    """One model's figures."""

    model: str
    first_token: str
    turns: int
    extra: float
    """Extra requests as a share of the turns, measured."""
    extra_error: float
    percentiles: list[Percentile]


def figures_of(model: str, first_token: str, without: Sample, hedged: Sample) -> Figures:
    """Compare the two samples, and theory."""
    of, turns = times(first_token), len(hedged.waits)
    before, after = sorted(without.waits), sorted(hedged.waits)
    compared = [_compared(share, of, before, after, hedged.extra) for share in _SHARES]
    error = _SURE * sqrt(hedged.extra / turns)
    return Figures(model, first_token, turns, hedged.extra, error, compared)


def _compared(share: float, of: Times, before: Sequence[float], after: Sequence[float], extra: float) -> Percentile:
    (old, old_error), (new, new_error) = _percentile(share, before), _percentile(share, after)
    error = new / old * sqrt((old_error / old) ** 2 + (new_error / new) ** 2)
    least, how = best(share, of, extra)
    computed = NEVER.percentile(share, of)
    return Percentile(
        share, computed, old, old_error, new, new_error, 1 - new / old, error, least, how.delay, how.chance
    )


def _percentile(share: float, ordered: Sequence[float]) -> tuple[float, float]:
    """A percentile and, by order statistics, what it may be off by."""
    last = len(ordered) - 1
    off = _SURE * sqrt(len(ordered) * share * (1 - share))
    low, middle, high = (ordered[min(max(round(last * share + by), 0), last)] for by in (-off, 0, off))
    return middle, (high - low) / 2


def show(figures: Sequence[Figures], console: Console) -> None:
    """Print the figures."""
    for found in figures:
        console.print(_title(found), style="bold", markup=False, soft_wrap=True)
        table = Table(box=None)
        for number, name in enumerate(_HEAD):
            table.add_column(name, justify="right" if number else "left", no_wrap=True)
        for percentile in found.percentiles:
            table.add_row(*_cells(percentile))
        console.print(table)
        console.print(f"{_cost(found)}\n", markup=False, soft_wrap=True)


_HEAD = ("", "computed", "without", "hedged", "shorter by", "best", "over best")


def _title(found: Figures) -> str:
    return f"{found.model} ({found.first_token}), seconds to the first words"


def _cells(of: Percentile) -> list[str]:
    return [
        f"p{100 * of.share:g}",
        f"{of.computed:.3f}",
        f"{of.without:.3f} ±{of.without_error:.3f}",
        f"{of.hedged:.3f} ±{of.hedged_error:.3f}",
        f"{100 * of.shorter:.1f} ±{100 * of.shorter_error:.1f} %",
        f"{of.best:.3f}",
        f"{100 * of.over_best:+.1f} %",
    ]


def _cost(found: Figures) -> str:
    spent = f"{100 * found.extra:.2f} ±{100 * found.extra_error:.2f} % extra requests"
    return f"{spent}; {found.turns} turns with hedging, as many without; ± is 95 % sure"


def json_of(figures: Sequence[Figures]) -> str:
    """The figures as JSON."""
    return msgspec.json.format(msgspec.json.encode(figures)).decode()


def page(figures: Sequence[Figures], waits: Sequence[tuple[Sequence[float], Sequence[float]]]) -> str:
    """The figures, and the waits without and with hedging that they stand for, as one HTML page."""
    sections = "".join(part for found, both in zip(figures, waits, strict=True) for part in _section(found, *both))
    head = "<!doctype html><html lang=en><meta charset=utf-8><title>The tail, with hedging and without</title>"
    return f"{head}{_STYLE}<h1>The tail, with hedging and without</h1>{sections}</html>\n"


def _section(found: Figures, without: Sequence[float], hedged: Sequence[float]) -> Iterator[str]:
    yield f"<h2>{escape(_title(found))}</h2><table><tr>"
    yield "".join(f"<th>{name}" for name in _HEAD)
    for percentile in found.percentiles:
        yield "<tr>" + "".join(f"<td>{cell}" for cell in _cells(percentile))
    yield f"</table><p>{_cost(found)}. {_EXPLAINED}</p><div class=plots>"
    yield percentile_plot("Waiting, by percentile", "s", {"without": without, "with hedging": hedged})
    yield _frontier(found)
    yield "</div>"


_EXPLAINED = """Computed: without hedging, from the model's distribution; what the instrument should show. Best:
the least that any single second attempt, after any delay and with any chance, makes of this one percentile with as
many extra requests (Kaler, He and Elnikety, "Optimal Reissue Policies for Reducing Tail Latencies", 2017)."""


def _frontier(found: Figures) -> str:
    of, tail = times(found.first_token), [each for each in found.percentiles if each.share > 0.5]  # noqa: PLR2004
    curves = {f"best p{100 * each.share:g}": _frontier_of(each.share, of) for each in tail}
    curves |= {f"measured p{100 * each.share:g}": [(found.extra, each.hedged)] for each in tail}
    ticks = [(percent / 100, f"{percent} %") for percent in range(0, 13, 2)]
    return line_plot("Extra requests", "s", curves, ticks)


def _frontier_of(share: float, of: Times) -> list[tuple[float, float]]:
    return [(budget, best(share, of, budget)[0]) for budget in _BUDGETS]


_STYLE = """<style>
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #656d76; --rule: #d8dee4; --page: #fff;
  --old: #b35900; --new: #0550ae; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --dim: #9198a1; --rule: #30363d; --page: #0d1117;
  --old: #f0883e; --new: #58a6ff; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 1340px;
  margin: 2rem auto; padding: 0 1.5rem; }
th, td { padding: .25rem .9rem .25rem 0; text-align: right; border-bottom: 1px solid var(--rule); font-weight: normal;
  font-variant-numeric: tabular-nums; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(480px, 1fr)); gap: 2rem; }
svg { width: 100%; } svg line { stroke: var(--rule); } svg text { fill: var(--ink); font-size: 13px; }
svg .title { font-weight: 600; } svg .tick { fill: var(--dim); }
polyline { fill: none; stroke-width: 2; } circle { r: 5px; }
.c0, .c2 { --own: var(--old); } .c1, .c3 { --own: var(--new); }
polyline { stroke: var(--own); } circle, svg text.name { fill: var(--own); }
</style>"""
