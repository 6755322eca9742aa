"""What a turn's line tells of times, tokens and costs."""

from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any

import pytest
import structlog

from service.conversation.events import DeadlineKind
from service.llm.model import Usage
from service.llm.records import Cause, Result
from service.observability.logs import CallLog
from service.observability.prices import Price
from service.observability.watch import Watch
from tests.observability.seen import HEARD, SeenPlay

PRICES = {"model of first": Price(input=2.0, output=8.0)}


class Logged(SeenPlay):
    """A play whose log can be read. Turn 1 is asked."""

    def __init__(self, told: Sequence[MutableMapping[str, Any]]) -> None:
        self._told = told
        super().__init__(Watch([CallLog(lambda _: None, prices=PRICES)]))
        self.greets()
        self.asks(1, *HEARD)

    def lines(self, event: str) -> list[dict[str, Any]]:
        return [dict(line) for line in self._told if line["event"] == event]

    def turn(self) -> dict[str, Any]:
        """The line of turn 1."""
        self.ends()
        return self.lines("turn.settled")[1]


@pytest.fixture
def play() -> Iterator[Logged]:
    with structlog.testing.capture_logs() as told:
        yield Logged(told)


def test_a_hold_line_is_told_with_its_moment(play: Logged) -> None:
    play.waits(1.8)
    play.passes(DeadlineKind.PATIENCE)
    turn = play.turn()
    assert (turn["held"], turn["held_after"]) == (True, 1.8)


def test_a_turn_without_a_model_tells_no_tokens(play: Logged) -> None:
    play.says("We open at nine.")
    turn = play.turn()
    assert (turn["attempts"], turn["held_after"]) == (0, None)
    assert not {"model_attempts", "tokens", "cost", "target"} & turn.keys()


def test_tokens_and_costs_of_a_turns_attempts_are_added_up(play: Logged) -> None:
    play.waits(1)
    for _ in range(2):
        play.attempts(usage=Usage(1000, 400, 10))
    play.attempts(result=Result.FAILED, error="Unreachable", took=None)
    play.says("We open at nine.")
    turn = play.turn()
    assert turn["tokens"] == {"input": 2000, "cached": 800, "output": 20}
    assert turn["cost"] == pytest.approx(0.00416)
    assert [attempt[2] for attempt in turn["model_attempts"]] == ["answered", "answered", "failed"]


def test_what_a_model_without_a_price_costs_is_not_guessed(play: Logged) -> None:
    play.attempts(usage=Usage(1000))
    play.attempts(target="second", cause=Cause.FAILOVER, usage=Usage(1000))
    turn = play.turn()
    assert turn["tokens"]["input"] == 2000
    assert "cost" not in turn


def test_a_count_that_makes_no_sense_is_none_at_all(play: Logged) -> None:
    play.attempts(usage=Usage(-5, 0, -1))
    turn = play.turn()
    assert (turn["tokens"], turn["cost"]) == ({"input": 0, "cached": 0, "output": 0}, 0)


def test_an_attempt_that_was_stopped_amid_its_words_is_told_of_when_it_ends(play: Logged) -> None:
    play.waits(1)
    play.asks(2, *HEARD)
    play.attempts(1, result=Result.CANCELLED, took=0.7, ago=1.0)
    (attempt,) = play.lines("model.attempt")
    assert (attempt["turn_index"], attempt["result"], attempt["late"]) == (1, "cancelled", (0, 700, 1000))


def test_one_that_was_stopped_before_its_words_is_of_no_concern(play: Logged) -> None:
    play.asks(2, *HEARD)
    play.attempts(1, result=Result.CANCELLED, took=None)
    assert play.lines("model.attempt") == []


def test_an_unusual_one_that_ended_in_time_is_not_late(play: Logged) -> None:
    play.attempts(cause=Cause.HEDGE, result=Result.LOST, took=None)
    (attempt,) = play.lines("model.attempt")
    assert "late" not in attempt
