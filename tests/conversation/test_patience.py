"""Rules 15 to 17: what a caller hears while an answer is slow."""

import pytest

from service.conversation import events
from service.conversation.call import Outcome, Policy, SpokenLines
from service.conversation.commands import CancelReply, Command, Say, SetDeadline
from service.conversation.events import DeadlineKind
from service.conversation.parts import HangUp, Interjection
from service.conversation.transcript import ToolAnswered, ToolCalled, Utterance
from tests.conversation.play import Play, agent, caller, greeted, of

HELLO = agent("Hello.")
POLICY = Policy(details_expected=False, lines=SpokenLines(hold=("One moment.", "Just a second.")))
SENTENCE = "We are open from nine to five on every weekday of the year."


def asked(policy: Policy = POLICY) -> Play:
    play = greeted(policy)
    play.asks(1, HELLO, caller("When?"))
    return play


def until(answer: list[Command]) -> float:
    return [deadline.at for deadline in of(SetDeadline, answer) if deadline.kind is DeadlineKind.PATIENCE][-1]


def passes(play: Play, seconds: float = 0.0) -> list[Command]:
    play.waits(seconds)
    return play.passes(DeadlineKind.PATIENCE)


def test_rule_15_a_hold_line_bridges_the_wait_for_the_first_words() -> None:
    play = greeted(POLICY)
    assert until(play.asks(1, HELLO, caller("When?"))) == pytest.approx(play.at + 1.8)
    assert of(Say, passes(play, 1.8)) == [Say(1, "One moment. ")]
    play.says(SENTENCE)
    play.asks(2, HELLO, caller("When?"), agent(f"One moment. {SENTENCE}"), caller("Thanks"))
    record = play.records[-1]
    assert (record.outcome, record.words_said, record.words_heard) == (Outcome.COMPLETED, 13, 13)
    assert record.first_words_at == record.asked_at + 1.8


def test_rule_15_holds_take_turns_and_never_come_in_two_turns_running() -> None:
    play = asked()
    held = [of(Say, passes(play, 1.8))]
    for turn_id in (2, 3, 4):
        play.asks(turn_id, HELLO, caller("When?"))
        held.append(of(Say, passes(play, 1.8)))
    assert held == [[Say(1, "One moment. ")], [], [Say(3, "Just a second. ")], []]


def test_rule_15_no_hold_for_whom_wants_none_nor_in_a_greeting() -> None:
    play = Play(Policy(details_expected=False, lines=SpokenLines(hold=())))
    play.starts()
    assert of(Say, passes(play, 1.8)) == []
    play.asks(1, caller("Hello?"))
    assert of(Say, passes(play, 1.8)) == []


def test_rule_15_no_hold_is_said_into_words() -> None:
    play = asked()
    play.drafts("We are")
    assert of(Say, passes(play, 1.8)) == []


def test_rule_14_a_hold_that_was_said_is_not_in_the_history() -> None:
    rows = (HELLO, caller("When?"), agent("one moment. At nine."), caller("One moment."))
    never, once = asked(), asked()
    passes(once, 1.8)
    for play in (never, once):
        play.asks(2, *rows)
    assert never.turns[-1].turn.history == rows
    assert once.turns[-1].turn.history[2:] == (agent("At nine."), caller("One moment."))


@pytest.mark.parametrize("is_ongoing", [False, True])
def test_rule_14_nor_is_one_that_a_process_before_this_one_said(*, is_ongoing: bool) -> None:
    play = Play(POLICY)
    play.starts()
    play.tells(ongoing=is_ongoing)
    play.asks(1, HELLO, caller("When?"), agent("One moment. At nine."), caller("Thanks"))
    assert (agent("At nine.") in play.turns[-1].turn.history) is is_ongoing


