"""The rules of the core, by their numbers (service/conversation/machine.py): how turns and calls end."""

import pytest

from service.conversation import commands, parts
from service.conversation.call import Outcome, Policy
from service.conversation.commands import (
    AnswerPing,
    CancelReply,
    DropLine,
    Interject,
    RecordCall,
    ReportOddity,
    Say,
    SetDeadline,
)
from service.conversation.events import DeadlineKind, Oddity, OddityNoticed
from service.conversation.transcript import DigitPressed, ToolAnswered, ToolCalled, Utterance
from tests.conversation.play import Play, agent, caller, greeted, of

HELLO = agent("Hello.")


# Rules 8 and 9: failing.


def test_rule_8_a_turn_that_outlives_its_budget_has_failed() -> None:
    play = greeted(Policy(details_expected=False, turn_budget=25))
    assert SetDeadline(DeadlineKind.TURN, play.at + 25) in play.asks(1, HELLO, caller("Hi"))
    play.waits(25)
    cancelled, apology = play.passes(DeadlineKind.TURN)
    assert cancelled == CancelReply(1, 1, keeps_words=True)
    assert apology == Say(1, play.policy.lines.apology, is_final=True)
    play.asks(2, HELLO, caller("Hi?"))
    assert (play.records[-1].outcome, play.records[-1].reason) == (Outcome.FAILED, "timeout")


def test_rule_8_the_deadline_of_an_earlier_turn_is_stale() -> None:
    play = greeted()
    play.asks(1, HELLO, caller("Hi"))
    play.waits(20)
    play.asks(2, HELLO, caller("Hi?"))
    play.waits(5)
    assert play.passes(DeadlineKind.TURN) == []
    play.says("Good morning.")
    play.waits(100)
    assert play.passes(DeadlineKind.TURN) == []


@pytest.mark.parametrize(
    ("said", "ending"),
    [
        pytest.param("", Policy().lines.apology, id="silent"),
        pytest.param("  \n", Policy().lines.apology, id="blank"),
        pytest.param("We are open from", f" {Policy().lines.closing_line}", id="mid-sentence"),
        pytest.param("We are open from ", Policy().lines.closing_line, id="mid-sentence-with-space"),
        pytest.param("We are open.", "", id="whole-sentence"),
    ],
)
def test_rule_9_a_failing_agent_never_leaves_silence(said: str, ending: str) -> None:
    play = greeted()
    play.asks(1, HELLO, caller("Hi"))
    play.drafts(said)
    (final,) = play.fails("ServerFailed")
    assert final == Say(1, ending, is_final=True)


def test_rule_9_a_greeting_that_fails_falls_back_to_a_plain_one() -> None:
    play = Play()
    play.starts()
    assert play.fails() == [Say(0, play.policy.lines.fallback_greeting, is_final=True)]


# Rule 10: actions.


@pytest.mark.parametrize(
    ("drafted", "kept"),
    [
        ([parts.PressDigits("1"), parts.HangUp("Bye.")], parts.HangUp("Bye.")),
        ([parts.HangUp("Bye."), parts.Transfer("+4930123456", "One moment.")], parts.HangUp("Bye.")),
        ([parts.PressDigits("1"), parts.Transfer("+4930123456")], parts.Transfer("+4930123456")),
        ([parts.PressDigits("1"), parts.PressDigits("2")], parts.PressDigits("1")),
    ],
)
def test_rule_10_one_action_a_turn_on_the_final_frame(drafted: list[parts.Action], kept: parts.Action) -> None:
    play = greeted()
    play.asks(1, HELLO, caller("Hi"))
    for action in drafted:
        assert play.drafts(action) == []
    assert play.finishes() == [Say(1, kept.words, is_final=True, action=kept)]


def test_rule_10_a_farewell_is_never_empty_and_keeps_its_distance() -> None:
    play = greeted()
    play.asks(1, HELLO, caller("Bye"))
    play.drafts("Take care.")
    play.drafts(parts.HangUp(is_uninterruptible=True))
    (final,) = play.finishes()
    assert final == Say(1, " Goodbye.", True, True, parts.HangUp(is_uninterruptible=True))


def test_rule_10_a_failed_turn_acts_no_more() -> None:
    play = greeted()
    play.asks(1, HELLO, caller("Bye"))
    play.drafts(parts.HangUp("Bye."))
    assert play.fails() == [Say(1, play.policy.lines.apology, is_final=True)]


def test_rule_10_after_a_barge_in_on_a_goodbye_the_call_goes_on() -> None:
    play = greeted()
    play.asks(1, HELLO, caller("Bye"))
    play.drafts(parts.HangUp("Goodbye and thanks."))
    play.finishes()
    play.asks(2, HELLO, caller("Bye"), agent("Goodbye"), caller("No, wait"))
    assert play.records[-1].outcome is Outcome.INTERRUPTED
    play.drafts("Yes?")
    assert play.finishes() == [Say(2, "", is_final=True)]


def test_an_interjection_overtakes_its_turn() -> None:
    play = greeted()
    play.asks(1, HELLO, caller("Hi"))
    cancelled, _, first = play.drafts(parts.Interjection("Hold on.", action=parts.HangUp()))
    assert cancelled == CancelReply(1, 1)
    assert isinstance(first, Interject)
    assert first.text == "Hold on. Goodbye."
    assert play.drafts("Stale.", index=1) == []
    assert play.records[-1].outcome is Outcome.SUPERSEDED
    play.asks(2, HELLO, caller("Hi"))
    second = play.drafts(parts.Interjection("And again."))[-1]
    assert isinstance(second, Interject)
    assert second.interrupt_id == first.interrupt_id + 1


