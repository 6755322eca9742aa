"""How long callers wait for the first words in the worst cases, with hedging and without.

The real engine asks the stand-in model over real sockets, in real time: one model with stuck requests, one with a
smooth heavy tail. Beside the figures stands the best that theory allows for as many extra requests.

python infra/tail.py [--turns N] [--quick] [--json] [--report FILE.html]
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import uvloop
from msgspec import structs
from rich.console import Console
from rich.progress import Progress

from infra.tail_report import Figures, figures_of, json_of, page, show
from infra.tail_run import Plan, measure
from service.llm.candidate import AnswerRules, Rules
from service.llm.hedge import HedgeRules

LEAST_TURNS = 100


@dataclass(frozen=True, slots=True)
class Setting:
    """The models, by their times to the first token; the rules; and how much is asked."""

    models: Mapping[str, str]
    rules: Rules
    plan: Plan


REAL = Setting(
    {"stuck requests": "4%uniform:4,8+lognormal:0.55,1.2", "heavy tail": "lognormal:0.55,1.8"},
    Rules(),
    Plan(turns=20_000, rate=160),
)
QUICK = Setting(
    {"stuck requests": "4%uniform:0.4,0.8+lognormal:0.055,0.12", "heavy tail": "lognormal:0.055,0.18"},
    Rules(
        answer=AnswerRules(slow_after=0.25, cold_slow_after=0.4), hedge=HedgeRules(least=0.06, most=0.2, at_first=0.12)
    ),
    Plan(turns=1000, rate=200, warm_up=20),
)
"""To try the script: everything is ten times faster, and so few turns tell little."""


@dataclass(frozen=True, slots=True)
class Found:
    """The figures of one model, and the waits that they stand for, in seconds."""

    figures: Figures
    without: Sequence[float]
    hedged: Sequence[float]


async def tail(setting: Setting, on_turn: Callable[[], None]) -> list[Found]:
    """Measure each model, with hedging and without, side by side."""
    off = structs.replace(setting.rules, hedge=structs.replace(setting.rules.hedge, is_on=False))
    found = []
    for name, first_token in setting.models.items():
        samples = await measure(first_token, {"without": off, "with": setting.rules}, setting.plan, on_turn)
        without, hedged = samples["without"], samples["with"]
        found.append(Found(figures_of(name, first_token, without, hedged), without.waits, hedged.waits))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, show what was found, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, metavar="N", help="of each model, with hedging and as many without")
    parser.add_argument("--quick", action="store_true", help="try the script: ten times faster, and few turns")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--report", type=Path, metavar="FILE.html", help="write a page with plots")
    options = parser.parse_args(arguments)
    setting = QUICK if options.quick else REAL
    if options.turns is not None:
        if options.turns < LEAST_TURNS:
            parser.error(f"fewer than {LEAST_TURNS} turns have no tail")
        setting = replace(setting, plan=replace(setting.plan, turns=options.turns))
    found = _measured(setting)
    figures = [each.figures for each in found]
    if options.json:
        print(json_of(figures))
    else:
        show(figures, Console(highlight=False))
    if options.report is not None:
        options.report.write_text(page(figures, [(each.without, each.hedged) for each in found]), encoding="utf-8")
    return 0


def _measured(setting: Setting) -> list[Found]:
    total = 2 * setting.plan.asked * len(setting.models)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("turns", total=total)
        return uvloop.run(tail(setting, lambda: progress.advance(task)))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
