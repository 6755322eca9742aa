"""One process, watched: its core's facts and its frames, as a storm is shown them."""

from collections.abc import Sequence

import msgspec
import pytest

from service.conversation import commands, events
from service.conversation.call import CallRecord, Deadlines, Outcome, Prompt, Turn, TurnRecord
from service.conversation.commands import Command
from service.conversation.events import Event
from service.platforms.retell import messages
from service.simulator.storm.findings import Finding, Findings
from service.simulator.storm.watching import Manners, Watcher

HOLD = "One moment."
STARTED = events.CallStarted(0.0, 0.0)


class Watched:
    """A process whose facts a test makes up."""

    def __init__(self) -> None:
        self.at = 0.0
        self.findings = Findings(lambda: self.at)
        self.watcher = Watcher(self.findings, Manners(Deadlines(), 25.0, frozenset({HOLD})))
        self._index = -1

    @property
    def broken(self) -> list[str]:
        return [finding.rule for finding in self.findings.found]

    def happens(self, event: Event, *answer: Command) -> None:
        self.watcher.saw("c", event, answer)

    def begins(self) -> None:
        self.happens(STARTED)

    def asks(self, turn_id: int, *before: Command, prompt: Prompt = Prompt.CALLER_SPOKE) -> int:
        self._index += 1
        start = commands.StartReply(Turn("c", self._index, turn_id, prompt))
        self.happens(events.ReplyRequested(self.at, turn_id, prompt, ()), *before, start)
        return self._index

    def writes(self, message: messages.AnyToRetell, line: int = 1, *, is_slow: bool = False) -> None:
        self.watcher.wrote("c", line, msgspec.json.encode(message).decode(), self.at, is_slow=is_slow)

    def says(self, turn_id: int, text: str, *, is_final: bool = False, line: int = 1, is_slow: bool = False) -> None:
        self.writes(messages.Response(turn_id, text, is_final), line, is_slow=is_slow)


@pytest.fixture
def process() -> Watched:
    watched = Watched()
    watched.begins()
    return watched


def record(index: int, turn_id: int) -> TurnRecord:
    return TurnRecord(index, turn_id, Prompt.CALLER_SPOKE, Outcome.COMPLETED, 0.0, None, None, 0.0, 0, 0)


def ended(*answer: Command) -> tuple[Event, Sequence[Command]]:
    return events.CallEnded(0.0), (*answer, commands.RecordCall(CallRecord(0, 0, 1, {}, {})))


def test_a_turn_as_it_should_be_breaks_nothing(process: Watched) -> None:
    index = process.asks(1)
    process.says(1, HOLD)
    process.says(1, "We are open.")
    process.says(1, "", is_final=True)
    event, answer = ended(commands.RecordTurn(record(index, 1)))
    process.happens(event, *answer)
    assert (process.broken, process.watcher.left(), process.watcher.turns) == ([], [], 1)


def test_a_second_reply_in_flight_is_found(process: Watched) -> None:
    process.asks(1)
    process.asks(2)
    assert process.broken == ["one reply in flight"]


def test_a_cancelled_reply_is_not_in_flight(process: Watched) -> None:
    index = process.asks(1)
    process.asks(2, commands.CancelReply(index, 1), commands.RecordTurn(record(index, 1)))
    assert process.broken == []


def test_words_of_a_turn_after_a_newer_one_was_read_are_found(process: Watched) -> None:
    index = process.asks(1)
    process.asks(2, commands.CancelReply(index, 1))
    process.says(1, "stale")
    assert process.broken == ["no stale words"]


def test_words_on_a_line_that_was_replaced_are_found(process: Watched) -> None:
    process.says(0, "", is_final=True, line=2)
    process.says(0, "", is_final=True, line=1)
    assert process.broken == ["no stale words"]


def test_a_frame_after_the_final_one_is_found(process: Watched) -> None:
    process.asks(1)
    process.says(1, "Yes.", is_final=True)
    process.says(1, "And more.")
    assert process.broken == ["one final"]


def test_the_empty_greeting_of_a_new_line_is_no_second_final(process: Watched) -> None:
    process.asks(0, prompt=Prompt.GREETING)
    process.says(0, "Hello.", is_final=True)
    process.says(0, "", is_final=True, line=2)
    assert process.broken == []


@pytest.mark.parametrize("is_slow", [False, True])
def test_silence_is_found_unless_the_platform_does_not_read(process: Watched, *, is_slow: bool) -> None:
    process.says(0, "", is_final=True, is_slow=is_slow)
    process.asks(1)
    process.at = 6.0
    process.says(1, "At last.", is_slow=is_slow)
    assert process.broken == ([] if is_slow else ["in time"])


def test_silence_is_found_when_the_line_closes_or_an_interjection_comes(process: Watched) -> None:
    process.asks(1)
    process.at = 6.0
    process.happens(events.CallDisconnected(6.0))
    process.asks(2)
    process.at = 12.0
    process.writes(messages.AgentInterrupt(1, "Stop.", True))
    assert process.broken == ["in time", "in time"]


def test_tools_are_an_excuse_until_they_answer(process: Watched) -> None:
    process.asks(1)
    process.says(1, HOLD)
    process.writes(messages.ToolCallInvocation("t1", "find", "{}"))
    process.at = 9.0
    process.writes(messages.ToolCallResult("t1", "9"))
    process.at = 13.4
    process.says(1, "Nine.")
    assert process.broken == []


def test_a_tool_that_outlives_its_turn_excuses_the_next(process: Watched) -> None:
    index = process.asks(1)
    process.writes(messages.ToolCallInvocation("t1", "find", "{}"))
    process.asks(2, commands.CancelReply(index, 1))
    process.says(2, HOLD)
    process.at = 9.0
    process.says(2, "Nine.")
    assert process.broken == []


def test_turns_that_are_never_or_twice_settled_are_found(process: Watched) -> None:
    index = process.asks(1)
    process.happens(*_with(commands.RecordTurn(record(index, 1)), commands.RecordTurn(record(index, 1))))
    process.asks(2, commands.CancelReply(index, 1))
    event, answer = ended()
    process.happens(event, *answer)
    assert process.broken == ["settled once", "settled once"]


def _with(*answer: Command) -> tuple[Event, *tuple[Command, ...]]:
    return events.TranscriptUpdated(0.0, ()), *answer


def test_a_call_that_begins_anew_before_its_end_is_found(process: Watched) -> None:
    process.begins()
    assert process.broken == ["settled once"]
    assert process.watcher.left() == ["c"]


def test_a_frame_that_is_none_and_a_fault_are_found(process: Watched) -> None:
    process.watcher.wrote("c", 1, '{"response_type":"song"}', 0.0, is_slow=False)
    process.watcher.failed("c", RuntimeError("x"))
    assert process.broken == ["as the platform says", "no fault"]


def test_a_dead_process_and_calls_of_others_are_nobodys(process: Watched) -> None:
    process.watcher.wrote("other", 1, "{", 0.0, is_slow=False)
    process.watcher.saw("other", events.TranscriptUpdated(0.0, ()), ())
    process.watcher.is_dead = True
    process.asks(1)
    process.asks(2)
    process.watcher.failed("c", RuntimeError("x"))
    process.says(1, "words")
    assert process.broken == []


def test_findings_are_bounded_and_their_rules_known() -> None:
    findings, told = Findings(lambda: 1.0), list[Finding]()
    findings.on_found = told.append
    for _ in range(50):
        findings.broken("one final", "c", "again")
    assert len(findings.found) == len(told) == 20
    with pytest.raises(KeyError):
        findings.broken("no such rule", "c", "")
