"""The rules at the head of `dependable`, each by its number."""

import asyncio
from itertools import pairwise

import pytest

from service.llm.breaker import BreakerRules, State
from service.llm.candidate import AnswerRules, Rules
from service.llm.hedge import HedgeRules
from service.llm.model import (
    AnswerEnded,
    AnswerFiltered,
    Delta,
    KeyRejected,
    NothingSaid,
    QuotaExhausted,
    RateLimited,
    RequestRejected,
    ServerFailed,
    StreamBroken,
    ToolCall,
    ToolCallBegun,
    Unreachable,
    Usage,
)
from service.llm.records import Cause, Result
from service.virtual.loop import run
from tests.llm.scripted import HANG, Script, Scripted, Stage, begun, played

NO_HEDGE = Rules(hedge=HedgeRules(is_on=False))
CALL = ToolCall("t", "book", "{}")


def test_an_answer_goes_through_as_it_is_made() -> None:
    turn = played(Scripted("a", [0.5, "Hello", 0.2, " there.", 0.1]))
    assert (turn.pieces, turn.error) == (["Hello", " there."], None)
    assert (turn.times, turn.ended_after) == ([0.5, 0.7], 0.8)
    assert turn.told == ["a first answered"]


def test_what_the_endpoint_tells_is_in_the_record() -> None:
    [told] = played(Scripted("a", [0.1, begun("r1"), 0.4, "Hi.", AnswerEnded("stop", Usage(5, 3, 2, 1))])).records
    assert (told.target, told.model, told.finish_reason, told.usage) == ("a", "m", "stop", Usage(5, 3, 2, 1))
    assert (told.request_id, told.requests_left, told.tokens_left) == ("r1", 9, 99)
    assert [round(moment or 0, 6) for moment in (told.asked_at, told.first_words_at, told.ended_at)] == [0, 0.5, 0.5]
    assert told.traceparent == "00-call"


def test_a_refusal_tells_the_request_it_was() -> None:
    error = RequestRejected()
    error.request_id = "r2"
    [told] = played(Scripted("a", [error])).records
    assert (told.request_id, told.error, told.first_words_at) == ("r2", "RequestRejected", None)


@pytest.mark.parametrize("silence", [begun("r"), "", "  ", "\n\n", "**", "<think>Hm."], ids=repr)
def test_rule_1_headers_and_what_cannot_be_spoken_are_silence(silence: str) -> None:
    turn = played(Scripted("slow", [0.1, silence, HANG]), Scripted("next", [0.5, "Yes."]), rules=NO_HEDGE)
    assert (turn.words, turn.times) == ("Yes.", [3.5])


def test_rule_1_a_tool_call_that_began_is_an_answer() -> None:
    call: Script = [0.5, ToolCallBegun(), 9.0, CALL, AnswerEnded("tool_calls")]
    turn = played(Scripted("a", call), Scripted("b", [0.1, "No."]))
    assert (turn.pieces, turn.told) == ([CALL], ["a first answered"])


def test_rule_1_a_tool_call_that_comes_whole_is_an_answer() -> None:
    assert played(Scripted("a", [0.5, CALL])).pieces == [CALL]


@pytest.mark.parametrize(
    "error",
    [
        KeyRejected,
        RequestRejected,
        QuotaExhausted,
        AnswerFiltered,
        RateLimited,
        ServerFailed,
        Unreachable,
        RuntimeError,
    ],
)
def test_rule_2_the_next_target_is_asked_at_once(error: type[Exception]) -> None:
    turn = played(Scripted("a", [0.3, error()]), Scripted("b", [0.4, "Yes."]))
    assert (turn.words, turn.times) == ("Yes.", [0.7])
    assert turn.told == [f"a first failed {error.__name__}", "b failover answered"]


def test_rule_2_the_error_of_the_last_is_raised() -> None:
    turn = played(Scripted("a", [ServerFailed()]), Scripted("b", [KeyRejected()]))
    assert (turn.pieces, turn.error) == ([], KeyRejected)


def test_rule_2_a_stream_that_breaks_after_words_is_neither_repeated_nor_continued() -> None:
    a, b = Scripted("a", [0.1, "We are ", 0.1, StreamBroken()]), Scripted("b", [0.1, "open."])
    turn = played(a, b)
    assert (turn.words, turn.error, b.asks) == ("We are ", StreamBroken, 0)
    assert turn.told == ["a first failed StreamBroken"]


def test_rule_2_a_tool_call_that_broke_is_not_made_again() -> None:
    a, b = Scripted("a", [0.1, ToolCallBegun(), 0.1, StreamBroken()]), Scripted("b", [0.1, "No."])
    turn = played(a, b)
    assert (turn.pieces, turn.error, a.asks, b.asks) == ([], StreamBroken, 1, 0)


