import json
from collections.abc import Sequence

import pytest

from service.conversation import events
from service.conversation.call import CallRecord, Turn, TurnRecord
from service.conversation.commands import Command
from service.conversation.events import Event
from service.llm.records import AttemptRecord, Result
from service.observability import watch as watching
from service.observability.logs import configure_logs
from service.observability.watch import Part, SeenTurn, Watch
from tests.conversation.play import CALL_ID
from tests.observability.seen import HEARD, SeenPlay


class Memory(Part):
    """A part that remembers what it was told."""

    name = "memory"

    def __init__(self, *, hears_chunks: bool = False) -> None:
        self.hears_chunks = hears_chunks
        self.told: list[tuple[str, object]] = []

    def saw(self, call_id: str, event: Event, answer: Sequence[Command]) -> None:
        self.told.append(("saw", type(event)))

    def began(self, turn: SeenTurn, asked: Turn) -> None:
        assert (turn.index, turn.turn_id, turn.prompt) == (asked.index, asked.turn_id, asked.prompt)
        self.told.append(("began", turn.index))

    def settled(self, turn: SeenTurn, record: TurnRecord) -> None:
        assert turn.record is record
        self.told.append(("settled", (turn.index, len(turn.attempts))))

    def attempted(self, attempt: AttemptRecord, turn: SeenTurn | None) -> None:
        self.told.append(("attempted", None if turn is None else (turn.index, turn.record is not None)))

    def ended(self, call_id: str, record: CallRecord | None) -> None:
        self.told.append(("ended", record is not None))

    def failed(self, call_id: str, error: Exception) -> None:
        self.told.append(("failed", type(error)))


class Broken(Part):
    name = "broken"

    def settled(self, turn: SeenTurn, record: TurnRecord) -> None:
        raise ExceptionGroup("x", [ValueError("what the caller said")])


def test_a_turn_is_told_of_once_it_is_settled_with_the_attempts_until_then() -> None:
    memory = Memory()
    play = SeenPlay(Watch([memory]))
    play.greets()
    play.asks(1, *HEARD)
    play.attempts(1)
    play.says("We open at nine.")
    play.ends()
    assert memory.told == [
        ("saw", events.CallStarted),
        ("began", 0),
        ("saw", events.ReplyFinished),
        ("saw", events.ReplyRequested),
        ("settled", (0, 0)),
        ("began", 1),
        ("attempted", (1, False)),
        ("saw", events.ReplyFinished),
        ("saw", events.CallEnded),
        ("settled", (1, 1)),
        ("ended", True),
    ]


def test_an_attempt_that_its_turns_settlement_cancelled_is_told_of_with_that_turn() -> None:
    memory = Memory()
    play = SeenPlay(Watch([memory]))
    play.greets()
    play.asks(1, *HEARD)
    play.asks(2, *HEARD)
    play.attempts(1, result=Result.CANCELLED)
    play.attempts(2)
    assert memory.told[-2:] == [("attempted", (1, True)), ("attempted", (2, False))]


def test_an_attempt_of_a_turn_long_gone_or_of_a_call_that_is_over_is_told_of_alone() -> None:
    memory = Memory()
    watch = Watch([memory])
    play = SeenPlay(watch)
    play.greets()
    for turn_id in (1, 2, 3):
        play.asks(turn_id, *HEARD)
    play.attempts(1)
    play.ends()
    play.attempts(3)
    assert [told for told in memory.told if told[0] == "attempted"] == [("attempted", None)] * 2
    assert not watch._calls


def test_chunks_are_told_of_to_those_alone_who_want_them() -> None:
    deaf, keen = Memory(), Memory(hears_chunks=True)
    play = SeenPlay(Watch([deaf, keen]))
    play.greets()
    assert ("saw", events.ReplyDrafted) not in deaf.told
    assert keen.told.count(("saw", events.ReplyDrafted)) == 1


def test_a_part_that_fails_is_logged_once_counted_each_time_and_felt_by_nobody(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("json", "info")
    memory, failures = Memory(), list[str]()
    play = SeenPlay(Watch([Broken(), memory], failures.append))
    play.greets()
    play.asks(1, *HEARD)
    play.ends()
    assert failures == ["broken", "broken"]
    assert ("settled", (1, 0)) in memory.told
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (line["event"], line["part"], line["error"]) == ("telemetry.failed", "broken", "ValueError")
    assert "caller" not in str(line)


def test_a_fault_of_a_call_is_passed_on() -> None:
    memory = Memory()
    Watch([memory]).failed(CALL_ID, KeyError())
    assert memory.told == [("failed", KeyError)]


def test_what_is_kept_of_a_turn_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MOST_ATTEMPTS", 3)
    memory = Memory()
    play = SeenPlay(Watch([memory]))
    play.greets()
    play.asks(1, *HEARD)
    for _ in range(5):
        play.attempts(1)
    play.ends()
    assert ("settled", (1, 3)) in memory.told


def test_a_call_whose_end_is_never_seen_is_forgotten_when_there_are_too_many() -> None:
    memory = Memory()
    watch = Watch([memory])
    for number in range(watching.MOST_CALLS + 5):
        watch.saw(f"call_{number}", events.CallStarted(1.0, 1.0), ())
    assert len(watch._calls) == watching.MOST_CALLS
    assert memory.told.count(("ended", False)) == 5
    assert "call_4" not in watch._calls


def test_calls_that_were_taken_and_never_start_are_forgotten() -> None:
    watch = Watch([])
    for number in range(watching.MOST_TAKEN + 5):
        watch.took(f"call_{number}", "desk", "hash")
    assert len(watch._taken) == watching.MOST_TAKEN
    assert "call_4" not in watch._taken


def test_a_call_that_starts_again_without_an_end_is_a_new_one() -> None:
    memory = Memory()
    play = SeenPlay(Watch([memory]))
    play.greets()
    play.shown(events.CallStarted(play.at, 1.0))
    assert ("ended", False) in memory.told


def test_what_comes_after_the_end_of_a_call_opens_nothing() -> None:
    watch = Watch([Memory()])
    play = SeenPlay(watch)
    play.greets()
    play.asks(1, *HEARD)
    play.ends()
    answer = play.answers
    play.shown(events.Pinged(play.at, 1), answer)
    assert not watch._calls
