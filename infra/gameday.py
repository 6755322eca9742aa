"""Game day: break the real service on purpose, and see whether the shipped alerts name the cause. `make gameday`.

Prometheus, Alertmanager, rules, routes and inhibitions are those that are shipped; only their times are divided. Each
fault has a service of its own, told apart by its `app` label; one more is left in peace for as long as all of it takes.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra.alerts import advice as runbook_advice
from infra.gameday_faults import FAULTS, Fault
from infra.gameday_service import Subject
from infra.gameday_watch import Watch, watching
from infra.observe import programs

SHORTER = 60
"""What the times of rules and routes are divided by: a minute is a second."""

AT_ONCE = 3
"""Faults side by side: more of them, and the machine itself would be one."""

_HEALTHY, _LINGER, _PATIENCE = 2.0, 2.0, 45.0
_ABSENT = "CueboxMetricsAbsent"
_LATER = (
    f"Times of the rules are divided by {SHORTER}, those of turns are not. Runbooks: infra/runbooks/ALERT.md.\n"
    "CueboxCallsVanished and CueboxCostDoubled compare with last week."
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of a fault. `seconds` is None when its alert did not ring; the times are those of the divided rules."""

    what: str
    alert: str
    seconds: float | None
    cause: frozenset[str] = frozenset()
    """The labels' values that the alert has to name."""
    others: frozenset[str] = frozenset()
    """Pages of another name, and whatever rang before anything was broken."""
    tickets: frozenset[str] = frozenset()

    @property
    def is_right(self) -> bool:
        """Whether this alert rang, if there is one, and no other."""
        return not self.others and (self.seconds is not None or not self.alert)


async def play(faults: Sequence[Fault], folder: Path) -> list[Finding]:
    """Break services in all these ways, and at the very end switch off the one left in peace. `folder` takes files."""
    quiet = Subject("quiet")
    subjects = {fault.name: Subject(fault.name, fault.environ) for fault in faults}
    ports = {subject.app: subject.metrics_port for subject in (quiet, *subjects.values())}
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(fault: Fault, watch: Watch) -> Finding:
        async with gate:
            return await _broken(fault, subjects[fault.name], watch)

    async with quiet.running(), asyncio.TaskGroup() as background:
        with watching(folder, ports, by=SHORTER) as watch:
            await watch.begin()
            talk = background.create_task(quiet.talk(6))
            async with asyncio.TaskGroup() as tasks:
                played = [tasks.create_task(one(fault, watch)) for fault in faults]
            others = frozenset(ring.labels["alertname"] for ring in watch.of(quiet.app))
            talk.cancel()
            quiet.kill()
            gone = await _rings(watch, quiet.app, {"alertname": _ABSENT}, time.monotonic())
    left_alone = Finding("nothing", "", None, others=others)
    return [left_alone, *(task.result() for task in played), Finding("no machine left", _ABSENT, gone)]


async def _broken(fault: Fault, subject: Subject, watch: Watch) -> Finding:
    async with subject.running(), asyncio.TaskGroup() as background:
        tasks = [background.create_task(subject.talk(fault.calls))] if fault.calls else []
        await asyncio.sleep(_HEALTHY)
        began = time.monotonic()
        tasks.append(background.create_task(fault.breaks(subject)))
        seconds = await _rings(watch, subject.app, {"alertname": fault.alert, **fault.labels}, began)
        await asyncio.sleep(_LINGER)
        for task in tasks:
            task.cancel()
    rang = {route: {ring.labels["alertname"] for ring in watch.of(subject.app, route)} for route in ("page", "ticket")}
    early = {ring.labels["alertname"] for ring in watch.of(subject.app) if ring.at < began}
    others = early | rang["page"] - {fault.alert}
    tickets = rang["ticket"] - {fault.alert}
    return Finding(
        fault.what, fault.alert, seconds, frozenset(fault.labels.values()), frozenset(others), frozenset(tickets)
    )


async def _rings(watch: Watch, app: str, labels: Mapping[str, str], began: float) -> float | None:
    """Return how long after `began` an alert with these labels rang, in seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            while True:
                for ring in watch.of(app):
                    if ring.at >= began and labels.items() <= ring.labels.items():
                        return ring.at - began
                await asyncio.sleep(0.05)
    return None


def table(findings: Sequence[Finding]) -> Table:
    """What a reader wants to know of a game day."""
    shown = Table("", "Fault", "Alert", "Seconds", "Tickets beside it", caption=_LATER, expand=True)
    shown.add_column("Its runbook says", no_wrap=True, overflow="ellipsis", ratio=1)
    for found in findings:
        seconds = "" if found.seconds is None else f"{found.seconds:.1f}"
        alert = ", ".join([found.alert or "none", *(f"and, unwanted, {name}" for name in sorted(found.others))])
        tickets = "\n".join(sorted(found.tickets)).replace("Cuebox", "")
        verdict = "ok" if found.is_right else "WRONG"
        shown.add_row(verdict, found.what, alert, seconds, tickets, Text(advice(found.alert, found.cause)))
    return shown


def advice(alert: str, cause: Collection[str]) -> str:
    """What the alert's runbook says to do: the line that names the cause, else the first."""
    if not alert:
        return ""
    lines = [line.removeprefix("- ") for line in runbook_advice(alert)]
    return next((line for line in lines if any(f"`{word}`" in line for word in cause)), lines[0])


def main(names: Sequence[str] = ()) -> int:
    """Play these faults, or all. Returns 1 unless each of them, and no peace, raised its alert and no other page."""
    missing = sorted({"prometheus", "alertmanager"} - programs(Path()).keys())
    if missing:
        print(f"There is no {' and no '.join(missing)} here (Debian: prometheus, prometheus-alertmanager).")
        return int(os.environ.get("CI") == "true")
    faults = [fault for fault in FAULTS if not names or fault.name in names]
    with tempfile.TemporaryDirectory(prefix="cuebox-gameday-") as folder:
        findings = asyncio.run(play(faults, Path(folder)))
    Console(width=None if sys.stdout.isatty() else 170).print(table(findings))
    return int(not all(found.is_right for found in findings))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
