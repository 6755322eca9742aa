"""Calls of a page's, on the service itself and on the stand-in's: what the page is told, in virtual time."""

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.app import create_app
from service.playground import visit
from service.playground.call import PlaygroundCall
from service.virtual.loop import run
from tests.playground.pages import DEVELOPMENT, OURS, Page, opened, service

HOURS = "What are your opening hours?"


def played(play: Coroutine[Any, Any, Any]) -> Any:
    return run(play, seed=1)


def with_page(play: Any, **settings: Any) -> Any:
    async def go() -> Any:
        async with service(**settings) as process:
            return await play(await opened(process), process)

    return played(go())


def test_a_page_is_told_who_can_be_called() -> None:
    async def play(page: Page, _: Any) -> None:
        hello = page.told[0]
        assert (hello["agents"], hello["without_model"]) == (["receptionist"], ["receptionist"])

    with_page(play)


def test_a_call_is_answered_and_its_turns_are_settled_as_soon_as_it_is_over() -> None:
    async def play(page: Page, _: Any) -> None:
        await page.call()
        await page.say("say", text=HOURS)
        answered = await page.until_step("turn_finished", turn_id=1)
        assert "8 AM" in answered["fact"]["text"]
        await page.until_step("speech_finished", turn_id=1)
        await page.say("hang_up")
        assert (await page.until_kind("call_over"))["reason"] == "user_hangup"
        facts = await page.until_settled(1)
        assert (facts["outcome"], facts["prompt"], facts["knowledge"]) == ("completed", "caller_spoke", "found")

    with_page(play)


def test_a_caller_who_cuts_in_is_told_what_was_heard() -> None:
    async def play(page: Page, _: Any) -> None:
        await page.call(model="stand-in")
        await page.say("say", text=HOURS)
        await page.until_step("words_heard", turn_id=1, count=5)
        await page.say("type", text="Wait")
        cut = (await page.until_step("speech_cut"))["fact"]
        assert (cut["by"], len(cut["heard"].split())) == ("caller", 5)
        await page.say("say", text="Wait, please.")
        facts = await page.until_settled(1)
        assert (facts["outcome"], facts["words_heard"]) == ("interrupted", 6)  # to the service, stand-in is two words

    with_page(play)


def test_a_turn_is_told_of_while_it_goes_on() -> None:
    async def play(page: Page, _: Any) -> list[dict[str, Any]]:
        await page.call(model="stand-in")
        await page.say("say", text=HOURS)
        await page.until_step("speech_finished", turn_id=1)
        return [told["facts"] for told in page.told if told["kind"] == "turn" and told["facts"]["turn_index"] == 1]

    seen = with_page(play)
    assert all(facts["outcome"] is None for facts in seen)
    assert (seen[0]["time_to_first_chunk"], seen[0]["duration"]) == (None, None)
    last = seen[-1]
    first_token = last["model_attempts"][0][4] / 1000
    marks = [first_token, last["time_to_first_chunk"], last["time_to_first_sentence"], last["duration"]]
    assert marks == sorted(marks)
    assert first_token == pytest.approx(0.35, abs=0.01)


def test_a_line_that_is_dropped_is_dialled_again_and_the_call_goes_on() -> None:
    async def play(page: Page, _: Any) -> None:
        await page.call(model="stand-in")
        await page.say("drop")
        await page.until_step("redial")
        await page.until_step("line_opened", is_again=True)
        await page.say("say", text=HOURS)
        assert HOURS in (await page.until_step("turn_finished", turn_id=1))["fact"]["text"]
        assert page.steps("rule_broken") == []

    with_page(play)


def test_keys_and_silence_are_the_callers_too() -> None:
    async def play(page: Page, _: Any) -> None:
        await page.call(model="stand-in")
        await page.say("press", digits="12#")
        await page.until_step("turn_asked", turn_id=1)
        await page.say("remind")
        assert "Not now" in (await page.until_kind("trouble"))["text"]
        await page.until_step("speech_finished", turn_id=1)
        await page.say("remind")
        await page.until_step("turn_asked", is_reminder=True)

    with_page(play)


