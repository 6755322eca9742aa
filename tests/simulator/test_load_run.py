"""The arithmetic of a load run: quantiles, what is added, and the shares of CPU and memory."""

import pytest

from service.simulator.load_run import Plan, Run, Spread, Tally, Usage, run_of

PLAN = Plan(calls=10, seconds=60)


def measured(**noted: object) -> Run:
    return run_of(Tally(PLAN, began=5.0, ended=65.0, asked=100, **noted))  # type: ignore[arg-type]  # as given


@pytest.mark.parametrize(("n", "quantiles"), [(100, (50, 95, 99, 100)), (3, (2, 3, 3, 3)), (1, (1, 1, 1, 1))])
def test_a_spread_is_of_values_that_were_measured(n: int, quantiles: tuple[int, ...]) -> None:
    assert Spread.of(ms / 1000 for ms in range(n, 0, -1)) == Spread(n, *quantiles)
    assert Spread.of([]) is None


def test_what_is_added_is_the_difference_of_the_quantiles() -> None:
    assert Spread(9, 52, 60, 80, 90).over(Spread(9, 50, 55, 60, 95)) == Spread(9, 2, 5, 20, -5)


def test_what_is_added_is_unknown_without_the_models_draws() -> None:
    assert measured(first=[(0.0, 0.052)], model=[0.05]).added == Spread(1, 2.0, 2.0, 2.0, 2.0)
    assert measured(first=[(0.0, 0.052)]).added is None


def test_cpu_is_that_of_the_two_middle_quarters() -> None:
    looks = [(5, 0.0, 0), (19, 2.0, 20), (20, 3.0, 30), (50, 6.0, 80), (51, 9.0, 90)]
    run = measured(usage=[Usage(at, cpu, 2**20, turns) for at, cpu, turns in looks], client_cpu=3.0)
    assert (run.cpu_ms_per_turn, run.cpu_seconds_per_call_minute, run.cpu_share) == (60.0, 0.6, 0.1)
    assert (run.turns_per_second, run.client_cpu_share) == (1.67, 0.05)


def test_memory_is_shared_out_over_calls() -> None:
    run = measured(empty=Usage(0, 1, 2**20), idle=Usage(4, 2, 2 * 2**20), usage=[Usage(70, 9, 3 * 2**20)])
    assert (run.kb_per_idle_call, run.kb_per_call_at_end) == (102.4, 204.8)


def test_cpu_and_memory_of_a_server_elsewhere_are_unknown() -> None:
    run = measured()
    assert {run.cpu_ms_per_turn, run.cpu_seconds_per_call_minute, run.cpu_share} == {None}
    assert {run.kb_per_idle_call, run.kb_per_call_at_end} == {None}
