from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import convert

from service.simulator import retell_steps as steps
from service.simulator.model_http import Received
from service.simulator.model_spelling import ChatRequest, Message
from service.simulator.scenario.judging import judged
from service.simulator.scenario.script import Scenario
from service.simulator.scenario.timeline import Expected, Failure, Settled, Timeline, What
from tests.simulator.scenario.served import CONFIG, Frame, Server, failures, says

ASKED = (5.0, steps.TurnAsked(1, is_reminder=False))
SAID: list[tuple[float, What]] = [
    ASKED,
    (5.3, steps.ChunkArrived(1, "We open", 0.3)),
    (5.4, steps.ChunkArrived(1, "  at nine.", None)),
    (5.4, steps.SpeechStarted(1, 0.4)),
    (5.5, steps.TurnFinished(1, "We open  at nine.", 0.5)),
    (7.0, steps.SpeechFinished(1, None)),
]


def said_of(reply: dict[str, Any], *moments: tuple[float, What], inside: bool = True, **about: Any) -> list[str]:
    """What is wrong with the answer to turn 1."""
    timeline = Timeline([*(moments or SAID)], is_inside_known=inside, **about)
    scenario = convert({"steps": [{"do": "say", "say": "When?", "expect": reply}]}, Scenario)
    timeline.expected = [Expected(1, 1, scenario.steps[0].expect)]  # type: ignore[union-attr,arg-type]
    found = judged(scenario, timeline)
    assert all(failure.step == 1 and failure.turn_id == 1 for failure in found)
    return [failure.what for failure in found]


@pytest.mark.parametrize(
    "reply",
    [
        {"contains": "AT  nine", "absent": "ten", "matches": "^we .*nine"},
        {"exactly": "We open at nine.", "heard": "We open at nine."},
        {"within_ms": 300},
        {"within_ms": {"first_words": 300, "first_sentence": 400, "final": 500}, "not_before_ms": 300},
        {"no_tools": True, "action": "none", "overtaken": False, "reminder": False},
    ],
)
def test_what_is_as_expected_is_not_told(reply: dict[str, Any]) -> None:
    assert said_of(reply) == []


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ({"contains": ["nine", "ten"]}, "turn 1 should contain “ten”, but is “We open at nine.”"),
        ({"matches": "^open"}, "turn 1 should match /^open/, but is “We open at nine.”"),
        ({"absent": "NINE"}, "turn 1 should not contain “NINE”, but is “We open at nine.”"),
        ({"exactly": "We open."}, "the agent said “We open at nine.”, not “We open.”"),
        ({"heard": "We"}, "the caller heard “We open at nine.”, not “We”"),
        ({"within_ms": 299}, "the first words came after 300 ms, not within 299 ms"),
        ({"within_ms": {"final": 10}}, "the final frame came after 500 ms, not within 10 ms"),
        ({"not_before_ms": 400}, "the first words came after 300 ms, before 400 ms"),
        ({"action": "end_call"}, 'what was done is {"none":""}, not end_call'),
        ({"overtaken": True}, "nothing overtook it"),
        ({"reminder": True}, "it is no reminder"),
        ({"outcome": "completed"}, "its outcome is not known: it was never settled, not completed"),
        ({"tools": {"book": None}}, "the tool book was not called; called were none"),
        ({"model_asked": 2}, "the model was asked 0 times, not 2"),
        ({"history": [{"caller": "x"}]}, "the model was not asked"),
    ],
)
def test_what_is_otherwise_is_told(reply: dict[str, Any], told: str) -> None:
    assert said_of(reply) == [told]


def test_what_no_line_shows_is_not_judged_where_only_the_line_is_known() -> None:
    assert said_of({"outcome": "completed", "model_asked": 7}, inside=False) == []


def test_words_that_never_came() -> None:
    told = said_of({"within_ms": 300, "not_before_ms": 3, "heard": ""}, ASKED, (6.0, steps.CallEnded("x")))
    assert told == ["the first words never came, and should come within 300 ms"]


def test_what_was_cut_off() -> None:
    cut = [*SAID[:-1], (6.0, steps.SpeechCut(1, "We open", "at nine.", "caller"))]
    assert said_of({"heard": "We open"}, *cut) == []


