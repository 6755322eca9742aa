"""Cases 51 to 58: a model's tool calls, through the real service and over the model's wire."""

import asyncio
import json
import time

import pytest

from service.agents.call import Call
from service.agents.folder import Limits, Script
from service.agents.tools import Tool, ToolError, tool
from service.conversation.call import Deadlines, SpokenLines
from service.conversation.transcript import Transcript, Utterance
from service.simulator import model_script
from service.simulator.model_script import WrongCalls
from tests.conformance.desks import MONDAY, Caller, book, desk, is_answered, is_called, wishing
from tests.live import is_final


class Diary:
    """A backend that writes whatever it is told to."""

    def __init__(self, takes: float = 0.0, hold: str = "") -> None:
        self.takes, self.hold = takes, hold
        self.begun = asyncio.Event()
        self.done: list[str] = []

    @property
    def book(self) -> Tool:
        @tool(hold=self.hold, hold_after=0.1)
        async def book(day: str) -> dict[str, str]:
            """Book an appointment."""
            self.begun.set()
            await asyncio.sleep(self.takes)
            self.done.append(day)
            return {"booked": day}

        return book


def kinds(caller: Caller) -> list[str]:
    """What came behind the greeting."""
    frames = caller.line.frames[2:]
    return [str(frame.get("content") if frame["response_type"] == "response" else _kind(frame)) for frame in frames]


def _kind(frame: dict[str, str]) -> str:
    return frame["response_type"].removeprefix("tool_call_")


async def test_case_51_a_slow_tool_is_told_bridged_and_answered_in_one_turn() -> None:
    diary = Diary(takes=0.3, hold="I am writing it down.")
    async with desk(wishing(book(), lead_in="Gladly."), diary.book) as here, here.caller() as caller:
        heard = await caller.gets(1, "Book Monday.")
        assert " ".join(heard.split()).startswith("Gladly. I am writing it down. The answer is ")
        assert kinds(caller)[:4] == ["Gladly.", "invocation", " I am writing it down. ", "result"]
        assert caller.result["successful"] is True


async def test_case_52_arguments_and_results_are_text_that_holds_json() -> None:
    async with desk(wishing(book()), Diary().book) as here, here.caller() as caller:
        await caller.gets(1, "Book Monday.")
        invocation = next(filter(is_called, caller.line.frames))
        assert json.loads(invocation["arguments"]) == json.loads(MONDAY)
        assert json.loads(caller.result["content"]) == {"booked": "Monday"}


@pytest.mark.parametrize("shows_rows", [True, False])
async def test_case_53_the_same_wish_five_times_under_growing_ids_is_done_once(*, shows_rows: bool) -> None:
    diary = Diary()
    async with desk(wishing(book()), diary.book) as here, here.caller() as caller:
        answers = set[str]()
        for turn_id in (1, 2, 5, 6, 9):
            if not shows_rows:
                caller.rows = caller.rows[:1]
            answers.add(await caller.gets(turn_id, "Book Monday, please."))
        assert answers == {'The answer is {"booked":"Monday"}.'}
        assert diary.done == ["Monday"]
        assert len(caller.results) == (5 if shows_rows else 1), "who is told by us need not ask again"


async def test_case_53_five_requests_in_a_burst_write_once_and_only_the_last_is_answered() -> None:
    diary = Diary(takes=0.1)
    async with desk(wishing(book()), diary.book) as here, here.caller() as caller:
        await caller.says(1, "Book Monday.")
        for turn_id in (2, 3, 4, 5):
            await asyncio.sleep(0.04)
            await caller.asked(turn_id)
        assert await caller.hears(5) == 'The answer is {"booked":"Monday"}.'
        assert diary.done == ["Monday"]
        assert caller.results


async def test_case_54_a_write_that_is_superseded_within_the_settle_delay_is_not_done() -> None:
    diary = Diary()
    script = Script(limits=Limits(settle_delay=0.5))
    async with desk(wishing(book()), diary.book, script=script) as here, here.caller() as caller:
        await caller.says(1, "Book Monday.")
        await caller.until(is_called)
        here.model.script = model_script.Script("As you like.")
        assert await caller.gets(2, "No, do not.") == "As you like."
        await caller.line.nothing(0.6)
        assert diary.done == []
        assert caller.result["successful"] is False


async def test_case_54_a_write_survives_a_barge_in_and_the_next_turn_tells_its_result() -> None:
    diary = Diary(takes=0.3)
    async with desk(wishing(book(), lead_in="Gladly."), diary.book) as here, here.caller() as caller:
        await caller.says(1, "Book Monday.")
        await caller.until(is_called)
        await diary.begun.wait()
        here.model.script = model_script.Script("Monday it is.")
        assert (await caller.gets(2, "Are you there?")).endswith("Monday it is.")
        assert diary.done == ["Monday"]
        assert here.exchanges == [("book", '{"booked":"Monday"}')]
        assert caller.result["successful"] is True


async def test_case_54_a_read_is_stopped_by_a_barge_in() -> None:
    stopped = asyncio.Event()

    @tool(effect="read")
    async def find() -> str:
        """Find a slot."""
        try:
            await asyncio.sleep(5)
        finally:
            stopped.set()
        return "found"

    async with desk(wishing(model_script.Call("find")), find) as here, here.caller() as caller:
        await caller.says(1, "When?")
        await caller.until(is_called)
        here.model.script = model_script.Script("I am listening.")
        assert await caller.gets(2, "Wait.") == "I am listening."
        assert stopped.is_set()
        assert caller.result["successful"] is False