@pytest.mark.parametrize(
    ("heard", "told"),
    [
        ("One", None),
        ("We are open. One", "We are open."),
        ("We are open. one  ", "We are open."),
        ("There is one", "There is one"),
        ("One moment", None),
        ("One moment ago", "One moment ago"),
    ],
)
def test_rule_14_nor_is_the_beginning_of_one_that_the_caller_spoke_into(heard: str, told: str | None) -> None:
    play = asked()
    passes(play, 1.8)
    play.asks(2, HELLO, caller("When?"), agent(heard), caller("Hm?"))
    rows = play.turns[-1].turn.history[2:]
    of_agent = [row.text for row in rows if isinstance(row, Utterance) and row != caller("Hm?")]
    assert of_agent == ([] if told is None else [told])


def test_rule_15_who_heard_only_the_hold_heard_nothing_of_the_answer() -> None:
    play = asked()
    passes(play, 1.8)
    play.says(SENTENCE)
    play.asks(2, HELLO, caller("When?"), agent("One moment."), caller("Hm?"))
    assert play.records[-1].outcome is Outcome.SUPERSEDED


def test_rule_16_an_answer_that_does_not_begin_is_given_up_honestly() -> None:
    play = asked()
    passes(play, 1.8)
    cancelled, said = passes(play, 2.7)
    assert cancelled == CancelReply(1, 1, keeps_words=True)
    assert said == Say(1, POLICY.lines.give_up, is_final=True)
    assert play.drafts("Late.", index=1) == []
    play.asks(2, HELLO, caller("When?"))
    assert (play.records[-1].outcome, play.records[-1].reason) == (Outcome.FAILED, "too_slow")


def test_rule_16_a_greeting_that_does_not_begin_falls_back() -> None:
    play = Play(POLICY)
    play.starts()
    assert of(Say, passes(play, 4.5)) == [Say(0, POLICY.lines.fallback_greeting, is_final=True)]


def test_rule_16_words_without_a_sentence_are_closed() -> None:
    play = asked()
    play.waits(1)
    play.drafts("We are")
    assert of(Say, passes(play, 3)) == []
    assert of(Say, passes(play, 0.5)) == [Say(1, f" {POLICY.lines.closing_line}", is_final=True)]


def test_rule_17_a_dribble_without_a_sentence_is_closed_after_five_seconds() -> None:
    play = asked()
    for _ in range(5):
        play.waits(0.9)
        play.drafts("well ")
        assert of(Say, passes(play)) == []
    play.waits(0.4)
    play.drafts("well ")
    assert of(Say, passes(play, 0.1)) == [Say(1, POLICY.lines.closing_line, is_final=True)]


def test_rule_17_words_after_a_tool_have_a_time_of_their_own() -> None:
    play = asked()
    play.drafts(ToolCalled("t1", "find", "{}"))
    passes(play, 1.8)
    play.waits(4)
    play.drafts(ToolAnswered("t1", "nine"))
    play.drafts("We ")
    assert until(passes(play)) == pytest.approx(play.at + 1.0)
    assert of(Say, passes(play, 0.9)) == []


@pytest.mark.parametrize(
    ("said", "ending"), [(SENTENCE, ""), (f"{SENTENCE} On", f" {POLICY.lines.closing_line}")], ids=["whole", "cut"]
)
def test_rule_17_a_stall_is_finished_when_the_caller_has_run_out_of_words(said: str, ending: str) -> None:
    play = asked()
    play.drafts(said)
    words = len(said.split())
    assert of(Say, passes(play, words / 2.7 + 0.9)) == []
    (final,) = of(Say, passes(play, 0.2))
    assert final == Say(1, ending, is_final=True)
    play.asks(2, HELLO, caller("When?"), agent(said + ending), caller("Ok"))
    assert (play.records[-1].outcome, play.records[-1].reason) == (Outcome.FAILED, "stalled")


def test_rule_17_no_pause_on_the_wire_is_longer_than_eight_seconds() -> None:
    play = asked()
    play.drafts("word " * 100 + "end.")
    assert of(Say, passes(play, 7.9)) == []
    assert of(Say, passes(play, 0.2)) == [Say(1, "", is_final=True)]


