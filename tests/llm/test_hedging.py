"""Rule 3 of `dependable`: a slow first attempt gets a second one beside it."""

import pytest

from service.llm import dependable
from service.llm.breaker import BreakerRules, State
from service.llm.candidate import Rules
from service.llm.hedge import HedgeRules
from service.llm.model import KeyRejected, Occasion, RateLimited, ServerFailed, ToolCall, ToolCallBegun
from service.llm.records import Cause
from service.virtual.loop import run
from tests.llm.scripted import HANG, Script, Scripted, Stage, played

WORDS: Script = [0.5, "Yes, ", 0.1, "we are."]


def test_rule_3_a_slow_attempt_gets_a_second_one_at_the_next_target() -> None:
    a, b = Scripted("a", [HANG]), Scripted("b", WORDS)
    turn = played(a, b)
    assert (turn.words, turn.times) == ("Yes, we are.", [1.7, 1.8])
    assert turn.told == ["a first lost", "b hedge answered"]


def test_rule_3_without_another_target_on_another_connection() -> None:
    turn = played(Scripted("a", [HANG], WORDS))
    assert (turn.words, turn.told) == ("Yes, we are.", ["a first lost", "a hedge answered"])


def test_rule_3_the_loser_is_closed_before_the_first_word_goes_on() -> None:
    a, b = Scripted("a", [HANG]), Scripted("b", WORDS)
    stage = Stage(a, b)

    async def open_at_each_piece() -> list[int]:
        return [a.open async for _ in stage.model.stream([], Occasion("call", 0))]

    assert run(open_at_each_piece()) == [0, 0]


def test_rule_3_the_first_attempt_may_win() -> None:
    turn = played(Scripted("a", [1.4, "Late."]), Scripted("b", WORDS))
    assert (turn.words, turn.told) == ("Late.", ["a first answered", "b hedge lost"])


@pytest.mark.parametrize("b_words", ["Two.", "  "])
def test_rule_3_of_two_that_speak_in_the_same_moment_one_is_heard(b_words: str) -> None:
    turn = played(Scripted("a", [1.7, "One."]), Scripted("b", [0.5, b_words, "", HANG]))
    assert (turn.words, turn.told) == ("One.", ["a first answered", "b hedge lost"])


def test_rule_3_one_that_fails_in_the_moment_in_which_another_speaks_has_failed() -> None:
    stage = Stage(Scripted("a", [1.7, "One."]), Scripted("b", [0.5, KeyRejected()]))
    turn, after = run(stage.turns(2))
    assert turn.told == ["a first answered", "b hedge failed KeyRejected"]
    assert after.told == ["a first answered", "a hedge lost"]  # b is left alone


def test_rule_3_one_hedge_a_turn() -> None:
    a, b, c = Scripted("a", [2.9, "Late."]), Scripted("b", [HANG]), Scripted("c", WORDS)
    turn = played(a, b, c)
    assert (turn.words, a.asks, b.asks, c.asks) == ("Late.", 1, 1, 0)


def test_rule_3_one_hedge_a_turn_however_often_it_asks() -> None:
    stage = Stage(Scripted("a", [2.0, "Late."]), Scripted("b", WORDS))

    async def asked_twice_and_then_in_another_turn() -> list[list[str]]:
        turns = [await stage.turn(index) for index in (0, 0, 1)]
        return [turn.told for turn in turns]

    first, both, next_turn = run(asked_twice_and_then_in_another_turn())
    assert first == next_turn == ["a first lost", "b hedge answered"]
    assert both == [*first, "a first answered"]


def test_rule_3_turns_that_had_their_hedge_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependable, "_HEDGED_TURNS", 1)
    stage = Stage(Scripted("a", [2.0, "Late."]), Scripted("b", WORDS))

    async def hedges() -> int:
        for index in (0, 1, 0):
            await stage.turn(index)
        return sum(record.cause is Cause.HEDGE for record in stage.records)

    assert run(hedges()) == 3


