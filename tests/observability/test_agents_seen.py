"""Knowledge, actions and rescues, in metrics, spans, lines and their explanation."""

import io
import json

import pytest
from rich.console import Console

from service.conversation import events
from service.conversation.call import Policy, Rescue
from service.conversation.parts import (
    HangUp,
    HoldLine,
    Interjection,
    KnowledgeSought,
    Lookup,
    PressDigits,
    Transfer,
)
from service.observability.explain import explain
from service.observability.logs import configure_logs
from service.observability.metrics import Metrics
from tests.conversation.play import CALL_ID
from tests.observability.seen import HEARD, value
from tests.observability.working import Working

FOUND = KnowledgeSought(Lookup.FOUND, (("hours#1", 2.25), ("prices#3", 1.5)), waited=0.02, took=0.004)
TRANSFER = Transfer("+4930123456", "I put you through.")


@pytest.fixture
def play() -> Working:
    configure_logs("json", "info")
    return Working()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_knowledge_is_counted_timed_and_on_the_turns_span_without_words(play: Working) -> None:
    play.asks(1, *HEARD)
    play.drafts(FOUND)
    play.says("At nine.")
    play.ends()
    assert value(play.metrics, "cuebox_knowledge_searches_total", result="found") == 1
    assert value(play.metrics, "cuebox_knowledge_wait_seconds_sum") == pytest.approx(0.02)
    assert value(play.metrics, "cuebox_knowledge_search_seconds_sum") == pytest.approx(0.004)
    root = next(span for span in play.spans if span.attributes.get("cuebox.turn.id") == 1)
    told = {name: text for name, text in root.attributes.items() if name.startswith("cuebox.knowledge")}
    assert told == {
        "cuebox.knowledge.result": "found",
        "cuebox.knowledge.ids": ("hours#1", "prices#3"),
        "cuebox.knowledge.scores": (2.25, 1.5),
        "cuebox.knowledge.waited": 0.02,
        "cuebox.knowledge.took": 0.004,
    }


def test_a_search_that_came_too_late_has_no_time_of_its_own(play: Working) -> None:
    play.asks(1, *HEARD)
    play.drafts(KnowledgeSought(Lookup.LATE, waited=0.15))
    play.says("I do not know.")
    play.ends()
    assert value(play.metrics, "cuebox_knowledge_searches_total", result="late") == 1
    assert value(play.metrics, "cuebox_knowledge_search_seconds_count") == 0


@pytest.mark.parametrize(
    ("action", "name"),
    [(HangUp("Bye."), "hang_up"), (TRANSFER, "transfer"), (PressDigits("1"), "press_digits")],
)
def test_an_action_is_counted_when_its_turn_is_settled(play: Working, action: HangUp, name: str) -> None:
    play.asks(1, *HEARD)
    play.drafts(action)
    play.asks(2, *HEARD)  # overtaken before its final frame
    assert play.acted(name) == 0
    play.drafts(action)
    play.finishes()
    play.ends()
    assert play.acted(name) == 1
    assert play.spans[-1].attributes["cuebox.turn.action"] == name
    assert value(play.metrics, "cuebox_rescues_total") == 0


def test_an_interjections_action_is_counted_too(play: Working) -> None:
    play.happens(events.AsideMade(play.at, Interjection("Goodbye.", action=HangUp())))
    play.happens(events.AsideMade(play.at, Interjection("Hello?")))
    assert play.acted("hang_up") == 1


def test_a_caller_who_is_handed_over_after_failures_is_rescued(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", "info")
    play = Working(policy=Policy(details_expected=False, rescue=Rescue(TRANSFER, frozenset({"KeyRejected"}))))
    play.asks(1, *HEARD)
    play.fails("KeyRejected")
    play.ends()
    assert (value(play.metrics, "cuebox_rescues_total"), play.acted("transfer")) == (1, 1)
    assert play.spans[-1].attributes["cuebox.turn.rescued"] is True
    turn = next(line for line in lines(capsys) if line.get("turn_id") == 1)
    assert (turn["action"], turn["rescued"]) == ("transfer", True)


def test_a_hold_line_for_a_tool_is_a_frame_of_words(play: Working) -> None:
    play.asks(1, *HEARD)
    before = value(play.metrics, "cuebox_frames_total", direction="out", type="words")
    play.drafts(HoldLine("I look that up."))
    assert value(play.metrics, "cuebox_frames_total", direction="out", type="words") == before + 1


def test_the_turns_line_and_its_explanation_have_it_all(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", "info")
    play = Working()
    play.asks(1, *HEARD)
    play.drafts(FOUND)
    play.calls()
    play.waits(0.5)
    play.answers_tool(fault="refused")
    play.drafts(HangUp("Goodbye."))
    play.finishes()
    play.asks(2, *HEARD)
    play.calls(id="t2")
    play.asks(3, *HEARD)
    play.answers_tool("t2", is_aside=True)
    play.ends()
    text = capsys.readouterr().out
    turn = next(line for line in map(json.loads, text.splitlines()) if line.get("turn_id") == 1)
    assert (turn["agent"], turn["folder_hash"]) == ("dentist", "0123456789ab")
    assert turn["tools"] == [["book", "refused", 500, 0]]
    assert (turn["knowledge"], turn["passages"], turn["knowledge_waited"]) == ("found", 2, 0.02)
    page = io.StringIO()
    Console(width=120, file=page).print(explain(text.splitlines(), CALL_ID))
    shown = page.getvalue()
    assert "agent dentist" in shown
    assert "tool book: refused after 0.50 s" in shown
    assert "knowledge: found, 2 passages, waited for 0.02 s" in shown
    assert "action: hang up" in shown
    assert "of turn 2: tool book: ok" in shown
    assert "Ada" not in text


def test_each_agent_has_its_series_of_the_build_and_one_whose_folder_changed_no_second() -> None:
    metrics = Metrics(build={"version": "1", "agent": "a", "folder_hash": "old", "python": "3"})
    metrics.service.runs({"a": "new", "b": "other"})
    (family,) = (each for each in metrics.registry.collect() if each.name == "cuebox_build_info")
    told = [
        (sample.labels["version"], sample.labels["agent"], sample.labels["folder_hash"]) for sample in family.samples
    ]
    assert told == [("1", "a", "new"), ("1", "b", "other")]