def test_rule_4_a_cold_target_has_more_time_than_one_that_answered_of_late() -> None:
    a, b = Scripted("a", [0.1, "One."], [HANG]), Scripted("b", [0.5, "Two."])
    _, second = run(Stage(a, b, rules=NO_HEDGE).turns(2))
    assert (second.words, second.times) == ("Two.", [2.5 + 0.5])
    assert second.told == ["a first lost", "b failover answered"]
    turn = played(Scripted("a", [HANG]), Scripted("b", [0.5, "Two."]), rules=NO_HEDGE)
    assert turn.times == [3.0 + 0.5]


def test_rule_4_a_target_is_cold_again_after_a_while() -> None:
    a, b = Scripted("a", [0.1, "One."], [HANG]), Scripted("b", [0.5, "Two."])
    _, second = run(Stage(a, b, rules=NO_HEDGE).turns(2, gap=121))
    assert second.times == [3.5]


def test_rule_4_a_slow_target_may_still_win() -> None:
    turn = played(Scripted("a", [3.2, "Late."]), Scripted("b", [0.5, "Two."]), rules=NO_HEDGE)
    assert (turn.words, turn.told) == ("Late.", ["a first answered", "b failover lost"])


def test_rule_4_each_slow_target_brings_the_next() -> None:
    turn = played(Scripted("a", [HANG]), Scripted("b", [HANG]), Scripted("c", [0.5, "Three."]), rules=NO_HEDGE)
    assert (turn.words, turn.times) == ("Three.", [3.0 + 3.0 + 0.5])


def test_rule_4_a_slow_attempt_that_fails_counts_once() -> None:
    a, b = Scripted("a", [3.5, ServerFailed()]), Scripted("b", [1.0, "Two."])
    *_, fourth = run(Stage(a, b, rules=NO_HEDGE).turns(4))
    assert fourth.told == ["a first failed ServerFailed", "b failover answered"]  # twice would have opened its breaker


def test_rule_4_a_target_that_is_slow_five_times_is_left_alone() -> None:
    a, b = Scripted("a", [HANG]), Scripted("b", [1.0, "Two."])
    turns = run(Stage(a, b, rules=NO_HEDGE).turns(6))
    assert [len(turn.told) for turn in turns] == [2, 2, 2, 2, 2, 1]


def test_rule_4_a_target_that_is_late_has_not_gone_well() -> None:
    turns = run(Stage(Scripted("a", [4.2, "Late."]), rules=NO_HEDGE).turns(5))
    assert [turn.records[0].breaker for turn in turns] == [State.CLOSED] * 4 + [State.OPEN]


def test_rule_4_the_deadline_is_a_setting() -> None:
    rules = Rules(answer=AnswerRules(cold_slow_after=1.0), hedge=HedgeRules(is_on=False))
    assert played(Scripted("a", [HANG]), Scripted("b", [0.5, "Two."]), rules=rules).times == [1.5]


@pytest.mark.parametrize("error", [ServerFailed, Unreachable, StreamBroken, NothingSaid])
def test_rule_5_a_passing_failure_is_asked_again_once(error: type[Exception]) -> None:
    once = played(Scripted("a", [0.1, error()], [0.2, "Yes."]))
    assert (once.words, once.told) == ("Yes.", [f"a first failed {error.__name__}", "a retry answered"])
    twice = played(Scripted("a", [0.1, error()]))
    assert (twice.error, twice.told) == (error, [f"a {cause} failed {error.__name__}" for cause in ("first", "retry")])


@pytest.mark.parametrize(
    "error", [KeyRejected, RequestRejected, QuotaExhausted, AnswerFiltered, RateLimited, RuntimeError]
)
def test_rule_5_another_failure_is_not(error: type[Exception]) -> None:
    turn = played(Scripted("a", [0.1, error()], [0.2, "Yes."]))
    assert (turn.error, turn.told) == (error, [f"a first failed {error.__name__}"])


@pytest.mark.parametrize("empty", [[], [" "], ["\n"], ["**", "**"]], ids=repr)
def test_rule_5_an_empty_answer_is_asked_again_once(empty: Script) -> None:
    assert played(Scripted("a", empty, [0.1, "Yes."])).told == ["a first failed NothingSaid", "a retry answered"]
    assert played(Scripted("a", empty)).error is NothingSaid


def test_rule_5_comes_after_the_last_target() -> None:
    turn = played(Scripted("a", [ServerFailed()]), Scripted("b", [0.1, ServerFailed()], [0.1, "Yes."]))
    assert turn.told == ["a first failed ServerFailed", "b failover failed ServerFailed", "b retry answered"]


