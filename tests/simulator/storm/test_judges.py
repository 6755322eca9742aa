"""What else judges a storm: the backend that counts effects, the line, and the census of what is left."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable
from functools import partial
from random import Random

import pytest

from service.simulator.storm import census, rubbish
from service.simulator.storm.effects import Effects, Failed, Refused
from service.simulator.storm.findings import Findings
from service.simulator.storm.line import RoughLine
from service.virtual.loop import run

HERE, THERE = object(), object()
PING = '{"interaction_type":"ping_pong","timestamp":1}'
PONG = '{"response_type":"ping_pong","timestamp":1}'


def details(findings: Findings) -> list[str]:
    return [finding.detail for finding in findings.found]


async def writes(effects: Effects, key: str, home: object = HERE, item: int = 1) -> str:
    try:
        return await effects.write(key, "c", item, home)
    except (Refused, Failed) as error:
        return str(error)


def until_done(effects: Effects, key: str) -> None:
    async def tries() -> None:
        while "is written down" not in await writes(effects, key):
            pass

    run(tries())


def test_a_write_is_done_once_however_often_it_has_to_be_tried() -> None:
    for seed in range(20):
        findings = Findings(lambda: 0.0)
        effects = Effects(str(seed), findings)
        until_done(effects, "k")
        assert (effects.written, details(findings)) == (1, [])
        assert effects.attempts >= 1


def test_a_write_that_was_done_is_not_begun_again_in_its_process() -> None:
    findings = Findings(lambda: 0.0)
    effects = Effects("1", findings)
    until_done(effects, "k")
    run(writes(effects, "k", THERE))
    assert details(findings) == [], "another process cannot know"
    run(writes(effects, "k"))
    assert details(findings) == ["item 1 is written once more, in the same process, after it was done"]


def test_a_wish_has_one_key() -> None:
    findings = Findings(lambda: 0.0)
    effects = Effects("1", findings)
    run(writes(effects, "k"))
    run(writes(effects, "other"))
    assert details(findings) == ["item 1 is written under a second key, other after k"]


def test_a_process_that_was_shown_the_result_does_not_write_again() -> None:
    async def moves() -> None:
        effects.told("c", 1)
        await asyncio.sleep(1)
        effects.line_opened("c")
        await writes(effects, "k", THERE)
        assert details(findings) == []
        effects.shown("c")
        await writes(effects, "k", object())

    findings = Findings(lambda: 0.0)
    effects = Effects("1", findings)
    until_done(effects, "k")
    run(moves())
    assert details(findings) == ["item 1 is written once more, though its result was shown before"]


def test_an_agent_is_told_once_in_a_process() -> None:
    findings = Findings(lambda: 0.0)
    effects = Effects("1", findings)
    effects.concluded("c", HERE)
    effects.concluded("c", THERE)
    assert (details(findings), effects.times_concluded("c"), effects.times_concluded("d")) == ([], 2, 0)
    effects.concluded("c", HERE)
    assert details(findings) == ["after_call ran a second time in the same process"]


class Socket:
    """A line that a test holds both ends of."""

    def __init__(self) -> None:
        self.close_code: int | None = None
        self.most_unread = 10_000
        self.sent: list[str] = []
        self.is_vanished = False
        self._frames: deque[str] = deque()

    def watch(self, see: Callable[[str], None]) -> None:
        self.writes = see

    def vanish(self, seconds: float) -> None:
        self.is_vanished, self.close_code = seconds > 0, 1006

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        while self._frames:
            yield self._frames.popleft()

    def holds(self, *frames: str) -> None:
        self._frames += frames

    async def send(self, frame: str) -> None:
        self.sent.append(frame)

    async def close(self, code: int) -> None:
        self.close_code = code

    def abort(self) -> None:
        self.close_code = 1006


def rough(socket: Socket, findings: Findings, seen: Callable[[str, bool], None] = lambda *_: None) -> RoughLine:
    return RoughLine(socket, "c", Random(1), findings, seen)  # noqa: S311  no secret


def test_a_ping_that_is_not_answered_at_once_is_found() -> None:
    async def pings() -> None:
        line = rough(socket, findings)
        await line.send(PING)
        await asyncio.sleep(2)
        await line.send(PING.replace("1", "2"))

    socket, findings = Socket(), Findings(lambda: 0.0)
    run(pings())
    assert details(findings) == ["no answer to a ping for 2.00 s"]


def test_answered_pings_and_those_of_a_slow_reader_are_well() -> None:
    async def pings() -> None:
        line = rough(socket, findings)
        await line.send(PING)
        socket.writes(PONG)
        await asyncio.sleep(2)
        await line.send(PING.replace("1", "2"))
        line.read_slowly(1)
        await asyncio.sleep(2)
        await line.send(PING.replace("1", "3"))

    socket, findings = Socket(), Findings(lambda: 0.0)
    run(pings())
    assert details(findings) == []
    assert socket.most_unread == 300


@pytest.mark.parametrize(("code", "found"), [(1006, []), (1011, ["the service closed the line with code 1011"])])
def test_a_close_code_of_the_service_is_found(code: int, found: list[str]) -> None:
    async def reads() -> list[str | bytes]:
        line = rough(socket, findings, lambda frame, is_slow: seen.append((frame, is_slow)))
        line.read_slowly(0.5)
        socket.holds("a", "b")
        socket.writes("a")
        socket.close_code = code
        return [frame async for frame in line]

    socket, findings, seen = Socket(), Findings(lambda: 0.0), list[tuple[str, bool]]()
    assert run(reads()) == ["a", "b"]
    assert (details(findings), seen) == (found, [("a", True)])


def test_a_stalled_line_keeps_its_order() -> None:
    async def stalls() -> float:
        line = rough(socket, Findings(lambda: 0.0))
        line.stall(3)
        assert line.is_stalled
        await line.throw_in("rubbish")
        await line.send("later")
        await line.close(1000)
        assert line.close_code == 1000
        return asyncio.get_running_loop().time()

    socket = Socket()
    assert run(stalls()) == pytest.approx(3.0)
    assert socket.sent == ["rubbish", "later"]


def test_a_line_that_vanished_is_not_aborted_as_well() -> None:
    async def vanishes() -> None:
        line = rough(socket, Findings(lambda: 0.0))
        line.vanish(3)
        socket.close_code = 4242
        line.abort()
        assert socket.close_code == 4242
        other = Socket()
        rough(other, Findings(lambda: 0.0)).abort()
        assert other.close_code == 1006

    socket = Socket()
    run(vanishes())
    assert socket.is_vanished


def test_rubbish_is_no_request_that_would_be_answered() -> None:
    for seed in range(200):
        frame = rubbish.drawn(Random(seed), 7)  # noqa: S311  no secret
        assert not isinstance(frame, str) or '"response_id": 8' not in frame


class Slotted:
    __slots__ = ("__hidden", "kept", "missing")

    def __init__(self) -> None:
        self.__hidden = [1]
        self.kept = {"a": [1, 2]}


Slotted.__module__ = "service.of_a_test"


class Kept:
    """Something of the service's, as far as its module tells."""

    def __init__(self) -> None:
        self.calls: dict[str, object] = {}
        self.slotted = Slotted()
        self.pair = (deque([1]), frozenset({2}))
        self.bound = self.add
        self.partial = partial(self.add, [3])
        inner = {"x": 1}
        self.closure = lambda: inner
        self.other = math

    def add(self, *what: object) -> None:
        self.calls[str(len(self.calls))] = what


