"""Rule 8 of `dependable`: what an operator switched off is never asked, and what is preferred is asked first."""

import asyncio
from collections.abc import Callable

from service.llm.breaker import BreakerRules
from service.llm.candidate import Rules
from service.llm.hedge import HedgeRules
from service.llm.model import ServerFailed, Unreachable
from service.llm.switches import Switches
from service.virtual.loop import run
from tests.llm.scripted import HANG, Script, Scripted, Stage, Turn

YES: Script = [0.5, "Yes."]


def test_rule_8_what_is_switched_off_is_passed_over_until_it_is_on_again() -> None:
    stage = Stage(Scripted("a", YES), Scripted("b", YES))
    stage.switches.targets_off.add("a")
    assert run(stage.turn()).told == ["b first answered"]
    stage.switches.targets_off.clear()
    assert run(stage.turn(1)).told == ["a first answered"]


def test_rule_8_what_is_preferred_is_asked_first_and_the_others_keep_their_order() -> None:
    stage = Stage(Scripted("a", YES), Scripted("b", [0.1, ServerFailed()]), Scripted("c", [0.1, ServerFailed()]))
    stage.switches.preferred = "c"
    assert [target.name for target in stage.model.targets] == ["c", "a", "b"]
    assert run(stage.turn()).told == ["c first failed ServerFailed", "a failover answered"]


def test_rule_8_a_preferred_target_whose_breaker_is_open_is_passed_over() -> None:
    rules = Rules(breaker=BreakerRules(least=1, share=0.1), hedge=HedgeRules(is_on=False))
    stage = Stage(Scripted("a", YES), Scripted("b", [0.1, ServerFailed()]), rules=rules)
    stage.switches.preferred = "b"
    first, second = run(stage.turns(2))
    assert first.told[0] == "b first failed ServerFailed"
    assert second.told == ["a first answered"]


def test_rule_8_of_open_breakers_one_that_is_switched_on_is_tried() -> None:
    rules = Rules(breaker=BreakerRules(least=1, share=0.1), hedge=HedgeRules(is_on=False))
    stage = Stage(Scripted("a", [0.1, ServerFailed()]), Scripted("b", [0.2, ServerFailed()]), rules=rules)

    async def play() -> Turn:
        await stage.turn()
        stage.switches.targets_off.add("a")  # the first to close
        return await stage.turn(1)

    assert {told.split()[0] for told in run(play()).told} == {"b"}


def test_rule_8_what_is_switched_off_in_the_middle_of_a_turn_is_not_asked_in_its_rest() -> None:
    b = Scripted("b", YES)
    stage = Stage(Scripted("a", [HANG]), b, Scripted("c", YES))
    turn = changed_after(1.0, stage, lambda switches: switches.targets_off.add("b"))
    assert (turn.told, b.asks) == (["a first lost", "c hedge answered"], 0)


def test_rule_8_what_is_switched_off_while_it_answers_may_answer_to_its_end() -> None:
    stage = Stage(Scripted("a", [1.0, "Yes, ", 1.0, "we are."]), Scripted("b", YES))
    turn = changed_after(1.5, stage, lambda switches: switches.targets_off.add("a"))
    assert (turn.words, turn.told) == ("Yes, we are.", ["a first answered"])


def test_rule_8_what_is_switched_off_is_not_asked_again_when_it_fails_or_is_slow() -> None:
    failing = Stage(Scripted("a", [1.0, Unreachable()], YES))
    assert changed_after(0.5, failing, lambda switches: switches.targets_off.add("a")).told == [
        "a first failed Unreachable"
    ]
    slow = Stage(Scripted("a", [2.0, "Late."], YES))
    assert changed_after(0.5, slow, lambda switches: switches.targets_off.add("a")).told == ["a first answered"]


def test_without_hedging_a_slow_attempt_waits_for_its_deadline() -> None:
    stage = Stage(Scripted("a", [HANG]), Scripted("b", YES))
    turn = changed_after(1.0, stage, lambda switches: setattr(switches, "may_hedge", False))
    assert (turn.times, turn.told) == ([3.5], ["a first lost", "b failover answered"])
    stage.switches.may_hedge = True
    assert run(stage.turn(1)).told == ["a first lost", "b hedge answered"]


def changed_after(seconds: float, stage: Stage, change: Callable[[Switches], object]) -> Turn:
    """A turn in which an operator changes something."""

    async def play() -> Turn:
        asyncio.get_running_loop().call_later(seconds, change, stage.switches)
        return await stage.turn()

    return run(play())
