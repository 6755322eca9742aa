import json
from pathlib import Path
from xml.etree import ElementTree as ET

from service.simulator import retell_steps as steps
from service.simulator.scenario.script import Scenario
from service.simulator.scenario.telling import Played, digest_of, json_of, junit_of, played, summed_up, told
from service.simulator.scenario.timeline import Failure, Settled, Timeline, What

GOOD = Played("calls/good.yaml", "Good", call_seconds=90.0, took=0.1, digest="0" * 16)
BAD = Played("calls/bad.yaml", "Bad & <broken>\x01", ("step 1: no", "never"), drawing="moment\ud800", took=0.25)
SKIPPED = Played("calls/skipped.yaml", "Skipped", skipped="it has a date of its own")
MOMENTS: list[tuple[float, What]] = [
    (0.5, steps.ChunkArrived(0, "Hello.", 0.5)),
    (0.5, steps.SpeechStarted(0, 0.5)),
    (0.6, steps.TurnFinished(0, "Hello.", 0.6)),
    (1.0, steps.TurnAsked(1, is_reminder=False)),
    (2.0, Settled(0, "completed", None)),
]


def test_a_terminal_is_told_in_a_line_or_the_whole_call() -> None:
    assert told(GOOD) == "✓ Good"
    assert told(SKIPPED) == "- Skipped  (skipped: it has a date of its own)"
    assert told(BAD).splitlines()[1:4] == ["    calls/bad.yaml", "    ✗ step 1: no", "    ✗ never"]
    assert summed_up([GOOD], 0.5) == "1 passed: 1.5 minutes of calls in 0.5 s"
    assert summed_up([GOOD, BAD, SKIPPED], 2) == "1 passed, 1 failed, 1 skipped: 1.5 minutes of calls in 2.0 s"


def test_json_has_all_of_it() -> None:
    found = json.loads(json_of([GOOD, Played("a", "b", log=({"x": 1},)), SKIPPED], 0.5))
    assert (found["passed"], found["failed"], found["skipped"], found["took"]) == (2, 0, 1, 0.5)
    assert found["scenarios"][0]["digest"] == "0" * 16
    assert found["scenarios"][1]["log"] == []


def test_junit_s_xml_holds_whatever_was_said() -> None:
    suite = ET.fromstring(junit_of([GOOD, BAD, SKIPPED], 0.5))[0]  # noqa: S314  our own
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    good, bad, skipped = suite
    assert (good.get("classname"), good.get("name"), len(good)) == ("calls/good", "Good", 0)
    assert bad.get("name") == "Bad & <broken>�"
    assert bad[0].get("message") == "step 1: no"
    assert (bad[0].text or "").endswith("moment�")
    assert skipped[0].tag == "skipped"


def test_what_was_played_is_kept_turn_by_turn() -> None:
    timeline = Timeline([*MOMENTS], log=[{"event": "x"}])
    kept = played(Path("a.yaml"), Scenario(name="A"), timeline, [Failure("no")], keeps_log=True)
    greeting, asked = kept.turns
    assert (greeting.said, greeting.first_words, greeting.final, greeting.outcome) == ("Hello.", 500, 600, "completed")
    assert (asked.turn_id, asked.said, asked.first_words, asked.outcome) == (1, "", None, None)
    assert kept.call_seconds == 2.0
    assert kept.log == ({"event": "x"},)
    assert "✗     no" in kept.drawing
    assert not kept.is_passed


def test_a_call_that_nobody_took_has_no_turns() -> None:
    kept = played(Path("a.yaml"), Scenario(), Timeline(refused=401), [], keeps_log=False)
    assert kept.turns == ()
    assert kept.is_passed


def test_the_digest_changes_with_each_moment() -> None:
    later = [*MOMENTS[:-1], (2.001, MOMENTS[-1][1])]
    assert digest_of(Timeline([*MOMENTS])) == digest_of(Timeline([*MOMENTS])) != digest_of(Timeline(later))
