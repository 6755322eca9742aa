"""An operator's orders, and the socket that takes them."""

import asyncio
import contextlib
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.typing import EventDict

from service import control
from service.agents.agent import Agent
from service.agents.dummy import Dummy
from service.agents.folder import Script
from service.agents.library import Library, Shelved
from service.agents.prompted import PromptedAgent
from service.calls import Calls
from service.control import Control
from service.conversation import events
from service.drain import Drain
from service.llm.candidate import Rules
from service.llm.dependable import DependableModel
from service.llm.switches import Switches
from service.observability.logs import configure_logs, log_level
from service.observability.onlooking import Roster
from service.observability.watch import Watch
from service.orders import Order, Orders, Refused
from tests.agents.diary import Diary
from tests.agents.stage import NOON, folder_of
from tests.conversation.play import CALL_ID
from tests.fakes import AttemptMemory
from tests.live import ScriptedAgent
from tests.llm.scripted import Scripted
from tests.observability.seen import SeenPlay
from tests.test_drain import ponders
from tests.test_session import POLICY
from tests.virtual import run

Line = dict[str, Any]


class House:
    """A process to give orders to: agents that ask the targets `a` and `b`, and one that asks `b` alone."""

    def __init__(self) -> None:
        self.switches, self.roster = Switches(), Roster()
        agents: list[Agent] = [self._agent("desk", "a", "b"), self._agent("clerk", "b"), Dummy()]
        shelved = {agent.name: Shelved(agent) for agent in agents}
        self.watch = Watch([self.roster])
        self.calls = Calls(lambda _: pytest.fail("nobody called"), 60)
        self.drain = Drain(self.calls, 280, now=lambda: 1000.0)
        self.orders = Orders(Library(shelved, {"desk": 1.0}), self.calls, self.roster, self.switches, self.drain)
        self.changes: list[str] = []

    def _agent(self, name: str, *targets: str) -> PromptedAgent:
        endpoints = [Scripted(target, ["Yes."]) for target in targets]
        folder = folder_of(*Diary().tools, script=Script(greeting="Hello."))
        agent = PromptedAgent(
            folder,
            DependableModel(endpoints, Rules(), AttemptMemory(), self.switches),
            lambda: NOON,
            switches=self.switches,
        )
        agent.name = name
        return agent

    def order(self, verb: str, do: str = "", name: str = "", **more: float) -> list[Line]:
        async def carry_out() -> list[Line]:
            return list(self.orders.carry_out(Order(verb, do, name, **more)))  # type: ignore[arg-type]

        return run(carry_out())

    def state(self) -> tuple[object, ...]:
        switches = self.switches
        switched = (set(switches.targets_off), switches.preferred, switches.may_hedge, set(switches.tools_off))
        return (*switched, self.drain.is_open, log_level())

    @asynccontextmanager
    async def open(self, path: Path) -> AsyncIterator[None]:
        async with Control(self.orders, self.watch, self.changes.append).open(path):
            yield


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


# Orders.


def test_a_target_is_switched_off_and_on_for_all_agents() -> None:
    house = House()
    (changed,) = house.order("targets", "disable", "a")
    assert changed == {
        "verb": "targets",
        "before": "as configured first, all enabled",
        "after": "as configured first, a disabled",
    }
    told = {(row["agent"], row["rank"], row["target"]): row["disabled"] for row in house.order("targets")}
    assert told == {("desk", 1, "a"): True, ("desk", 2, "b"): False, ("clerk", 1, "b"): False}
    house.order("targets", "enable", "a")
    assert house.switches.targets_off == set()


def test_a_target_is_preferred_and_then_the_order_is_the_configured_one_again() -> None:
    house = House()
    house.order("targets", "prefer", "b")
    assert [row["target"] for row in house.order("targets") if row["agent"] == "desk"] == ["b", "a"]
    house.order("targets", "prefer")
    assert [row["target"] for row in house.order("targets") if row["agent"] == "desk"] == ["a", "b"]