@pytest.mark.parametrize(
    "ill", [[0.1, "We are ", 0.1, StreamBroken()], [0.1, ToolCallBegun(), ServerFailed()]], ids=repr
)
def test_rule_6_a_target_that_always_breaks_in_mid_answer_is_left_alone_and_each_try_in_vain_doubles_the_time(
    ill: Script,
) -> None:
    stage = Stage(Scripted("a", ill), Scripted("b", [0.1, "Yes."]))
    turns = run(stage.turns(40, gap=1.0))
    tries = [turn.records[0].asked_at for turn in turns if turn.records[0].target == "a"]
    assert [round(after - before) for before, after in pairwise(tries[4:])] == [11, 21]
    assert len(tries) == 7


def test_rule_6_a_try_decides_when_its_answer_has_ended() -> None:
    a, b = Scripted("a", [RateLimited()], [1.0, "Back", 5.0, "."]), Scripted("b", [0.1, "Yes."])
    stage = Stage(a, b, rules=Rules(breaker=BreakerRules(least=1, open_for=1.0)))

    async def while_it_speaks() -> list[list[str]]:
        await stage.turns(1, gap=2.0)
        trial = asyncio.get_running_loop().create_task(stage.turn(1))
        await asyncio.sleep(3.0)
        meanwhile = await stage.turn(2)
        return [meanwhile.told, (await trial).told, (await stage.turn(3)).told]

    assert run(while_it_speaks()) == [["b first answered"], ["a first answered"], ["a first answered"]]


@pytest.mark.parametrize(
    ("after", "script", "state"),
    [
        pytest.param(0.5, [0.1, "We are ", HANG], State.CLOSED, id="interrupted"),
        pytest.param(1.2, [0.1, "We are ", HANG], State.OPEN, id="stalled"),
        pytest.param(2.9, [0.1, *["So ", 0.9] * 9], State.CLOSED, id="slow"),
        pytest.param(2.0, [0.1, ToolCallBegun(), HANG], State.CLOSED, id="calling"),
    ],
)
def test_rule_6_a_target_that_has_stalled_when_the_turn_ends_counts_as_failing(
    after: float, script: Script, state: State
) -> None:
    turns = run(Stage(Scripted("a", script)).turns(5, cancelled_after=after))
    assert turns[-1].records[0].breaker is state


@pytest.mark.parametrize("ended", [AnswerEnded("content_filter"), AnswerFiltered(), AnswerEnded("length")], ids=repr)
def test_rule_6_what_a_caller_said_and_what_we_allow_closes_no_target_to_others(ended: Delta | Exception) -> None:
    turns = run(Stage(Scripted("a", [0.1, "We are", ended])).turns(9))
    assert {turn.records[0].breaker for turn in turns} == {State.CLOSED}


@pytest.mark.parametrize("error", [KeyRejected, QuotaExhausted])
def test_rule_7_a_target_that_is_left_alone_is_passed_over(error: type[KeyRejected | QuotaExhausted]) -> None:
    a, b = Scripted("a", [error()]), Scripted("b", [0.1, "Yes."])
    turns = run(Stage(a, b).turns(3))
    assert [turn.told[-1] for turn in turns] == ["b failover answered", "b first answered", "b first answered"]


def test_rule_7_when_all_are_left_alone_the_first_to_close_is_asked() -> None:
    b_limited, a_limited = RateLimited(), RateLimited()
    a_limited.retry_after, b_limited.retry_after = 30.0, 20.0
    a, b = Scripted("a", [a_limited], [0.1, "No."]), Scripted("b", [b_limited], [0.1, "Yes."])
    first, second = run(Stage(a, b).turns(2))
    assert (first.error, second.told) == (RateLimited, ["b first answered"])


def test_a_target_that_comes_back_is_tried_by_one_turn() -> None:
    limited = RateLimited()
    limited.retry_after = 5.0
    a, b = Scripted("a", [limited], [1.0, "Back."]), Scripted("b", [0.1, "Yes."])
    stage = Stage(a, b)

    async def two_at_once() -> list[list[str]]:
        await stage.turns(1, gap=6.0)
        return [turn.told for turn in await asyncio.gather(stage.turn(1), stage.turn(2))]

    assert run(two_at_once()) == [["a first answered"], ["b first answered"]]


def test_what_a_turn_told_joins_its_records() -> None:
    turns = run(Stage(Scripted("a", [0.1, "Yes."])).turns(3))
    assert [[(r.cause, r.result) for r in turn.records] for turn in turns] == [[(Cause.FIRST, Result.ANSWERED)]] * 3


def test_all_targets_are_warmed_up_and_closed() -> None:
    stage = Stage(Scripted("a", []), Scripted("b", []))
    run(stage.model.warm_up())
    run(stage.model.close())
    assert all(each.is_warm and each.is_closed for each in stage.endpoints)


def test_targets_that_cannot_be_warmed_up_do_not_keep_the_others_cold() -> None:
    a, b = Scripted("a", []), Scripted("b", [])
    a.warming_fails = Unreachable()
    with pytest.raises(ExceptionGroup) as raised:
        run(Stage(a, b).model.warm_up())
    assert (raised.value.exceptions, b.is_warm) == ((a.warming_fails,), True)
