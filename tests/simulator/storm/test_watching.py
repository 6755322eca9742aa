"""One process, watched: its core's facts and its frames, as a storm is shown them."""

from collections.abc import Sequence

import msgspec
import pytest

from service.conversation import commands, events
from service.conversation.call import CallDetails, CallRecord, Deadlines, Outcome, Prompt, Turn, TurnRecord
from service.conversation.commands import Command
from service.conversation.events import Event
from service.conversation.parts import Action, HangUp, PressDigits, Speech, Transfer
from service.conversation.transcript import Row, Speaker, Utterance
from service.platforms.retell import messages
from service.simulator.storm.findings import Finding, Findings
from service.simulator.storm.watching import Manners, Watcher

HOLD, TOOL_HOLD = "One moment.", "I look it up."
RESCUE, TRANSFER, DIGITS = Transfer("+12", "I am sorry."), Transfer("+13", "Bye."), PressDigits("1")
ME, YOU = Speaker.AGENT, Speaker.CALLER
STARTED = events.CallStarted(0.0, 0.0)


class Watched:
    """A process whose facts a test makes up."""

    def __init__(self) -> None:
        self.at = 0.0
        self.findings = Findings(lambda: self.at)
        self.watcher = Watcher(self.findings, Manners(Deadlines(), 25.0, {HOLD}, {TOOL_HOLD}, RESCUE))
        self._index = -1

    @property
    def broken(self) -> list[str]:
        return [finding.rule for finding in self.findings.found]

    def happens(self, event: Event, *answer: Command) -> None:
        self.watcher.saw("c", event, answer)

    def begins(self) -> None:
        self.happens(STARTED)

    def asks(
        self,
        turn_id: int,
        *before: Command,
        prompt: Prompt = Prompt.CALLER_SPOKE,
        rows: Sequence[Row] = (),
        read: Sequence[Row] = (),
        call: CallDetails | None = None,
    ) -> int:
        """`rows` is what the platform sends, `read` what the agent gets of it."""
        self._index += 1
        start = commands.StartReply(Turn("c", self._index, turn_id, prompt, tuple(read), call))
        self.happens(events.ReplyRequested(self.at, turn_id, prompt, tuple(rows)), *before, start)
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


@pytest.mark.parametrize(
    ("first", "second", "broken"),
    [
        pytest.param([HOLD, HOLD], [], ["held once"], id="twice in a turn"),
        pytest.param([HOLD, "Yes."], [HOLD], ["held once"], id="in two turns running"),
        pytest.param([TOOL_HOLD, "Yes."], [HOLD], ["held once"], id="after a tool's"),
        pytest.param([HOLD, "Yes."], [TOOL_HOLD], [], id="a tool's in the next turn"),
    ],
)
def test_hold_lines_that_come_too_often_are_found(
    process: Watched, first: list[str], second: list[str], broken: list[str]
) -> None:
    for turn_id, told in enumerate((first, second), start=1):
        index = process.asks(turn_id)
        for text in told:
            process.says(turn_id, text)
        process.happens(events.TranscriptUpdated(0.0, ()), commands.CancelReply(index, turn_id))
    assert process.broken == broken


@pytest.mark.parametrize(
    ("read", "broken"),
    [
        pytest.param("We open.", [], id="without the hold line"),
        pytest.param("One moment. We open.", ["as heard"], id="with the hold line"),
        pytest.param("We open at nine.", ["as heard"], id="with words that nobody heard"),
    ],
)
@pytest.mark.parametrize("is_own", [True, False])
def test_a_history_with_what_was_not_heard_is_found(
    process: Watched, read: str, broken: list[str], *, is_own: bool
) -> None:
    """The hold line was spoken by this process, or by one before it."""
    if is_own:
        index = process.asks(1)
        process.says(1, HOLD)
        process.happens(events.TranscriptUpdated(0.0, ()), commands.CancelReply(index, 1))
    call = None if is_own else CallDetails("c", is_ongoing=True)
    said = Utterance(YOU, "When?")
    process.asks(2, rows=[said, Utterance(ME, f"{HOLD} We open.")], read=[said, Utterance(ME, read)], call=call)
    assert process.broken == broken


