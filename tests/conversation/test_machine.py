"""The rules of the core, by their numbers (service/conversation/machine.py): how turns begin."""

import pytest

from service.conversation import commands
from service.conversation.call import Policy, Prompt
from service.conversation.commands import (
    CancelReply,
    ReportOddity,
    Say,
    SetDeadline,
    StartReply,
)
from service.conversation.events import DeadlineKind, Oddity
from tests.conversation.play import EPOCH, Play, agent, caller, greeted, of

HELLO = agent("Hello.")


# Rules 1 and 2: stale is nothing, one reply in flight.


def test_rule_1_words_of_an_earlier_turn_change_nothing() -> None:
    play = greeted()
    play.asks(1, HELLO, caller("Hi"))
    play.asks(2, HELLO, caller("Hi there"))
    assert play.drafts("Late words.", index=1) == []
    assert play.finishes(index=1) == []
    assert play.fails(index=1) == []


def test_rule_1_the_same_id_on_a_new_line_is_another_turn() -> None:
    play = greeted()
    play.asks(1, HELLO, caller("Hi"))
    play.resumes()
    play.asks(1, HELLO, caller("Hi"))
    assert play.drafts("Late words of the old line.", index=1) == []
    assert play.drafts("New words.") == [Say(1, "New words.")]


def test_rule_2_a_newer_request_cancels_before_it_starts() -> None:
    play = greeted()
    play.asks(1, HELLO, caller("Hi"))
    play.drafts("Good ")
    answer = play.asks(2, HELLO, caller("Hi there"))
    cancelled, recorded, started, *deadlines = answer
    assert cancelled == CancelReply(1, 1)
    assert isinstance(recorded, commands.RecordTurn)
    assert isinstance(started, StartReply)
    assert [type(deadline) for deadline in deadlines] == [SetDeadline, SetDeadline]


def test_rule_2_a_newer_request_also_drops_what_waits_of_a_finished_reply() -> None:
    play = greeted()
    play.asks(1, HELLO, caller("Hi"))
    play.says("Good morning.")
    assert CancelReply(1, 1) in play.asks(2, HELLO, caller("Hi there"))


# Rule 3: ids on one line.


@pytest.mark.parametrize("turn_id", [3, 2, -1])
def test_rule_3_an_id_that_is_not_newer_is_not_answered(turn_id: int) -> None:
    play = greeted()
    play.asks(3, HELLO, caller("Hi"))
    assert play.asks(turn_id, HELLO, caller("Hi")) == [ReportOddity(Oddity.REQUEST_NOT_NEWER, "")]
    assert play.asks(turn_id, HELLO, caller("Hi")) == []
    assert play.drafts("Still here.") == [Say(3, "Still here.")]


def test_rule_3_gaps_are_fine_and_a_new_line_starts_afresh() -> None:
    play = greeted()
    play.asks(3, HELLO, caller("Hi"))
    play.asks(7, HELLO, caller("Hi"))
    play.resumes()
    assert of(StartReply, play.asks(2, HELLO, caller("Hi")))


# Rule 4: exactly one final frame.


def test_rule_4_a_reply_ends_in_one_final_frame_and_nothing_after_it() -> None:
    play = greeted()
    play.asks(1, HELLO, caller("Hi"))
    assert play.drafts("Good morning.") == [Say(1, "Good morning.")]
    assert play.finishes() == [Say(1, "", is_final=True)]
    assert play.drafts("More.") == play.finishes() == play.fails() == []


def test_rule_4_an_empty_reply_is_completed_all_the_same() -> None:
    play = greeted()
    play.asks(1, HELLO, caller("Hi"))
    assert play.drafts("") == []
    assert play.finishes() == [Say(1, "", is_final=True)]
    play.asks(2, HELLO, caller("Hi?"))
    assert play.records[-1].first_words_at is None


# Rule 5: the greeting.


def test_rule_5_the_greeting_waits_for_the_details() -> None:
    play = Play(Policy())
    assert not of(StartReply, play.starts())
    started, *_ = play.tells()
    assert isinstance(started, StartReply)
    assert started.turn.prompt is Prompt.GREETING
    assert started.turn.turn_id == 0
    assert started.turn.call is not None


