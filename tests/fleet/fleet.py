"""Instances of the service behind haproxy, each a process; a model for all; callers whose bookings end in a file."""

import asyncio
import itertools
import os
import re
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

from infra.cold_start import free_port
from service.simulator.model import StandInModel
from service.simulator.model_script import Call, Script
from service.simulator.model_spelling import ChatRequest
from service.simulator.probe import Notes, Probe
from tests.agents.folders import written
from tests.test_app import get

TOOLS = '''"""Bookings in a file."""

import asyncio
import os
import sqlite3

from service.agents.call import Call
from service.agents.tools import tool


@tool
async def book(call: Call, day: str) -> str:
    """Book an appointment."""
    with sqlite3.connect(os.environ["BOOKINGS"], timeout=10) as bookings:
        bookings.execute("insert or ignore into booking values (?, ?, ?)", (call.key, call.id, day))
    await asyncio.sleep(0.6)  # time to be killed in
    return f"booked {day}"
'''
AGENT = """
greeting = "Hello."
[lines]
hold = []
[limits]
settle_delay = 0.05
[[targets]]
model = "stand-in"
base_url = "{url}"
"""
HAPROXY = """
global
    maxconn 5000
defaults
    mode http
    timeout connect 1s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
    retries 5
    option redispatch 1
    retry-on conn-failure empty-response response-timeout 503
frontend calls
    bind 127.0.0.1:{port}
    default_backend instances
backend instances
    balance leastconn
    option httpchk GET /readyz
    default-server check inter 200ms fall 1 rise 1
{servers}
"""
DRAIN_SECONDS = 2.0


def answers(chat: ChatRequest) -> Script:
    """Book what the caller wants booked, and repeat what was heard last."""
    last = chat.messages[-1].text
    wish = re.search(r"Book (\w+)", last)
    calls = (Call("book", f'{{"day": "{wish[1]}"}}'),) if wish else ()
    return Script(f"The answer is {last}", calls=calls, first_token_after=0.1, gap=0.02)


def sayings() -> Iterator[str]:
    """What a caller says, turn by turn: each second time a booking."""
    for n in itertools.count(1):
        yield f"Book day{n} please." if n % 2 else f"Question number {n} now."


class Instance:
    """One process of the service, always on the same port."""

    def __init__(self, name: str, environ: Mapping[str, str], folder: Path) -> None:
        self.name, self.port = name, free_port()
        self._environ = {**environ, "PORT": str(self.port)}
        self._log = folder / f"{name}.log"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until it is ready."""
        with self._log.open("a") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "service", "serve"), env=self._environ, stdout=log, stderr=log
            )
        async with asyncio.timeout(30):
            while True:
                assert self._process.returncode is None, self._log.read_text()[-2000:]
                with suppress(OSError):
                    if (await get(f"127.0.0.1:{self.port}", "/readyz"))[0] == 200:
                        return
                await asyncio.sleep(0.05)

    async def end(self, kind: signal.Signals) -> int:
        """Send it this signal; its exit code when it is gone."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(kind)
        return await self._process.wait()

    @property
    def log(self) -> str:
        return self._log.read_text()


class Fleet:
    """Instances, and the one address that they have in common."""

    def __init__(self, instances: list[Instance], port: int, bookings: Path) -> None:
        self.instances = instances
        self.url = f"ws://127.0.0.1:{port}/llm-websocket"
        self._bookings = bookings

    def bookings(self) -> Counter[tuple[str, str]]:
        """How often each call has booked each day."""
        with closing(sqlite3.connect(self._bookings)) as opened:
            return Counter(opened.execute("select call_id, day from booking").fetchall())

    async def call(self, after: float, until: asyncio.Event) -> Notes:
        """A caller who speaks four times as fast as people do, and who comes so many seconds later."""
        await asyncio.sleep(after)
        probe = Probe(self.url, words_per_second=10)
        async with asyncio.TaskGroup() as tasks:
            held = tasks.create_task(probe.hold(600, every=2.5, says=sayings()))
            await until.wait()
            probe.stop()
        return held.result()


@asynccontextmanager
async def fleet(folder: Path, size: int) -> AsyncIterator[Fleet]:
    """So many instances behind haproxy. `folder` takes files."""
    bookings, port = folder / "bookings.db", free_port()
    with closing(sqlite3.connect(bookings)) as opened:
        opened.execute("pragma journal_mode = wal")
        opened.execute("create table booking (key text primary key, call_id text, day text)")
    clean = {name: text for name, text in os.environ.items() if not name.startswith(("CUEBOX_", "OPENAI_", "OTEL_"))}
    async with StandInModel(answers) as model:
        written(
            folder / "agents" / "desk",
            agent_toml=AGENT.format(url=model.base_url),
            prompt_md="Be brief.",
            tools_py=TOOLS,
        )
        own = {"CUEBOX_AGENTS_DIR": str(folder / "agents"), "CUEBOX_AGENT": "desk", "BOOKINGS": str(bookings)}
        own |= {"CUEBOX_METRICS_PORT": "0", "OPENAI_API_KEY": "k", "CUEBOX_DRAIN_SECONDS": str(DRAIN_SECONDS)}
        instances = [Instance(f"instance{n}", {**clean, **own}, folder) for n in range(size)]
        try:
            await asyncio.gather(*(instance.start() for instance in instances))
            async with _haproxy(folder, port, instances):
                yield Fleet(instances, port, bookings)
        finally:
            await asyncio.gather(*(instance.end(signal.SIGKILL) for instance in instances))


@asynccontextmanager
async def _haproxy(folder: Path, port: int, instances: list[Instance]) -> AsyncIterator[None]:
    servers = "\n".join(f"    server {each.name} 127.0.0.1:{each.port}" for each in instances)
    file = folder / "haproxy.cfg"
    file.write_text(HAPROXY.format(port=port, servers=servers))
    process = await asyncio.create_subprocess_exec("haproxy", "-q", "-db", "-f", str(file))
    try:
        async with asyncio.timeout(10):
            while True:
                with suppress(OSError):
                    if (await get(f"127.0.0.1:{port}", "/readyz"))[0] == 200:
                        break
                await asyncio.sleep(0.05)
        yield
    finally:
        process.kill()
        await process.wait()