def test_the_other_parts_go_out_as_they_come() -> None:
    play = greeted()
    play.asks(1, HELLO, caller("Hi"))
    call, answer = ToolCalled("t1", "find", "{}"), ToolAnswered("t1", "none", is_successful=True)
    voice, page = parts.VoiceSettings(responsiveness=0.5), parts.PageMessage.of({"a": 1})
    assert play.drafts(call) == [commands.ShowToolCall(call)]
    assert play.drafts(answer) == [commands.ShowToolResult(answer)]
    assert play.drafts(voice) == [commands.TuneVoice(voice)]
    assert play.drafts(page) == [commands.TellPage(page)]


# Rule 11: settlement, once each (the outcomes themselves: test_settlement.py).


def test_rule_11_every_turn_is_settled_exactly_once() -> None:
    play = greeted()
    for turn_id in (1, 2, 3):
        play.asks(turn_id, HELLO, caller("Hi"))
    play.says("Good morning.")
    play.disconnects()
    play.resumes()
    play.ends()
    assert [record.index for record in play.records] == [0, 1, 2, 3]


def test_rule_11_a_turn_without_a_readable_transcript_counts_as_completed() -> None:
    play = greeted()
    play.asks_unreadably(1)
    play.says("Good morning.")
    play.asks_unreadably(2)
    assert play.records[-1].outcome is Outcome.COMPLETED
    assert play.records[-1].is_heard_unknown


def test_the_call_s_record_counts_lines_outcomes_and_oddities() -> None:
    play = greeted()
    play.happens(OddityNoticed(play.at, Oddity.BINARY_FRAME))
    play.happens(OddityNoticed(play.at, Oddity.BINARY_FRAME))
    play.waits(60)
    play.disconnects()
    play.resumes()
    (record,) = of(RecordCall, play.ends())
    assert record.record.lines == 2
    assert record.record.ended_at - record.record.started_at == 60
    assert record.record.outcomes == {Outcome.COMPLETED: 1}
    assert record.record.oddities == {"binary_frame": 2}


# Rules 12 and 13: the line.


def test_rule_12_a_pinged_line_is_dropped_after_8_s_of_silence() -> None:
    play = greeted()
    assert play.pings() == [AnswerPing(1), SetDeadline(DeadlineKind.LINE, play.at + 8)]
    play.waits(3)
    assert play.pings(2) == [AnswerPing(2)]
    play.waits(5)
    assert play.passes(DeadlineKind.LINE) == [SetDeadline(DeadlineKind.LINE, play.at + 3)]
    play.waits(3)
    assert play.passes(DeadlineKind.LINE) == [DropLine("silent")]


def test_rule_12_a_line_that_never_pinged_is_left_alone_for_ten_minutes() -> None:
    play = Play()
    assert SetDeadline(DeadlineKind.LINE, play.at + 600) in play.starts()
    play.waits(599)
    play.hears(HELLO)
    play.waits(1)
    assert play.passes(DeadlineKind.LINE) == [SetDeadline(DeadlineKind.LINE, play.at + 599)]
    play.waits(599)
    assert play.passes(DeadlineKind.LINE) == [DropLine("silent")]


def test_rule_12_a_stall_of_our_own_is_not_their_silence() -> None:
    play = greeted()
    play.pings()
    play.waits(30)
    assert play.passes(DeadlineKind.LINE) == [SetDeadline(DeadlineKind.LINE, play.at + 1)]
    play.waits(1)
    assert play.passes(DeadlineKind.LINE) == [DropLine("silent")]


def test_rule_12_a_closed_line_is_not_dropped() -> None:
    play = greeted()
    play.disconnects()
    play.waits(600)
    assert play.passes(DeadlineKind.LINE) == []
    assert play.disconnects() == []


def test_rule_13_a_ping_changes_nothing_else() -> None:
    play = greeted()
    play.asks(1, HELLO, caller("Hi"))
    play.pings(1)
    assert play.pings(1) == [AnswerPing(1)]
    assert play.drafts("Good morning.") == [Say(1, "Good morning.")]


def test_nothing_is_asked_on_a_closed_line() -> None:
    play = greeted()
    play.disconnects()
    assert play.asks(1, HELLO, caller("Hi")) == []


# Rule 14: the history.


def test_rule_14_the_history_is_what_was_heard() -> None:
    play = greeted()
    play.asks(1, HELLO, caller("What are"), caller("your hours?"))
    play.says("We are open from nine to five on every weekday.")
    rows = (
        HELLO,
        caller("What are"),
        caller("your hours?"),
        agent("We are open from"),
        DigitPressed("1"),
        caller("Ok"),
    )
    play.asks(2, *rows)
    assert play.turns[-1].turn.history == (
        HELLO,
        caller("What are your hours?"),
        Utterance(agent("").speaker, "We are open from", was_cut_off=True),
        DigitPressed("1"),
        caller("Ok"),
    )


def test_rule_14_a_revised_utterance_loses_its_mark() -> None:
    play = greeted()
    play.asks(1, HELLO, caller("Hi"))
    play.says("We are open from nine to five.")
    play.asks(2, HELLO, caller("Hi"), agent("We are open"), caller("Ok"))
    play.asks(3, HELLO, caller("Hi"), caller("Ok then"), caller("Bye"))
    assert not any(isinstance(row, Utterance) and row.was_cut_off for row in play.turns[-1].turn.history)


def test_a_transcript_that_shrinks_is_odd() -> None:
    play = greeted()
    play.hears(HELLO, caller("Hi"))
    assert play.hears(HELLO) == [ReportOddity(Oddity.TRANSCRIPT_SHRANK, "")]