def test_rule_5_the_greeting_goes_without_details_that_are_late() -> None:
    play = Play(Policy(greeting_wait=0.3))
    assert SetDeadline(DeadlineKind.GREETING, play.at + 0.3) in play.starts()
    odd, started, *_ = play.passes(DeadlineKind.GREETING)
    assert odd == ReportOddity(Oddity.DETAILS_LATE, "")
    assert isinstance(started, StartReply)
    assert play.tells() == []
    assert play.passes(DeadlineKind.GREETING) == []


@pytest.mark.parametrize("seconds_ago", [None, 0.0, 5.0])
def test_rule_5_a_fresh_call_is_greeted(seconds_ago: float | None) -> None:
    play = Play(Policy())
    play.starts()
    assert of(StartReply, play.tells(started_at=None if seconds_ago is None else EPOCH - seconds_ago))


def test_rule_5_a_call_under_way_elsewhere_gets_the_empty_greeting() -> None:
    silent = [Say(0, "", is_final=True)]
    by_status, by_age, by_words = Play(Policy()), Play(Policy()), Play(Policy())
    for play in (by_status, by_age, by_words):
        play.starts()
    assert by_status.tells(ongoing=True) == silent
    assert by_age.tells(started_at=EPOCH - 5.1) == silent
    assert by_words.hears(HELLO, caller("Hi")) == silent
    assert by_words.tells() == []


def test_rule_5_a_call_taken_for_ongoing_that_nobody_greeted_is_odd() -> None:
    play = Play(Policy())
    play.starts()
    play.tells(ongoing=True)
    assert play.hears() == []
    assert play.hears(caller("Hello?")) == [ReportOddity(Oddity.FRESH_CALL_CALLED_ONGOING, "")]
    assert play.hears(caller("Hello? Hello?")) == []


def test_rule_5_details_of_another_call_are_not_used() -> None:
    play = Play(Policy())
    play.starts()
    assert play.tells(call_id="another") == [ReportOddity(Oddity.CALL_ID_DIFFERS, "")]
    (started,) = of(StartReply, play.passes(DeadlineKind.GREETING))
    assert started.turn.call is None


def test_rule_5_a_caller_who_speaks_first_is_answered_and_not_greeted() -> None:
    play = Play(Policy())
    play.starts()
    empty, started, *_ = play.asks(1, caller("Hello?"))
    assert empty == Say(0, "", is_final=True)
    assert isinstance(started, StartReply)
    assert started.turn.turn_id == 1


def test_rule_5_a_greeting_is_not_spoken_twice() -> None:
    play = greeted()
    assert Say(0, "", is_final=True) in play.resumes()
    assert len(play.turns) == 1


def test_rule_5_a_greeting_that_never_began_is_spoken_on_the_next_line() -> None:
    play = Play(Policy())
    play.starts()
    play.disconnects()
    assert play.passes(DeadlineKind.GREETING) == []
    play.resumes()
    assert of(StartReply, play.tells())


@pytest.mark.parametrize(("seconds", "greets"), [(3.0, True), (20.0, False)])
def test_rule_5_a_call_that_comes_back_was_greeted_elsewhere_meanwhile(seconds: float, *, greets: bool) -> None:
    play = Play(Policy())
    play.starts()
    play.tells()
    play.disconnects()
    play.waits(seconds)
    play.resumes()
    assert bool(of(StartReply, play.tells(ongoing=True, started_at=EPOCH))) is greets


def test_rule_5_a_greeting_overtaken_before_its_words_stays_unspoken() -> None:
    play = Play()
    play.starts()
    assert Say(0, "", is_final=True) in play.asks(1, caller("Hello?"))
    play.resumes()
    assert [turn.turn.prompt for turn in play.turns] == [Prompt.GREETING, Prompt.CALLER_SPOKE]


# Rules 6 and 7: reminders and updates.


def test_rule_6_a_reminder_is_a_turn_prompted_by_silence() -> None:
    play = greeted()
    play.asks(1, HELLO, prompt=Prompt.CALLER_SILENT)
    assert play.turns[-1].turn.prompt is Prompt.CALLER_SILENT
    assert play.drafts("Are you there?") == [Say(1, "Are you there?")]
    assert play.asks(2, HELLO, caller("Yes"))[0] == CancelReply(1, 1)


def test_rule_7_an_update_is_never_answered_and_never_cancels() -> None:
    play = greeted()
    play.asks(1, HELLO, caller("Hi"))
    assert play.hears(HELLO, caller("Hi, I")) == []
    assert play.drafts("Good morning.") == [Say(1, "Good morning.")]
