from service.simulator import retell_steps as steps
from service.simulator.model_http import Received
from service.simulator.model_spelling import ChatRequest
from service.simulator.scenario.drawing import MOST_ROWS, drawn
from service.simulator.scenario.timeline import Failure, Settled, StepBegan, Timeline, Trouble, What

CALL: list[tuple[float, What]] = [
    (0.0, steps.LineOpened(is_again=False)),
    (1.0, StepBegan(1, "say: When do you open?")),
    (3.0, steps.TurnAsked(1, is_reminder=False)),
    (3.1, steps.ToolCalled("a", "find", '{"day": 1}')),
    (3.2, steps.ToolAnswered("a", "at nine", is_successful=True)),
    (3.4, steps.ChunkArrived(1, "We open ", 0.4)),
    (3.5, steps.ChunkArrived(1, "at nine.", None)),
    (3.5, steps.WordsHeard(1, 1)),
    (3.6, steps.TurnFinished(1, "We open at nine.", 0.6)),
    (4.0, steps.SpeechCut(1, "We open", "at nine.", "caller")),
    (4.0, steps.SpeechFinished(0)),
    (4.0, steps.ActionDiscarded(steps.Action("end_call"))),
    (4.1, steps.Redial("the line broke")),
    (4.2, steps.LineOpened(is_again=True)),
    (4.3, StepBegan(2, "drop")),
    (4.4, steps.TurnAsked(2, is_reminder=True)),
    (4.5, steps.ChunkArrived(None, "Wait.", 0.0)),
    (4.6, steps.ActionTaken(steps.Action("transfer_number", "+1"))),
    (4.7, steps.RuleBroken("a second greeting")),
    (4.8, Settled(1, "failed", "TooSlow")),
    (4.9, Trouble(2, "no")),
    (5.0, steps.CloseLine(1000)),
    (5.0, steps.CallEnded("user_hangup")),
]


def test_a_call_is_drawn_from_top_to_bottom_with_each_failure_where_it_belongs() -> None:
    failures = [Failure("too late", 1, 1), Failure("not so", 2), Failure("never", None)]
    asked = Received(3.05, {}, b"", ChatRequest("any", []), "", "")
    lines = [" ".join(line.split()) for line in drawn(Timeline([*CALL], requests=[asked]), failures).splitlines()]
    assert lines[0] == "moment caller │ agent │ line, tools, model"
    assert lines[2:] == [
        "0.00 │ │ the line opens",
        "1.00 say: When do you open? │ │",
        "3.00 ▸ turn 1 │ │",
        "3.05 │ │ the model is asked (1)",
        '3.10 │ │ find {"day": 1}',
        "3.20 │ │ → at nine",
        "3.40 │ turn 1 +400 ms “We open at nine.” │",
        "3.60 │ turn 1 final +600 ms │",
        "4.00 │ ✂ by the caller, heard “We open”, unheard │",
        "│ “at nine.” │",
        "✗ step 1: too late",
        "4.00 │ greeting heard to its end │",
        "4.00 │ │ not done: end_call",
        "4.10 │ │ dials again: the line broke",
        "4.20 │ │ the line opens again",
        "4.30 │ │ drop",
        "✗ step 2: not so",
        "4.40 ▸ turn 2 (silence) │ │",
        "4.50 │ aside +0 ms “Wait.” │",
        "4.60 │ │ done: transfer_number +1",
        "4.70 │ │ ✗ broken: a second greeting",
        "4.80 │ │ turn 1 failed (TooSlow)",
        "4.90 │ │ ✗ step 2",
        "5.00 │ │ closes the line (1000)",
        "5.00 │ │ the call ends: user_hangup",
        "✗ never",
    ]


def test_a_long_call_is_drawn_from_both_ends() -> None:
    moments: list[tuple[float, What]] = [(float(at), steps.Redial("x" * 1000)) for at in range(1000)]
    text = drawn(Timeline(moments))
    assert text.count("dials again") == 2 * MOST_ROWS
    assert "… 600 more" in text
    assert "x" * 401 not in text.replace("\n", "")


def test_nothing_is_drawn_of_nothing() -> None:
    assert len(drawn(Timeline()).splitlines()) == 2
