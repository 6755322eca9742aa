"""The tail: theory by hand, figures of made-up samples, and the whole script at a tenth of its times."""

import asyncio
import io
import json
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from rich.console import Console

from infra.tail import QUICK, REAL, main
from infra.tail_report import figures_of, page, show
from infra.tail_run import Plan, Sample, measure
from infra.tail_theory import NEVER, Reissue, best
from service.llm.candidate import Rules
from service.simulator.model_times import times

STUCK, SMOOTH = (times(first_token) for first_token in REAL.models.values())
EVENLY = times("uniform:0,1")


def sample(*waits: float, requests: int) -> Sample:
    return Sample(list(waits), requests)


def test_without_a_second_attempt_the_percentiles_are_the_models_own() -> None:
    assert NEVER.percentile(0.5, SMOOTH) == pytest.approx(0.55, abs=0.001)
    assert NEVER.percentile(0.95, SMOOTH) == pytest.approx(1.8, abs=0.001)
    assert NEVER.percentile(0.99, STUCK) == pytest.approx(7.0, abs=0.001)
    assert NEVER.spends(STUCK) == 0


def test_a_turn_is_late_when_both_of_its_attempts_are() -> None:
    assert Reissue(0.5).share_above(0.4, EVENLY) == pytest.approx(0.6)
    assert Reissue(0.5).share_above(0.75, EVENLY) == pytest.approx(0.25 * 0.75)
    assert Reissue(0.5, chance=0.4).share_above(0.75, EVENLY) == pytest.approx(0.25 * (1 - 0.4 * 0.25))
    assert Reissue(0.5, chance=0.4).spends(EVENLY) == pytest.approx(0.2)


def test_computed_percentiles_are_those_of_many_draws() -> None:
    chance, policy = Random(1), Reissue(0.9, chance=0.5)  # noqa: S311  not a secret
    waits = []
    for _ in range(40_000):
        first, second = SMOOTH.draw(chance), policy.delay + SMOOTH.draw(chance)
        asks_twice = first > policy.delay and chance.random() < policy.chance
        waits.append(min(first, second) if asks_twice else first)
    waits.sort()
    assert waits[38_000] == pytest.approx(policy.percentile(0.95, SMOOTH), rel=0.02)


def test_the_best_for_the_worst_percent_is_to_ask_again_once_the_budget_lasts() -> None:
    seconds, policy = best(0.99, STUCK, 0.08)
    assert seconds == pytest.approx(2.066, abs=0.002)
    assert policy.delay == pytest.approx(1.25, abs=0.02)
    assert policy.chance == pytest.approx(1.0, abs=0.01)


def test_the_best_for_a_nearer_percentile_is_to_ask_sooner_and_not_always() -> None:
    seconds, policy = best(0.95, SMOOTH, 0.08)
    assert seconds < Reissue(NEVER.percentile(0.92, SMOOTH)).percentile(0.95, SMOOTH)
    assert policy.delay < 1.2
    assert policy.spends(SMOOTH) == pytest.approx(0.08)


def test_more_extra_requests_never_make_the_best_worse() -> None:
    seconds = [best(0.95, SMOOTH, budget)[0] for budget in (0, 0.02, 0.05, 0.1, 0.2)]
    assert seconds[0] == pytest.approx(1.8, abs=0.001)
    assert all(more < less for less, more in pairwise(seconds))


def test_figures_compare_the_two_samples_and_count_what_was_asked_beyond_one_a_turn() -> None:
    without = sample(*(number / 100 for number in range(1001)), requests=1001)
    hedged = sample(*(number / 200 for number in range(1001)), requests=1101)
    found = figures_of("m", "uniform:0,10", without, hedged)
    p95 = found.percentiles[1]
    assert found.turns == 1001
    assert found.extra == pytest.approx(0.0999, abs=0.0001)
    assert (p95.without, p95.hedged, p95.shorter) == (9.5, 4.75, 0.5)
    assert p95.computed == pytest.approx(9.5, abs=0.001)
    assert p95.without_error == pytest.approx(0.135, abs=0.006)  # 1.96 * sqrt(n p (1 - p)) ranks, 0.01 s each
    assert p95.over_best == pytest.approx(4.75 / p95.best - 1)


def test_the_page_draws_both_curves_and_the_frontier_with_what_was_measured_on_it() -> None:
    without, hedged = [0.4, 0.5, 1.8, 2.9], [0.4, 0.5, 1.7, 2.2]
    found = figures_of("tail <b>", "lognormal:0.55,1.8", sample(*without, requests=4), sample(*hedged, requests=5))
    html = page([found], [(without, hedged)])
    assert html.count("<svg") == 2
    assert html.count("<polyline") == 4
    assert html.count("<circle") == 2
    assert "tail &lt;b&gt;" in html
    assert "http" not in html


def test_the_terminal_shows_each_percentile_in_a_line_that_is_not_cut() -> None:
    found = figures_of("m", "lognormal:0.55,1.8", sample(0.5, 1.9, requests=2), sample(0.5, 1.7, requests=3))
    console = Console(file=io.StringIO(), width=80)
    show([found], console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]  # it is a StringIO
    assert all(name in shown for name in ("p50", "p95", "p99", "50.00 ±98.00 % extra requests"))
    assert "…" not in shown


async def test_turns_arrive_whether_others_are_answered_or_not() -> None:
    now = asyncio.get_running_loop().time
    ended: list[float] = []
    samples = await measure("0.3", {"a": Rules()}, Plan(turns=40, rate=400, warm_up=0), lambda: ended.append(now()))
    assert ended[-1] - ended[0] < 1.5  # one after the other, ten an engine, they would take 3 s
    assert len(samples["a"].waits) == samples["a"].requests == len(ended) == 40
    assert min(samples["a"].waits) >= 0.3


async def test_turns_that_warm_up_are_asked_and_not_counted() -> None:
    ended: list[None] = []
    samples = await measure("0", {"a": Rules()}, Plan(turns=8, rate=400, warm_up=2), lambda: ended.append(None))
    assert len(ended) == 16
    assert len(samples["a"].waits) == samples["a"].requests == 8


async def test_a_stand_in_that_does_not_start_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="did not start"):
        await measure("soon", {"a": Rules()}, Plan(turns=4, rate=400), lambda: None)
    assert "soon" in capfd.readouterr().err


def test_the_script_measures_both_models_with_hedging_and_without(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--turns", "160", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["model"] for each in found] == list(QUICK.models)
    for each in found:
        assert each["turns"] == 160
        assert 0 < each["extra"] < 0.3
        assert each["percentiles"][0]["without"] == pytest.approx(0.056, abs=0.03)


def test_the_script_prints_the_figures_and_writes_its_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "tail.html"
    assert main(["--quick", "--turns", "100", "--report", str(report)]) == 0
    assert "stuck requests" in capsys.readouterr().out
    assert report.read_text(encoding="utf-8").count("<svg") == 4


def test_too_few_turns_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--turns", "10"])
    assert "no tail" in capsys.readouterr().err
