"""The shell around the core, without a socket; with one: tests/conformance."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from service.conversation import events
from service.conversation.call import Deadlines, Policy, Prompt, Turn
from service.conversation.commands import AnswerPing, DropLine, Say
from service.conversation.parts import Interjection, Part, Speech
from service.outbox import ROOM
from service.session import Session
from tests.conversation.play import caller
from tests.fakes import FakeLine, Witness
from tests.live import ScriptedAgent

POLICY = Policy(details_expected=False)
Reply = Callable[[Turn], AsyncGenerator[Part]]


async def greets(turn: Turn) -> AsyncGenerator[Part]:
    yield Speech("Hello." if turn.prompt is Prompt.GREETING else f"Answer {turn.turn_id}.")


def a_session(reply: Reply = greets, witness: Witness | None = None, policy: Policy = POLICY) -> Session:
    return Session("call_1", ScriptedAgent(reply), policy, witness or Witness())


@asynccontextmanager
async def on_line(session: Session, line: FakeLine | None = None) -> AsyncIterator[FakeLine]:
    line = line or FakeLine()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(session.serve(line, lambda: None))
        try:
            await asyncio.sleep(0)
            yield line
        finally:
            line.closes(1000)


def request(turn_id: int) -> events.ReplyRequested:
    now = asyncio.get_running_loop().time()
    return events.ReplyRequested(now, turn_id, Prompt.CALLER_SPOKE, (caller("Hi"),))


async def test_a_call_greets_answers_and_ends() -> None:
    witness = Witness()
    session = a_session(witness=witness)
    async with on_line(session) as line:
        assert [say.text for say in await line.until_final(0)] == ["Hello.", ""]
        line.happens(request(1))
        assert [say.text for say in await line.until_final(1)] == ["Answer 1.", ""]
        assert session.is_connected
    assert not session.is_connected
    session.end()
    assert witness.events == [
        events.CallStarted,
        events.ReplyFinished,
        events.ReplyRequested,
        events.ReplyFinished,
        events.CallDisconnected,
        events.CallEnded,
    ]


async def test_a_cancelled_reply_is_closed_before_the_line_is_left() -> None:
    closed: list[int] = []

    async def hangs(turn: Turn) -> AsyncGenerator[Part]:
        try:
            yield Speech("Wait")
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # closing takes its time, and is awaited
            closed.append(turn.turn_id)

    async with on_line(a_session(hangs)) as line:
        await asyncio.sleep(0.01)
        line.happens(request(1))
        await asyncio.sleep(0.01)
        line.happens(request(2))
        await asyncio.sleep(0.01)
        assert closed == [0, 1]
    assert closed == [0, 1, 2]
    assert [say.turn_id for say in line.sent if isinstance(say, Say)] == [0, 1, 2]


async def test_a_burst_asks_the_agent_only_for_the_newest() -> None:
    asked: list[int] = []

    async def counts(turn: Turn) -> AsyncGenerator[Part]:
        asked.append(turn.turn_id)
        yield Speech("Yes.")

    async with on_line(a_session(counts)) as line:
        await line.until_final(0)
        for turn_id in range(1, 11):
            line.happens(request(turn_id))
        await line.until_final(10)
    assert asked == [0, 10]


@pytest.mark.parametrize("error", [RuntimeError(), asyncio.CancelledError(), SystemExit(3), StopAsyncIteration()])
async def test_whatever_an_agent_raises_is_a_failed_turn(error: BaseException) -> None:
    async def fails(turn: Turn) -> AsyncGenerator[Part]:
        if turn.prompt is Prompt.GREETING:
            return
        raise error
        yield Speech("")

    witness = Witness()
    async with on_line(a_session(fails, witness)) as line:
        line.happens(request(1))
        assert [say.text for say in await line.until_final(1)] == [POLICY.lines.apology]
    assert any(isinstance(event, events.ReplyFailed) for event, _ in witness.seen)
    assert not witness.faults


async def test_rubbish_from_an_agent_is_a_failed_turn() -> None:
    async def rubbish(turn: Turn) -> AsyncGenerator[Part]:
        yield f"not a part, in turn {turn.turn_id}"  # type: ignore[misc]  # what untyped agents do

    async with on_line(a_session(rubbish)) as line:
        assert [say.text for say in await line.until_final(0)] == [POLICY.lines.fallback_greeting]


async def test_an_agent_that_interjects_overtakes_itself() -> None:
    async def interjects(turn: Turn) -> AsyncGenerator[Part]:
        yield Interjection("Hold on.")
        yield Speech("never said")

    async with on_line(a_session(interjects)) as line:
        await asyncio.sleep(0.01)
        assert [getattr(sent, "text", None) for sent in line.sent] == ["", "Hold on."]


async def test_a_newer_line_takes_the_call_over_and_cuts_the_older() -> None:
    session = a_session()
    async with on_line(session) as older:
        await older.until_final(0)
        async with on_line(session) as newer:
            assert [say.text for say in await newer.until_final(0)] == [""]
            assert older.is_aborted
            sent = len(older.sent)
            older.happens(request(1))
            newer.happens(request(2))
            assert [say.text for say in await newer.until_final(2)] == ["Answer 2.", ""]
            assert len(older.sent) == sent
        assert not session.is_connected


async def test_a_peer_that_is_gone_ends_nothing_but_its_line() -> None:
    async with on_line(a_session()) as line:
        line.is_broken = True
        await asyncio.sleep(0.01)
    assert line.sent == []


async def test_words_keep_their_order_when_the_peer_reads_again() -> None:
    async def counts(turn: Turn) -> AsyncGenerator[Part]:
        for i in range(10):
            yield Speech(f"{i} ")
            await asyncio.sleep(0)

    class Moody(FakeLine):
        async def room(self) -> None:
            await super().room()  # writable again, before the writer knows it
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    moody = Moody()
    moody.is_slow = True
    async with on_line(a_session(counts), moody) as line:
        assert "".join(say.text for say in await line.until_final(0)) == "0 1 2 3 4 5 6 7 8 9 "


async def test_words_that_wait_for_the_peer_are_not_sent_once_they_are_stale() -> None:
    reads = asyncio.Event()

    class Stuck(FakeLine):
        async def room(self) -> None:
            await reads.wait()
            await super().room()

    stuck = Stuck()
    async with on_line(a_session(), stuck) as line:
        await line.until_final(0)
        stuck.is_slow = True
        for turn_id in (1, 2):
            line.happens(events.ReplyRequested(0, turn_id, Prompt.CALLER_SPOKE, ()))
            await asyncio.sleep(0.01)
        reads.set()
        await line.until_final(2)
    assert [sent for sent in line.sent if isinstance(sent, Say) and sent.turn_id == 1] == []


async def test_an_agent_that_outruns_the_peer_waits() -> None:
    produced = 0

    async def floods(turn: Turn) -> AsyncGenerator[Part]:
        nonlocal produced
        for _ in range(100):
            produced += 1
            yield Speech("x" * ROOM)

    class Stuck(FakeLine):
        async def room(self) -> None:
            await asyncio.Event().wait()

    stuck = Stuck()
    stuck.is_slow = True
    async with on_line(a_session(floods), stuck):
        await asyncio.sleep(0.02)
        assert produced <= 2


async def test_a_broken_observer_costs_its_line_in_the_log_and_nothing_else() -> None:
    witness = Witness()
    witness.breaks = True
    async with on_line(a_session(witness=witness)) as line:
        assert await line.until_final(0)
    assert witness.faults


async def test_a_deadline_reaches_the_core_and_drops_a_silent_line() -> None:
    witness = Witness()
    session = a_session(witness=witness)
    async with on_line(session) as line:
        long_ago = asyncio.get_running_loop().time() - 60
        line.happens(events.Pinged(long_ago, 1))
        while not line.is_aborted:
            await asyncio.sleep(0)
        assert AnswerPing(1) in line.sent or line.is_aborted
    passed = [answer for event, answer in witness.seen if isinstance(event, events.DeadlinePassed)]
    assert passed[-1] == [DropLine("silent")]


async def test_a_turn_that_outlives_its_budget_is_apologised_for() -> None:
    async def hangs(turn: Turn) -> AsyncGenerator[Part]:
        if turn.prompt is not Prompt.GREETING:
            await asyncio.Event().wait()
        yield Speech("Hello.")

    async with on_line(a_session(hangs, policy=Policy(details_expected=False, turn_budget=0.01))) as line:
        await line.until_final(0)
        line.happens(request(1))
        assert [say.text for say in await line.until_final(1)] == [POLICY.lines.apology]


async def test_a_fault_behind_a_deadline_cuts_the_line() -> None:
    witness = Witness()
    session = a_session(witness=witness)
    async with on_line(session) as line:
        await line.until_final(0)
        broken = Session.happen

        def breaks(self: Session, event: events.Event) -> None:
            if isinstance(event, events.DeadlinePassed):
                raise RuntimeError  # noqa: TRY004 - a bug of ours, not a wrong type
            broken(self, event)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Session, "happen", breaks)
            line.happens(events.Pinged(asyncio.get_running_loop().time() - 60, 1))
            while not line.is_aborted:
                await asyncio.sleep(0)
    assert [type(fault) for fault in witness.faults] == [RuntimeError]


async def test_ending_a_call_that_is_on_the_line_cuts_it() -> None:
    session = a_session()
    async with on_line(session) as line:
        await line.until_final(0)
        session.end()
        assert line.is_aborted
        assert not session.is_connected


async def test_a_deadline_that_a_newer_turn_moved_on_passes_once_and_not_early() -> None:
    async def is_slow(turn: Turn) -> AsyncGenerator[Part]:
        if turn.prompt is not Prompt.GREETING:
            await asyncio.sleep(10)
        yield Speech("Hello.")

    witness = Witness()
    policy = Policy(details_expected=False, deadlines=Deadlines(hold_after=0.1))
    async with on_line(a_session(is_slow, witness, policy)) as line:
        await line.until_final(0)
        line.happens(request(1))
        await asyncio.sleep(0.05)
        line.happens(request(2))
        await asyncio.sleep(0.2)
        assert [say.turn_id for say in line.sent if isinstance(say, Say) and say.text == "One moment. "] == [2]
    looks = [event.at for event, _ in witness.seen if isinstance(event, events.DeadlinePassed)]
    asked = [event.at for event, _ in witness.seen if isinstance(event, events.ReplyRequested)]
    assert len(looks) == 1
    assert looks[0] >= asked[1] + 0.1
