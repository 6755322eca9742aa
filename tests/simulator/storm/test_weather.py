"""What a storm is made of: all that is drawn, the same from the same seed; and how it is told."""

import ssl
from collections import Counter
from itertools import islice
from random import Random

import pytest

from service.simulator import retell_steps as steps
from service.simulator.model_script import FAULTS
from service.simulator.model_spelling import ChatRequest, Message
from service.simulator.storm.episodes import Episode, Plan, Sum
from service.simulator.storm.findings import Finding, Findings
from service.simulator.storm.model import Answers
from service.simulator.storm.quiet import quietly
from service.simulator.storm.timeline import drawn
from service.simulator.storm.weather import Weather


def test_the_same_seed_is_the_same_weather_and_another_is_another() -> None:
    one, same, other = Weather("1:0", 60.0), Weather("1:0", 60.0), Weather("1:1", 60.0)
    for number in range(5):
        assert one.temper(number) == same.temper(number)
        assert list(islice(one.troubles(number), 5)) == list(islice(same.troubles(number), 5))
    assert one.climate == same.climate
    assert list(islice(one.changes(), 5)) == list(islice(same.changes(), 5))
    assert one.temper(0) != other.temper(0)


def test_in_the_end_everything_is_drawn() -> None:
    weathers = [Weather(str(seed), 60.0) for seed in range(300)]
    settings = Counter((name, value) for weather in weathers for name, value in weather.climate.settings.items())
    assert all(settings[name, value] < 300 for name, value in settings), "nothing is always the same"
    troubles = {trouble for weather in weathers for _, trouble in islice(weather.troubles(0), 5)}
    changes = {change for weather in weathers for _, change in islice(weather.changes(), 5)}
    assert troubles == {"drop", "vanish", "stall", "slow", "rubbish"}
    assert changes == {"kill", "drain", "start"}


def asked(words: str, last: str = "user") -> ChatRequest:
    rows = [Message("user", words), *([Message("tool", "9")] if last == "tool" else [])]
    return ChatRequest("m", rows)


def stormy() -> Answers:
    return Answers(next(each for seed in range(100) if (each := Weather(str(seed), 60)).climate.faults == 0.5))


def test_the_models_do_what_the_words_ask_for_and_have_every_fault() -> None:
    answers, called, faults = stormy(), Counter[str](), set[object]()
    for words in ("note item 3", "look up", "fail", "announce", "tune", "count", "goodbye", "transfer", "press") * 60:
        script = answers.script(asked(words))
        called.update(call.name for call in script.calls)
        faults.add(type(script.fault))
    assert called.keys() >= {"note", "look_up", "fail", "announce", "tune", "count", "end_call", "transfer_call"}
    assert called.keys() >= {"press_digits", "unknown"}
    assert faults == {*FAULTS.values(), type(None)}


def test_after_a_result_they_mostly_speak() -> None:
    answers = stormy()
    scripts = [answers.script(asked("note item 3", "tool")) for _ in range(100)]
    assert 0 < sum(bool(script.calls) for script in scripts) < 50
    assert all("".join(script.text) for script in scripts)


def test_a_timeline_has_a_line_for_each_step_that_tells_something() -> None:
    told = drawn(
        [
            (1.0, "weather: drop"),
            (2.0, steps.WordsHeard(1, 1)),
            (3.0, steps.TurnAsked(1, is_reminder=False)),
            (4.0, steps.SendFrame('{"interaction_type":"update_only","transcript":[{"role":"user","content":"Hi"}]}')),
            (5.0, steps.SendFrame('{"interaction_type":"call_details","call":{}}')),
        ]
    )
    assert told == [
        "    1.000    ** weather: drop",
        "    3.000  ← TurnAsked turn_id=1, is_reminder=False",
        "    4.000  → update_only  user: Hi",
        "    5.000  → call_details",
    ]


def an_episode(*findings: Finding) -> Episode:
    return Episode(3, 50.0, Counter(calls=7), "", list(findings), {"c": ["first", "last"]}, 2.0)


def test_a_sum_tells_what_was_played_and_found() -> None:
    told = Sum(Plan(7, 50.0, 4, "mine"))
    assert "no findings" in str(told)
    found = Finding("one final", "c", 1.5, "<twice>")
    for _ in range(2):
        told.add(an_episode(found))
    assert str(told).startswith("100 call-minutes in 0 s (25.0 per core-second), 2 findings")
    assert told.counted == "14 calls, 2 episodes"
    lines = list(told.told(found, an_episode(found), shown=1))
    assert lines[1:] == [
        "  1.500 s into episode 3 in c: <twice>",
        "  last",
        "  again: cuebox storm --seed 7:3 --calls 4 --minutes 50 --agent mine",
    ]
    assert "&lt;twice&gt;" in told.page()
    assert not told.is_time_to_tell


def test_a_page_without_findings_says_so() -> None:
    told = Sum(Plan(7))
    told.add(an_episode())
    assert "No rule was broken." in told.page()
    assert (
        list(told.told(Finding("bounded", "", 1.0, "x"), an_episode()))[-1]
        == "  again: cuebox storm --seed 7:3 --calls 10"
    )


def test_what_is_logged_as_an_error_is_found_and_the_world_is_put_back() -> None:
    import logging  # noqa: PLC0415

    import structlog  # noqa: PLC0415

    before = ssl.create_default_context, structlog.get_config()
    with quietly() as faults:
        structlog.get_logger().error("lost")
        faults.findings = Findings(lambda: 0.0)
        structlog.get_logger().warning("seen")
        structlog.get_logger().error("broken", part="x")
        faults.in_loop(None, {"message": "a task failed", "exception": ValueError("y")})
        assert logging.getLogger("service").level == logging.ERROR
    assert [finding.detail for finding in faults.findings.found] == [
        "logged: {'part': 'x', 'event': 'broken'}",
        "a task failed: ValueError('y')",
    ]
    assert (ssl.create_default_context, structlog.get_config()) == before


@pytest.mark.parametrize("number", range(3))
def test_everybody_has_chances_of_their_own(number: int) -> None:
    weather = Weather("1", 60.0)
    assert weather.chance("caller", number).random() == Random(f"1/caller/{number}").random()  # noqa: S311
