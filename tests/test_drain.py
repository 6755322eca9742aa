"""How a process ends that holds calls: the decisions on a clock of ours, the signals with real processes."""

import asyncio
import math
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from service.calls import Calls
from service.conversation import events
from service.conversation.call import Ending, Prompt, Turn
from service.conversation.parts import Part, Speech
from service.drain import GRACE_SECONDS, Drain
from service.session import Session
from tests.conformance.test_tools_elsewhere import process
from tests.fakes import FakeLine, Witness
from tests.live import ScriptedAgent, Service, serving
from tests.test_app import get
from tests.test_session import POLICY, request


class Clock:
    """Moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def ponders(turn: Turn) -> AsyncGenerator[Part]:
    """Greet, and never come to the end of any other turn."""
    yield Speech("Hello." if turn.prompt is Prompt.GREETING else "Well,")
    if turn.prompt is not Prompt.GREETING:
        await asyncio.Event().wait()


class House:
    """A process with calls, in this one."""

    def __init__(self, *, drain_seconds: float = 10.0, idle_exit: float = 0.0, are_ends_told: bool = False) -> None:
        self.clock, self.witness = Clock(), Witness()
        self.concluded: list[str] = []
        self.agent = ScriptedAgent(ponders)
        self.calls = Calls(self._session, 60.0, are_ends_told=are_ends_told)
        self.drain = Drain(self.calls, drain_seconds, idle_exit, self.clock)

    def _session(self, call_id: str) -> Session:
        session = Session(call_id, self.agent, POLICY, self.witness)
        conclude = session.conclude

        def note(ending: Ending) -> None:
            self.concluded.append(call_id)
            conclude(ending)

        session.conclude = note  # type: ignore[method-assign]
        return session

    @asynccontextmanager
    async def call(self, call_id: str = "call_1") -> AsyncIterator[FakeLine]:
        line = FakeLine()
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(self.calls.serve(call_id, line))
            await line.until_final(0)
            try:
                yield line
            finally:
                serving.cancel()

    def is_over_after(self, seconds: float) -> bool:
        self.clock.now += seconds
        return self.drain.is_over()


async def test_without_calls_a_drain_is_over_at_once() -> None:
    house = House()
    assert not house.drain.is_over()
    house.drain.begin()
    assert not house.drain.is_open
    assert house.drain.is_over()


async def test_a_call_goes_on_to_its_end_and_the_process_with_it() -> None:
    house = House()
    async with house.call() as line:
        house.drain.begin()
        assert not house.is_over_after(9.9)
        line.closes(1000)
        await asyncio.sleep(0)
        assert house.drain.is_over()
    left = [event for event, _ in house.witness.seen if isinstance(event, events.CallDisconnected)]
    assert [(event.code, event.is_let_go) for event in left] == [(1000, False)]


async def test_at_the_deadline_a_quiet_call_is_cut_without_a_code_and_is_not_told_as_over() -> None:
    house = House()
    async with house.call() as line:
        house.drain.begin()
        assert not house.is_over_after(9.9)
        assert not line.is_aborted
        assert house.is_over_after(0.1)
        assert line.is_aborted
    left = [event for event, _ in house.witness.seen if isinstance(event, events.CallDisconnected)]
    assert [(event.code, event.is_let_go, event.is_our_fault) for event in left] == [(None, True, False)]
    house.calls.end_all()
    assert house.concluded == []


async def test_at_the_deadline_a_call_amid_an_answer_gets_a_moment_more() -> None:
    house = House()
    async with house.call("call_1") as quiet, house.call("call_2") as answering:
        answering.happens(request(1))
        await asyncio.sleep(0.01)
        house.drain.begin()
        assert not house.is_over_after(10)
        assert (quiet.is_aborted, answering.is_aborted) == (True, False)
        assert not house.is_over_after(GRACE_SECONDS - 0.1)
        assert not answering.is_aborted
        assert house.is_over_after(0.1)
        assert answering.is_aborted


async def test_a_newer_order_replaces_the_older() -> None:
    house = House()
    async with house.call() as line:
        house.drain.begin(7200)
        assert not house.is_over_after(3600)
        house.drain.begin()
        assert not house.is_over_after(9.9)
        assert not line.is_aborted
        assert house.is_over_after(0.1)


async def test_no_time_at_all_is_a_time() -> None:
    house = House()
    async with house.call() as line:
        house.drain.begin(0)
        assert house.drain.is_over()
        assert line.is_aborted


async def test_each_order_is_told_once_with_its_calls_and_its_time() -> None:
    house = House()
    async with house.call() as line:
        with capture_logs() as told:
            for seconds in (7200, 60):
                house.drain.begin(seconds)
                assert not house.is_over_after(1)
                assert not house.is_over_after(1)
            line.closes(1000)
            await asyncio.sleep(0)
            assert house.drain.is_over()
    begun = [(line["calls"], line["seconds"]) for line in told if line["event"] == "service.draining"]
    assert begun == [(1, 7200), (1, 60)]
    assert told[-1]["event"] == "service.drained"


async def test_of_a_call_that_was_let_go_the_platform_s_word_may_still_come_here() -> None:
    house = House(are_ends_told=True)
    async with house.call() as line:
        house.drain.begin(0)
        assert house.drain.is_over()
        assert (line.is_aborted, house.concluded) == (True, [])
        house.calls.conclude("call_1", Ending("user_hangup"))
    assert house.concluded == ["call_1"]


def test_it_tells_how_long_calls_may_go_on() -> None:
    house = House()
    assert math.isnan(house.drain.seconds_left)
    house.drain.begin()
    house.clock.now += 4
    assert house.drain.seconds_left == 6
    house.clock.now += 40
    assert house.drain.seconds_left == 0


async def test_a_call_that_waits_for_its_next_line_does_not_keep_the_process() -> None:
    house = House()
    async with house.call() as line:
        line.closes(1006)
        await asyncio.sleep(0.01)
    assert len(house.calls) == 1
    house.drain.begin()
    assert house.drain.is_over()


async def test_after_so_long_without_calls_the_process_ends() -> None:
    house = House(idle_exit=60)
    assert not house.drain.is_over()
    assert not house.is_over_after(59.9)
    assert house.drain.is_open
    assert house.is_over_after(0.1)
    assert not house.drain.is_open


async def test_a_call_begins_the_idle_time_anew() -> None:
    house = House(idle_exit=60)
    assert not house.is_over_after(50)
    async with house.call() as line:
        assert not house.is_over_after(3600)
        line.closes(1006)
        await asyncio.sleep(0.01)
    assert not house.is_over_after(3600)  # it may come back
    house.calls.end_all()
    assert not house.is_over_after(50)
    assert not house.is_over_after(59.9)
    assert house.is_over_after(0.1)


async def test_idleness_ends_nothing_unless_it_was_asked_for() -> None:
    house = House()
    assert not house.is_over_after(0)
    assert not house.is_over_after(1e6)


AGENT = {"CUEBOX_AGENT": "dummy"}


async def refusal_of(service: Service) -> int:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://{service.address}/llm-websocket/call_9"):
            pass
    return refused.value.response.status_code


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_refuses_new_calls_and_lets_the_old_ones_end(kind: signal.Signals) -> None:
    async with process(AGENT) as (running, service), service.line() as line:
        await line.greeted()
        running.send_signal(kind)
        while (await get(service.address, "/readyz"))[0] != 503:
            await asyncio.sleep(0.01)
        assert await refusal_of(service) == 503
        assert (await get(service.address, "/healthz"))[0] == 200
        await line.ask(1, "Hello.", "Are you there?")
        assert await line.answer(1)
        async with asyncio.timeout(30):
            await line.socket.close(1000)
            assert await running.wait() == 0


async def test_a_call_that_is_here_may_dial_again_until_it_is_let_go() -> None:
    async with serving() as service:
        async with service.line() as line:
            await line.greeted()
            service.app.state.drain.begin(60)
            line.cut()
        async with asyncio.timeout(2):
            while service.calls.connected:
                await asyncio.sleep(0.01)
        async with service.line() as again:
            assert (await again.frame())["response_type"] == "config"
            await again.ask(1, "Hello.", "Are you there?")
            assert await again.answer(1)
            assert await refusal_of(service) == 503
        service.calls.let_go(amid_turns=True)
        with pytest.raises(InvalidStatus, match="503"):
            await service.line().__aenter__()


async def test_at_the_deadline_the_line_is_cut_without_a_code_and_the_process_ends_well() -> None:
    async with process({**AGENT, "CUEBOX_DRAIN_SECONDS": "0.3"}) as (running, service), service.line() as line:
        await line.greeted()
        running.send_signal(signal.SIGTERM)
        assert await line.closed() == 1006
        async with asyncio.timeout(30):
            assert await running.wait() == 0


async def test_a_second_signal_ends_the_service_now() -> None:
    async with process(AGENT) as (running, service), service.line() as line:
        await line.greeted()
        running.send_signal(signal.SIGTERM)
        while (await get(service.address, "/readyz"))[0] != 503:
            await asyncio.sleep(0.01)
        running.send_signal(signal.SIGTERM)
        assert await line.closed() == 1006
        async with asyncio.timeout(30):
            assert await running.wait() == 0


async def test_a_service_that_nobody_calls_ends_by_itself() -> None:
    idle = {"CUEBOX_IDLE_EXIT_SECONDS": "1", "CUEBOX_RECONNECT_WINDOW": "0"}
    async with process({**AGENT, **idle}) as (running, service):
        async with service.line() as line:
            await line.greeted()
            await asyncio.sleep(1.3)
            assert running.returncode is None
            await line.socket.close(1000)
        async with asyncio.timeout(30):
            assert await running.wait() == 0
