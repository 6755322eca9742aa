"""The core's rules as properties, over any order of events that a platform, an agent and a clock can produce."""

import re
from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from service.conversation import commands, events, parts
from service.conversation.call import CallDetails, Outcome, Policy, Prompt
from service.conversation.commands import Command, Say, StartReply
from service.conversation.events import DeadlineKind, Event
from service.conversation.transcript import DigitPressed, Row, ToolAnswered, ToolCalled
from tests.conversation.play import CALL_ID, EPOCH, Play, agent, caller

PARTS = st.one_of(
    st.builds(parts.Speech, st.sampled_from(["Good ", "morning.", " ", "We are", "open until"])),
    st.just(parts.HangUp("Bye.")),
    st.just(parts.Transfer("+4930123456")),
    st.just(parts.Interjection("Hold on.")),
    st.sampled_from([ToolCalled("t1", "find", "{}"), ToolAnswered("t1", "none")]),
    st.just(parts.VoiceSettings(responsiveness=0.5)),
    st.just(parts.PageMessage("{}")),
)


class AnyCall(RuleBasedStateMachine):
    """A platform that asks when it likes, agents that answer late, twice or never, and lines that break."""

    def __init__(self) -> None:
        super().__init__()
        self.play = Play(Policy(turn_budget=5))
        self.rows: tuple[Row, ...] = ()
        self.is_connected = self.is_over = False
        self.deadlines: dict[DeadlineKind, float] = {}
        self.in_flight: StartReply | None = None
        self.is_opened = False
        self.finals: Counter[int] = Counter()
        self.overtaken: set[int] = set()

    def happens(self, event: Event) -> None:
        for command in self.play.happens(event):
            self.check(command)

    def check(self, command: Command) -> None:
        match command:
            case StartReply():
                assert self.in_flight is None, "rule 2: two replies in flight"
                self.in_flight = command
            case commands.CancelReply():
                self.overtaken.add(command.index)
                if self.in_flight is not None and self.in_flight.turn.index == command.index:
                    self.in_flight = None
            case Say():
                self.check_words(command)
            case commands.SetDeadline():
                self.deadlines[command.kind] = command.at
            case _:
                pass

    def check_words(self, say: Say) -> None:
        assert self.is_connected, "words for nobody"
        assert self.is_opened or say.turn_id == 0, "rule 5: words before anything of id 0"
        self.is_opened = True
        latest = self.play.turns[-1].turn if self.play.turns else None
        is_empty_greeting = (say.turn_id, say.text, say.is_final) == (0, "", True)
        if latest is None or latest.turn_id != say.turn_id or (is_empty_greeting and self.in_flight is None):
            assert is_empty_greeting, "rule 1: words of a stale turn"
            return
        index = latest.index
        assert all(int(mark) == index for mark in re.findall(r"#(\d+)#", say.text)), "rule 1: words of another turn"
        assert not self.finals[index], "rule 4: words after the final frame"
        assert say.is_final or say.action is None, "rule 10: an action before the end"
        self.finals[index] += say.is_final
        if say.is_final:
            self.in_flight = None
            self.overtaken.discard(index)  # the timeout's apology follows its cancellation

    def in_call(self) -> bool:
        return self.is_connected and not self.is_over

    @initialize()
    def starts(self) -> None:
        self.is_connected = True
        self.happens(events.CallStarted(self.play.at, EPOCH))

    @rule(seconds=st.floats(0, 3))
    def waits(self, seconds: float) -> None:
        self.play.waits(seconds)
        for kind, at in sorted(self.deadlines.items(), key=lambda item: item[1]):
            if at <= self.play.at and self.deadlines.pop(kind, None) is not None:
                self.happens(events.DeadlinePassed(self.play.at, kind))

    @precondition(in_call)
    @rule(ongoing=st.booleans(), call_id=st.sampled_from([CALL_ID, "other"]))
    def tells(self, ongoing: bool, call_id: str) -> None:
        self.happens(events.CallDetailsReceived(self.play.at, CallDetails(call_id, is_ongoing=ongoing)))

    @precondition(in_call)
    @rule(
        turn_id=st.integers(1, 12),
        prompt=st.sampled_from([Prompt.CALLER_SPOKE, Prompt.CALLER_SILENT]),
        is_readable=st.booleans(),
    )
    def asks(self, turn_id: int, prompt: Prompt, is_readable: bool) -> None:
        self.happens(events.ReplyRequested(self.play.at, turn_id, prompt, self.rows if is_readable else None))

    @precondition(in_call)
    @rule(
        row=st.sampled_from([caller("Hi"), agent("Good morning."), agent("We are"), DigitPressed("1")]),
        fresh=st.booleans(),
    )
    def hears(self, row: Row, fresh: bool) -> None:
        self.rows = (row,) if fresh else (*self.rows, row)[-6:]
        self.happens(events.TranscriptUpdated(self.play.at, self.rows))

    @rule(back=st.integers(0, 2), part=PARTS)
    def drafts(self, back: int, part: parts.Part) -> None:
        if len(self.play.turns) > back:
            index = self.play.turns[-1 - back].turn.index
            if isinstance(part, parts.Speech):
                part = parts.Speech(f"#{index}# {part.text}")  # so that a stale word can be told from a fresh one
            self.happens(events.ReplyDrafted(self.play.at, index, part))

    @rule(back=st.integers(0, 2), fails=st.booleans())
    def ends_a_reply(self, back: int, fails: bool) -> None:
        if len(self.play.turns) > back:
            index = self.play.turns[-1 - back].turn.index
            end = events.ReplyFailed(self.play.at, index, "X") if fails else events.ReplyFinished(self.play.at, index)
            self.happens(end)

    @precondition(in_call)
    @rule()
    def disconnects(self) -> None:
        self.happens(events.CallDisconnected(self.play.at))
        self.is_connected = False

    @precondition(lambda self: not self.is_over)
    @rule()
    def resumes(self) -> None:
        self.is_connected = True
        self.happens(events.CallResumed(self.play.at))

    @precondition(lambda self: not self.is_over)
    @rule()
    def ends(self) -> None:
        self.is_over, self.is_connected = True, False
        self.happens(events.CallEnded(self.play.at))

    @invariant()
    def nothing_is_settled_twice_and_only_the_last_turn_is_open(self) -> None:
        indices = [record.index for record in self.play.records]
        assert indices == sorted(set(indices))
        assert len(self.play.turns) - len(indices) <= (0 if self.is_over else 1), "rule 11"

    @invariant()
    def every_turn_ends_in_one_final_frame_unless_it_is_overtaken(self) -> None:
        for started in self.play.turns:
            index = started.turn.index
            is_open = self.in_flight is not None and self.in_flight.turn.index == index
            assert self.finals[index] == 1 or is_open or index in self.overtaken, "rule 4"

    @invariant()
    def one_of_five_outcomes(self) -> None:
        assert all(isinstance(record.outcome, Outcome) for record in self.play.records)
        assert all(0 <= record.words_heard <= record.words_said for record in self.play.records)


AnyCall.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
TestAnyCall = AnyCall.TestCase