def test_rule_17_a_tool_at_work_stops_the_clocks_but_for_the_hold() -> None:
    play = asked()
    play.drafts(ToolCalled("t1", "find", "{}"))
    assert of(Say, passes(play, 1.8)) == [Say(1, "One moment. ")]
    for _ in range(80):
        assert of(Say, passes(play, 0.1)) == []
    play.drafts(ToolAnswered("t1", "none"))
    assert of(Say, passes(play, 0.1)) == of(Say, passes(play, 4.3)) == []
    assert of(Say, passes(play, 0.2)) == [Say(1, POLICY.lines.give_up, is_final=True)]


def test_rule_17_a_tool_that_never_answers_stops_them_for_ten_seconds() -> None:
    play = asked()
    play.drafts("Let me see.")
    play.drafts(ToolCalled("t1", "find", "{}"))
    for _ in range(99):
        assert of(Say, passes(play, 0.1)) == []
    assert of(Say, passes(play, 0.2)) == [Say(1, "", is_final=True)]


def test_rule_16_a_second_wait_after_a_tool_ends_honestly_though_words_were_said() -> None:
    play = asked()
    play.drafts("Let me see.")
    play.drafts(ToolCalled("t1", "find", "{}"))
    play.waits(1)
    play.drafts(ToolAnswered("t1", "none"))
    play.passes(DeadlineKind.PATIENCE)
    assert of(Say, passes(play, 1.8)) == [Say(1, " One moment. ")]
    assert of(Say, passes(play, 2.7)) == [Say(1, f" {POLICY.lines.give_up}", is_final=True)]


@pytest.mark.parametrize("has_line", [True, False], ids=["on the line", "between two lines"])
def test_rule_17_a_tool_that_answered_between_two_turns_excuses_nobody(*, has_line: bool) -> None:
    play = asked()
    passes(play, 1.8)
    play.drafts(ToolCalled("t1", "find", "{}"))
    if has_line:
        play.happens(events.AsideMade(play.at, Interjection("Attention please.")))
    else:
        play.disconnects()
    play.happens(events.AsideMade(play.at, ToolAnswered("t1", "stopped", is_successful=False)))
    if not has_line:
        play.resumes()
    play.asks(2, HELLO, caller("When?"))
    assert of(Say, passes(play, 4.5)) == [Say(2, POLICY.lines.give_up, is_final=True)]


def test_rule_16_a_tools_answer_that_came_late_has_its_hold_line_in_time() -> None:
    play = asked()
    play.drafts("Let me see.")
    play.drafts(ToolCalled("t1", "find", "{}"))
    passes(play, 1.8)
    play.waits(0.2)
    assert until(play.drafts(ToolAnswered("t1", "none"))) == pytest.approx(play.at + 1.8)
    assert of(Say, passes(play, 1.8)) == [Say(1, " One moment. ")]


def test_rule_17_words_after_a_slow_tool_bring_the_deadline_of_their_own() -> None:
    play = asked()
    passes(play, 1.8)
    play.drafts(ToolCalled("t1", "find", "{}"))
    play.waits(4)
    play.drafts(ToolAnswered("t1", "nine"))
    assert until(passes(play)) == pytest.approx(play.at + 4.5)
    play.waits(1)
    assert until(play.drafts("We ")) == pytest.approx(play.at + 1.0)
    assert of(SetDeadline, play.drafts("are ")) == []


def test_rule_17_an_action_that_was_asked_for_is_taken_though_the_agent_hangs() -> None:
    play = asked()
    play.drafts(HangUp("Goodbye."))
    assert of(Say, passes(play, 1.8)) == []
    assert of(Say, passes(play, 2.7)) == [Say(1, "Goodbye.", is_final=True, action=HangUp("Goodbye."))]


def test_rule_17_a_stall_of_our_own_excuses_everybody() -> None:
    play = asked()
    assert of(Say, passes(play, 30)) == []
    play.drafts(SENTENCE)
    assert of(Say, passes(play, 0.1)) == []


def test_a_deadline_that_passes_early_is_set_again_and_a_finished_turn_has_none() -> None:
    play = asked()
    assert until(passes(play, 0.5)) == pytest.approx(play.at + 1.3)
    play.says(SENTENCE)
    assert passes(play, 60) == []
