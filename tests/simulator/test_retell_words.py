"""Retell's side of a call, in virtual time: what is spoken and heard. Rules: `simulator/retell.py`."""

from service.simulator import retell_steps as steps
from tests.simulator.played import ALL_ON, Played

# The beginning.


def test_details_follow_the_config_that_asks_for_them() -> None:
    played = Played(details={"from_number": "+12025550100", "call_type": "phone_call"})
    played.config(**ALL_ON)
    assert played.all(steps.Configured) == [steps.Configured(wants_pings=True, wants_details=True, wants_rows=True)]
    call = played.frames("call_details")[0]["call"]
    assert (call["call_id"], call["call_status"], call["from_number"]) == ("call_1", "registered", "+12025550100")


def test_what_a_config_leaves_out_is_off() -> None:
    played = Played()
    played.config()
    played.says(0, "")
    played.wait(9)
    played.caller("Hi.")
    assert played.frames("call_details") == played.frames("ping_pong") == []
    assert "transcript_with_tool_calls" not in played.frames("response_required")[0]


def test_a_greeting_is_timed_from_the_open_line() -> None:
    played = Played()
    played.wait(0.25)
    played.says(0, "Hello ", final=False)
    played.says(0, "you.")
    assert played.all(steps.ChunkArrived) == [
        steps.ChunkArrived(0, "Hello ", 0.25),
        steps.ChunkArrived(0, "you.", None),
    ]
    assert played.all(steps.TurnFinished) == [steps.TurnFinished(0, "Hello you.", 0.25)]


def test_blank_text_is_no_first_chunk(line: Played) -> None:
    line.caller("Hi.")
    line.says(1, " ", final=False)
    line.wait(0.5)
    line.says(1, "Yes.")
    assert [chunk.waited for chunk in line.all(steps.ChunkArrived)] == [None, 0.5]


# The agent's words (rule 3).


def test_words_enter_the_transcript_as_they_are_spoken() -> None:
    played = Played()
    played.says(0, "How may I help?")
    played.wait(1)
    assert played.transcript() == [("agent", "How may")]
    played.wait(1)
    assert played.transcript() == [("agent", "How may I help?")]
    assert played.all(steps.WordsHeard)[-1] == steps.WordsHeard(0, 4)
    assert played.all(steps.SpeechFinished) == [steps.SpeechFinished(0)]


def test_speech_begins_with_the_first_complete_sentence() -> None:
    played = Played()
    played.says(0, "Well now", final=False)
    played.wait(3)
    assert played.all(steps.SpeechStarted) == []
    played.says(0, ". I am", final=False)
    assert played.all(steps.SpeechStarted) == [steps.SpeechStarted(0, 3)]


def test_speech_begins_with_the_final_frame_when_no_sentence_ends() -> None:
    played = Played()
    played.says(0, "Well now", final=False)
    played.says(0, "")
    assert played.all(steps.SpeechStarted) == [steps.SpeechStarted(0, 0)]


def test_a_word_cut_between_two_chunks_is_one_word() -> None:
    played = Played()
    played.says(0, "One. Tw", final=False)
    played.wait(5)
    played.says(0, "o three")
    played.wait(5)
    assert played.transcript() == [("agent", "One. Two three")]


def test_words_carry_seconds_since_the_call_began() -> None:
    played = Played()
    played.wait(1)
    played.says(0, "One two.")
    played.wait(2)
    words = played.frames("update_only")[-1]["transcript"][0]["words"]
    assert words == [{"word": "One", "start": 1.0, "end": 1.5}, {"word": "two.", "start": 1.5, "end": 2.0}]


def test_a_change_of_speaker_is_announced(line: Played) -> None:
    line.types("Hi")
    line.caller("Hi.")
    line.says(1, "Hello.")
    turns = [frame["turntaking"] for frame in line.frames("update_only") if "turntaking" in frame]
    assert turns == ["user_turn", "agent_turn"]


