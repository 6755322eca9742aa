"""Writes when the line breaks or the process dies: the same wish, found again by its rows and its key."""

import asyncio
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

from service.agents.actions import ActionRules, Rules
from service.agents.call import Call
from service.agents.folder import Script
from service.agents.tools import Tool, tool
from service.simulator import model_script
from service.simulator.model import StandInModel
from tests.agents.folders import written
from tests.conformance.desks import Caller, book, desk, is_answered, is_called, wishing
from tests.live import Frame, Service

TOOLS = '''"""Bookings in a file."""

import asyncio
import os
import sqlite3

from service.agents.call import Call
from service.agents.tools import tool


@tool
async def book(call: Call, day: str) -> str:
    """Book an appointment."""
    file = os.environ["BOOKINGS"]
    with sqlite3.connect(file) as bookings:
        bookings.execute("insert or ignore into booking values (?, ?)", (call.key, day))
    if os.path.exists(f"{file}.hangs"):
        await asyncio.sleep(60)
    return f"booked {day}"
'''
AGENT = """
greeting = "Hello."
[limits]
settle_delay = 0.05
[[targets]]
model = "stand-in"
base_url = "{url}"
"""


MONDAY = book()


def bookings(file: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(file)) as opened:
        return opened.execute("select day from booking").fetchall()


def empty(file: Path) -> Path:
    with closing(sqlite3.connect(file)) as opened:
        opened.execute("create table booking (key text primary key, day text)")
    return file