@pytest.mark.parametrize(
    ("mood", "expected"),
    [
        ("slow", {"outcome": "completed", "held": True}),
        ("hangs", {"outcome": "failed", "reason": "too_slow", "fallback": "give_up"}),
        ("breaks", {"outcome": "failed", "fallback": "closing_line"}),
        ("refuses", {"outcome": "failed", "reason": "RateLimited"}),
        ("empty", {"outcome": "failed", "reason": "NothingSaid"}),
    ],
)
def test_the_stand_in_behaves_as_it_is_told(mood: str, expected: dict[str, Any]) -> None:
    async def play(page: Page, _: Any) -> None:
        await page.call(model="stand-in")
        await page.say("model", mood=mood)
        await page.say("say", text=HOURS)
        await page.until(lambda told: told.get("what") in ("speech_finished", "action_taken"))
        await page.say("hang_up")
        facts = await page.until_settled(1)
        assert {name: facts[name] for name in expected} == expected

    with_page(play)


def test_each_call_begins_with_a_model_in_a_good_mood() -> None:
    async def play(page: Page, _: Any) -> None:
        for _round in range(2):
            await page.call(model="stand-in")
            await page.say("say", text=HOURS)
            assert HOURS in (await page.until_step("turn_finished", turn_id=1))["fact"]["text"]
            await page.say("model", mood="hangs")
            await page.say("hang_up")
            await page.until_kind("call_over")

    with_page(play)


def test_the_agents_own_model_cannot_be_told_how_to_behave() -> None:
    async def play(page: Page, _: Any) -> None:
        await page.call()
        await page.say("model", mood="slow")
        assert "stand-in" in (await page.until_kind("trouble"))["text"]

    with_page(play)


def test_a_broken_message_is_answered_and_the_call_goes_on() -> None:
    async def play(page: Page, _: Any) -> None:
        await page.call()
        for broken in ("{", '{"kind": "sing"}', "[]"):
            await page.line.send(broken)
            assert "not understood" in (await page.until_kind("trouble"))["text"]
        await page.line.send(b"\x00")
        assert "bytes" in (await page.until_kind("trouble"))["text"]
        await page.say("say", text=HOURS)
        await page.until_step("turn_finished", turn_id=1)

    with_page(play)


def test_what_cannot_be_done_now_is_told() -> None:
    async def play(page: Page, _: Any) -> None:
        await page.say("say", text="Hello?")
        assert "no call now" in (await page.until_kind("trouble"))["text"]
        await page.say("start", agent="nobody")
        assert "'nobody'" in (await page.until_kind("trouble"))["text"]
        await page.call()
        await page.say("start")
        assert "under way" in (await page.until_kind("trouble"))["text"]

    with_page(play)


def test_raw_frames_are_shown_on_demand_with_those_that_came_before() -> None:
    async def play(page: Page, _: Any) -> None:
        await page.call()
        assert not [told for told in page.told if told["kind"] == "frame"]
        await page.say("frames", on=True)
        first = await page.until_kind("frame")
        assert (first["is_from_service"], json.loads(first["text"])["response_type"]) == (True, "config")
        await page.say("say", text=HOURS)
        await page.until(lambda told: told["kind"] == "frame" and '"response_required"' in told["text"])
        await page.say("frames", on=False)
        await asyncio.sleep(5)
        await page.say("remind")
        seen = [told["text"] for told in page.told if told["kind"] == "frame"]
        assert not [text for text in seen if "ping_pong" in text]

    with_page(play)


def test_a_long_frame_is_shown_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.playground.call.LONGEST_FRAME", 40)

    async def play(page: Page, _: Any) -> None:
        await page.say("frames", on=True)
        await page.say("start")
        frame = await page.until_kind("frame")
        assert len(frame["text"]) == 40
        assert frame["cut"] > 0

    with_page(play)


def test_details_and_variables_reach_the_agent() -> None:
    async def play(page: Page, _: Any) -> None:
        await page.say("frames", on=True)
        await page.say("start", details={"from_number": "+14155550123", "metadata": {"a": 1}})
        frame = await page.until(lambda told: told["kind"] == "frame" and '"call_details"' in told["text"])
        while frame["is_from_service"]:
            frame = await page.until(lambda told: told["kind"] == "frame" and '"call_details"' in told["text"])
        call = json.loads(frame["text"])["call"]
        assert (call["from_number"], call["metadata"]) == ("+14155550123", {"a": 1})

    with_page(play)


def test_a_named_agent_is_the_one_who_answers(tmp_path: Path) -> None:
    for name in ("ada", "ben"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "prompt.md").write_text("You answer the phone.")
        (folder / "agent.toml").write_text(f'greeting = "This is {name}."\n')

    async def play(page: Page, _: Any) -> None:
        assert page.told[0]["agents"] == ["ada", "ben"]
        for model in ("own", "stand-in"):
            await page.say("start", agent="ben", model=model)
            assert (await page.until_kind("call_began"))["agent"] == "ben"
            assert (await page.until_step("turn_finished"))["fact"]["text"] == "This is ben."
            await page.say("hang_up")
            await page.until_kind("call_over")

    with_page(play, agents_dir=str(tmp_path), agent="ada")