@tool(timeout=0.1)
async def hangs() -> str:
    """Hang."""
    await asyncio.sleep(60)
    return "never"


@tool(timeout=0.1)
def hangs_in_a_thread() -> None:
    """Hang, and cannot be stopped."""
    time.sleep(1)


@tool
async def raises() -> None:
    """Raise."""
    raise RuntimeError("Ada's number is +4930123456")


@tool(effect="read")
async def refuses() -> None:
    """Refuse."""
    raise ToolError("Monday is taken.")


@tool
async def returns_an_object() -> object:
    """Return what is no JSON."""
    return object()


@pytest.mark.parametrize("failing", [hangs, hangs_in_a_thread, raises, refuses, returns_an_object])
async def test_case_55_a_tool_that_fails_is_told_so_and_explained(failing: Tool) -> None:
    async with desk(wishing(model_script.Call(failing.name)), failing) as here, here.caller() as caller:
        heard = await caller.gets(1, "Do it.")
        assert heard.startswith("The answer is ")
        assert caller.result["successful"] is False
        explained = json.loads(caller.result["content"])["error"]
        assert ("It is not known whether it was done" in explained) == (failing.effect == "write")
        assert "Ada" not in explained


async def test_case_55_a_tool_that_returns_nothing_or_a_megabyte_has_a_result_of_some_size() -> None:
    @tool
    async def nothing() -> None:
        """Return nothing."""

    @tool(effect="read")
    async def megabyte() -> str:
        """Return a lot."""
        return "é" * 2**20

    calls = (model_script.Call("nothing"), model_script.Call("megabyte"))
    async with desk(wishing(*calls), nothing, megabyte) as here, here.caller() as caller:
        await caller.gets(1, "Go on.")
        small, large = sorted((result["content"] for result in caller.results.values()), key=len)
        assert small == "done"
        assert len(large.encode()) <= 16 * 1024
        assert [content for _, content in here.exchanges] == [small, large]


@pytest.mark.parametrize(
    "call",
    [
        model_script.Call("functions.book"),
        model_script.Call("b\u00fcche ein! \u202e" * 20),
        model_script.Call("book", "{"),
        model_script.Call("book", '["Monday"]'),
        model_script.Call("book", '{"day": {"of": "week"}}'),
        model_script.Call("book", '{"day": "' + "M" * 100_000 + '"}'),
    ],
)
async def test_case_56_a_call_that_makes_no_sense_is_explained_to_the_model(call: model_script.Call) -> None:
    diary = Diary()
    async with desk(wishing(call), diary.book) as here, here.caller() as caller:
        assert (await caller.gets(1, "Book Monday.")).startswith("The answer is ")
        assert caller.result["successful"] is False
        assert diary.done == []
        ((name, explained),) = here.exchanges
        assert name.isascii()
        assert name.replace("_", "").isalnum(), "endpoints refuse any other name"
        assert len(explained) < 2000


@pytest.mark.parametrize("wrong", [None, WrongCalls("zero"), WrongCalls("missing"), WrongCalls("missing", "every")])
async def test_case_57_two_writes_of_one_turn_run_side_by_side(wrong: WrongCalls | None) -> None:
    both = asyncio.Barrier(2)

    @tool(timeout=2)
    async def book(day: str) -> str:
        """Book an appointment."""
        await both.wait()
        return day

    calls = (model_script.Call("book", MONDAY), model_script.Call("book", '{"day": "Friday"}'))
    async with desk(wishing(*calls, fault=wrong), book) as here, here.caller() as caller:
        await caller.gets(1, "Book Monday and Friday.")
        assert here.exchanges == [("book", "Monday"), ("book", "Friday")]
        assert [result["successful"] for result in caller.results.values()] == [True, True]


async def test_case_58_a_turn_of_tools_alone_is_not_silent() -> None:
    @tool(effect="read")
    async def find() -> str:
        """Find a slot."""
        await asyncio.sleep(0.3)
        return "found"

    script = Script(lines=SpokenLines(hold=("One moment.",)), deadlines=Deadlines(hold_after=0.1))
    async with desk(wishing(model_script.Call("find")), find, script=script) as here, here.caller() as caller:
        assert await caller.gets(1, "When?") == "One moment. The answer is found."


async def test_a_write_that_the_caller_did_not_confirm_waits_for_their_yes() -> None:
    done: list[str] = []

    def says_yes(transcript: Transcript) -> bool:
        return isinstance(transcript[-1], Utterance) and "yes" in transcript[-1].text.casefold()

    @tool(confirm=says_yes)
    async def cancel(call: Call) -> str:
        """Cancel the appointment."""
        done.append(call.key)
        return "cancelled"

    async with desk(wishing(model_script.Call("cancel")), cancel) as here, here.caller() as caller:
        assert "Ask the caller to confirm" in await caller.gets(1, "Cancel it.")
        assert done == []
        assert await caller.gets(2, "Yes, do.") == "The answer is cancelled."
        assert len(done) == 1


async def test_results_come_before_the_words_that_tell_of_them() -> None:
    async with desk(wishing(book()), Diary().book) as here, here.caller() as caller:
        await caller.says(1, "Book Monday.")
        before = await caller.until(is_answered)
        assert not any(frame["response_type"] == "response" for frame in before)
        assert (await caller.until(is_final(1)))[-1]["content_complete"] is True