def test_tools_and_hedges_are_switched_off_and_on() -> None:
    house = House()
    house.order("tools", "disable", "book")
    assert house.order("tools") == [
        {"tool": "book", "disabled": True},
        {"tool": "cancel", "disabled": False},
        {"tool": "find", "disabled": False},
    ]
    house.order("tools", "enable", "book")
    house.order("hedge", "off")
    assert (house.switches.tools_off, house.switches.may_hedge) == (set(), False)
    house.order("hedge", "on")
    assert house.switches.may_hedge


def test_a_process_is_drained_for_as_long_as_is_said() -> None:
    house = House()
    assert house.order("drain")[0]["after"] == "280 s left"
    assert house.order("drain", seconds=7.0)[0] == {"verb": "drain", "before": "280 s left", "after": "7 s left"}
    assert not house.drain.is_open


@pytest.mark.parametrize(
    ("order", "why"),
    [
        (("targets", "disable", "z"), "There is no target 'z'. There are: a, b."),
        (("targets", "prefer", "z"), "There is no target 'z'. There are: a, b."),
        (("targets", "enable", ""), "There is no target ''. There are: a, b."),
        (("targets", "disable", "b"), "The target 'b' is the last that the agent 'clerk' may ask; it has no other."),
        (("tools", "disable", "fly"), "There is no tool 'fly'. There are: book, cancel, find."),
        (("log-level", "", "loud"), "There is no level 'loud'. There are: debug, info, warning, error."),
        (("hedge", "disable", ""), "There is no order 'hedge disable'."),
        (("calls", "on", ""), "There is no order 'calls on'."),
    ],
)
def test_a_bad_change_is_refused_with_what_there_is_and_nothing_changes(order: tuple[str, str, str], why: str) -> None:
    house = House()
    before = house.state()
    with pytest.raises(Refused) as refused:
        house.order(*order)
    assert (str(refused.value), house.state()) == (why, before)


def test_a_disabled_target_cannot_be_preferred_and_the_last_one_stays() -> None:
    house = House()
    house.orders.library._shelved.pop("clerk")
    house.order("targets", "disable", "a")
    before = house.state()
    with pytest.raises(Refused, match="The target 'a' is disabled: enable it first"):
        house.order("targets", "prefer", "a")
    with pytest.raises(Refused, match="the last that the agent 'desk' may ask; enable another first: a"):
        house.order("targets", "disable", "b")
    assert house.state() == before


def test_where_no_model_is_asked_there_are_no_targets() -> None:
    house = House()
    house.orders.library._shelved.clear()
    assert house.order("targets") == []
    with pytest.raises(Refused, match="There are: none"):
        house.order("targets", "disable", "a")


# The level of the log.


def test_the_level_changes_for_loggers_that_are_in_use(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    house = House()
    with logging_to_stdout("info"):
        log = structlog.get_logger()
        log.debug("one")
        log.info("two")
        house.order("log-level", name="debug")
        log.debug("three")
        house.order("log-level", name="error")
        log.warning("four")
        assert log_level() == "error"
    assert [json.loads(line)["event"] for line in capfdbinary.readouterr().out.splitlines()] == ["two", "three"]


@contextlib.contextmanager
def logging_to_stdout(level: str) -> Iterator[None]:
    before = structlog.get_config()
    try:
        configure_logs("json", level)
        yield
    finally:
        structlog.configure(**before)


# The socket.


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


async def test_a_fault_of_ours_ends_one_answer_and_nothing_else(path: Path) -> None:
    house = House()
    house.roster.calls = None  # type: ignore[assignment]
    with structlog.testing.capture_logs() as lines:
        async with house.open(path):
            assert await said(path, request("calls")) == []
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
    from service.session import Session  # noqa: PLC0415
    from tests.fakes import FakeLine  # noqa: PLC0415
    from tests.test_session import request as asked  # noqa: PLC0415

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
