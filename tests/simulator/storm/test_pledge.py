from service.conversation.call import Deadlines
from service.simulator.storm.pledge import Pledge

NONE = frozenset[str]()
SENTENCE = "We are open."


def asked(*, may_hold: bool = True, tools: frozenset[str] = NONE, budget: float = 25.0) -> Pledge:
    return Pledge(100.0, Deadlines(), budget, may_hold=may_hold, tools=tools)


def test_words_in_time_are_all_that_is_owed() -> None:
    pledge = asked()
    assert [pledge.says("We ", 101.0), pledge.says("are open.", 101.5), pledge.over(102.0)] == ["", "", ""]


def test_a_hold_line_is_owed_after_two_seconds() -> None:
    assert "the time for a hold line" in asked().says(SENTENCE, 102.5)
    assert asked().holds(101.8) == ""


def test_without_words_the_turn_is_given_up() -> None:
    pledge = asked()
    pledge.holds(101.8)
    assert pledge.over(104.5) == ""
    assert "the time to give up ended 0.50 s ago" in pledge.over(105.0)
    assert "the time to give up" in asked(may_hold=False).over(105.0)


def test_a_tool_at_work_excuses_ten_seconds() -> None:
    pledge = asked(may_hold=False)
    assert pledge.calls("t1", 101.0) == ""
    assert pledge.over(110.9) == ""
    assert pledge.over(111.2) != ""


def test_a_tool_of_the_turn_before_excuses_too() -> None:
    pledge = asked(may_hold=False, tools=frozenset({"t0"}))
    assert pledge.answers("t0", 109.0) == ""
    assert pledge.over(113.4) == ""
    assert pledge.over(113.8) != ""


def test_the_answer_of_a_tool_of_another_turn_is_nothing() -> None:
    pledge = asked(may_hold=False)
    assert pledge.answers("t9", 104.0) == ""
    assert pledge.over(105.0) != ""


def test_words_without_a_sentence_have_five_seconds() -> None:
    pledge = asked()
    for tenth in range(49):
        assert pledge.says("w", 100.0 + tenth / 10) == ""
    assert pledge.over(105.0) == ""
    assert "the time for a first sentence" in pledge.over(105.3)


def test_after_a_sentence_no_pause_is_longer_than_eight_seconds() -> None:
    pledge = asked()
    pledge.says(SENTENCE, 101.0)
    assert pledge.over(109.0) == ""
    assert "the longest pause between words" in pledge.over(109.3)


def test_nothing_lasts_longer_than_the_turn_budget() -> None:
    pledge = asked(budget=9.0)
    pledge.says(SENTENCE, 101.0)
    pledge.says(SENTENCE, 108.0)
    assert "the turn budget" in pledge.over(109.3)