def test_the_service_is_reached_whatever_guards_its_door() -> None:
    async def play(page: Page, _: Any) -> None:
        for model in ("own", "stand-in"):
            await page.call(model=model)
            await page.say("hang_up")
            await page.until_kind("call_over")

    with_page(play, path_secret="s" * 20, allowed_ips="retell")


def test_a_service_that_takes_no_calls_says_so_and_can_be_asked_again() -> None:
    async def play(page: Page, process: Any) -> None:
        process.app.state.drain.begin(60)
        for _round in range(2):
            await page.say("start")
            over = await page.until_kind("call_over")
            assert "did not take the call" in over["trouble"]

    with_page(play)


def test_a_stand_in_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "ada"
    folder.mkdir()
    (folder / "prompt.md").write_text("You answer the phone.")
    (folder / "agent.toml").touch()

    async def play(page: Page, _: Any) -> None:
        (folder / "agent.toml").write_text("greting = 7")
        await page.say("start", model="stand-in")
        assert "greting" in (await page.until_kind("call_over"))["trouble"]

    with_page(play, agents_dir=str(tmp_path), agent="ada")


def test_a_fault_of_the_playgrounds_own_ends_the_call_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(PlaygroundCall, "play", fails)

    async def play(page: Page, _: Any) -> None:
        await page.say("start")
        assert "ZeroDivisionError" in (await page.until_kind("call_over"))["trouble"]
        await page.say("say", text="Hello?")
        assert "no call now" in (await page.until_kind("trouble"))["text"]

    with_page(play)


def test_a_page_that_goes_hangs_up_and_leaves_nothing_behind() -> None:
    async def play(page: Page, process: Any) -> None:
        await page.call()
        parts = len(process.app.state.watch.parts)
        await page.line.close(1001)
        await asyncio.sleep(1)
        assert process.app.state.calls.connected == 0
        assert len(process.app.state.watch.parts) == parts - 1

    with_page(play)


class _Deaf:
    """A page's end that takes what it is told."""

    is_gone = False

    def try_send(self, text: bytes) -> bool:
        return bool(text)

    async def room(self) -> None: ...

    def abort(self) -> None: ...


@pytest.mark.parametrize("model", ["own", "stand-in"])
def test_a_page_that_goes_before_its_call_is_dialled_leaves_no_call_behind(model: str) -> None:
    said = [
        {"type": "websocket.receive", "text": json.dumps({"kind": "start", "model": model})},
        {"type": "websocket.disconnect"},
    ]

    async def receive() -> Any:
        return said.pop(0)

    async def go() -> None:
        async with service() as process:
            stage = visit.Stage(["receptionist"], [], "/llm-websocket", "127.0.0.1", lambda _: create_app(DEVELOPMENT))
            await asyncio.wait_for(visit.Visit(stage, process, _Deaf()).serve(receive), 5)

    with capture_logs() as log:
        played(go())
    assert "line.opened" not in {line["event"] for line in log}


def test_a_page_that_does_not_read_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visit, "MOST_WAITING", 20)

    async def go() -> int | None:
        async with service() as process:
            line = await process.dial("/playground/line", headers=OURS)
            for _number in range(3000):
                await line.send("{")
            await asyncio.sleep(1)
            return line.close_code

    assert played(go()) == 1006


def test_two_pages_are_told_of_their_own_calls_alone() -> None:
    async def play(page: Page, process: Any) -> None:
        other = await opened(process)
        await page.call()
        await other.call(model="stand-in")
        await page.say("say", text=HOURS)
        await page.until_step("turn_finished", turn_id=1)
        await other.say("hang_up")
        await other.until_kind("call_over")
        await other.until_settled(0)
        assert {told["facts"]["turn_index"] for told in other.told if told["kind"] == "turn"} == {0}

    with_page(play)


def test_a_tool_is_shown_in_the_conversation_and_in_its_turn() -> None:
    async def play(page: Page, _: Any) -> None:
        await page.call(model="stand-in")
        await page.say("say", text='[[calls="my_appointments {}"]]')
        await page.until_step("tool_answered")
        await page.say("hang_up")
        tools = (await page.until_settled(1))["tools"]
        assert [name for name, *_ in tools] == ["my_appointments"]

    with_page(play)
