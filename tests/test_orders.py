"""An operator's orders: what is told, what is changed, what is refused."""

import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from service.agents.agent import Agent
from service.agents.dummy import Dummy
from service.agents.folder import Script
from service.agents.library import Library, Shelved
from service.agents.prompted import PromptedAgent
from service.calls import Calls
from service.control import Control
from service.drain import Drain
from service.llm.candidate import Rules
from service.llm.dependable import DependableModel
from service.llm.switches import Switches
from service.observability.logs import configure_logs, log_level
from service.observability.onlooking import Roster
from service.observability.watch import Watch
from service.orders import Order, Orders, Refused
from service.virtual.loop import run
from tests.agents.diary import Diary
from tests.agents.stage import NOON, folder_of
from tests.fakes import AttemptMemory
from tests.llm.scripted import Scripted

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
    house.order("targets", "enable", "b")  # as it is
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
