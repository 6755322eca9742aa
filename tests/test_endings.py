"""An agent is told once that a call is over, whoever held it: the sign is the platform's word where it gives any."""

import asyncio
from collections.abc import Callable

import pytest

from service import calls as book
from service.calls import Calls
from service.conversation.call import CallDetails, CallRecord, Ending
from service.conversation.parts import Aside, Interjection
from service.session import Session
from service.virtual import loop as virtual
from tests.fakes import FakeLine, Witness
from tests.live import ScriptedAgent
from tests.test_session import POLICY, greets

TOLD = Ending("user_hangup", CallDetails("call_1", started_at=1.0))


class Accountant(ScriptedAgent):
    """An agent that remembers what it was told of ends."""

    def __init__(self, *, breaks: bool = False) -> None:
        super().__init__(greets)
        self.told: list[Ending] = []
        self.ended = 0
        self.asides: list[Callable[[Aside], None]] = []
        self._breaks = breaks

    def take(self, call_id: str, aside: Callable[[Aside], None]) -> "Accountant":
        self.asides.append(aside)
        return self

    def end(self, record: CallRecord) -> None:
        self.ended += 1

    def conclude(self, ending: Ending) -> None:
        self.told.append(ending)
        if self._breaks:
            raise OSError


def calls_of(
    agent: Accountant,
    witness: Witness | None = None,
    *,
    are_ends_told: bool,
    on_untold: Callable[[str], None] = lambda _: None,
) -> Calls:
    witness = witness or Witness()
    return Calls(
        lambda call_id: Session(call_id, agent, POLICY, witness),
        60.0,
        are_ends_told=are_ends_told,
        on_untold=on_untold,
    )


async def visit(calls: Calls, code: int | None) -> None:
    line = FakeLine()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(calls.serve("call_1", line))
        await line.until_final(0)
        line.closes(code)


def test_where_nobody_tells_the_end_of_the_window_is_the_end() -> None:
    async def call() -> Accountant:
        agent = Accountant()
        calls = calls_of(agent, are_ends_told=False)
        await visit(calls, 1006)
        await asyncio.sleep(59)
        assert agent.told == []
        await visit(calls, 1006)
        await asyncio.sleep(61)
        assert len(calls) == 0
        return agent

    agent = virtual.run(call())
    (ending,) = agent.told
    assert agent.ended == 1
    assert (ending.reason, ending.details) == ("", None)
    assert ending.record is not None
    assert ending.record.lines == 2


@pytest.mark.parametrize(("code", "times"), [(1000, 1), (1005, 1), (1006, 0), (None, 0)])
def test_a_service_that_stops_tells_of_lines_that_were_closed_and_not_of_those_that_were_lost(
    code: int | None, times: int
) -> None:
    async def call() -> Accountant:
        agent = Accountant()
        calls = calls_of(agent, are_ends_told=False)
        await visit(calls, code)
        calls.end_all()
        return agent

    agent = virtual.run(call())
    assert (agent.ended, len(agent.told)) == (1, times)


def test_a_call_that_goes_on_while_the_service_stops_is_not_over() -> None:
    async def call() -> Accountant:
        agent, line = Accountant(), FakeLine()
        calls = calls_of(agent, are_ends_told=False)
        await visit(calls, 1000)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(calls.serve("call_1", line))
            await line.until_final(0)
            calls.end_all()
        return agent

    assert virtual.run(call()).told == []


def test_the_platform_s_word_comes_while_the_call_is_known() -> None:
    async def call() -> Accountant:
        agent = Accountant()
        calls = calls_of(agent, are_ends_told=True)
        await visit(calls, 1000)
        calls.conclude("call_1", TOLD)
        await asyncio.sleep(1000)
        return agent

    (ending,) = virtual.run(call()).told
    assert (ending.reason, ending.details) == (TOLD.reason, TOLD.details)
    assert ending.record is not None


