"""The rules of the core, by their numbers: asides, lines that bridge a tool, and the rescue."""

import pytest

from service.conversation import events
from service.conversation.call import Outcome, Policy, Rescue
from service.conversation.commands import CancelReply, Interject, Say, ShowToolResult, TellPage, TuneVoice
from service.conversation.events import DeadlineKind
from service.conversation.parts import (
    Aside,
    HoldLine,
    Interjection,
    KnowledgeSought,
    Lookup,
    PageMessage,
    Transfer,
    VoiceSettings,
)
from service.conversation.transcript import ToolAnswered, ToolCalled
from tests.conversation.play import EPOCH, Play, agent, caller, greeted, of

HELLO, HI = agent("Hello."), caller("Hi")
FRONT_DESK = Transfer("+15550100", "I will put you through.")
RESCUED = Policy(details_expected=False, rescue=Rescue(FRONT_DESK, at_once=frozenset({"KeyRejected"})))


def aside(play: Play, part: Aside) -> list[object]:
    return [*play.happens(events.AsideMade(play.at, part))]


def patiently_waits(play: Play, seconds: float) -> None:
    """The deadlines of patience pass, again and again."""
    for _ in range(round(10 * seconds)):
        play.waits(0.1)
        play.passes(DeadlineKind.PATIENCE)


# Rule 18: what the agent does outside of its replies.


def test_rule_18_an_aside_between_turns_is_carried_out_at_once() -> None:
    play = greeted()
    late, voice, page = ToolAnswered("t1", "booked", True), VoiceSettings(responsiveness=0.5), PageMessage.of({"a": 1})
    assert aside(play, late) == [ShowToolResult(late)]
    assert aside(play, voice) == [TuneVoice(voice)]
    assert aside(play, page) == [TellPage(page)]


def test_rule_18_an_aside_without_a_line_is_nothing() -> None:
    play = greeted()
    play.disconnects()
    assert aside(play, ToolAnswered("t1", "booked", True)) == []
    assert aside(play, Interjection("Hello?")) == []


def test_rule_18_an_interjection_beside_the_reply_overtakes_it() -> None:
    play = greeted()
    play.asks(1, HELLO, HI)
    play.drafts("We are open ")
    told = aside(play, Interjection("Please hang up and call the fire brigade."))
    assert of(CancelReply, told) == [CancelReply(1, 1)]
    assert of(Interject, told) == [Interject(int(EPOCH) + 1, "Please hang up and call the fire brigade.")]
    assert play.drafts("from nine.", index=1) == []
    assert play.records[-1].outcome is Outcome.SUPERSEDED


def test_rule_18_an_interjection_when_nothing_is_said_is_said_alone() -> None:
    play = greeted()
    play.asks(1, HELLO, HI)
    play.says("Bye.")
    assert of(Interject, aside(play, Interjection("Are you there?"))) == [Interject(int(EPOCH) + 1, "Are you there?")]
    assert aside(play, Interjection("Hello?")) == [Interject(int(EPOCH) + 2, "Hello?")]


def test_rule_18_an_interjection_before_the_greeting_makes_it_needless() -> None:
    play = Play()
    play.starts()
    told = aside(play, Interjection("We are closed today."))
    assert of(Say, told) == [Say(0, "", is_final=True)]


def test_what_was_looked_up_is_seen_and_says_nothing() -> None:
    play = greeted()
    play.asks(1, HELLO, HI)
    assert play.drafts(KnowledgeSought(Lookup.FOUND, (("hours#sunday", 0.9),), 0.01, 0.004)) == []


def test_rule_17_a_tool_that_outlived_its_turn_still_stops_the_clocks_of_the_next() -> None:
    play = greeted()
    play.asks(1, HELLO, HI)
    play.drafts(ToolCalled("t1", "book", "{}"))
    play.asks(2, HELLO, HI, caller("please"))
    patiently_waits(play, 6)
    assert play.finals[-1].turn_id == 0, "it is not given up while the tool works"
    aside(play, ToolAnswered("t1", "booked", True))
    patiently_waits(play, 4.6)
    assert play.finals[-1] == Say(2, play.policy.lines.give_up, is_final=True)


def test_rule_17_a_tool_that_never_answers_stops_no_more_clocks_than_those_of_the_turn_after_it() -> None:
    play = greeted()
    play.asks(1, HELLO, HI)
    play.drafts(ToolCalled("t1", "book", "{}"))
    play.asks(2, HELLO, HI, caller("please"))
    play.says("Done.")
    play.asks(3, HELLO, HI, caller("please"), agent("Done."), caller("And?"))
    patiently_waits(play, 4.6)
    assert play.finals[-1] == Say(3, play.policy.lines.give_up, is_final=True)


