"""The socket that takes an operator's orders."""

import asyncio
import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog
from structlog.typing import EventDict

from service import control
from service.control import Control
from service.conversation import events
from service.session import Session
from tests.conversation.play import CALL_ID
from tests.fakes import FakeLine
from tests.live import ScriptedAgent
from tests.observability.seen import SeenPlay
from tests.test_drain import ponders
from tests.test_orders import House, Line
from tests.test_session import POLICY
from tests.test_session import request as asked


async def said(path: Path, request: bytes, *, lines: int | None = None) -> list[Line]:
    """What is answered to a request: all, or so many lines."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        writer.write(request)
        async with asyncio.timeout(5):
            if lines is not None:
                return [json.loads(await reader.readline()) for _ in range(lines)]
            return [json.loads(line) for line in (await reader.read()).splitlines()]
    finally:
        writer.close()


def request(verb: str, **more: object) -> bytes:
    return json.dumps({"verb": verb, **more}).encode() + b"\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


async def test_a_change_is_logged_with_who_made_it_and_counted(path: Path) -> None:
    house = House()
    with structlog.testing.capture_logs() as lines:
        async with house.open(path):
            (answer,) = await said(path, request("hedge", do="off"))
            await said(path, request("hedge", do="off"))  # no change
    assert answer == {"verb": "hedge", "before": "on", "after": "off"}
    assert house.changes == ["hedge"]
    assert lines == [
        {
            "event": "control.changed",
            "log_level": "warning",
            "who": f"pid {os.getpid()}, uid {os.getuid()}",
            "verb": "hedge",
            "before": "on",
            "after": "off",
        }
    ]


async def test_where_the_kernel_does_not_tell_who_it_is_somebody_changed_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(socket, "SO_PEERCRED")
    with structlog.testing.capture_logs() as lines:
        async with House().open(path):
            await said(path, request("hedge", do="off"))
    assert lines[0]["who"] == "unknown"


async def test_the_socket_is_its_owners_alone_and_gone_afterwards(path: Path) -> None:
    async with House().open(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600  # noqa: ASYNC240
    assert not path.exists()  # noqa: ASYNC240


@pytest.mark.parametrize(
    "hostile",
    [
        b"",
        b"\n",
        b"{}\n",
        b"calls\n",
        b'{"verb": "rm"}\n',
        b'{"verb": "calls", "more": 1}\n',
        b'{"verb": "drain", "seconds": -1}\n',
        b'{"verb": "drain", "seconds": 7201}\n',
        b'{"verb": "drain", "seconds": 1e999}\n',
        request("targets", do="disable", name="x" * 300),
        b"x" * 5000 + b"\n",
        b"[" * 4000 + b"\n",
        b"\xff\xfe\n",
    ],
    ids=lambda hostile: repr(hostile[:20]),
)
async def test_what_is_no_order_is_refused_and_the_next_one_is_heard(path: Path, hostile: bytes) -> None:
    house = House()
    before = house.state()
    async with house.open(path):
        if hostile:
            (answer,) = await said(path, hostile)
            assert answer["refused"].startswith("That is no order: ")
        else:
            _, writer = await asyncio.open_unix_connection(str(path))
            writer.close()
        assert await said(path, request("calls")) == []
    assert house.state() == before


async def test_who_says_nothing_is_not_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "PATIENCE", 0.05)
    async with House().open(path):
        (answer,) = await said(path, b'{"verb":')
        assert answer["refused"].startswith("No order came within")


async def test_several_are_heard_at_once_and_too_many_are_not(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MOST_CLIENTS", 2)
    async with House().open(path):
        waiting = [await asyncio.open_unix_connection(str(path)) for _ in range(2)]
        await asyncio.sleep(0.02)
        assert await said(path, request("calls")) == [{"refused": "Too many ask at once."}]
        for reader, writer in waiting:
            writer.write(request("hedge", do="on"))
            assert json.loads(await reader.readline())["after"] == "on"
            writer.close()


async def test_who_does_not_read_the_answer_is_not_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = control._write.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "patience", 0.05)
    monkeypatch.setattr(control, "MOST_CLIENTS", 1)
    house = House()
    for number in range(10_000):
        house.watch.took(f"call_{number}", "desk")
        house.watch.saw(f"call_{number}", events.CallStarted(0.0, 0.0), ())
    with structlog.testing.capture_logs() as lines:
        async with house.open(path):
            _, writer = await asyncio.open_unix_connection(str(path), limit=1024)
            writer.write(request("calls"))
            await asyncio.sleep(0.5)
            assert (await said(path, request("hedge", do="on")))[0]["after"] == "on"
            writer.close()
    assert lines == []


async def test_a_fault_of_ours_ends_one_answer_and_nothing_else(path: Path) -> None:
    house = House()
    house.roster.calls = None  # type: ignore[assignment]
    with structlog.testing.capture_logs() as lines:
        async with house.open(path):
            assert "the log has why" in (await said(path, request("calls")))[0]["refused"]
            assert (await said(path, request("hedge", do="on")))[0]["after"] == "on"
    assert [(line["event"], line["error"]) for line in lines] == [("control.failed", "AttributeError")]


async def test_a_call_is_watched_to_its_end_and_nobody_looks_on_afterwards(path: Path) -> None:
    house = House()
    play = SeenPlay(house.watch)
    play.greets()
    before = house.watch.parts
    async with house.open(path):
        watching = asyncio.create_task(said(path, request("watch", name=CALL_ID)))  # noqa: TID251
        await until(lambda: len(house.watch.parts) > len(before))
        play.pings()
        play.ends()
        lines = await watching
    assert [line.get("frame") for line in lines[:2]] == ["ping", "pong"]
    assert house.watch.parts == before


async def test_who_reads_too_slowly_loses_lines_and_is_told_how_many(path: Path) -> None:
    house = House()
    play = SeenPlay(house.watch)
    play.greets()
    async with house.open(path):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(request("watch", name=CALL_ID))
        await until(lambda: len(house.watch.parts) == 2)
        for _ in range(200):  # more than sockets and buffers hold
            for _ in range(50):
                play.pings()
            await asyncio.sleep(0)
        play.ends()
        async with asyncio.timeout(10):
            lines = [json.loads(line) async for line in reader]
        writer.close()
    lost = sum(line["lines"] for line in lines if line["what"] == "lost")
    assert lost > 1000
    assert len([line for line in lines if line["what"] in {"in", "out", "turn"}]) + lost == 2 * 200 * 50 + 1


async def test_who_watches_may_leave_and_the_service_may_end_first(path: Path) -> None:
    house = House()
    play = SeenPlay(house.watch)
    play.greets()
    async with house.open(path):
        watching = asyncio.create_task(said(path, request("watch", name=CALL_ID)))  # noqa: TID251
        leaving = asyncio.create_task(said(path, request("watch", name=CALL_ID), lines=1))  # noqa: TID251
        await until(lambda: len(house.watch.parts) == 3)
        play.pings()
        assert (await leaving)[0]["frame"] == "ping"
        await until(lambda: (play.pings(), len(house.watch.parts) == 2)[1])
    assert (await watching)[0]["frame"] == "ping"
    assert len(house.watch.parts) == 1


async def test_a_call_that_is_not_here_cannot_be_watched(path: Path) -> None:
    house = House()
    SeenPlay(house.watch).happens(events.CallStarted(0.0, 0.0))
    async with house.open(path):
        (answer,) = await said(path, request("watch", name="call_9"))
    assert answer == {"refused": f"There is no call 'call_9' here. There are: {CALL_ID}."}


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.005)


# Where there can be no socket.


async def test_without_a_path_there_is_none() -> None:
    house = House()
    async with Control(house.orders, house.watch).open(None):
        assert house.changes == []


@pytest.mark.parametrize("place", ["no/such/folder/x.sock", "x" * 200, "a_file", "in_use.sock"])
async def test_where_none_can_be_made_the_service_goes_on_and_says_so(tmp_path: Path, place: str) -> None:
    (tmp_path / "a_file").write_text("mine")
    lines: list[EventDict]
    with socket.socket(socket.AF_UNIX) as other, structlog.testing.capture_logs() as lines:
        other.bind(str(tmp_path / "in_use.sock"))
        other.listen()
        async with House().open(tmp_path / place):
            pass
    (line,) = lines
    assert (line["event"], line["path"]) == ("control.off", str(tmp_path / place))
    assert "set CUEBOX_CONTROL_SOCKET" in line["remedy"]
    assert (tmp_path / "a_file").read_text() == "mine"
    assert (tmp_path / "in_use.sock").exists()
    assert os.umask(0o022) == 0o022


async def test_what_a_killed_process_left_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    house = House()
    async with house.open(path):
        assert await said(path, request("calls")) == []


async def test_a_call_is_told_with_what_it_does(path: Path) -> None:
    house = House()
    agent = ScriptedAgent(ponders)
    house.calls._open_session = lambda call_id: Session(call_id, agent, POLICY, house.watch)
    house.watch.took("call_1", "desk")
    line = FakeLine()
    serving = asyncio.create_task(house.calls.serve("call_1", line))  # noqa: TID251
    async with house.open(path):
        await line.until_final(0)
        (idle,) = await said(path, request("calls"))
        line.happens(asked(1))
        await until(lambda: house.calls.state_of("call_1")[1])
        (drafting,) = await said(path, request("calls"))
        line.closes(1000)
        await serving
        (closed,) = await said(path, request("calls"))
    house.calls.end_all()
    assert (idle["call_id"], idle["agent"], idle["turns"], idle["line"], idle["does"]) == (
        "call_1", "desk", 1, "open", "idle"
    )  # fmt: skip
    assert (drafting["turns"], drafting["does"]) == (2, "drafting")
    assert (closed["line"], closed["does"]) == ("closed", "idle")
