"""Log lines become facts: in any order, with others between, whatever is wrong with one."""

import json
import sys

import pytest
import structlog

from service.llm.model import Usage
from service.llm.records import Cause, Result
from service.observability.logs import CallLog, configure_logs
from service.observability.prices import Price
from service.observability.watch import Watch
from service.reporting.facts import AttemptSpan, Facts, Tokens, ToolSpan
from service.reporting.log_lines import facts_of, moment_of, read_line, read_lines
from tests.observability.seen import HEARD, SeenPlay
from tests.reporting.told import facts, line, turn

PRICE = Price(input=2.0, output=8.0)


def played(capsys: pytest.CaptureFixture[str], prices: dict[str, Price]) -> Facts:
    """A call with a tool that outlived its turn and an answer that was cut off amid its words, by way of the log."""
    configure_logs("json", "info")
    play = SeenPlay(Watch([CallLog(lambda _: None, prices=prices)], tools=("book",)))
    play.greets()
    play.asks(1, *HEARD)
    play.waits(0.5)
    play.says("We open at nine.")
    play.attempts(1, usage=Usage(1000, 200, 50), ago=0.5)
    play.asks(2, *HEARD)
    play.waits(1)
    play.asks(3, *HEARD)
    play.attempts(2, result=Result.CANCELLED, took=0.7, ago=1.0)
    play.ends()
    sys.stdout.flush()
    return facts_of(read_lines(capsys.readouterr().out.splitlines()))


def test_what_the_service_logs_is_read_again(capsys: pytest.CaptureFixture[str]) -> None:
    told = played(capsys, {"model of first": PRICE})
    (call,) = told.calls
    assert [turn.turn_index for turn in call.turns] == [0, 1, 2, 3]
    answered = call.turns[1]
    assert answered.model_attempts == (AttemptSpan("first", "first", "answered", 0, 300, 500),)
    assert answered.tokens == Tokens(1000, 200, 50)
    assert answered.cost == call.cost == pytest.approx(0.0024)
    assert call.duration is not None
    assert told.troubles == {}


def test_an_answer_that_was_stopped_amid_its_words_is_told_of_with_its_turn(capsys: pytest.CaptureFixture[str]) -> None:
    stopped = played(capsys, {}).calls[0].turns[2]
    assert stopped.model_attempts == (AttemptSpan("first", "first", "cancelled", 0, 700, 1000),)


def test_without_a_price_there_are_tokens_and_no_cost(capsys: pytest.CaptureFixture[str]) -> None:
    told = played(capsys, {})
    assert [turn.cost for turn in told.turns] == [None] * 4
    assert told.calls[0].cost is None
    assert told.turns[1].tokens is not None


def test_what_a_turn_says_of_an_attempt_that_another_beat_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", "info")
    play = SeenPlay(Watch([CallLog(lambda _: None)]))
    play.greets()
    play.asks(1, *HEARD)
    play.waits(1)
    play.attempts(1, result=Result.LOST, took=None, ago=1.0)
    play.attempts(1, cause=Cause.HEDGE, target="second", ago=0.4)
    play.says("We open at nine.")
    play.ends()
    (_, told) = facts_of(read_lines(capsys.readouterr().out.splitlines())).turns
    assert [attempt.result for attempt in told.model_attempts] == ["lost", "answered"]
    assert told.model_attempts[1] == AttemptSpan("second", "hedge", "answered", 600, 900, 1000)


def test_lines_that_never_became_text_are_read_too() -> None:
    with structlog.testing.capture_logs() as lines:
        play = SeenPlay(Watch([CallLog(lambda _: None)]))
        play.greets()
        play.ends()
    told = facts_of(lines)
    assert [turn.prompt for turn in told.turns] == ["greeting"]
    assert told.ended == 0.0, "nobody said when"


def test_a_turn_stands_where_it_was_asked() -> None:
    told = facts(turn(at=10, settled_after=4.0))
    assert told.turns[0].asked_at == told.began - 4.0


def test_calls_are_told_apart_and_a_call_knows_its_agent_its_length_and_its_end() -> None:
    told = facts(
        turn(call_id="a", agent="desk"),
        turn(call_id="b", at=12),
        line("call.ended", 90, "a", duration=61.5, turns={"completed": 1}),
        line("webhook.accepted", 95, "a", webhook="call_ended", reason="user_hangup"),
        line("webhook.accepted", 96, "a", webhook="call_analyzed", llm=0.4),
    )
    first, second = told.calls
    assert (first.agent, first.duration, first.ended_by) == ("desk", 61.5, "user_hangup")
    assert (second.agent, second.duration, len(second.turns)) == ("", None, 1)
    assert told.ended - told.began == 86


def test_a_tool_that_outlived_its_turn_ends_there() -> None:
    told = facts(
        turn(tools=[["find", "ok", 20, 5], ["book", "running", None, 30]]),
        line("tool.outlived_turn", 12, turn_id=1, turn_index=1, tools=[["book", "ok", 2000, 30]]),
        line("tool.outlived_turn", 13, turn_id=7, turn_index=7, tools=[["book", "ok", 2000, 30]]),
    )
    assert told.turns[0].tools == (ToolSpan("find", "ok", 20, 5), ToolSpan("book", "ok", 2000, 30))


def test_a_log_of_an_older_service_is_read_too() -> None:
    (told,) = facts(turn(tools=[["find", "ok", 20]], attempts=1)).turns
    assert told.tools == (ToolSpan("find", "ok", 20),)
    assert told.model_attempts == ()


def test_warnings_are_counted_by_what_they_are_about() -> None:
    odd = line("line.oddity", level="warning") | {"level": "warning", "oddity": "not_json"}
    told = facts(
        odd,
        odd,
        {**line("telemetry.failed"), "level": "error", "call_id": None},
        {"event": "x", "level": "error"},
        line("call.flight") | {"level": "warning"},
    )
    assert told.troubles == {("line.oddity", "not_json"): 2, ("telemetry.failed", ""): 1}


@pytest.mark.parametrize(
    "broken",
    [
        {"event": 3, "call_id": "call_1"},
        {"call_id": "call_1"},
        turn(settled_after=-1.0),
        turn(duration="soon"),
        turn(tools=[[1]]),
        {**turn(), "call_id": ["call_1"]},
        {"event": "x", "call_id": "call_1", "level": ["warning"]},
    ],
)
def test_a_line_that_is_not_as_ours_are_tells_nothing(broken: dict[str, object]) -> None:
    assert facts(broken).turns == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense {",
        "[1]",
        '{"event": 3}',
        '{"event": ' + "[" * 100_000,
        '{"message": "no event"}',
        '{"event": "\\ud800"}',
    ],
)
def test_text_that_is_no_event_is_passed_over(text: str) -> None:
    assert read_line(text) == {}


def test_prefixes_and_wrappers_of_log_collectors_are_taken_off() -> None:
    ours = line("line.opened")
    text = json.dumps(ours, separators=(",", ":"))
    texts = [f"app[1] fra [info]{text}", f"web-1 {{env=live}} | {text}", json.dumps({"message": text, "event": {}})]
    assert list(read_lines(texts)) == [ours] * 3


@pytest.mark.parametrize("stamp", [None, "soon", 3, "0001-01-01T00:00:00+23:59"])
def test_a_line_without_a_time_has_that_of_the_line_before(stamp: object) -> None:
    assert moment_of({"timestamp": stamp}, 7.0) == 7.0
    assert moment_of({"timestamp": "1970-01-01T00:00:01"}, 7.0) == 1.0
