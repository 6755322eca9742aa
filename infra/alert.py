"""The words that alerts are written in.

There are no recording rules, so that whatever evaluates plain rules over a hosted Prometheus can take them as they are.
Counts are compared with 2.5 and the like because `increase` extrapolates: three events may read 2.9.
"""

from dataclasses import dataclass
from typing import Literal

OVERVIEW, LATENCY, INTERRUPTS, MODEL, AGENTS, PLATFORM = (
    f"cuebox-{board}" for board in ("overview", "latency", "interruptions", "model", "agents", "platform")
)


ANSWERED = 'turn_first_chunk_total{result=~"sent|failed"}'
SETTLED = 'turns_total{outcome=~"completed|interrupted"}'
ENDED = 'turns_total{outcome=~"completed|interrupted|failed"}'


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. `hold` is how long it must be true, `keep` how long it goes on afterwards, `board` where to look.

    Which ones hide others, so that one fault rings once, stands in `alertmanager/alertmanager.yml`.
    """

    name: str
    expr: str
    summary: str
    description: str
    severity: Literal["page", "ticket", "none"] = "ticket"
    hold: str = "0s"
    keep: str = "5m"
    board: str = OVERVIEW
    slo: str = "none"


def total(selector: str, window: str, by: str = "app") -> str:
    """How many there were, over all machines."""
    span, *offset = window.split(" ", 1)
    return f"sum by ({by}) (increase(cuebox_{selector}[{span}]{''.join(f' {part}' for part in offset)}))"


def burn(good: str, valid: str, *, limit: float, windows: tuple[str, str], least: float) -> str:
    """Too many bad ones, in a long window and still in a short one, out of enough."""
    bad = "\nand ".join(f"1 - {total(good, window)} / {total(valid, window)} > {limit:.4g}" for window in windows)
    return f"{bad}\nand {total(valid, windows[0])} > {least:g}"