def test_tools_and_what_they_answered() -> None:
    called: list[tuple[float, What]] = [
        *SAID[:1],
        (5.1, steps.ToolCalled("a", "find", '{"day": 1, "where": {"city": "Y", "zip": 2}}')),
        (5.2, steps.ToolAnswered("a", "two Times", is_successful=True)),
        (5.2, steps.ToolCalled("b", "odd", "{")),
        *SAID[1:],
        (9.0, steps.TurnAsked(2, is_reminder=False)),
        (9.1, steps.ToolCalled("c", "late", "{}")),
        (9.2, steps.TurnFinished(2, "Yes.", 0.2)),
    ]
    assert said_of({"tools": {"find": {"where": {"city": "Y"}}}, "tool_results": {"find": "two times"}}, *called) == []
    assert said_of({"tools": {"odd": None}, "no_tools": "late"}, *called) == []
    assert said_of({"tools": {"find": {"day": 2}, "late": None}, "no_tools": ["odd"]}, *called) == [
        'find was called with [{"day":1,"where":{"city":"Y","zip":2}}], not with {"day":2}',
        "the tool late was not called; called were “find”, “odd”",
        "the tool odd was called, and should not be",
    ]
    assert said_of({"no_tools": True}, *called) == [
        f"the tool {x} was called, and should not be" for x in ("find", "odd")
    ]
    assert said_of({"tool_results": {"find": "three"}}, *called) == [
        "find should have answered “three”; it answered “two Times”"
    ]


def test_what_is_done_at_the_end() -> None:
    done = [*SAID[:-1], (7.0, steps.SpeechFinished(1, steps.Action("transfer_number", "+1")))]
    assert said_of({"action": {"transfer_number": "+1"}}, *done) == []
    assert said_of({"action": "transfer_number"}, *done) == []
    assert said_of({"action": {"transfer_number": "+2"}}, *done) == [
        'what was done is {"transfer_number":"+1"}, not {"transfer_number":"+2"}'
    ]


def test_how_it_was_settled() -> None:
    settled = [*SAID, (8.0, Settled(1, "failed", "TooSlow"))]
    assert said_of({"outcome": "failed", "reason": "TooSlow"}, *settled) == []
    assert said_of({"outcome": "completed"}, *settled) == ["its outcome is failed, not completed"]


def test_an_answer_that_was_overtaken_and_one_to_a_silence() -> None:
    moments: list[tuple[float, What]] = [(1.0, steps.TurnAsked(1, is_reminder=True)), (2.0, steps.Redial("x"))]
    assert said_of({"overtaken": True, "reminder": True}, *moments) == []
    assert said_of({"overtaken": False, "reminder": False}, *moments) == [
        "it was overtaken by something newer",
        "it answers a silence",
    ]


def told_the_model(*rows: tuple[str, str]) -> dict[str, Any]:
    chat = ChatRequest("any", [Message("system", "Be kind to parrots."), *(Message(*row) for row in rows)])
    return {"requests": [Received(5.1, {}, b"", chat, "", "")]}


def test_the_history_is_what_the_model_was_told_last() -> None:
    told = told_the_model(("assistant", "Hello."), ("system", "Prices"), ("user", "When do you open?"))
    assert said_of({"history": [{"agent": "hello"}, {"caller": "OPEN"}], "model_asked": 1}, **told) == []
    assert said_of({"history": [{"note": "Prices"}, {"caller": "open"}], "history_absent": "parrots"}, **told) == []
    assert said_of({"history": [{"caller": "open"}, {"caller": "open"}]}, **told) == [
        "the model was told last agent “Hello.”, caller “When do you open?”, not caller “open”, caller “open”"
    ]
    assert said_of({"history_absent": ["hello", "Prices"]}, **told) == ["the model should not be told “hello”"]
    assert said_of({"history": [{"caller": "a"}] * 4}, **told) != []


def test_nothing_was_asked() -> None:
    scenario = convert({"steps": [{"do": "press", "press": "1", "expect": {}}]}, Scenario)
    timeline = Timeline(expected=[Expected(1, None, scenario.steps[0].expect)])  # type: ignore[union-attr,arg-type]
    assert judged(scenario, timeline) == [Failure("the platform asked for no answer", 1)]


# The call.


def of_call(expect: dict[str, Any], **about: Any) -> list[str]:
    log: list[Mapping[str, Any]] = [{"event": "turn.settled"}, {"event": "turn.settled"}]
    moments: list[tuple[float, What]] = [
        (0.0, steps.LineOpened(is_again=False)),
        (0.1, steps.TurnFinished(0, "Hello.", 0.1)),
        *SAID,
    ]
    moments += [(8.0, Settled(1, "completed", None)), (9.0, steps.CallEnded("user_hangup"))]
    timeline = Timeline(moments, log=log, is_inside_known=True, **about)
    return [str(failure) for failure in judged(convert({"expect": expect}, Scenario), timeline)]