@asynccontextmanager
async def process(environ: dict[str, str]) -> AsyncIterator[tuple[asyncio.subprocess.Process, Service]]:
    """`cuebox serve`, as it is started anywhere."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    clean = {name: text for name, text in os.environ.items() if not name.startswith(("CUEBOX_", "OPENAI_", "OTEL_"))}
    environ = {**clean, "PORT": str(port), "CUEBOX_METRICS_PORT": "0", "OPENAI_API_KEY": "k", **environ}
    words = (sys.executable, "-m", "service", "serve")
    running = await asyncio.create_subprocess_exec(*words, env=environ, stdout=asyncio.subprocess.PIPE)
    assert running.stdout is not None
    try:
        async with asyncio.timeout(15):
            while b"service.ready" not in await running.stdout.readline():
                pass
        yield running, Service(None, f"127.0.0.1:{port}")  # type: ignore[arg-type]  # it is elsewhere
    finally:
        if running.returncode is None:
            running.kill()
        await running.communicate()


@asynccontextmanager
async def calling(service: Service, rows: list[Frame]) -> AsyncIterator[Caller]:
    async with service.line() as line:
        assert (await line.frame())["response_type"] == "config"
        await line.send({"interaction_type": "call_details", "call": {"call_id": line.call_id}})
        yield Caller(line, rows)


async def until(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not happened():
            await asyncio.sleep(0.01)


async def test_a_process_that_is_killed_before_the_result_books_once_and_another_tells_it_once(tmp_path: Path) -> None:
    file, hangs = empty(tmp_path / "bookings.db"), tmp_path / "bookings.db.hangs"
    async with StandInModel(wishing(book())) as model:
        agent = AGENT.format(url=model.base_url)
        written(tmp_path / "agents" / "desk", agent_toml=agent, prompt_md="Be brief.", tools_py=TOOLS)
        environ = {"CUEBOX_AGENTS_DIR": str(tmp_path / "agents"), "CUEBOX_AGENT": "desk", "BOOKINGS": str(file)}
        hangs.touch()
        rows: list[Frame] = []
        async with process(environ) as (running, service), calling(service, rows) as caller:
            await caller.says(1, "Book Monday.")
            await caller.until(is_called)
            await until(lambda: bookings(file))
            running.send_signal(signal.SIGKILL)
            assert await caller.line.closed() == 1006
            assert not any(map(is_answered, caller.line.frames))
        hangs.unlink()
        async with process(environ) as (_, service), calling(service, caller.rows) as again:
            await again.asked(1)
            assert await again.hears(1) == "The answer is booked Monday."
            assert again.result["successful"] is True
            assert await again.gets(2, "Is it booked?") == "The answer is booked Monday."
        assert bookings(file) == [("Monday",)]


async def test_a_thread_that_hangs_does_not_keep_the_process_from_its_end(tmp_path: Path) -> None:
    tools = TOOLS.replace("async def", "def").replace("await asyncio.sleep(60)", "threading.Event().wait(60)")
    tools = tools.replace("@tool", "@tool(timeout=0.1)").replace("import os", "import os\nimport threading")
    file = empty(tmp_path / "bookings.db")
    (tmp_path / "bookings.db.hangs").touch()
    async with StandInModel(wishing(book())) as model:
        agent = AGENT.format(url=model.base_url)
        written(tmp_path / "agents" / "desk", agent_toml=agent, prompt_md="Be brief.", tools_py=tools)
        environ = {"CUEBOX_AGENTS_DIR": str(tmp_path / "agents"), "CUEBOX_AGENT": "desk", "BOOKINGS": str(file)}
        async with process(environ) as (running, service):
            async with calling(service, []) as caller:
                assert "no answer within 0.1 s" in await caller.gets(1, "Book Monday.")
            running.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                assert await running.wait() == 0


def counted(done: list[str], timeout: float = 8.0, takes: float = 0.0) -> Tool:
    """A tool that knows nothing of keys."""

    @tool(timeout=timeout)
    async def book(day: str) -> str:
        """Book an appointment."""
        done.append(day)
        await asyncio.sleep(takes)
        return f"booked {day}"

    return book


async def test_another_process_reads_from_the_rows_what_was_done() -> None:
    done: list[str] = []
    async with desk(wishing(book()), counted(done)) as here, here.caller() as caller:
        await caller.gets(1, "Book Monday.")
        rows = caller.rows
    async with desk(wishing(book()), counted(done)) as there, calling(there.service, rows) as again:
        assert await again.gets(1, "Book Monday, did you?") == "The answer is booked Monday."
        assert await again.gets(2, "Book Monday!") == "The answer is booked Monday."
        assert len(again.results) == 2
    assert done == ["Monday"]


async def test_a_write_of_a_dead_process_is_not_repeated_by_a_tool_that_takes_no_key() -> None:
    done: list[str] = []
    called = {"role": "tool_call_invocation", "tool_call_id": "t1", "name": "book", "arguments": '{"day":"Monday"}'}
    rows = [{"role": "user", "content": "Book Monday."}, called]
    async with desk(wishing(book()), counted(done)) as there, calling(there.service, rows) as again:
        await again.asked(1)
        assert "It is not known whether it was done" in await again.hears(1)
        assert again.result["successful"] is False
    assert done == []


async def test_a_write_that_took_too_long_is_not_repeated_by_a_tool_that_takes_no_key() -> None:
    done: list[str] = []
    async with desk(wishing(book()), counted(done, timeout=0.1, takes=5)) as here, here.caller() as caller:
        for turn_id in (1, 2, 3):
            assert "It is not known whether it was done" in await caller.gets(turn_id, "Book Monday.")
        assert len(caller.results) == 3
    assert done == ["Monday"]


async def test_a_write_that_took_too_long_is_tried_again_under_its_key(tmp_path: Path) -> None:
    file, keys = empty(tmp_path / "bookings.db"), list[str]()
    takes = [5.0, 0.0]

    @tool(timeout=0.1)
    async def book(call: Call, day: str) -> str:
        """Book an appointment."""
        keys.append(call.key)
        with closing(sqlite3.connect(file)) as opened, opened:
            opened.execute("insert or ignore into booking values (?, ?)", (call.key, day))
        await asyncio.sleep(takes.pop(0))
        return f"booked {day}"

    async with desk(wishing(MONDAY), book) as here, here.caller() as caller:
        assert "It is not known whether it was done" in await caller.gets(1, "Book Monday.")
        for turn_id in (2, 3):
            assert await caller.gets(turn_id, "Again, please.") == "The answer is booked Monday."
    assert (len(keys), len(set(keys))) == (2, 1)
    assert bookings(file) == [("Monday",)]


async def test_a_line_that_breaks_while_a_write_is_at_work_comes_back_to_its_result() -> None:
    done: list[str] = []
    async with desk(wishing(book()), counted(done, takes=0.3)) as here:
        async with here.caller() as caller:
            await caller.says(1, "Book Monday.")
            await caller.until(is_called)
            await until(lambda: done)
            caller.line.cut()
        async with here.service.line() as line:
            await line.frame()
            again = Caller(line, caller.rows)
            assert await again.gets(1, "Hello?") == "The answer is booked Monday."
    assert done == ["Monday"]


async def test_a_goodbye_that_is_interrupted_does_not_end_the_call() -> None:
    bye = model_script.Call("end_call", '{"message": "Goodbye, Ada."}')
    rules = ActionRules(end_call=Rules(unless_said="wait|before you go"))
    async with desk(wishing(bye), script=Script(actions=rules)) as here, here.caller() as caller:
        assert await caller.gets(1, "That is all.") == "Goodbye, Ada."
        assert caller.line.frames[-1]["end_call"] is True
        caller.rows[-1]["content"] = "Goodbye,"
        assert "speaks against it" in await caller.gets(2, "Oh, before you go!")
        assert "end_call" not in caller.line.frames[-1]
        assert await caller.gets(3, "Nothing else. Bye.") == "Goodbye, Ada."
        assert caller.line.frames[-1]["end_call"] is True
        assert here.service.calls.connected == 1
