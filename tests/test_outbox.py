import asyncio

import pytest

from service.conversation.commands import AnswerPing, Interject, Outgoing, Say, ShowToolCall, ShowToolResult, TellPage
from service.conversation.parts import PageMessage
from service.conversation.transcript import ToolAnswered, ToolCalled
from service.outbox import MAX_PONGS, ROOM, Outbox

EMPTY_GREETING = Say(0, "", is_final=True)
PAGE = TellPage(PageMessage("{}"))


async def taken(outbox: Outbox, count: int) -> list[Outgoing]:
    commands: list[Outgoing] = []
    for _ in range(count):
        commands.append(await outbox.next())
        outbox.sent()
    return commands


async def test_pongs_overtake_words() -> None:
    outbox = Outbox()
    for command in (Say(1, "a"), AnswerPing(1), Say(1, "b"), AnswerPing(2)):
        outbox.put(command)
    assert await taken(outbox, 4) == [AnswerPing(1), AnswerPing(2), Say(1, "a"), Say(1, "b")]


async def test_next_waits_for_mail() -> None:
    outbox = Outbox()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(outbox.next())
        await asyncio.sleep(0)
        assert not first.done()
        outbox.put(PAGE)
    assert first.result() == PAGE


async def test_stale_words_are_dropped_and_nothing_else() -> None:
    outbox = Outbox()
    for command in (EMPTY_GREETING, Say(1, "a"), PAGE, Say(1, "b", is_final=True), AnswerPing(1)):
        outbox.put(command)
    outbox.drop_words(1)
    assert await taken(outbox, 3) == [AnswerPing(1), EMPTY_GREETING, PAGE]


async def test_what_is_next_can_still_be_dropped_and_overtaken() -> None:
    outbox = Outbox()
    outbox.put(Say(1, "a"))
    assert await outbox.next() == Say(1, "a")
    outbox.put(AnswerPing(1))
    outbox.drop_words(1)
    assert await taken(outbox, 1) == [AnswerPing(1)]
    assert not outbox.is_waiting


async def test_an_interjection_that_waits_can_be_dropped_alone() -> None:
    outbox = Outbox()
    for command in (Say(1, "a"), Interject(1, "Hold on."), PAGE):
        outbox.put(command)
    outbox.drop_interjections()
    assert await taken(outbox, 2) == [Say(1, "a"), PAGE]


async def test_a_full_outbox_holds_the_reply_back_until_the_peer_reads() -> None:
    outbox = Outbox()
    await outbox.room()
    outbox.put(Say(1, "x" * ROOM))
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(outbox.room())
        await asyncio.sleep(0)
        assert not waiting.done()
        await taken(outbox, 1)
    assert waiting.done()


@pytest.mark.parametrize(
    "large",
    [
        TellPage(PageMessage.of({"a": "x" * ROOM})),
        ShowToolCall(ToolCalled("t", "find", "x" * ROOM)),
        ShowToolResult(ToolAnswered("t", "x" * ROOM)),
        Interject(1, "x" * ROOM),
    ],
    ids=lambda command: type(command).__name__,
)
async def test_whatever_is_large_counts(large: Outgoing) -> None:
    outbox = Outbox()
    outbox.put(large)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(outbox.room(), 0.01)


async def test_dropping_words_makes_room() -> None:
    outbox = Outbox()
    outbox.put(Say(1, "x" * ROOM))
    outbox.drop_words(1)
    await asyncio.wait_for(outbox.room(), 1)


async def test_a_flood_of_pings_costs_bounded_memory() -> None:
    outbox = Outbox()
    for timestamp in range(10 * MAX_PONGS):
        outbox.put(AnswerPing(timestamp))
    newest = [AnswerPing(timestamp) for timestamp in range(9 * MAX_PONGS, 10 * MAX_PONGS)]
    assert await taken(outbox, MAX_PONGS) == newest


async def test_a_muted_outbox_has_room_and_no_mail() -> None:
    outbox = Outbox()
    outbox.put(Say(1, "x" * ROOM))
    outbox.mute()
    outbox.put(Say(1, "more"))
    outbox.put(AnswerPing(1))
    await asyncio.wait_for(outbox.room(), 1)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(outbox.next())
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()
