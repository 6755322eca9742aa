import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from structlog.typing import EventDict

from service.conversation import events
from service.observability import flight
from service.observability.flight import FlightRecorder
from service.observability.watch import Watch
from tests.conversation.play import CALL_ID, agent, caller
from tests.observability.seen import SeenPlay

HEARD = (agent("Hello."), caller("Hi."))


class Flown(SeenPlay):
    """A play, and the flights that were told of it."""

    def __init__(self) -> None:
        self.recorder = FlightRecorder()
        super().__init__(Watch([self.recorder]))

    def fails_in(self, turn_id: int) -> None:
        self.asks(turn_id, *HEARD)
        self.fails()
        self.waits(1)


def flights(lines: list[EventDict]) -> list[EventDict]:
    return [line for line in lines if line["event"] == "call.flight"]


def test_a_failed_turn_tells_what_went_over_the_line_until_then() -> None:
    with structlog.testing.capture_logs() as lines:
        play = Flown()
        play.greets()
        play.waits(2)
        play.pings()
        play.asks(1, *HEARD)
        play.waits(0.25)
        play.fails("ServerFailed")
        play.ends()
    (line,) = flights(lines)
    assert (line["call_id"], line["why"], line["turn_index"]) == (CALL_ID, "turn_failed", 1)
    assert [tuple(frame) for frame in line["frames"]] == [
        (0, "line", "opened", None, 0),
        (0, "out", "words", 0, len("Hello.")),
        (0, "out", "final words", 0, 0),
        (2000, "in", "ping", None, 0),
        (2000, "out", "pong", None, 0),
        (2000, "in", "request", 1, 2),
        (2250, "out", "final words", 1, len(play.policy.lines.apology)),
    ]


@pytest.mark.parametrize(("seconds", "told"), [(3.0, 0), (3.1, 1)])
def test_a_very_slow_turn_is_told_of(seconds: float, told: int) -> None:
    with structlog.testing.capture_logs() as lines:
        play = Flown()
        play.greets()
        play.asks(1, *HEARD)
        play.waits(seconds)
        play.says("At last.")
        play.waits(9)
        play.ends()
    assert [line["why"] for line in flights(lines)] == ["turn_very_slow"] * told


@pytest.mark.parametrize(
    ("code", "is_our_fault", "told"),
    [(1000, False, 0), (1001, False, 0), (None, False, 1), (1011, False, 1), (1000, True, 1)],
)
def test_an_abnormal_end_is_told_of(code: int | None, is_our_fault: bool, told: int) -> None:
    with structlog.testing.capture_logs() as lines:
        play = Flown()
        play.greets()
        play.leaves(code, by_fault=is_our_fault)
    assert [line["why"] for line in flights(lines)] == ["abnormal_end"] * told


def test_a_line_that_was_let_go_is_no_abnormal_end() -> None:
    with structlog.testing.capture_logs() as lines:
        play = Flown()
        play.greets()
        play.shown(events.CallDisconnected(play.at, None, is_let_go=True), [])
    assert flights(lines) == []


def test_a_call_tells_no_more_than_three_and_each_goes_on_where_the_last_ended() -> None:
    with structlog.testing.capture_logs() as lines:
        play = Flown()
        play.greets()
        for turn_id in range(1, 9):
            play.fails_in(turn_id)
        play.ends()
    told = flights(lines)
    assert [line["turn_index"] for line in told] == [1, 2, 3]
    assert [len(line["frames"]) for line in told] == [6, 2, 2]


def test_only_the_latest_frames_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    with structlog.testing.capture_logs() as lines:
        play = Flown()
        play.greets()
        for _ in range(1000):
            play.pings()
        play.leaves(None)
    (line,) = flights(lines)
    assert len(line["frames"]) == flight.REMEMBERED
    assert line["frames"][-1][1:3] == ["line", "closed"]


def test_nothing_is_remembered_of_a_call_that_ended() -> None:
    play = Flown()
    play.greets()
    play.ends()
    play.shown(events.Pinged(1.0, 1))
    play.watch.failed(CALL_ID, RuntimeError())
    assert play.recorder._calls == {}


@given(st.text("абвгде", min_size=3), st.text("жзийкл", min_size=3))
def test_no_word_of_a_call_is_in_its_flight(heard: str, said: str) -> None:
    with structlog.testing.capture_logs() as lines:
        play = Flown()
        play.greets()
        play.asks(1, agent("Hello."), caller(heard))
        play.drafts(said)
        play.fails()
        play.leaves(None)
    assert flights(lines)
    assert heard not in str(lines)
    assert said not in str(lines)
