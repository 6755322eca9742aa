import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from service.simulator import retell_steps as steps
from service.simulator.scenario.script import Model, Webhook, Which
from service.simulator.scenario.timeline import StepBegan, Timeline, Trouble
from tests.simulator.scenario.served import CONFIG, Frame, Server, played, polite, says

SLOW = {**CONFIG, "config": {"auto_reconnect": True}}


def troubles(timeline: Timeline) -> list[str]:
    return [trouble.what for _, trouble in timeline.of(Trouble)]


def moments(timeline: Timeline, kind: type) -> list[float]:
    return [round(at, 2) for at, _ in timeline.of(kind)]


def test_the_caller_speaks_when_the_agent_has_spoken_and_word_by_word(tmp_path: Path) -> None:
    server = Server(greeting=[CONFIG, says(0, "Hello there, good day.")])
    timeline = played("words_per_second: 2\nsteps: [{say: One two three four.}]", tmp_path, server)
    assert moments(timeline, StepBegan) == [2.0]
    assert moments(timeline, steps.TurnAsked) == [4.0]
    updates = [frame for frame in server.lines[0].sent if '"update_only"' in str(frame)]
    assert len(updates) > 3
    assert timeline.ended == "user_hangup"


def test_a_moment_is_after_words_events_or_time(tmp_path: Path) -> None:
    text = """words_per_second: 1
steps:
- {say: Hi., instantly: true, after_words: 2}
- {type: And, when: spoken, after_ms: 500}
- {say: And so, instantly: true, after_ms: 250}
"""
    server = Server(greeting=[CONFIG, says(0, "One two three four five.")])
    timeline = played(text, tmp_path, server)
    assert moments(timeline, StepBegan) == [2.0, 4.5, 4.75]  # cut at 2, and two words are the answer
    assert [cut.heard for _, cut in timeline.of(steps.SpeechCut)] == ["One two"]


def test_asked_early_the_caller_goes_on_and_it_is_one_utterance(tmp_path: Path) -> None:
    text = "steps: [{say: One two three four five six., asked_early_after: [2, 4], expect: {exactly: Of course.}}]"
    server = Server()
    timeline = played(text, tmp_path, server)
    assert [asked.turn_id for _, asked in timeline.of(steps.TurnAsked)] == [1, 2, 3]
    assert timeline.expected[0].turn_id == 3
    requests = [json.loads(frame) for frame in server.lines[0].sent if '"response_required"' in str(frame)]
    rows = [[row["content"] for row in request["transcript"] if row["role"] == "user"] for request in requests]
    assert rows == [["One two"], ["One two three four"], ["One two three four five six."]]


def test_keys_silence_and_a_hang_up(tmp_path: Path) -> None:
    text = """steps:
- {press: "1#", expect: {contains: course}}
- wait: 12
- {remind: true, when: spoken}
- {hang_up: true, when: final}
"""
    timeline = played(text, tmp_path)
    assert [asked.is_reminder for _, asked in timeline.of(steps.TurnAsked)] == [False, True]
    assert timeline.ended == "user_hangup"
    assert troubles(timeline) == ["it has waited 60 s for spoken"]


def test_a_step_that_waits_in_vain_says_so_and_ends_the_call(tmp_path: Path) -> None:
    server = Server(lambda _: [])
    timeline = played("steps: [{say: Hello.}, {say: Anybody.}]", tmp_path, server)
    assert troubles(timeline) == ["it has waited 60 s for the agent to have spoken"]
    assert timeline.ended == "user_hangup"


def test_after_the_call_the_caller_can_do_nothing(tmp_path: Path) -> None:
    server = Server(greeting=[CONFIG, says(0, "Goodbye.", end_call=True)])
    timeline = played("steps: [listen, {wait: 1}, {say: Hello.}]", tmp_path, server)
    assert timeline.ended == "agent_hangup"
    assert troubles(timeline) == ["the call was over before the caller could do this"]
    later = played("steps: [{wait: 1, when: tool}]", tmp_path, server)
    assert troubles(later) == ["it waits for tool, and the call is over"]


def test_a_caller_who_is_hung_up_on_says_no_more(tmp_path: Path) -> None:
    def hangs_up(frame: Frame) -> Sequence[Frame]:
        said = any(row["content"].startswith("One") for row in frame.get("transcript", ()))
        aside = {"response_type": "agent_interrupt", "interrupt_id": 1, "content": "Bye.", "content_complete": True}
        return [{**aside, "end_call": True}] if said else []

    timeline = played("steps: [{say: One two three four., expect: {contains: x}}]", tmp_path, Server(hangs_up))
    assert timeline.ended == "agent_hangup"
    assert [expected.turn_id for expected in timeline.expected] == [None]


def test_a_line_that_breaks_is_dialled_again(tmp_path: Path) -> None:
    text = "steps: [listen, drop, {listen: true, when: opened}, {say: Hi., instantly: true}]"
    server = Server()
    timeline = played(text, tmp_path, server)
    assert len(server.lines) == 2
    assert [opened.is_again for _, opened in timeline.of(steps.LineOpened)] == [False, True]


