"""Who looks on: which calls there are, and what happens in one, without a word of it."""

import asyncio
import json
from collections.abc import AsyncIterator

from service.conversation import events
from service.conversation.transcript import ToolAnswered, ToolCalled
from service.observability.onlooking import Line, Onlooker, Roster
from service.observability.watch import Watch
from service.virtual.loop import run
from tests.conversation.play import CALL_ID, agent, caller
from tests.observability.seen import SeenPlay

HEARD = (agent("Hello."), caller("My name is Ada."))


class Looked(SeenPlay):
    """A play with a roster, and with an onlooker from its second turn on."""

    def __init__(self, most: int = 500) -> None:
        self.roster = Roster(clock=lambda: 1234.5)
        super().__init__(Watch([self.roster], tools=("book",)))
        self.watch.took(CALL_ID, "desk")
        self.greets()
        self.onlooker = Onlooker(CALL_ID, most)
        self.watch.show_to([*self.watch.parts, self.onlooker])


async def until_its_end(lines: AsyncIterator[Line]) -> list[Line]:
    return [line async for line in lines]


def test_a_call_is_there_with_its_agent_its_turns_and_the_tool_that_it_waits_for() -> None:
    play = Looked()
    call = play.roster.calls[CALL_ID]
    assert (call.agent, call.since, call.turns, call.tool) == ("desk", 1234.5, 1, None)
    play.asks(1, *HEARD)
    play.drafts(ToolCalled("t1", "book", '{"name": "Ada"}'))
    assert (call.turns, call.tool) == (2, "book")
    play.drafts(ToolAnswered("t1", "booked for Ada", is_successful=True))
    assert call.tool is None
    play.ends()
    assert play.roster.calls == {}


def test_one_sees_frames_tools_attempts_outcomes_and_no_word() -> None:
    play = Looked()
    play.waits(2)
    play.pings()
    play.asks(1, *HEARD)
    play.drafts(ToolCalled("t1", "book", '{"name": "Ada"}'))
    play.waits(0.25)
    play.drafts(ToolAnswered("t1", "booked for Ada", is_successful=True))
    play.attempts()
    play.says("Yes, Ada.")
    play.leaves(1000)
    play.shown(events.CallResumed(play.at))
    play.ends()
    lines = run(until_its_end(play.onlooker.lines()))
    told = [(line["what"], line.get("frame")) for line in lines]
    assert told[:5] == [
        ("in", "ping"),
        ("out", "pong"),
        ("in", "request"),
        ("turn", None),
        ("out", "tool_call"),
    ]
    assert {"what": "in", "frame": "request", "turn_id": 1, "rows": 2}.items() <= lines[2].items()
    (tool,) = (line for line in lines if line["what"] == "tool")
    assert (tool["tool"], tool["result"], tool["took"]) == ("book", "ok", 0.25)
    (attempt,) = (line for line in lines if line["what"] == "attempt")
    assert (attempt["target"], attempt["result"], attempt["first_words"]) == ("first", "answered", 0.3)
    turn = next(line for line in lines if line["what"] == "turn" and line["index"] == 1)
    assert turn["first_words"] == 0.25
    said = [line["characters"] for line in lines if line.get("frame") == "words"]
    assert sum(int(str(size)) for size in said) == len("Yes, Ada.")
    assert [line.get("is_open") for line in lines if line["what"] == "line"] == [False, True]
    assert "Ada" not in json.dumps(lines)


def test_other_calls_are_not_shown() -> None:
    watch = Watch([])
    onlooker = Onlooker("another")
    watch.show_to([onlooker])
    play = SeenPlay(watch)
    play.greets()
    play.asks(1, *HEARD)
    play.attempts()
    play.ends()

    async def next_line() -> Line:
        async with asyncio.timeout(1):
            return await anext(onlooker.lines())

    try:
        run(next_line())
    except TimeoutError:
        return
    raise AssertionError("something was shown")


def test_who_reads_too_slowly_is_told_how_much_is_lost_and_where() -> None:
    play = Looked(most=3)

    async def read() -> list[str]:
        seen, lines = list[str](), play.onlooker.lines()
        for _ in range(4):
            play.pings()  # two lines each
        seen += [str((await anext(lines))["what"]) for _ in range(3)]
        play.pings()
        seen.append(json.dumps(await anext(lines)))
        play.pings()
        seen += [str((await anext(lines))["what"]) for _ in range(2)]
        play.ends()
        return [*seen, *(str(line["what"]) for line in await until_its_end(lines))]

    assert run(read()) == ["in", "out", "in", '{"what": "lost", "lines": 7}', "in", "out", "turn"]


def test_who_waits_sees_what_happens_at_once() -> None:
    play = Looked()

    async def read() -> Line:
        asyncio.get_running_loop().call_later(1, play.pings)
        return await anext(play.onlooker.lines())

    assert run(read())["frame"] == "ping"