def test_the_call_as_a_whole() -> None:
    fine = {"contains": "nine", "ended": "user_hangup", "greetings": 1, "turns": 1, "reminders": 0, "lines": 1}
    inside = {"log": {"turn.settled": 2}, "outcomes": {"completed": 1, "failed": 0}, "model_asked": 0, "tool_calls": {}}
    assert of_call({**fine, **inside}) == []
    assert of_call({"absent": "nine", "ended": "agent_hangup", "greetings": 2, "turns": 2, "reminders": 1}) == [
        "what the agent said in the call should not contain “nine”, but is “We open at nine.”",
        "the call ended by user_hangup, not agent_hangup",
        "the caller was greeted so often: 1, not 2",
        "the answers asked for are 1, not 2",
        "the reminders asked for are 0, not 1",
    ]
    assert of_call({"lines": 2, "tool_calls": {"book": 1}, "log": {"x": 1}, "outcomes": {"failed": 1}}) == [
        "the lines it took are 1, not 2",
        "the tool book was called so often: 0, not 1",
        "settled as failed were 0, not 1",
        "lines of the log named x: 0, not 1",
    ]


def test_a_line_is_refused_as_expected_or_not() -> None:
    assert of_call({"refused": 401}, refused=401) == []
    assert of_call({}, refused=503, refusal="It is full.") == ["nobody took the call: It is full."]
    assert of_call({"refused": 401}, refused=0) == ["the line was refused with HTTP 0, not 401"]
    assert of_call({"refused": 401}) == ["the line was refused with HTTP None, not 401"]


# What holds in each call.


def test_a_double_final_is_found(tmp_path: Path) -> None:
    def twice(frame: Frame) -> Sequence[Frame]:
        return [says(frame["response_id"], "Yes.")] * 2 if "response_id" in frame else []

    (told,) = failures("steps: [{say: Hello.}]", tmp_path, Server(twice))
    assert told == "a rule of the platform is broken: turn 1: a frame after its final frame"


def test_stale_words_are_found(tmp_path: Path) -> None:
    def stale(frame: Frame) -> Sequence[Frame]:
        turn_id = frame.get("response_id", 0)
        return [says(turn_id, "Yes."), *([says(1, "Late.")] if turn_id > 1 else [])] if turn_id else []

    text = "steps: [{say: Hello.}, {say: And now.}]\nexpect: {greetings: 1}"
    assert any("stale words" in told for told in failures(text, tmp_path, Server(stale)))


def test_an_answer_without_an_end_is_found(tmp_path: Path) -> None:
    def endless(frame: Frame) -> Sequence[Frame]:
        return [says(frame["response_id"], "Well.", is_final=False)] if "response_id" in frame else []

    told = failures("steps: [{say: Hello.}]", tmp_path, Server(endless))
    assert told == [
        "step 1: it has waited 60 s for the agent to have spoken",
        "turn 1 has no final frame, and nothing newer overtook it",
    ]


def test_two_final_frames_of_a_turn_that_nobody_hears_are_found() -> None:
    moments: list[tuple[float, What]] = [
        ASKED,
        (5.1, steps.TurnFinished(1, "", 0.1)),
        (5.2, steps.TurnFinished(1, "", 0.2)),
    ]
    assert [str(failure) for failure in judged(Scenario(), Timeline(moments))] == ["turn 1 has 2 final frames, not one"]


def test_a_turn_that_nothing_overtook_needs_its_final_frame() -> None:
    assert [failure.what for failure in judged(Scenario(), Timeline([ASKED]))] == [
        "turn 1 has no final frame, and nothing newer overtook it"
    ]
    hung_up: list[tuple[float, What]] = [ASKED, (9.0, steps.CallEnded("user_hangup"))]
    assert judged(Scenario(), Timeline(hung_up)) == []
    late: list[tuple[float, What]] = [ASKED, (90.0, steps.CallEnded("user_hangup"))]
    assert len(judged(Scenario(), Timeline(late))) == 1
    overtaken: list[tuple[float, What]] = [ASKED, (6.0, steps.ChunkArrived(None, "Wait.", 0.0))]
    assert judged(Scenario(), Timeline(overtaken)) == []


