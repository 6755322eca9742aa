from typing import Any

import pytest

from service.recording.comparing import TurnCompared, compared, turns_of, words_compared
from service.recording.lines import FORMAT, CallBegan, FrameIn, FrameOut, Happening, ModelStream, TurnAsked, TurnSettled
from service.recording.reading import Recording


def call(*entries: Happening, is_redacted: bool = False) -> Recording:
    began = CallBegan(FORMAT, "call_1", "bakery", "", "2026-03-02T09:00:00+00:00", "0", is_redacted)
    return Recording(began, list(entries))


def asked(index: int = 0, *, at: float = 0.0, turn_id: int | None = None, prompt: str = "caller_spoke") -> TurnAsked:
    return TurnAsked(at, index, index if turn_id is None else turn_id, prompt)


def says(text: str, *, at: float = 1.0, turn_id: int = 0, is_final: bool = False, **fields: Any) -> FrameOut:
    frame = {"response_type": "response", "response_id": turn_id, "content": text, "content_complete": is_final}
    return FrameOut(at, 1, {**frame, **fields})


def sends(kind: str, **fields: Any) -> FrameOut:
    return FrameOut(1.0, 1, {"response_type": kind, **fields})


def changes(then: Recording, now: Recording) -> list[tuple[str, str, str]]:
    return [(each.what, each.then, each.now) for turn in compared(then, now) for each in turn.changes]


def test_a_turn_has_its_words_moments_tools_and_action() -> None:
    heard = FrameIn(
        2.0, 1, {"interaction_type": "response_required", "transcript": [{"role": "user", "content": "Bye"}]}
    )
    (turn,) = turns_of(
        call(
            heard,
            asked(at=2.0),
            sends("tool_call_invocation", name="book", arguments='{"n":1}'),
            says(" ", at=2.1),
            says("Good", at=2.3),
            says("bye.", at=2.5, is_final=True, end_call=True),
            says("", at=9.0, is_final=True),
            TurnSettled(9.0, 0, "completed"),
        )
    )
    assert (turn.caller, turn.said, turn.tools, turn.actions) == ("Bye", " Goodbye.", ['book({"n":1})'], ["hang up"])
    assert turn.words_after == pytest.approx(0.3)
    assert turn.took == pytest.approx(0.5)
    assert turn.outcome == "completed"


def test_other_chunks_of_the_same_words_are_no_change() -> None:
    then = call(asked(), says("We are "), says("open.", is_final=True))
    now = call(asked(), says("We are open."), says("", is_final=True))
    assert changes(then, now) == []


def test_other_words_are_told() -> None:
    then = call(asked(), says("We are open.", is_final=True))
    now = call(asked(), says("We are closed.", is_final=True))
    assert changes(then, now) == [("words", "We are open.", "We are closed.")]


def test_words_that_were_cut_off_a_little_later_are_no_change() -> None:
    assert changes(call(asked(), says("We are")), call(asked(), says("We are open"))) == []
    assert changes(call(asked(), says("We are")), call(asked(), says("They are"))) != []


def test_numbers_of_a_redacted_recording_do_not_count() -> None:
    then = call(asked(), says("At one, or 11.", is_final=True), is_redacted=True)
    assert changes(then, call(asked(), says("At nine, or 23.", is_final=True))) == []


def test_tools_actions_frames_questions_and_outcomes_are_told() -> None:
    stream = ModelStream(0.1, 0, 1, "first", "a", "b", [], 0.1, "whole")
    then = call(asked(), sends("tool_call_invocation", name="find", arguments="{}"), TurnSettled(1.0, 0, "completed"))
    now = call(
        asked(),
        stream,
        sends("metadata", metadata={"a": 1}),
        says("", is_final=True, transfer_number="+1"),
        TurnSettled(1.0, 0, "failed", "NotRecorded"),
    )
    assert changes(then, now) == [
        ("tools", "find({})", "none"),
        ("action", "none", "transfer to +1"),
        ("frames", "none", '{"response_type": "metadata", "metadata": {"a": 1}}'),
        ("questions", "asked the model 0 times", "1 times"),
        ("outcome", "completed", "failed (NotRecorded)"),
    ]


def test_how_much_was_heard_of_other_words_is_no_change() -> None:
    then = call(asked(), says("Hello.", is_final=True), TurnSettled(1.0, 0, "interrupted"))
    now = call(asked(), says("Good day.", is_final=True), TurnSettled(1.0, 0, "completed"))
    failed = call(asked(), says("Good day.", is_final=True), TurnSettled(1.0, 0, "failed"))
    assert [what for what, *_ in changes(then, now)] == ["words"]
    assert [what for what, *_ in changes(then, failed)] == ["words", "outcome"]


def test_an_outcome_that_one_of_them_does_not_know_is_no_change() -> None:
    assert changes(call(asked()), call(asked(), TurnSettled(1.0, 0, "completed"))) == []


def test_what_is_sent_before_the_first_turn_counts_to_it() -> None:
    assert changes(call(sends("config"), asked()), call(asked())) == [("frames", '{"response_type": "config"}', "none")]


def test_turns_that_only_one_of_them_has_are_told() -> None:
    then = call(asked(0, prompt="greeting"), asked(1), asked(2))
    now = call(asked(0), asked(2, turn_id=2))
    assert changes(then, now) == [
        ("turn", "asked: greeting", "asked: caller_spoke"),
        ("turn", "asked: caller_spoke", "nobody asked"),
    ]
    assert [(pair.then is None, pair.now is None) for pair in compared(now, then)] == [
        (False, False),
        (True, False),
        (False, False),
    ]


def test_a_hostile_frame_is_no_turns() -> None:
    odd: list[Happening] = [
        FrameOut(1.0, 1, {"response_type": "response", "response_id": [1], "content": 7}),
        FrameOut(1.0, 1, "no frame"),
        FrameIn(1.0, 1, {"interaction_type": "response_required", "transcript": 7}),
        TurnSettled(1.0, 99, "completed"),
        sends("tool_call_result"),
    ]
    (turn,) = turns_of(call(asked(), *odd))
    assert turn.said == ""


def test_words_are_compared_one_by_one() -> None:
    assert words_compared("We open at nine daily", "We close at nine") == [
        ("same", "We"),
        ("gone", "open"),
        ("new", "close"),
        ("same", "at nine"),
        ("gone", "daily"),
    ]


def test_a_turn_that_changed_nothing_has_no_changes() -> None:
    (turn,) = compared(call(asked()), call(asked()))
    assert isinstance(turn, TurnCompared)
    assert turn.changes == []