# Rule 15: a line that bridges a tool's work.


def test_rule_15_a_tool_s_hold_may_follow_words_and_is_no_part_of_the_answer() -> None:
    play = greeted()
    play.asks(1, HELLO, HI)
    play.drafts("Let me look.")
    assert play.drafts(HoldLine("One moment please.")) == [Say(1, " One moment please. ")]
    assert play.drafts(HoldLine("Still looking.")) == [], "one in a turn"
    play.says("Nine is free.")
    heard = agent("Let me look. One moment please. Nine is free.")
    asked = of(type(play.turns[0]), play.asks(2, HELLO, HI, heard, caller("Fine")))[0].turn
    assert (play.records[-1].words_said, play.records[-1].words_heard) == (6, 6)
    assert asked.history[2] == agent("Let me look. Nine is free.")


@pytest.mark.parametrize(
    ("heard", "words"),
    [
        ("Let me", 2),
        ("Let me look. One", 3),
        ("Let me look. One moment please.", 3),
        ("Let me look. One moment please. Nine", 4),
    ],
)
def test_rule_15_what_was_heard_of_the_hold_does_not_count(heard: str, words: int) -> None:
    play = greeted()
    play.asks(1, HELLO, HI)
    play.drafts("Let me look.")
    play.drafts(HoldLine("One moment please."))
    play.says("Nine is free.")
    play.asks(2, HELLO, HI, agent(heard), caller("Wait"))
    assert (play.records[-1].outcome, play.records[-1].words_heard) == (Outcome.INTERRUPTED, words)


def test_rule_15_a_blank_hold_is_not_said() -> None:
    play = greeted()
    play.asks(1, HELLO, HI)
    assert play.drafts(HoldLine("  ")) == []


# Rule 19: the rescue.


def test_rule_19_the_second_failed_turn_running_hands_the_caller_over() -> None:
    play = greeted(RESCUED)
    play.asks(1, HELLO, HI)
    (apology,) = of(Say, play.fails("ServerFailed"))
    assert apology.action is None
    play.asks(2, HELLO, HI, agent(apology.text), caller("Hello?"))
    (rescue,) = of(Say, play.fails("ServerFailed"))
    assert rescue == Say(2, FRONT_DESK.words, is_final=True, action=FRONT_DESK), "and need not say it again"
    play.ends()
    assert [record.outcome for record in play.records[-2:]] == [Outcome.FAILED, Outcome.FAILED]


def test_rule_19_where_trying_again_is_in_vain_it_comes_at_once() -> None:
    play = greeted(RESCUED)
    play.asks(1, HELLO, HI)
    (rescue,) = of(Say, play.fails("KeyRejected"))
    assert rescue.action == FRONT_DESK


def test_rule_19_a_rescue_without_words_follows_the_apology() -> None:
    play = greeted(Policy(details_expected=False, rescue=Rescue(Transfer("+15550100"), frozenset({"KeyRejected"}))))
    play.asks(1, HELLO, HI)
    (rescue,) = of(Say, play.fails("KeyRejected"))
    assert (rescue.text, rescue.action) == (play.policy.lines.apology, Transfer("+15550100"))


def test_rule_19_a_rescue_amid_a_sentence_closes_it_first() -> None:
    play = greeted(RESCUED)
    play.asks(1, HELLO, HI)
    play.drafts("We are open from")
    (rescue,) = of(Say, play.fails("KeyRejected"))
    assert rescue.text == f" {play.policy.lines.closing_line} {FRONT_DESK.words}"


def test_rule_19_an_answer_in_between_starts_the_count_anew() -> None:
    play = greeted(RESCUED)
    play.asks(1, HELLO, HI)
    play.fails("ServerFailed")
    play.asks(2, HELLO, HI, agent("Sorry."), caller("Again"))
    play.says("We are open.")
    play.asks(3, HELLO, HI, agent("Sorry."), caller("Again"), agent("We are open."), caller("Until when?"))
    (apology,) = of(Say, play.fails("ServerFailed"))
    assert apology.action is None


def test_rule_19_without_a_rescue_every_failure_is_apologised_for() -> None:
    play = greeted()
    for turn in (1, 2, 3):
        play.asks(turn, HELLO, HI)
        (apology,) = of(Say, play.fails("KeyRejected"))
        assert apology.action is None