def test_a_broken_rule_may_be_expected(tmp_path: Path) -> None:
    server = Server(greeting=[CONFIG, says(0, "Hello."), {"response_type": "response", "response_id": "x"}])
    assert failures("expect: {rules_broken: ['response_id']}", tmp_path, server) == []
    (told,) = failures("expect: {rules_broken: ['response_id', nothing]}", tmp_path, server)
    assert told == "no rule like /nothing/ was broken"


def promises_broken(*moments: tuple[float, What], inside: bool = True, **scenario: Any) -> list[str]:
    timeline = Timeline([*moments], is_inside_known=inside)
    return [failure.what for failure in judged(convert(scenario, Scenario), timeline)]


def test_where_frames_take_no_time_an_older_turn_is_silent_once_the_newer_is_asked() -> None:
    second: tuple[float, What] = (6.0, steps.TurnAsked(2, is_reminder=False))
    finished: list[tuple[float, What]] = [
        (6.3, steps.ChunkArrived(2, "Yes.", 0.3)),
        (6.3, steps.TurnFinished(2, "Yes.", 0.3)),
    ]
    late: list[tuple[float, What]] = [ASKED, second, (6.2, steps.ResponseDropped(1)), *finished]
    assert promises_broken(*late) == ["turn 1 went on, 0.20 s after turn 2 was asked"]
    assert promises_broken(*late, inside=False) == []
    assert promises_broken(*late, steps=[{"do": "mute", "mute": 3}]) == []
    assert promises_broken(ASKED, second, (6.0, steps.ResponseDropped(1)), *finished) == []
    assert promises_broken(ASKED, second, (6.2, steps.ResponseDropped(None)), *finished) == []


def test_a_turn_that_is_settled_twice_is_found() -> None:
    settled = (8.0, Settled(1, "completed", None))
    assert promises_broken(*SAID, settled) == []
    assert promises_broken(*SAID, settled, settled) == ["turn 1 was settled 2 times, not once"]


def test_a_caller_who_hears_nothing_is_found() -> None:
    late: list[tuple[float, What]] = [
        (25.0, steps.ChunkArrived(1, "Yes.", 20.0)),
        (25.0, steps.TurnFinished(1, "Yes.", 20.0)),
    ]
    assert promises_broken(ASKED, *late) == ["the caller heard nothing for 20 s"]
    wordless: list[tuple[float, What]] = [ASKED, (5.2, steps.TurnFinished(1, " ", 0.2))]
    assert promises_broken(*wordless) == ["turn 1 ended without a word"]
    pressed = (5.2, steps.SpeechFinished(1, steps.Action("digit_to_press", "1")))
    assert promises_broken(*wordless, pressed) == []
    reminder = (5.0, steps.TurnAsked(1, is_reminder=True))
    assert promises_broken(reminder, wordless[1]) == []


def test_a_tool_that_is_expected_and_fails_is_told_unless_its_answer_is_expected() -> None:
    failed: list[tuple[float, What]] = [
        ASKED,
        (5.1, steps.ToolCalled("a", "book", "{}")),
        (5.2, steps.ToolAnswered("a", "There is no such tool.", is_successful=False)),
        *SAID[1:],
    ]
    assert said_of({"tools": {"book": None}}, *failed) == [
        "book failed: “There is no such tool.” (if that is right, say so in `tool_results`)"
    ]
    assert said_of({"tools": {"book": None}, "tool_results": {"book": "no such"}}, *failed) == []


# Pings.

PING = steps.SendFrame('{"interaction_type":"ping_pong","timestamp":2}')


@pytest.mark.parametrize(
    ("echoes", "told"),
    [
        ([0.1, 0.9], []),
        ([0.1, 1.2], ["the slowest echo of a ping came after 1200 ms, not within 1000 ms"]),
        ([0.1], []),  # one may be under way when a line ends
        ([], ["the slowest echo of a ping never came, and should come within 1000 ms"]),
    ],
)
def test_each_ping_has_its_echo_in_time(echoes: list[float], told: list[str]) -> None:
    opened: list[tuple[float, What]] = [(0.0, steps.LineOpened(is_again=False)), (2.0, PING), (4.0, PING)]
    timeline = Timeline([*opened, *((5.0, steps.PingAnswered(after)) for after in echoes)])
    scenario = convert({"expect": {"pings_within_ms": 1000}}, Scenario)
    assert [failure.what for failure in judged(scenario, timeline)] == told


def test_a_frame_may_be_made_long() -> None:
    (step,) = convert({"steps": [{"do": "frame", "frame": {"a": 1}, "padding": 3}]}, Scenario).steps
    assert step.spelt() == '{"a":1,"padding":"xxx"}'  # type: ignore[union-attr]