def test_a_history_without_the_callers_words_is_found(process: Watched) -> None:
    process.asks(1, rows=[Utterance(YOU, "When?")])
    assert process.broken == ["as heard"]


@pytest.mark.parametrize(
    ("said", "asked", "is_failed", "text", "action", "is_found"),
    [
        pytest.param("Yes.", DIGITS, False, "", DIGITS, False, id="its own action"),
        pytest.param("Yes.", None, False, "", DIGITS, True, id="another turn's"),
        pytest.param("Yes.", DIGITS, True, "", DIGITS, True, id="an action of a failed turn"),
        pytest.param("", None, True, "I am sorry.", RESCUE, False, id="a rescue"),
        pytest.param("", TRANSFER, True, "I am sorry.", TRANSFER, True, id="no rescue"),
        pytest.param("Yes.", HangUp(), False, " ", HangUp(), True, id="a farewell without words"),
        pytest.param("", None, True, "", None, True, id="a silent failure"),
        pytest.param("We open", None, True, "We open. Sorry.", None, True, id="words said again"),
        pytest.param("We open", None, True, " — sorry.", None, False, id="a closing line"),
    ],
)
def test_turns_that_end_badly_are_found(
    process: Watched,
    said: str,
    asked: Action | None,
    text: str,
    action: Action | None,
    *,
    is_failed: bool,
    is_found: bool,
) -> None:
    index = process.asks(1)
    if said:
        process.says(1, said)
    if asked:
        process.happens(events.ReplyDrafted(0.0, index, asked))
    process.says(1, text, is_final=True)
    end = events.ReplyFailed(0.0, index, "Boom") if is_failed else events.ReplyFinished(0.0, index)
    process.happens(end, commands.Say(1, text, is_final=True, action=action))
    assert process.broken == (["ends well"] if is_found else [])


@pytest.mark.parametrize("is_slow", [False, True])
def test_last_words_that_were_not_written_are_found(process: Watched, *, is_slow: bool) -> None:
    index = process.asks(1)
    process.says(1, "Yes.", is_slow=is_slow)
    process.happens(events.ReplyFinished(0.0, index), commands.Say(1, "", is_final=True))
    assert process.broken == ([] if is_slow else ["one final"])


def test_a_reply_that_goes_on_though_it_was_cancelled_is_found(process: Watched) -> None:
    index = process.asks(1)
    process.asks(2, commands.CancelReply(index, 1))
    process.happens(events.ReplyDrafted(0.0, index, Speech("at the same moment")))
    assert process.broken == []
    process.happens(events.ReplyDrafted(0.1, index, Speech("later")))
    assert process.broken == ["one reply in flight"]


def test_interruptions_whose_numbers_do_not_grow_are_found(process: Watched) -> None:
    for number in (3, 4, 4):
        process.writes(messages.AgentInterrupt(number, "Stop.", True))
    assert process.broken == ["as the platform says"]


def test_a_second_greeting_of_the_same_process_is_found(process: Watched) -> None:
    process.says(0, "Hello.", is_final=True)
    process.says(0, "", is_final=True, line=2)
    assert process.broken == []
    process.says(0, "Hello.", is_final=True, line=2)
    assert process.broken == ["greeted once"]


@pytest.mark.parametrize(
    ("silence", "broken"), [(7.9, ["never closed"]), (8.0, []), (9.0, ["in time"])], ids=["alive", "silent", "held"]
)
def test_a_line_is_dropped_when_it_falls_silent_and_not_before(
    process: Watched, silence: float, broken: list[str]
) -> None:
    process.happens(events.CallResumed(1.0))
    process.happens(events.Pinged(2.0, 1))
    drops = () if silence > 8.5 else (commands.DropLine("silent"),)
    process.happens(events.DeadlinePassed(2.0 + silence, events.DeadlineKind.LINE), *drops)
    process.happens(events.CallDisconnected(2.0 + silence))
    assert process.broken == broken


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
