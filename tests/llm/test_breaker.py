import pytest

from service.llm.breaker import Breaker, BreakerRules, State

RULES = BreakerRules(share=0.5, window=20, least=5, memory=60.0, open_for=10.0, open_at_most=60.0)


def broken(at: float = 0.0) -> Breaker:
    breaker = Breaker(RULES)
    for _ in range(5):
        breaker.went_badly(at)
    return breaker


def tried(breaker: Breaker, at: float) -> Breaker:
    assert breaker.admits(at)
    breaker.begun(at)
    return breaker


def test_it_opens_when_half_of_the_attempts_went_badly() -> None:
    breaker = Breaker(RULES)
    for moment in range(3):
        breaker.went_well(moment, moment)
        breaker.went_badly(moment)
        assert breaker.admits(moment) is (moment < 2)
    assert breaker.state(3.0) is State.OPEN


def test_it_does_not_open_on_fewer_attempts_than_five() -> None:
    breaker = Breaker(RULES)
    for _ in range(4):
        breaker.went_badly(0.0)
    assert breaker.state(0.0) is State.CLOSED


def test_it_forgets_what_is_old() -> None:
    breaker = Breaker(RULES)
    for moment in (0.0, 1.0, 2.0, 3.0, 63.1):
        breaker.went_badly(moment)
    assert breaker.state(63.1) is State.CLOSED


def test_it_knows_only_the_latest() -> None:
    breaker = Breaker(RULES)
    for _ in range(10):
        breaker.went_well(0.0, 0.0)
    for number in range(1, 21):
        breaker.went_badly(0.0)
        assert breaker.admits(0.0) is (number < 10)


def test_it_lets_one_attempt_try_after_a_while() -> None:
    breaker = broken()
    assert not breaker.admits(9.9)
    tried(breaker, 10.0)
    assert (breaker.state(10.0), breaker.admits(10.0)) == (State.HALF_OPEN, False)


def test_it_closes_when_the_try_went_well_and_forgets_what_was() -> None:
    breaker = tried(broken(), 10.0)
    breaker.went_well(10.5, 10.0)
    for _ in range(2):
        breaker.went_badly(11.0)
    assert breaker.admits(11.0)


@pytest.mark.parametrize("is_outrun", [True, False])
def test_each_try_that_went_badly_doubles_the_time_up_to_the_longest(*, is_outrun: bool) -> None:
    breaker, at, waits = broken(), 10.0, []
    for _ in range(4):
        tried(breaker, at)
        if is_outrun:
            breaker.told_nothing(at, is_outrun=True)
        else:
            breaker.went_badly(at)
        waits.append(breaker.open_until - at)
        at = breaker.open_until
    assert waits == [20.0, 40.0, 60.0, 60.0]


def test_an_answer_from_before_it_opened_does_not_close_it() -> None:
    breaker = broken(at=5.0)
    breaker.went_well(6.0, 4.9)
    assert breaker.state(6.0) is State.OPEN
    breaker.went_well(7.0, 5.5)  # asked though it was open, because all targets were
    assert breaker.state(7.0) is State.CLOSED


def test_the_time_is_short_again_after_a_try_that_went_well() -> None:
    breaker = tried(broken(), 10.0)
    breaker.went_badly(10.0)
    tried(breaker, 30.0).went_well(30.0, 30.0)
    for _ in range(5):
        breaker.went_badly(31.0)
    assert breaker.open_until == 41.0


def test_a_try_that_was_taken_back_leaves_the_next_one_to_another() -> None:
    breaker = tried(broken(), 10.0)
    breaker.told_nothing(10.1, is_outrun=False)
    assert breaker.admits(10.1)


@pytest.mark.parametrize("is_outrun", [True, False])
def test_a_target_that_is_outrun_again_and_again_is_left_alone(is_outrun: bool) -> None:
    breaker = Breaker(RULES)
    for _ in range(20):
        breaker.told_nothing(0.0, is_outrun=is_outrun)
    assert breaker.admits(0.0) is not is_outrun


def test_an_attempt_from_before_does_not_lengthen_the_time() -> None:
    breaker = broken()
    breaker.went_badly(2.0)
    assert breaker.open_until == 10.0


@pytest.mark.parametrize(("seconds", "until"), [(None, 61.0), (5.0, 6.0), (3600.0, 61.0)])
def test_it_can_be_opened_at_once(seconds: float | None, until: float) -> None:
    breaker = Breaker(RULES)
    breaker.open(1.0, seconds)
    assert (breaker.state(1.0), breaker.open_until) == (State.OPEN, until)


def test_it_is_not_opened_for_a_shorter_time_than_it_is() -> None:
    breaker = Breaker(RULES)
    breaker.open(0.0, 30.0)
    breaker.open(1.0, 2.0)
    assert breaker.open_until == 30.0