def test_rule_3_the_target_of_a_hedge_is_not_asked_again() -> None:
    turn = played(Scripted("a", [HANG]), Scripted("b", [HANG]), Scripted("c", WORDS))
    assert (turn.told, turn.times[0]) == (["a first lost", "b hedge lost", "c failover answered"], 3.5)


def test_rule_3_a_tool_call_that_began_is_not_hedged() -> None:
    a, b = Scripted("a", [1.1, ToolCallBegun(), 5.0, ToolCall("t", "book", "{}")]), Scripted("b", WORDS)
    assert (played(a, b).pieces, b.asks) == ([ToolCall("t", "book", "{}")], 0)


def test_rule_3_only_the_first_attempt_is_hedged() -> None:
    a, b, c = Scripted("a", [0.1, ServerFailed()]), Scripted("b", [3.0, "Two."]), Scripted("c", WORDS)
    assert played(a, b, c).told == ["a first failed ServerFailed", "b failover answered"]


def test_rule_3_a_hedge_that_fails_leaves_the_first() -> None:
    turn = played(Scripted("a", [1.6, "One."]), Scripted("b", [0.1, ServerFailed()]))
    assert (turn.words, turn.told) == ("One.", ["a first answered", "b hedge failed ServerFailed"])


def test_rule_3_a_first_attempt_that_fails_leaves_the_hedge() -> None:
    turn = played(Scripted("a", [1.3, ServerFailed()]), Scripted("b", WORDS))
    assert (turn.words, turn.told) == ("Yes, we are.", ["a first failed ServerFailed", "b hedge answered"])


def test_rule_3_hedging_can_be_off() -> None:
    assert played(Scripted("a", [2.0, "One."], WORDS), rules=Rules(hedge=HedgeRules(is_on=False))).times == [2]


def test_rule_3_the_delay_follows_the_target() -> None:
    usual: Script = [0.7, "Yes."]
    a = Scripted("a", *[usual] * 20, [HANG], [0.1, "At last."])
    assert run(Stage(a).turns(21))[20].times == [0.8]


def test_rule_3_the_delay_of_a_target_is_known_before_it_is_the_first() -> None:
    usual: Script = [0.7, "Yes."]
    down: Script = [ServerFailed()]
    a = Scripted("a", *[down] * 20, [KeyRejected()])
    b = Scripted("b", *[usual] * 21, [HANG], [0.1, "At last."])
    turns = run(Stage(a, b, rules=Rules(breaker=BreakerRules(least=1000))).turns(22))
    assert (turns[21].told, turns[21].times) == (["b first lost", "b hedge answered"], [0.8])


def test_rule_3_a_hedge_that_wins_tells_how_slow_the_first_was_at_least() -> None:
    """Else the delay would sink with each hedge: the slowest answers are those that are never seen."""
    scripts: list[Script] = [[3.0, "Late."], [0.3, "Hedged."], [0.8, "In time."]]
    a = Scripted("a", *scripts * 20)
    rules = Rules(hedge=HedgeRules(quantile=0.7, most=2.0, off_above=1.0, refill=1.0))
    assert run(Stage(a, rules=rules).turns(40))[38].times == [1.2 + 0.3 + 0.3]


def test_rule_3_the_budget_ends_and_comes_again() -> None:
    a, b = Scripted("a", [2.0, "Late."]), Scripted("b", WORDS)
    rules = Rules(hedge=HedgeRules(at_first=0.6, least_known=1000, bucket=2, refill=0.25))
    turns = run(Stage(a, b, rules=rules).turns(8))
    assert ["b hedge answered" in turn.told for turn in turns] == [True, True, False, False, True, False, False, False]


def test_rule_3_a_target_that_is_slow_with_most_is_not_fed() -> None:
    a = Scripted("a", [1.4, "Late."])
    turns = run(Stage(a, rules=Rules(hedge=HedgeRules(bucket=100))).turns(24))
    assert [len(turn.told) for turn in turns] == [2] * 19 + [1] * 5


