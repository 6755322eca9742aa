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

from service.agents.call import Call
from service.agents.tools import Tool, tool
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
