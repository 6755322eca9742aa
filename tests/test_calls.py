import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import pytest

from service import calls as book
from service.calls import Calls
from service.conversation import events
from service.conversation.call import Ending
from service.session import Session
from tests.fakes import FakeLine, Witness
from tests.live import ScriptedAgent
from tests.test_session import POLICY, greets, request


def calls_of(witness: Witness, window: float = 60.0) -> Calls:
    return Calls(lambda call_id: Session(call_id, ScriptedAgent(greets), POLICY, witness), window)


async def visit(calls: Calls, call_id: str = "call_1") -> FakeLine:
    line = FakeLine()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(calls.serve(call_id, line))
        await line.until_final(0)
        assert calls.connected == 1
        line.closes(1006)
    return line


async def test_a_call_outlives_its_line_and_is_known_when_it_comes_back() -> None:
    witness = Witness()
    calls = calls_of(witness)
    await visit(calls)
    assert (len(calls), calls.connected) == (1, 0)
    assert [say.text for say in await (await visit(calls)).until_final(0)] == [""]
    calls.end_all()
    assert len(calls) == 0
    assert witness.events.count(events.CallStarted) == witness.events.count(events.CallEnded) == 1


async def test_a_call_that_does_not_come_back_ends() -> None:
    witness = Witness()
    calls = calls_of(witness, window=0.0)
    await visit(calls)
    while len(calls):
        await asyncio.sleep(0)
    assert witness.events[-1] is events.CallEnded


async def test_after_a_fault_of_ours_the_next_line_starts_anew() -> None:
    witness = Witness()
    calls = calls_of(witness)
    line = FakeLine()
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(_expects_fault(calls, line))
        await line.until_final(0)
        line.happens("not an event")  # type: ignore[arg-type]  # as a bug of ours would
        await serving
    assert len(calls) == 0
    assert [say.text for say in await (await visit(calls)).until_final(0)] == ["Hello.", ""]
    calls.end_all()


async def _expects_fault(calls: Calls, line: FakeLine) -> None:
    with pytest.raises(ExceptionGroup):
        await calls.serve("call_1", line)


async def test_calls_do_not_know_one_another() -> None:
    calls = calls_of(Witness())
    async with asyncio.TaskGroup() as tasks:
        lines = {f"call_{i}": FakeLine() for i in range(20)}
        for call_id, line in lines.items():
            tasks.create_task(calls.serve(call_id, line))
        for i, line in enumerate(lines.values()):
            await line.until_final(0)
            line.happens(request(i + 1))
            assert [say.text for say in await line.until_final(i + 1)] == [f"Answer {i + 1}.", ""]
        assert calls.connected == 20
        for line in lines.values():
            line.closes()
    calls.end_all()


async def test_a_call_that_is_over_ends_with_its_line_and_not_before() -> None:
    witness = Witness()
    calls, line = calls_of(witness), FakeLine()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(calls.serve("call_1", line))
        await line.until_final(0)
        calls.conclude("call_1", Ending())
        calls.conclude("call_1", Ending())
        assert (len(calls), line.is_aborted) == (1, False)
        line.closes(1000)
    await nobody_is_left(calls)
    assert witness.events.count(events.CallEnded) == 1


async def test_a_call_that_is_over_and_comes_back_on_another_line_is_still_over() -> None:
    calls, first, second = calls_of(Witness()), FakeLine(), FakeLine()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(calls.serve("call_1", first))
        await first.until_final(0)
        calls.conclude("call_1", Ending())
        tasks.create_task(calls.serve("call_1", second))
        await second.until_final(0)
        second.closes(1000)
    await nobody_is_left(calls)


async def test_an_id_that_was_over_may_be_a_new_call_s() -> None:
    calls, line = calls_of(Witness()), FakeLine()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(calls.serve("call_1", line))
        await line.until_final(0)
        calls.conclude("call_1", Ending())
        line.closes(1000)
    await nobody_is_left(calls)
    await visit(calls)
    await asyncio.sleep(0.01)
    assert len(calls) == 1
    calls.end_all()


