"""Cases 15 to 20, 40 and 66: pings are answered whatever else goes on, and a slow reader costs nobody anything."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Coroutine

from structlog.testing import capture_logs

from service.conversation.call import Turn
from service.conversation.parts import Part, Speech
from service.settings import Settings
from tests.conformance.agents import Gate, replying, saying
from tests.live import Frame, PlatformLine, is_final, serving, words

CHUNK = 4000
MEGABYTE = 1_000_000


class Flood:
    """An agent that speaks without end in turn 1, numbering its chunks, and briefly in any other."""

    def __init__(self) -> None:
        self.said = 0
        self.is_closed = asyncio.Event()
        self.agent = replying(self._reply)

    async def _reply(self, turn: Turn) -> AsyncGenerator[Part]:
        if turn.turn_id != 1:
            yield Speech("Short.")
            return
        try:
            while True:
                self.said += 1
                yield Speech(f"{self.said:06d} {'x' * CHUNK} ")
        finally:
            self.is_closed.set()

    async def waits(self) -> int:
        """Wait until the peer's slowness has reached the agent; return how much it has said by then."""
        before = -1
        while before != self.said:
            before = self.said
            await asyncio.sleep(0.05)
        return self.said


def woven(rows: int) -> list[Frame]:
    """A long talk as Retell sends it, with the times of its words: each row of ten."""
    spoken = [{"word": f"word{i}", "start": i * 0.4, "end": i * 0.4 + 0.3} for i in range(10)]
    text = " ".join(str(word["word"]) for word in spoken)
    return [{"role": ("agent", "user")[i % 2], "content": text, "words": spoken} for i in range(rows)]


async def worst_ping(line: PlatformLine, during: Coroutine[None, None, None]) -> float:
    """The longest that a ping took on this line until that was done."""
    worst = 0.0
    async with asyncio.TaskGroup() as tasks:
        done = tasks.create_task(during)
        while not done.done():
            begun = time.monotonic()
            await line.ping(1, within=60)
            worst = max(worst, time.monotonic() - begun)  # one is on its way at any time
    return worst


async def worst_ping_while_asked(frame: Frame) -> float:
    """The longest that a ping took on another line while this frame was taken in and answered."""
    text = json.dumps({"interaction_type": "response_required", "response_id": 1, **frame})
    async with serving(saying("Yes.")) as service, service.line() as line, service.line("call_2") as other:
        await line.greeted()
        await other.greeted()

        async def ask() -> None:
            await line.send(text)
            await line.until(is_final(1), within=60)

        return await worst_ping(other, ask())


async def test_case_15_a_ping_is_answered_with_its_own_timestamp() -> None:
    async with serving() as service, service.line() as line:
        await line.greeted()
        for timestamp in (1_790_000_000_000, 0, -1, 2**53 + 1, 2**63 - 1):
            assert await line.ping(timestamp) == []


async def test_case_15_a_ping_is_answered_before_the_greeting() -> None:
    async with serving(settings=Settings(agent="dummy", greeting_wait=5)) as service, service.line() as line:
        assert [frame["response_type"] for frame in await line.ping(7)] == ["config"]


async def test_case_16_and_17_a_ping_is_answered_while_the_agent_speaks_or_waits() -> None:
    gate = Gate("Let me ", "see. ")
    async with serving(gate.agent) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "", "Is there a table?")
        await gate.is_reached.wait()  # as if a tool took 30 s
        before = await line.ping(1)
        assert words(before, 1) == "Let me see. "
        assert await line.ping(2) == []
        gate.opens.set()
        assert await line.answer(1) == "late words"


async def test_case_18_a_ping_overtakes_the_words_that_wait() -> None:
    flood = Flood()
    async with serving(flood.agent) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "", "Tell me all.")
        waiting = await flood.waits()
        await line.send({"interaction_type": "ping_pong", "timestamp": 5})
        await asyncio.sleep(0.05)
        before = await line.ping(6)
        pongs = [frame["timestamp"] for frame in before if frame["response_type"] == "ping_pong"]
        assert pongs == [5]
        last = [frame for frame in before if frame["response_type"] == "response"][-1]
        assert int(last["content"][:6]) < waiting  # the rest of what waited comes behind


