"""A test call that is held through what befalls a service, and what is told of it."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner
from websockets.asyncio.server import ServerConnection, serve

from service.cli import main
from service.conversation.call import Prompt, Turn
from service.conversation.parts import Part, Speech
from service.simulator import probe as module
from service.simulator.line import NotConnected
from service.simulator.probe import Notes, Outage, Probe
from service.simulator.probe_terminal import outage_line, prometheus_text, summary
from tests.live import ScriptedAgent, Service, serving


async def chats(turn: Turn) -> AsyncGenerator[Part]:
    yield Speech("Hello there." if turn.prompt is Prompt.GREETING else "Yes, of course. We are.")


async def says_nothing(turn: Turn) -> AsyncGenerator[Part]:
    yield Speech("Hello there." if turn.prompt is Prompt.GREETING else "")
    if turn.prompt is not Prompt.GREETING:
        await asyncio.Event().wait()


def probe_of(address: str, outages: list[Outage] | None = None) -> Probe:
    told = [] if outages is None else outages
    return Probe(f"ws://{address}/llm-websocket", words_per_second=100, tell=told.append)


def cut_all(service: Service) -> None:
    service.calls.let_go(amid_turns=True)


async def test_a_call_that_goes_well_has_no_fault() -> None:
    async with serving(ScriptedAgent(chats)) as service:
        notes = await probe_of(service.address).hold(0.8, every=0.1)
    assert notes.faults() == []
    assert notes.asked == notes.answered == len(notes.waits) > 2
    assert (notes.ended, notes.greetings, notes.close_codes) == ("user_hangup", 1, [1000])
    assert set(notes.answers) == {"Yes, of course. We are."}
    assert notes.seconds >= 0.8


async def test_a_line_that_is_cut_is_dialled_again_and_the_gap_is_told() -> None:
    outages: list[Outage] = []
    async with serving(ScriptedAgent(chats)) as service:
        async with asyncio.TaskGroup() as tasks:
            held = tasks.create_task(probe_of(service.address, outages).hold(0.8, every=0.1))
            await asyncio.sleep(0.3)
            cut_all(service)
        notes = held.result()
    assert notes.faults() == []
    assert notes.close_codes == [1006, 1000]
    assert outages == notes.outages
    assert [outage.why for outage in outages] == ["the line broke"]
    assert 0 < notes.longest_gap < 0.5
    assert notes.faults(longest_gap=0.0) == ["Nobody was on the line for 0.0 s."]


async def test_what_was_not_spoken_when_the_line_broke_is_lost_and_the_turn_is_the_same() -> None:
    asked: list[int] = []

    async def breaks_off(turn: Turn) -> AsyncGenerator[Part]:
        if turn.prompt is Prompt.GREETING:
            yield Speech("Hello there.")
            return
        asked.append(turn.turn_id)
        yield Speech("This is a sentence. " + "And words " * 30)
        if len(asked) == 1:
            cut_all(service)

    async with serving(ScriptedAgent(breaks_off)) as service:
        notes = await probe_of(service.address).hold(0.3, every=0.2)
    assert notes.words_lost > 40
    assert notes.asked == notes.answered == len(notes.waits) == len(asked) - 1
    assert notes.faults() == []


async def test_a_line_that_breaks_between_turns_costs_none() -> None:
    asked: list[int] = []

    async def counts(turn: Turn) -> AsyncGenerator[Part]:
        asked.append(turn.turn_id)
        yield Speech("Hello there.")

    async with serving(ScriptedAgent(counts)) as service:
        probe = probe_of(service.address)
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            held = tasks.create_task(probe.hold(60, every=0.5))
            for answers in (1, 2):
                while probe.notes.answered < answers:
                    await asyncio.sleep(0.01)
                cut_all(service)
            while probe.notes.answered < 3:
                await asyncio.sleep(0.01)
            probe.stop()
    notes = held.result()
    assert notes.faults() == []
    assert notes.asked == notes.answered == 3
    assert notes.close_codes == [1006, 1006, 1000]


async def test_turns_that_are_not_answered_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    async with serving(ScriptedAgent(says_nothing)) as service:
        notes = await probe_of(service.address).hold(1.0, every=0.1)
    assert notes.asked > 1
    assert f"{notes.asked} of {notes.asked} turns were not answered." in notes.faults()


async def test_without_a_service_there_is_no_call() -> None:
    with pytest.raises(NotConnected):
        Probe("ftp://nowhere")


@asynccontextmanager
async def closing_with(code: int) -> AsyncIterator[str]:
    """A service that greets everybody and closes."""

    async def handle(line: ServerConnection) -> None:
        await line.send('{"response_type":"response","response_id":0,"content":"Hi.","content_complete":true}')
        await asyncio.sleep(0.2)
        await line.close(code)

    async with serve(handle, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(("code", "reason"), [(1012, "error_llm_websocket_runtime"), (1000, "agent_hangup")])
async def test_a_service_that_closes_with_a_code_ends_the_call(code: int, reason: str) -> None:
    async with closing_with(code) as address:
        notes = await probe_of(address).hold(5, every=1)
    assert notes.ended == reason
    assert notes.close_codes == [code]
    is_breach = any("broke a rule: the line ended with code" in fault for fault in notes.faults())
    assert is_breach is (code != 1000)
    assert f"The call was ended before its time: {reason}." in notes.faults()


async def test_a_service_that_goes_and_does_not_come_back_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.simulator.line.ATTEMPT_EVERY", 0.05)
    outages: list[Outage] = []
    async with asyncio.TaskGroup() as tasks, serving(ScriptedAgent(chats)) as service:
        held = tasks.create_task(probe_of(service.address, outages).hold(5, every=0.1))
        await asyncio.sleep(0.3)
    notes = held.result()
    assert [outage.gap for outage in outages] == [None]
    assert notes.longest_gap == notes.seconds
    assert "The call was ended before its time: error_llm_websocket_open." in notes.faults()


async def test_a_second_greeting_is_heard() -> None:
    async def handle(line: ServerConnection) -> None:
        await line.send('{"response_type":"response","response_id":0,"content":"Hi.","content_complete":true}')
        await asyncio.sleep(0.1)
        line.transport.abort()

    async with serve(handle, "127.0.0.1", 0) as server:
        notes = await probe_of(f"127.0.0.1:{server.sockets[0].getsockname()[1]}").hold(5, every=5)
    assert notes.greetings > 1
    assert f"The caller was greeted {notes.greetings} times." in notes.faults()


async def test_a_line_that_breaks_before_its_first_frame_belongs_to_the_outage_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    outages: list[Outage] = []
    lines = 0

    async def handle(line: ServerConnection) -> None:
        nonlocal lines
        lines += 1
        if lines != 2:
            await line.send('{"response_type":"response","response_id":0,"content":"","content_complete":true}')
        if lines < 3:
            await asyncio.sleep(0.1)
            line.transport.abort()
        await line.wait_closed()

    async with serve(handle, "127.0.0.1", 0) as server:
        notes = await probe_of(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", outages).hold(0.6, every=0.1)
    assert notes.close_codes == [1006, 1006, 1000]
    assert outages == notes.outages
    assert len(outages) == 1
    assert 0.1 <= notes.longest_gap < notes.seconds


async def test_who_stops_early_is_told_what_was_seen_until_then() -> None:
    async with serving(ScriptedAgent(chats)) as service:
        probe = probe_of(service.address)
        async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
            held = tasks.create_task(probe.hold(3600, every=1800))
            while not probe.notes.answered:
                await asyncio.sleep(0.01)
            probe.stop()
    assert held.result().faults() == []
    assert (held.result().asked, held.result().close_codes) == (1, [1000])


async def test_ctrl_c_ends_the_hold_and_the_report_comes(tmp_path: Path) -> None:
    file = tmp_path / "probe.prom"
    async with serving(ScriptedAgent(chats)) as service:
        words = (sys.executable, "-m", "service", "probe", f"ws://{service.address}/llm-websocket")
        process = await asyncio.create_subprocess_exec(
            *(*words, "--hold", "1h", "--every", "1h", "--prometheus", str(file)),
            stdout=asyncio.subprocess.PIPE,
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.default_int_handler),
        )
        while not service.calls.connected:
            await asyncio.sleep(0.01)
        process.send_signal(signal.SIGINT)
        told, _ = await process.communicate()
    assert (process.returncode, "Lines closed with 1000" in told.decode()) == (0, True)
    assert "cuebox_probe_well 1.0\n" in file.read_text()


async def cuebox(*words: str) -> tuple[int, str, str]:
    result = await asyncio.to_thread(CliRunner().invoke, main, ["probe", *words])
    return result.exit_code, result.stdout, result.stderr


async def test_the_command_tells_a_person_a_program_and_prometheus(tmp_path: Path) -> None:
    file = tmp_path / "probe.prom"
    async with serving(ScriptedAgent(chats)) as service:
        url = f"ws://{service.address}/llm-websocket"
        code, told, _ = await cuebox(url, "--hold", "1s", "--prometheus", str(file))
        assert code == 0
        assert "Greetings heard: 1." in told
        assert "its caller would have noticed nothing" in told
        code, told, _ = await cuebox(url, "--hold", "1", "--say", "Hm?", "--json")
    assert code == 0
    assert json.loads(told.splitlines()[-1])["faults"] == []
    assert "cuebox_probe_well 1.0\n" in file.read_text()


async def test_the_command_fails_when_nobody_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.simulator.line.ATTEMPT_EVERY", 0.01)
    file = tmp_path / "probe.prom"
    code, told, faults = await cuebox("ws://127.0.0.1:9/llm-websocket", "--prometheus", str(file))
    assert (code, told) == (1, "")
    assert "Nothing answers at 127.0.0.1:9" in faults
    assert "cuebox_probe_well 0.0\n" in file.read_text()


@pytest.mark.parametrize("span", ["0", "soon", "-5s", "5d"])
async def test_what_is_no_time_is_refused(span: str) -> None:
    code, _, fault = await cuebox("ws://127.0.0.1:9", "--hold", span)
    assert code == 2
    assert "one looks like 90s, 15m or 1h" in fault


def test_an_outage_and_the_waits_are_in_the_summary() -> None:
    notes = Notes("call_1", seconds=60, ended="user_hangup", asked=3, answered=3, greetings=1, words_lost=4)
    notes.outages, notes.close_codes, notes.waits = [Outage(5.0, "the line broke", 1.5)], [1006, 1000], [0.5, 0.7, 2.0]
    lines = list(summary(notes, notes.faults()))
    assert "Lines closed with 1006, 1000; longest gap 1.50 s; words lost: 4." in lines
    assert outage_line(notes.outages[0]).endswith("5.0 s into the call the line broke: the next one spoke after 1.50 s")
    assert outage_line(Outage(5.0, "the line broke")).endswith("nobody took the call any more")
    assert "First words after 0.70 s (median), 2.00 s (longest)." in lines
    assert "cuebox_probe_longest_gap_seconds 1.5\n" in prometheus_text(notes, is_well=True)