async def test_a_call_that_nobody_knows_may_be_over() -> None:
    calls = calls_of(Witness())
    calls.conclude("call_1", Ending())
    assert len(calls) == 0


async def test_a_call_is_missed_once_however_often_it_is_announced() -> None:
    calls, missed, faults = calls_of(Witness()), list[str](), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
    for call_id in ("call_1", "call_1", "call_2"):
        calls.expect(call_id, 0.0, partial(missed.append, call_id))
    async with asyncio.timeout(5):
        while len(missed) < 2:
            await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    assert sorted(missed) == ["call_1", "call_2"]
    assert faults == []


async def test_a_call_that_has_come_is_not_missed() -> None:
    calls, missed = calls_of(Witness()), list[str]()
    calls.expect("call_1", 0.02, partial(missed.append, "call_1"))
    await visit(calls)
    await asyncio.sleep(0.05)
    assert missed == []
    calls.end_all()


async def test_a_call_that_was_let_go_and_comes_back_is_not_ended_for_the_line_it_had() -> None:
    calls, first, second = calls_of(Witness(), window=0.02), FakeLine(), FakeLine()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(calls.serve("call_1", first))
        await first.until_final(0)
        calls.let_go(amid_turns=True)
        tasks.create_task(calls.serve("call_1", second))
        await second.until_final(0)
        await asyncio.sleep(0.1)
        assert (first.is_aborted, second.is_aborted, calls.connected) == (True, False, 1)
        second.closes(1000)
    calls.end_all()


async def test_a_call_that_was_let_go_is_waited_for_no_more() -> None:
    calls, line, faults = calls_of(Witness(), window=0.0), FakeLine(), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(calls.serve("call_1", line))
        await line.until_final(0)
        calls.let_go(amid_turns=True)
    await asyncio.sleep(0.02)
    assert (len(calls), faults) == (0, [])


class CutSlowly(FakeLine):
    """A line whose reader fails, but only after the call has gone to another one."""

    def __init__(self) -> None:
        super().__init__()
        self.is_replaced = asyncio.Event()

    def abort(self) -> None:
        super().abort()
        self.is_replaced.set()

    async def listen(self, hear: Callable[[Sequence[events.Event]], None]) -> None:
        await self.is_replaced.wait()
        raise RuntimeError("a bug of ours")


async def test_a_fault_on_a_line_that_was_replaced_is_not_felt_on_the_one_that_replaced_it() -> None:
    calls, first, second = calls_of(Witness()), CutSlowly(), FakeLine()
    async with asyncio.TaskGroup() as tasks:
        failing = tasks.create_task(_expects_fault(calls, first))
        await first.until_final(0)
        tasks.create_task(calls.serve("call_1", second))
        await failing
        second.happens(request(1))
        assert [say.text for say in await second.until_final(1)] == ["Answer 1.", ""]
        assert (len(calls), second.is_aborted) == (1, False)
        second.closes(1000)
    calls.end_all()


async def test_no_more_calls_are_waited_for_than_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "MOST_EXPECTED", 2)
    calls, missed = calls_of(Witness()), list[str]()
    for call_id in ("call_1", "call_2", "call_3"):
        calls.expect(call_id, 0.0, partial(missed.append, call_id))
    await asyncio.sleep(0.01)
    assert missed == ["call_1", "call_2"]


async def test_a_service_that_stops_misses_nobody() -> None:
    calls, missed = calls_of(Witness()), list[str]()
    calls.expect("call_1", 0.0, partial(missed.append, "call_1"))
    calls.end_all()
    await asyncio.sleep(0.01)
    assert missed == []


async def nobody_is_left(calls: Calls) -> None:
    async with asyncio.timeout(5):
        while len(calls):
            await asyncio.sleep(0)