Kept.__module__ = "service.of_a_test"


def test_whatever_hangs_on_the_services_objects_is_counted() -> None:
    sizes = census.taken([Kept()])
    counted = {place: size for place, size in sizes.items() if size}
    assert counted == {
        "Kept.pair": 1,
        "Kept.partial": 1,
        "Kept.closure": 1,
        "Slotted.__hidden": 1,
        "Slotted.kept": 3,
    }


def test_what_grew_is_told_unless_it_is_bounded_by_itself() -> None:
    held, kept = census.Held(), Kept()
    held.before([kept])
    assert held.after(0, [kept]) == []
    kept.add("a call that is over")
    assert held.after(0, [kept]) == ["Kept.calls holds 1, and held 0 before the first call"]
    assert census.grown({}, {"Breaker._seen": 20}) == []


def test_a_closure_that_is_not_filled_yet_is_nothing() -> None:
    def early() -> Callable[[], object]:
        def inner() -> object:
            return late

        found.append(census.taken([Holder(inner)]))
        late = [1]
        return inner

    class Holder:
        def __init__(self, function: Callable[[], object]) -> None:
            self.function = function

    Holder.__module__ = "service.of_a_test"
    found: list[census.Sizes] = []
    early()
    assert not any(found[0].values())


async def test_tasks_and_timers_that_are_left_over_are_told() -> None:
    idle = census.going_on()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        now = census.going_on()
        waiting.cancel()
    assert now["task sleep"] == 1
    told = census.left_over(idle, now, processes=(1, 1))
    assert told[0].startswith("2 tasks go on, and 1 did before the first call")
    assert census.left_over(idle, idle, processes=(1, 1)) == []
    assert census.left_over({"task a": 1}, {"task a": 2}, processes=(1, 2)) == []