def test_the_platform_s_word_comes_before_the_line_is_closed() -> None:
    async def call() -> Accountant:
        agent, line = Accountant(), FakeLine()
        calls = calls_of(agent, are_ends_told=True)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(calls.serve("call_1", line))
            await line.until_final(0)
            calls.conclude("call_1", TOLD)
            calls.conclude("call_1", Ending("other"))
            assert agent.told == []
            await asyncio.sleep(book.LAST_SECONDS + 1)
        return agent

    assert [ending.reason for ending in virtual.run(call()).told] == ["user_hangup"]


def test_what_ended_here_waits_ten_minutes_for_the_platform_s_word() -> None:
    untold: list[str] = []

    async def call(seconds: float) -> Accountant:
        agent = Accountant()
        calls = calls_of(agent, are_ends_told=True, on_untold=untold.append)
        await visit(calls, 1006)
        await asyncio.sleep(60 + seconds)
        assert (agent.ended, agent.told) == (1, [])
        calls.conclude("call_1", Ending("user_hangup"))
        await asyncio.sleep(1000)
        return agent

    (ending,) = virtual.run(call(590)).told
    assert ending.record is not None
    assert untold == []
    assert virtual.run(call(610)).told == []
    assert untold == ["call_1"]


def test_no_more_calls_wait_for_it_than_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    untold: list[str] = []

    async def calls_over() -> list[Ending]:
        agent = Accountant()
        calls = calls_of(agent, are_ends_told=True, on_untold=untold.append)
        for call_id in ("call_1", "call_2", "call_3"):
            line = FakeLine()
            line.closes(1000)
            await calls.serve(call_id, line)
        calls.end_all()
        for call_id in ("call_1", "call_2", "call_3"):
            calls.conclude(call_id, Ending())
        return agent.told

    monkeypatch.setattr(book, "MOST_UNTOLD", 2)
    assert len(virtual.run(calls_over())) == 2
    assert untold == ["call_1"]


def test_a_call_of_a_process_that_is_gone_is_accounted_for_here() -> None:
    async def call() -> tuple[Accountant, Witness]:
        agent, witness = Accountant(), Witness()
        calls = calls_of(agent, witness, are_ends_told=True)
        calls.conclude("call_1", TOLD)
        assert len(calls) == 0
        agent.asides[0](Interjection("Is anybody there?"))
        return agent, witness

    agent, witness = virtual.run(call())
    assert (agent.told, agent.ended) == ([TOLD], 0)
    assert witness.events == []


@pytest.mark.parametrize("ending", [Ending("not_connected"), Ending("not_connected", CallDetails("call_1"))])
def test_a_call_that_nobody_ever_took_is_no_agent_s(ending: Ending) -> None:
    async def call() -> Accountant:
        agent = Accountant()
        calls_of(agent, are_ends_told=True).conclude("call_1", ending)
        return agent

    assert virtual.run(call()).told == []


def test_an_agent_that_fails_at_the_end_is_told_of_and_harms_nobody() -> None:
    async def call() -> tuple[Accountant, Witness]:
        agent, witness = Accountant(breaks=True), Witness()
        calls = calls_of(agent, witness, are_ends_told=True)
        await visit(calls, 1000)
        calls.conclude("call_1", TOLD)
        assert len(calls) == 0
        return agent, witness

    agent, witness = virtual.run(call())
    assert len(agent.told) == 1
    assert [type(fault) for fault in witness.faults] == [OSError]


@pytest.mark.parametrize("are_ends_told", [True, False])
def test_a_fault_of_ours_is_not_the_call_s_end(*, are_ends_told: bool) -> None:
    async def call() -> Accountant:
        agent, line = Accountant(), FakeLine()
        calls = calls_of(agent, are_ends_told=are_ends_told)
        line.happens("not an event")  # type: ignore[arg-type]  # as a bug of ours would
        with pytest.raises(ExceptionGroup):
            await calls.serve("call_1", line)
        assert (len(calls), agent.told) == (0, [])
        await visit(calls, 1000)
        calls.conclude("call_1", TOLD)
        return agent

    assert len(virtual.run(call()).told) == 1