async def test_case_19_every_ping_is_echoed_once_and_changes_nothing() -> None:
    gate = Gate("One moment. ")
    async with serving(gate.agent) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "", "Hi.")
        for timestamp in (900, 900, 100, 900):  # twice, late, and again
            await line.send({"interaction_type": "ping_pong", "timestamp": timestamp})
        frames = [await line.frame() for _ in range(5)]
        assert [frame["timestamp"] for frame in frames if frame["response_type"] == "ping_pong"] == [900, 900, 100, 900]
        gate.opens.set()
        assert words(frames, 1) + await line.answer(1) == "One moment. late words"


async def test_case_20_without_auto_reconnect_no_ping_is_needed_and_none_is_sent() -> None:
    settings = Settings(agent="dummy", retell_auto_reconnect=False)
    async with serving(settings=settings) as service, service.line() as line:
        await line.greeted()
        await line.nothing()
        await line.ask(1, "", "Hi.")
        assert await line.answer(1)
        assert all(frame["response_type"] != "ping_pong" for frame in line.frames)


async def test_case_40_a_transcript_of_2_megabytes_does_not_hold_up_a_ping() -> None:
    rows = woven(4000)
    assert len(json.dumps(rows)) > 2 * MEGABYTE
    assert await worst_ping_while_asked({"transcript": [], "transcript_with_tool_calls": rows}) < 0.3


async def test_case_40_updates_of_2_megabytes_do_not_hold_up_a_ping_on_their_own_line() -> None:
    update = json.dumps({"interaction_type": "update_only", "transcript": woven(4000)})
    async with serving(saying("Yes.")) as service, service.line() as line:
        await line.greeted()
        for timestamp in range(5):
            await line.send(update)
            begun = time.monotonic()
            await line.ping(timestamp)
            assert time.monotonic() - begun < 0.5


async def test_case_40_half_an_emoji_in_2_megabytes_does_not_hold_up_a_ping() -> None:
    """It stays in the transcript for the rest of the call, so every frame behind it is read the slow way."""
    rows = woven(4000)
    rows[0]["content"] += " \ud83d"
    assert await worst_ping_while_asked({"transcript": [], "transcript_with_tool_calls": rows}) < 0.3


async def test_case_40_2_megabytes_of_one_side_do_not_hold_up_a_ping() -> None:
    """Joining neighbours may not cost the square of their number: a frame of 15 MB stops every call for a minute."""
    rows = [{"role": "user", "content": f"And another thing, number {i}."} for i in range(35_000)]
    assert await worst_ping_while_asked({"transcript": rows}) < 0.3


async def test_case_66_a_peer_that_does_not_read_makes_the_agent_wait() -> None:
    flood = Flood()
    async with serving(flood.agent) as service, service.line() as line, service.line("call_2") as other:
        await line.greeted()
        await other.greeted()
        await line.ask(1, "", "Tell me all.")
        assert await flood.waits() * CHUNK < 20 * MEGABYTE  # what fits into the sockets' own buffers
        await other.ask(2, "", "Hi.")
        assert await other.answer(2) == "Short."


async def test_case_66_what_waits_for_a_slow_peer_is_dropped_when_a_newer_request_comes() -> None:
    flood = Flood()
    async with serving(flood.agent) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "", "Tell me all.")
        said = await flood.waits()
        await line.ask(2, "", "Stop.")
        await flood.is_closed.wait()
        assert await line.answer(2) == "Short."
        arrived = [frame for frame in line.frames if frame.get("response_id") == 1]
        assert 0 < len(arrived) < said


async def test_case_66_pings_that_are_not_read_are_not_kept_without_bound() -> None:
    flood = Flood()
    settings = Settings(agent="dummy", max_frames_per_second=0)
    async with serving(flood.agent, settings) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "", "Tell me all.")
        await flood.waits()
        with capture_logs() as logs:
            for timestamp in range(5000):
                await line.send({"interaction_type": "ping_pong", "timestamp": timestamp})
            await asyncio.sleep(0.1)
            await line.send({"interaction_type": "ping_pong", "timestamp": 5001})
        frames = await line.until(lambda frame: frame.get("timestamp") == 5001)
        pongs = [frame["timestamp"] for frame in frames if frame["response_type"] == "ping_pong"]
        assert pongs == sorted(pongs)
        assert len(pongs) < 1000
        assert logs == []
