"""The real Prometheus scrapes the real service under load with faults: every query there is finds something."""

import asyncio
import os
import re
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from infra.gameday_faults import (
    DESK,
    begin_without_a_line,
    cut_lines,
    dial_wrongly,
    flood,
    give_calls_up,
    looking_up,
)
from infra.gameday_service import Subject
from infra.gameday_watch import Prometheus, Watch, watching
from infra.observe import programs
from service.simulator.load import measure
from service.simulator.load_host import Host
from service.simulator.load_run import Plan
from service.simulator.model_script import Chances, Script
from tests.dashboards.test_contract import queries
from tests.otlp import Collector, collector

VARIABLES = {"$__rate_interval": "10s", "$__range": "1m"}
COMPARISON = re.compile(r" (==|>=|<=|>|<) ")
FAULTS = ("5%cut after=3", "5%refuse status=500", "3%stall after=2", "3%refuse status=401")


async def change_by_hand(subject: Subject) -> None:
    """An operator's orders."""
    for how in ("off", "on"):
        await asyncio.sleep(2)
        command = (sys.executable, "-m", "service", "ctl", "hedge", how)
        process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **subject._environ})
        assert await process.wait() == 0


ERRORS = (begin_without_a_line, change_by_hand, cut_lines, dial_wrongly, flood, give_calls_up)
EXEMPLARS = {f"cuebox_{name}_seconds_bucket" for name in ("turn_time_to_first_chunk", "model_time_to_first_words")}


@pytest.fixture(scope="module")
def tempo() -> Iterator[Collector]:
    with collector() as got:
        yield got


@pytest.fixture(scope="module")
def prometheus(tempo: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """One that has seen callers who interrupt, a model that fails now and then, and a platform that errs."""
    folder = tmp_path_factory.mktemp("prometheus")
    if programs(folder).keys() != {"prometheus", "alertmanager"}:
        skip = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        skip("Prometheus and Alertmanager are not installed")
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": tempo.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    own = {"CUEBOX_TRACE_SHARE": "1", "CUEBOX_CONTROL_SOCKET": str(folder / "control.sock")}
    subject = Subject("cuebox", {**DESK, **endpoint, **own})
    subject.model.script = Script(first_token_after=0.05, gap=0.02)
    subject.model.scripts += [looking_up(port) for port in (subject.port, 9)] * 5
    subject.model.chances = Chances(*FAULTS)
    with watching(folder, {"cuebox": subject.metrics_port}, by=15) as watch:
        asyncio.run(busy(subject, watch))
        yield watch.prometheus


async def busy(subject: Subject, watch: Watch) -> None:
    """All that may happen to a service in a quarter of a minute."""
    async with subject.running(), asyncio.TaskGroup() as tasks:
        await watch.begin()
        going_on: list[asyncio.Task[Any]] = [tasks.create_task(error(subject)) for error in ERRORS]
        callers = Plan(10, 60, turn_every=3.0, barge_in=0.3)
        going_on.append(tasks.create_task(measure(callers, Host(subject.url))))
        await asyncio.sleep(11.5)  # a call without a line is one after 10 s
        for task in going_on:
            task.cancel()
        await asyncio.sleep(1.5)  # it is scraped once more


def asked_by_grafana(expr: str) -> str:
    """A query with all chosen, over the last few seconds."""
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    return re.sub(r"\$\{?\w+\}?", ".*", expr)


def without_thresholds(expr: str) -> str:
    """The same, for what finds something only when something is wrong: what it compares has to be there."""
    return COMPARISON.sub(r" \1 bool ", asked_by_grafana(expr))


LAST_WEEK = {"cuebox-interruptions, Interrupted turns, B", "CueboxCostDoubled", "CueboxCallsVanished"}
HERE = {place: expr for place, expr in queries().items() if "fly_" not in expr and place not in LAST_WEEK}
"""All but those on another host's series, and on those of last week."""
DRAWN = {place: expr for place, expr in HERE.items() if place.startswith("cuebox-")}
AT_TIMES = {f"cuebox-platform, Machines that drain, {query}" for query in "BC"}
"""What a panel shows only while it lasts."""
WATCHED = {place: expr for place, expr in HERE.items() if place not in DRAWN}


@pytest.mark.parametrize(("place", "expr"), DRAWN.items(), ids=DRAWN)
def test_a_panel_shows_something(place: str, expr: str, prometheus: Prometheus) -> None:
    assert prometheus.finds(without_thresholds(expr) if place in AT_TIMES else asked_by_grafana(expr))


@pytest.mark.parametrize(("place", "expr"), WATCHED.items(), ids=WATCHED)
def test_a_rule_or_a_runbook_finds_what_it_compares(place: str, expr: str, prometheus: Prometheus) -> None:
    assert prometheus.finds(without_thresholds(expr))


def test_what_is_not_there_is_not_found(prometheus: Prometheus) -> None:
    assert len(DRAWN) > 60
    assert set(DRAWN) > AT_TIMES
    assert len(WATCHED) > 60
    assert not prometheus.finds("cuebox_turns_totals")
    assert not prometheus.finds('cuebox_turns_total{outcome="error"}')
    with pytest.raises(ValueError, match="parse error"):
        prometheus.finds("sum by app (cuebox_turns_total)")


async def test_exemplars_lead_to_traces_that_were_sent(prometheus: Prometheus, tempo: Collector) -> None:
    now = time.time()
    found = prometheus.ask("query_exemplars", query='{__name__=~"cuebox_.+"}', start=now - 120, end=now)
    ids = {exemplar["labels"]["trace_id"] for series in found for exemplar in series["exemplars"]}
    assert {series["seriesLabels"]["__name__"] for series in found} >= EXEMPLARS
    assert len(ids) > 5
    await tempo.until(lambda got: ids <= {span.trace_id for span in got.spans})
