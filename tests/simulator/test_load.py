"""A load run over real sockets: what it sends, what it measures, and the faults that it sees."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from service.conversation.call import Turn
from service.conversation.parts import Part, Speech
from service.conversation.transcript import Utterance
from service.simulator.line import NotConnected
from service.simulator.load import Knee, find_knee, measure
from service.simulator.load_host import Host
from service.simulator.load_run import Plan, Run, Spread, Tally, run_of
from tests.live import ScriptedAgent, serving
from tests.simulator.platformed import CONFIG, Frame, answered, called, says

BRIEF = Plan(calls=2, seconds=0.5, frames="tiny", turn_every=0.2, barge_in=0.0, settle=0.02)
REAL = replace(BRIEF, frames="real", turn_every=0.5)


def on_request(*frames: Frame | str) -> Any:
    """Answer a request with these frames, in which 0 stands for the id that was asked."""

    def answer(frame: Frame) -> list[Frame | str]:
        if frame["interaction_type"] != "response_required":
            return answered(frame)
        asked = frame["response_id"]
        return [f if isinstance(f, str) else {**f, "response_id": asked + f["response_id"]} for f in frames]

    return answer


@pytest.fixture
def _soon_pinging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.simulator.load_call.PING_EVERY", 0.1)


@pytest.fixture
def _fast_talking(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("load_call.WORDS_PER_SECOND", 20),
        ("load_talk.WORDS_PER_SECOND", 20),
        ("load_talk.UPDATE_EVERY", 0.05),
    ):
        monkeypatch.setattr(f"service.simulator.{name}", value)


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("load", "load_call"):
        monkeypatch.setattr(f"service.simulator.{module}.PATIENCE", 0.15)


# What it measures.


async def test_a_run_measures_the_real_service() -> None:
    async def slowly(_: Turn) -> AsyncGenerator[Part]:
        yield Speech("One moment.")
        await asyncio.sleep(0.05)
        yield Speech(" Of course")
        await asyncio.sleep(0.03)
        yield Speech(". We do that.")

    shares: list[float] = []
    async with serving(ScriptedAgent(slowly)) as service:
        host = Host(f"ws://{service.address}/llm-websocket", pid=os.getpid())
        run = await measure(BRIEF, host, on_beat=lambda _, share: shares.append(share))
    assert run.first_chunk is not None
    assert run.first_sentence is not None
    assert run.turns == run.first_chunk.n == run.first_sentence.n >= 4
    assert run.held == run.turns, "a hold line is not yet an answer"
    assert 50 <= run.first_chunk.p50 < 80 <= run.first_sentence.p50 < 150
    assert (run.errors, run.overtaken, run.added) == ({}, 0, None)
    assert run.cpu_ms_per_turn is not None
    assert run.kb_per_idle_call is not None
    assert shares == sorted(shares)
    assert 0 <= shares[0] < 0.1
    assert 0.8 < shares[-1] < 1


async def test_a_busy_loop_is_seen_as_a_stall_and_counts_as_waiting() -> None:
    def hogging(frame: Frame) -> list[Frame | str]:
        if frame["interaction_type"] == "response_required":
            time.sleep(0.1)
        return list(answered(frame))

    async with called(hogging) as (host, _):
        run = await measure(replace(BRIEF, calls=1, seconds=1.0), host)
    assert run.loop_lag is not None
    assert run.loop_lag.max > 60
    assert run.first_chunk is not None
    assert run.first_chunk.max > 90


@pytest.mark.usefixtures("_impatient")
async def test_calls_keep_to_the_schedule_of_a_dead_server_and_count_how_long_they_waited() -> None:
    async with called(on_request()) as (host, _):
        run = await measure(replace(BRIEF, seconds=1), host)
    assert run.first_chunk is not None
    assert run.first_chunk.n == run.overtaken >= 6
    assert 150 <= run.first_chunk.p50 < 400
    assert list(run.errors) == ["timeout: no answer within 10 s"]
    assert run.errors["timeout: no answer within 10 s"] == run.overtaken + 2


@pytest.mark.usefixtures("_impatient")
async def test_cancel_to_silence_runs_from_the_newer_request_to_the_last_old_frame() -> None:
    def late(frame: Frame) -> list[Frame | str]:
        asked = frame.get("response_id", 0)
        if asked % 2:
            return [says(asked, "Well, ", is_final=False)]
        return [says(asked - 1, "I was ", is_final=False), says(asked, "Yes.")] if asked else answered(frame)

    async with called(late) as (host, _):
        run = await measure(replace(BRIEF, seconds=1), host)
    assert run.cancel_to_silence is not None
    assert run.cancel_to_silence.n >= 2
    assert 0 < run.cancel_to_silence.max < 100


@pytest.mark.usefixtures("_soon_pinging")
async def test_calls_ping_and_the_answers_are_timed() -> None:
    async with called() as (host, _):
        run = await measure(REAL, host)
    assert run.errors == {}
    assert run.ping is not None
    assert run.ping.n >= 4
    assert run.ping.p50 < 50


@pytest.mark.parametrize("holds", [0, 1, 7, 137])
async def test_the_knee_is_found_within_a_tenth(holds: int) -> None:
    async def one(plan: Plan) -> Run:
        run = run_of(Tally(plan, ended=1.0))
        added = Spread(1, 1, 1, 49 if plan.calls <= holds else 51, 99)
        return replace(run, added=added, cpu_share=0.5 if holds < 100 else 2.0)

    runs, knee = await find_knee(Plan(calls=20), one)
    assert knee.calls <= holds < knee.too_many <= knee.calls + max(1, knee.calls / 10)
    assert runs[0].plan.calls == 20
    assert len(runs) < 10
    assert knee.calls_per_core == {0: None, 137: knee.calls // 2}.get(holds, knee.calls), "one loop is one core"


async def test_errors_are_beyond_the_knee_too() -> None:
    async def one(plan: Plan) -> Run:
        run = replace(run_of(Tally(plan, ended=1.0)), added=Spread(1, 1, 1, 1, 1))
        return replace(run, errors={"empty turn": 1} if plan.calls > 5 else {})

    assert (await find_knee(replace(BRIEF, calls=2), one))[1] == Knee(5, 6, None)


# What it sends.


async def test_real_frames_are_those_of_a_call() -> None:
    plan = replace(REAL, calls=1, seconds=2.2, turn_every=1.0, minute=1)
    async with called(greeting="Hello there, and welcome. How may I help you?") as (host, lines):
        await measure(plan, host)
    line = lines[-1]
    transcripts = [frame["transcript"] for frame in line.sent if "transcript" in frame]
    for before, after in pairwise(transcripts):
        assert after[: len(before) - 1] == before[:-1], "only the last row changes"
    starts = [[word["start"] for word in row["words"]] for row in transcripts[-1]]
    assert all(row == sorted(row) for row in starts)
    assert starts[0][0] == 0
    assert 60 <= starts[-1][0] < 64
    assert all(frame["transcript_with_tool_calls"] == frame["transcript"] for frame in line.of("response_required"))
    assert {frame.get("turntaking") for frame in line.of("update_only")} == {None, "user_turn", "agent_turn"}
    gaps = [
        after - before
        for (before, after), frame in zip(pairwise(line.sent_at), line.sent[1:], strict=True)
        if frame["interaction_type"] == "update_only" and "turntaking" not in frame
    ]
    assert len(gaps) >= 2
    assert all(0.3 < gap < 0.4 or 0.6 < gap < 0.8 for gap in gaps), "three times a second, if there are new words"
    ids = [frame["response_id"] for frame in line.of("response_required")]
    assert ids == list(range(1, len(ids) + 1))
    assert len(ids) >= 2
    assert len(line.of("call_details")) == 1


@pytest.mark.usefixtures("_fast_talking")
async def test_an_answer_that_streams_is_heard_and_cut_off_where_the_caller_speaks() -> None:
    async def answer(_: Turn) -> AsyncGenerator[Part]:
        for word in ("Yes. ", "That ", "is ", "what ", "we ", "would ", "all ", "do ", "for ", "you."):
            yield Speech(word)
            await asyncio.sleep(0.05)

    agent = ScriptedAgent(answer)
    async with serving(agent) as service:
        host = Host(f"ws://{service.address}/llm-websocket")
        run = await measure(replace(REAL, calls=1, seconds=1.0, turn_every=0.5), host)
    heard = [said.text for turn in agent.turns for said in turn.history if isinstance(said, Utterance)]
    assert run.errors == {}
    assert any(text.startswith("Yes.") and not text.endswith("you.") for text in heard)


async def test_a_server_gets_only_what_it_wished_for() -> None:
    async with called(config=dict.fromkeys(CONFIG, False)) as (host, lines):
        await measure(REAL, host)
    assert all("transcript_with_tool_calls" not in frame for line in lines for frame in line.sent)
    assert not [line for line in lines if line.of("call_details")]


async def test_tiny_frames_are_two_updates_and_a_request() -> None:
    async with called() as (host, lines):
        await measure(replace(BRIEF, calls=1), host)
    kinds = [frame["interaction_type"] for frame in lines[-1].sent if frame["interaction_type"] != "call_details"]
    assert kinds == ["update_only", "update_only", "response_required"] * (len(kinds) // 3)
    first, second = lines[-1].of("response_required")[:2]
    assert [row["role"] for row in second["transcript"]] == ["agent", "user", "agent", "user"]
    assert second["transcript"][:2] == first["transcript"]
    assert second["transcript"][2] == {"role": "agent", "content": "Yes. Of course."}


@pytest.mark.parametrize("plan", [REAL, BRIEF], ids=["real", "tiny"])
async def test_answers_are_cut_off_as_often_as_the_plan_says(plan: Plan) -> None:
    async with called() as (host, lines):
        run = await measure(replace(plan, calls=1, barge_in=1.0), host)
    said = [frame["transcript"][-1]["content"] for frame in lines[-1].of("response_required")]
    assert said.count("Sorry, wait a moment please.") >= 1
    assert run.errors == {}


# The faults that it sees.


@pytest.mark.parametrize(
    ("frames", "fault"),
    [
        pytest.param([says(0, "Yes."), says(0, "No.")], "protocol: a frame after the final one", id="twice"),
        pytest.param([says(0, "Yes."), says(1, "No.")], "protocol: a turn that was never asked", id="unasked"),
        pytest.param([says(0, "")], "empty turn", id="empty"),
        pytest.param(["{", says(0, "Yes.")], "protocol: a frame that cannot be read", id="no JSON"),
        pytest.param(["close"], "the line was closed with code 1011", id="closed"),
        pytest.param(["cut"], "the line was cut", id="cut"),
        pytest.param(
            [{"response_type": "ping_pong", "timestamp": 1, "response_id": 0}, says(0, "Yes.")],
            "protocol: a pong that is no echo",
            id="no echo",
        ),
    ],
)
async def test_a_fault_of_the_server_is_counted(frames: list[Frame | str], fault: str) -> None:
    async with called(on_request(*frames)) as (host, _):
        run = await measure(replace(BRIEF, calls=1, seconds=0.1, turn_every=0.1), host)
    assert fault in run.errors


async def test_a_service_that_never_asks_its_model_is_not_fine() -> None:
    async with called() as (host, _):
        run = await measure(replace(BRIEF, seconds=0.3), replace(host, model="http://127.0.0.1:9"))
    assert list(run.errors) == ["the stand-in model was never asked"]


async def test_a_run_that_nobody_answers_is_not_begun() -> None:
    async with called() as (host, _):
        pass
    with pytest.raises(NotConnected, match="ConnectionRefusedError"):
        await measure(BRIEF, host)
