from hypothesis import given
from hypothesis import strategies as st

from service.llm.hedge import Hedger, HedgeRules

RULES = HedgeRules(quantile=0.92, least=0.6, most=2.0, at_first=1.2, bucket=10.0, refill=0.1, off_above=0.25)


def hedger(*known: float, rules: HedgeRules = RULES) -> Hedger:
    hedger = Hedger(rules)
    for seconds in known:
        hedger.spoke(seconds)
    return hedger


def test_the_delay_is_a_guess_until_twenty_turns_told_better() -> None:
    assert hedger(*[0.7] * 19).turn_began() == 1.2
    assert hedger(*[0.7] * 20).turn_began() == 0.7


def test_the_delay_is_a_high_quantile() -> None:
    assert hedger(*[n / 100 for n in range(1, 201)]).turn_began() == 1.85  # 15 of 200 came later


def test_the_delay_stays_between_its_bounds() -> None:
    assert hedger(*[0.1] * 20).turn_began() == 0.6
    assert hedger(*[9.0] * 20).turn_began() == 2.0


@given(st.lists(st.sampled_from([0.6, 0.7, 0.9, 1.5, 1.9]), min_size=20, max_size=60))
def test_the_delay_is_of_the_latest_turns(times: list[float]) -> None:
    rules = HedgeRules(quantile=0.92, most=2.0, window=20)
    assert hedger(*times, rules=rules).turn_began() == sorted(times[-20:])[18]


def test_a_slow_hour_is_forgotten_after_as_many_turns_as_are_looked_at() -> None:
    assert hedger(*[1.5] * 200, *[0.7] * 200).turn_began() == 0.7


def test_hedges_are_spent_and_earned() -> None:
    one = hedger()
    assert [one.take() for _ in range(11)] == [True] * 10 + [False]
    for _ in range(11):
        one.turn_began()
    assert [one.take(), one.take()] == [True, False]


def test_no_more_are_saved_than_the_bucket_holds() -> None:
    one = hedger()
    for _ in range(1000):
        one.turn_began()
    assert sum(one.take() for _ in range(20)) == 10


def test_none_is_spent_when_hedging_is_off() -> None:
    assert not hedger(rules=HedgeRules(is_on=False)).take()


def test_the_same_target_is_not_fed_while_more_than_a_quarter_reach_the_delay() -> None:
    one = hedger()
    for number in range(19):
        one.waited(reached=True)
        assert one.may_feed(), number
    one.waited(reached=True)
    assert not one.may_feed()
    for _ in range(30):
        one.waited(reached=False)
    assert one.may_feed()  # 10 of the latest 40
    one.waited(reached=True)
    assert one.may_feed()
    for _ in range(10):
        one.waited(reached=True)
    assert not one.may_feed()
