"""What a settled turn tells besides its outcome: sentences, holds, gaps and fallbacks, each by our own clock."""

import pytest

from service.conversation.call import Fallback, Policy, Prompt, SpokenLines, TurnRecord
from service.conversation.events import DeadlineKind
from service.conversation.parts import HangUp, Speech
from service.conversation.transcript import ToolAnswered, ToolCalled
from tests.conversation.play import Play, agent, caller, greeted

HEARD = (agent("Hello."), caller("Hi."))


def asked() -> Play:
    play = greeted()
    play.asks(1, *HEARD)
    return play


def settled(play: Play) -> TurnRecord:
    play.ends()
    return play.records[-1]


def test_the_first_sentence_is_there_when_the_platform_can_speak() -> None:
    play = asked()
    play.waits(0.5)
    play.drafts("We open ")
    play.waits(0.25)
    play.drafts("at nine. ")
    play.waits(1)
    play.says("Do come by.")
    record = settled(play)
    assert (record.first_words_at, record.first_sentence_at) == (record.asked_at + 0.5, record.asked_at + 0.75)
    assert record.chunks == 3


def test_an_answer_without_a_sentence_is_spoken_when_it_ends() -> None:
    play = asked()
    play.drafts("Nine o'clock")
    play.waits(0.5)
    play.finishes()
    record = settled(play)
    assert record.first_sentence_at == record.asked_at + 0.5
    assert record.fallback is None


def test_a_farewell_is_an_answer() -> None:
    play = asked()
    play.waits(0.5)
    play.drafts(HangUp("Goodbye."))
    play.finishes()
    record = settled(play)
    assert (record.first_words_at, record.first_sentence_at) == (record.asked_at + 0.5, record.asked_at + 0.5)
    assert record.chunks == 0


def test_an_agent_that_says_nothing_has_no_first_words() -> None:
    play = asked()
    play.finishes()
    record = settled(play)
    assert (record.first_words_at, record.first_sentence_at, record.fallback) == (None, None, None)


def test_neither_a_hold_nor_an_apology_is_the_first_words_of_an_answer() -> None:
    play = asked()
    play.waits(1.8)
    play.passes(DeadlineKind.PATIENCE)
    play.waits(0.5)
    play.fails()
    record = settled(play)
    assert (record.first_words_at, record.first_sentence_at) == (None, None)
    assert record.held_at == record.asked_at + 1.8
    assert record.fallback is Fallback.APOLOGY


def test_words_after_a_hold_are() -> None:
    play = asked()
    play.waits(1.8)
    play.passes(DeadlineKind.PATIENCE)
    play.waits(0.5)
    play.says("We open at nine.")
    record = settled(play)
    assert record.first_words_at == record.first_sentence_at == record.asked_at + 2.3


def test_a_greeting_that_fails_is_said_by_us() -> None:
    play = Play()
    play.starts()
    play.fails()
    assert settled(play).fallback is Fallback.FALLBACK_GREETING
    assert play.finals[-1].text == SpokenLines().fallback_greeting


def test_an_answer_that_is_too_slow_is_given_up() -> None:
    play = greeted(Policy(details_expected=False, lines=SpokenLines(hold=())))
    play.asks(1, *HEARD)
    play.waits(4.5)
    play.passes(DeadlineKind.PATIENCE)
    record = settled(play)
    assert (record.fallback, record.reason, record.held_at) == (Fallback.GIVE_UP, "too_slow", None)


@pytest.mark.parametrize(
    ("said", "fallback"),
    [
        pytest.param("We open at", Fallback.CLOSING_LINE, id="in-mid-sentence"),
        pytest.param("We open at nine.", None, id="after-a-sentence"),
    ],
)
def test_an_answer_that_breaks_off_keeps_its_own_first_words(said: str, fallback: Fallback | None) -> None:
    play = asked()
    play.drafts(said)
    play.waits(0.5)
    play.fails()
    record = settled(play)
    assert (record.first_words_at, record.fallback) == (record.asked_at, fallback)
    assert record.first_sentence_at == (record.asked_at if fallback is None else None)


def test_the_gap_is_how_long_the_caller_had_nothing_left_to_hear() -> None:
    play = asked()
    play.drafts("One two three four five six seven eight nine. ")  # 9 words: heard after 9 / 2.7 s
    play.waits(4)
    play.drafts("Then ")
    play.waits(1)
    play.says("more.")
    record = settled(play)
    assert record.audible_gap == pytest.approx(4 - 9 / 2.7)


def test_a_gap_before_a_closing_line_counts_and_a_wait_for_the_first_sentence_does_not() -> None:
    play = asked()
    play.drafts("We ")
    play.waits(3)
    play.drafts("open. At ")
    play.waits(3)
    play.fails()
    assert settled(play).audible_gap == pytest.approx(3 - 2 / 2.7)


def test_a_gap_is_bridged_by_a_hold_line_while_a_tool_works() -> None:
    play = asked()
    play.drafts("Let me see. ")
    play.drafts(ToolCalled("t", "find", "{}"))
    play.drafts(ToolAnswered("t", "3"))
    play.waits(1.8)
    play.passes(DeadlineKind.PATIENCE)
    record = settled(play)
    assert record.held_at == record.asked_at + 1.8
    assert record.audible_gap == pytest.approx(1.8 - 3 / 2.7)


def test_blank_text_is_neither_words_nor_the_end_of_a_gap() -> None:
    play = asked()
    play.drafts(" ")
    play.waits(0.5)
    play.drafts("Yes. ")
    play.waits(2)
    play.drafts("\n")
    play.finishes()
    record = settled(play)
    assert (record.first_words_at, record.audible_gap) == (record.asked_at + 0.5, 0.0)


def test_words_that_follow_each_other_leave_no_gap() -> None:
    play = asked()
    for word in ("We", "open", "at", "nine.", "Do", "come", "by."):
        play.drafts(Speech(f"{word} "))
        play.waits(0.1)
    play.finishes()
    assert settled(play).audible_gap == 0.0


def test_a_reminder_has_its_facts_too() -> None:
    play = greeted()
    play.asks(1, agent("Hello."), prompt=Prompt.CALLER_SILENT)
    play.waits(0.2)
    play.says("Are you still there?")
    record = settled(play)
    assert (record.prompt, record.first_sentence_at) == (Prompt.CALLER_SILENT, record.asked_at + 0.2)