def test_updates_come_at_most_three_times_a_second(line: Played) -> None:
    for n in range(1, 21):
        line.types("abcdefghijklmnopqrstuvwxyz"[:n])
        line.wait(0.05)
    line.wait(1)
    assert len(line.frames("update_only")) <= 5
    assert line.transcript() == [("user", "abcdefghijklmnopqrst")]


# The caller's words (rule 4).


def test_a_finished_utterance_asks_for_a_response_with_a_fresh_id(line: Played) -> None:
    line.caller("Hi.")
    line.says(1, "Hello.")
    line.wait(2)
    line.caller("Bye.")
    assert [frame["response_id"] for frame in line.frames("response_required")] == [1, 2]
    assert line.transcript() == [("user", "Hi."), ("agent", "Hello."), ("user", "Bye.")]


def test_corrected_words_replace_the_ones_before(line: Played) -> None:
    line.wait(4)
    line.types("I want too")
    line.wait(1)
    line.caller("I want two.")
    row = line.frames("response_required")[0]["transcript"][0]
    assert row["content"] == "I want two."
    assert [word["end"] for word in row["words"]] == [3.0, 3.5, 5.0]


def test_speech_without_words_is_unintelligible_audio(line: Played) -> None:
    line.caller("  ")
    assert line.transcript() == [("user", "(unintelligible audio)")]


def test_typing_nothing_is_not_speaking(line: Played) -> None:
    line.types("  ")
    assert line.call.is_listening


def test_a_barge_in_leaves_what_was_heard() -> None:
    played = Played()
    played.says(0, "How may I help you?")
    played.wait(1)
    played.types("Stop")
    played.wait(5)
    assert played.all(steps.SpeechCut) == [steps.SpeechCut(0, "How may", "I help you?", "caller")]
    assert played.transcript() == [("agent", "How may"), ("user", "Stop")]


def test_words_of_a_turn_that_the_caller_cut_off_are_not_spoken(line: Played) -> None:
    line.caller("Hi.")
    line.says(1, "One. ", final=False)
    line.wait(0.1)
    line.types("Wait")
    line.says(1, "Two.")
    line.wait(3)
    assert line.all(steps.ResponseDropped) == [steps.ResponseDropped(1)]
    assert line.transcript() == [("user", "Hi."), ("user", "Wait")]


def test_guarded_words_are_not_interrupted_and_the_question_waits_for_their_end(line: Played) -> None:
    line.caller("Hi.")
    line.says(1, "This call is recorded.", no_interruption_allowed=True)
    line.wait(1)
    line.caller("What?")
    assert line.frames("response_required")[-1]["response_id"] == 1
    line.wait(1)
    assert line.all(steps.SpeechCut) == []
    assert line.frames("response_required")[-1]["response_id"] == 2
    assert line.transcript() == [("user", "Hi."), ("agent", "This call is recorded."), ("user", "What?")]


def test_an_agent_tuned_to_hear_nothing_is_not_interrupted() -> None:
    played = Played()
    played.server({"response_type": "update_agent", "agent_config": {"interruption_sensitivity": 0}})
    played.says(0, "How may I help you?")
    played.wait(1)
    played.types("Stop")
    assert played.all(steps.SpeechCut) == []


def test_a_caller_speaks_word_by_word_and_is_then_answered(line: Played) -> None:
    line.keep(line.call.caller_speaks("a table for two", line.now))
    line.wait(1)
    assert line.transcript() == [("user", "a table")]
    assert line.frames("response_required") == []
    line.wait(1)
    assert line.frames("response_required")[0]["transcript"][0]["content"] == "a table for two"


def test_pressed_digits_are_rows_and_ask_for_a_response(line: Played) -> None:
    line.keep(line.call.press("4#", line.now))
    assert line.frames("response_required")[0]["transcript"] == []
    assert line.woven() == [{"role": "dtmf", "digit": "4"}, {"role": "dtmf", "digit": "#"}]