def test_rule_3_a_target_that_is_slow_now_and_then_is_fed() -> None:
    usual: list[Script] = [[0.1, "Yes."]] * 4
    late: list[Script] = [[HANG], [0.1, "At last."]]
    a = Scripted("a", *(usual + late) * 25)
    turns = run(Stage(a, rules=Rules(hedge=HedgeRules(bucket=100))).turns(125))
    assert [len(turn.told) for turn in turns] == [1, 1, 1, 1, 2] * 25


def test_rule_3_another_target_is_asked_though_the_first_is_slow_with_most() -> None:
    a, b = Scripted("a", [3.0, "Late."]), Scripted("b", WORDS)
    rules = Rules(hedge=HedgeRules(bucket=100))
    assert [turn.words for turn in run(Stage(a, b, rules=rules).turns(30))] == ["Yes, we are."] * 30


def test_rule_3_turns_that_were_overtaken_do_not_hide_that_a_target_is_slow() -> None:
    a = Scripted("a", [1.4, "Late."])
    rules = Rules(hedge=HedgeRules(bucket=1000, refill=0.0, least_known=4))
    stage = Stage(a, rules=rules)

    async def a_call() -> int:
        for index in range(20):
            await stage.turn(0, cancelled_after=0.2)
            await stage.turn(1 + index)
        return a.asks

    assert run(a_call()) == 20 + 20 + 3  # hedges until four turns told that it is slow


def test_rule_3_no_hedge_after_too_many_requests() -> None:
    a, b = Scripted("a", [1.4, "Late."]), Scripted("b", [RateLimited()], WORDS)
    turns = run(Stage(a, b, rules=Rules(hedge=HedgeRules(least_known=1000))).turns(28, gap=1.0))
    assert turns[0].told == ["a first answered", "b hedge failed RateLimited"]
    assert turns[24].told == ["a first answered"]  # after 58 seconds
    assert turns[27].told == ["a first answered", "b hedge lost"]  # after 65


def test_rule_3_a_target_that_is_tried_as_a_hedge_and_loses_has_told_nothing() -> None:
    a, b = Scripted("a", [ServerFailed()], [1.5, "Yes."]), Scripted("b", [KeyRejected()], [HANG])
    _, second = run(Stage(a, b).turns(2, gap=61))
    assert second.told == ["a first answered", "b hedge lost"]
    assert second.records[0].breaker is State.HALF_OPEN


def test_rule_3_a_target_that_hangs_when_it_is_tried_is_left_alone_for_longer() -> None:
    """The hedge speaks before the trial is too slow; that must decide it all the same."""
    limited = RateLimited()
    limited.retry_after = 9.0
    a, b = Scripted("a", [limited], [HANG]), Scripted("b", [0.1, "Yes."])
    turns = run(Stage(a, b).turns(40, gap=0.9))
    hung = [turn.times[0] > 1 for turn in turns[1:]]
    assert (hung.index(True), sum(hung)) == (8, 2)  # at 9 seconds, and 20 after that


def test_rule_3_while_a_target_is_on_trial_the_caller_does_not_pay_for_it() -> None:
    a, b = Scripted("a", [HANG]), Scripted("b", WORDS)
    rules = Rules(hedge=HedgeRules(bucket=0.0, refill=0.0), breaker=BreakerRules(least=1, open_for=10))
    first, _, trial = run(Stage(a, b, rules=rules).turns(3, gap=6))
    assert first.told == ["a first lost", "b failover answered"]
    assert trial.told == ["a first lost", "b hedge answered"]


def test_rule_7_a_target_that_another_outruns_again_and_again_is_passed_over() -> None:
    turns = run(Stage(Scripted("a", [HANG]), Scripted("b", WORDS)).turns(6))
    assert [len(turn.told) for turn in turns] == [2, 2, 2, 2, 2, 1]