def test_while_the_line_is_mute_nothing_arrives(tmp_path: Path) -> None:
    server = Server(greeting=[CONFIG, says(0, "")])
    timeline = played("steps: [{mute: 3}, {say: Hi., instantly: true}, {say: And., after_ms: 4000}]", tmp_path, server)
    assert [asked.turn_id for _, asked in timeline.of(steps.TurnAsked)] == [1, 2]
    assert [json.loads(f)["response_id"] for f in server.lines[0].sent if '"response_required"' in str(f)] == [2]


def test_frames_are_sent_as_they_stand(tmp_path: Path) -> None:
    text = 'steps: [listen, {frame: "{no", repeat: 2}, {frame: {a: 1}}, {frame: ff 00, spelt_in: hex}]'
    server = Server()
    played(text, tmp_path, server)
    sent = [frame for frame in server.lines[0].sent if not str(frame).startswith('{"interaction_type"')]
    assert sent == ["{no", "{no", '{"a":1}', b"\xff\x00"]


def test_nobody_answers(tmp_path: Path) -> None:
    server = Server()
    server.refuses = True
    timeline = played("steps: [{frame: x}]", tmp_path, server)
    assert timeline.refused == 0
    assert timeline.refusal == "nobody is there"
    assert round(timeline.moments[-1][0], 3) == 6.0


def test_others_are_on_the_line_before_and_hang_up_after(tmp_path: Path) -> None:
    server = Server()
    played("others: 2\nsteps: [{say: Hello.}]", tmp_path, server)
    assert len(server.lines) == 3
    assert [line.close_code for line in server.lines] == [1000] * 3


class House:
    """The world of a test."""

    def __init__(self, status: int = 204, answer: bytes = b"") -> None:
        self.done: list[Any] = []
        self._answer = status, answer

    def change_model(self, model: Model) -> None:
        self.done.append(model)

    def kill(self, which: Which, call_id: str) -> None:
        raise LookupError(f"nobody to kill: {which} {call_id}")

    def drain(self, which: Which, call_id: str, seconds: float) -> None:
        self.done.append((which, seconds))

    async def start(self, count: int) -> None:
        self.done.append(count)

    async def post(self, webhook: Webhook, call: dict[str, Any]) -> tuple[int, bytes]:
        self.done.append(call)
        return self._answer


def test_the_world_is_changed(tmp_path: Path) -> None:
    house = House()
    text = "steps: [{start: 2}, {drain: other, seconds: 9}, {model: {answers: [x]}}, {kill: home}, {start: 1}]"
    timeline = played(text, tmp_path, inside=house)
    assert house.done == [2, ("other", 9.0), Model(answers=["x"])]
    assert troubles(timeline) == ["nobody to kill: home call_scenario"]


def test_webhooks_tell_of_the_call(tmp_path: Path) -> None:
    house = House()
    text = """call: {from_number: "+1"}
steps: [listen, {webhook: call_started}, hang_up, {webhook: call_ended, call: {agent_id: a}}]"""
    assert troubles(played(text, tmp_path, inside=house)) == []
    started, ended = house.done
    assert started == {
        "call_id": "call_scenario",
        "agent_id": "agent_simulated",
        "call_status": "ongoing",
        "from_number": "+1",
        "start_timestamp": 1_700_000_000_000,
    }
    assert (ended["call_status"], ended["disconnection_reason"], ended["agent_id"]) == ("ended", "user_hangup", "a")
    assert ended["end_timestamp"] > ended["start_timestamp"]


@pytest.mark.parametrize(
    ("status", "answer", "wanted", "told"),
    [
        (401, b"", "status: 204", "call_inbound was answered by HTTP 401, not 200"),
        (200, b'{"a":{"b":1,"c":2}}', "answer: {a: {b: 1}}", None),
        (200, b'{"a":1}', "answer: {b: 1}", 'call_inbound was answered by {"a":1}'),
        (200, b"no", "answer: {b: 1}", 'call_inbound was answered by "no"'),
    ],
)
def test_what_a_webhook_is_answered(status: int, answer: bytes, wanted: str, told: str | None, tmp_path: Path) -> None:
    house = House(status, answer)
    timeline = played(f"steps: [{{webhook: call_inbound, {wanted}}}]", tmp_path, inside=house)
    assert troubles(timeline) == ([] if told is None else [told])
    assert house.done == [{"agent_id": "agent_simulated"}]


def test_the_polite_server_is_polite() -> None:
    assert polite({"interaction_type": "update_only"}) == []


def test_what_is_typed_asks_for_nothing(tmp_path: Path) -> None:
    timeline = played("steps: [{type: And}, {type: And so, after_ms: 400}, {hang_up: true, after_ms: 1}]", tmp_path)
    assert list(timeline.of(steps.TurnAsked)) == []
    assert timeline.ended == "user_hangup"
