"""`cuebox ctl` against a real process: what it tells, what it changes while calls talk, what it says if it cannot."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from websockets.asyncio.client import connect

from service.cli import main
from service.ctl import control_path
from service.settings import Settings
from service.simulator.model import StandInModel
from service.simulator.model_script import Call, Script
from service.simulator.model_spelling import ChatRequest
from tests.agents.folders import written
from tests.live import PlatformLine
from tests.test_cli import CLEAN, free_port

AGENT = """
greeting = "Hello."
[limits]
settle_delay = 0.0
[[targets]]
model = "first"
base_url = "{url}"
[[targets]]
model = "second"
base_url = "{url}"
"""
TOOLS = '''"""What it can do."""

from service.agents.tools import tool


@tool(effect="read")
async def find(day: str) -> str:
    """Find what is free on a day."""
    return f"{day} is free"
'''


def answers(chat: ChatRequest) -> Script:
    """Say which model answers, and what the tool said where the caller asks for a day."""
    last = chat.messages[-1].text
    calls = (Call("find", '{"day": "Monday"}'),) if last == "Monday?" else ()
    return Script(f"{chat.model} says {last}", calls=calls, first_token_after=0.02, gap=0.01)


class Process:
    """One process of the service, with its own socket for orders."""

    def __init__(self, environ: dict[str, str], log: Path) -> None:
        self._environ, self._log = environ, log
        self.url = f"ws://127.0.0.1:{environ['PORT']}/llm-websocket"

    async def ctl(self, *words: str) -> tuple[int, str]:
        """The exit code of `cuebox ctl`, and what it printed."""
        process = await self.started(*words)
        out, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode()

    async def started(self, *words: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service", "ctl", *words),
            env=self._environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    @property
    def log(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    @asynccontextmanager
    async def line(self, call_id: str) -> AsyncIterator[PlatformLine]:
        async with connect(f"{self.url}/{call_id}", ping_interval=None, compression=None, close_timeout=1) as socket:
            yield PlatformLine(socket, call_id)


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[Process]:
    """A service with two targets and a tool."""
    log = folder / "log"
    async with StandInModel(answers) as model:
        agent = AGENT.format(url=model.base_url)
        written(folder / "agents" / "desk", agent_toml=agent, prompt_md="Be brief.", tools_py=TOOLS)
        own = {"CUEBOX_AGENTS_DIR": str(folder / "agents"), "CUEBOX_AGENT": "desk", "OPENAI_API_KEY": "k"}
        own |= {"PORT": str(free_port()), "CUEBOX_CONTROL_SOCKET": str(folder / "ctl.sock")}
        environ = {**CLEAN, **own}
        with log.open("w") as out:
            running = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "service", "serve"), env=environ, stdout=out, stderr=out
            )
        try:
            async with asyncio.timeout(20):
                while "service.ready" not in log.read_text():
                    assert running.returncode is None, log.read_text()
                    await asyncio.sleep(0.05)
            yield Process(environ, log)
            async with asyncio.timeout(10):
                await running.wait()
        finally:
            if running.returncode is None:
                running.kill()
            await running.wait()


async def watched(service: Process, line: PlatformLine) -> asyncio.subprocess.Process:
    """Somebody who sees what happens on a line."""
    watching = await service.started("watch", line.call_id)
    assert watching.stdout is not None
    first_line = asyncio.create_task(watching.stdout.readline())  # noqa: TID251
    while not first_line.done():
        await line.ping(1)
        await asyncio.sleep(0.01)
    assert b"frame=" in first_line.result()
    return watching


async def test_an_operator_looks_and_changes_things_while_a_call_talks(tmp_path: Path) -> None:
    async with served(tmp_path) as service:
        async with service.line("call_1") as line:
            await line.greeted()
            await line.ask(1, "Hello.", "Monday?")
            assert await line.answer(1) == "first says Monday is free"
            code, told = await service.ctl("calls")
            header, row = told.splitlines()
            assert (code, header.split()) == (0, ["call_id", "agent", "since", "turns", "line", "does"])
            assert (row.split()[:2], row.split()[3:]) == (["call_1", "desk"], ["2", "open", "idle"])

            watching, leaving = [await watched(service, line) for _ in range(2)]
            leaving.send_signal(signal.SIGINT)
            assert b"Traceback" not in (await leaving.communicate())[0]
            assert leaving.returncode == 0
            changed = await asyncio.gather(
                service.ctl("targets", "disable", "first"),
                service.ctl("tools", "disable", "find"),
                service.ctl("hedge", "off"),
            )
            assert [code for code, _ in changed] == [0, 0, 0]
            assert changed[0][1].startswith("targets: as configured first, first disabled (before: ")
            await line.ask(2, "Hello.", "Monday?", "first says Monday is free", "Monday?")
            answer = await line.answer(2)
            assert answer.startswith("second says ")
            assert "The operator switched this off" in answer

            code, told = await service.ctl("targets", "disable", "second")
            assert (code, "the last that the agent 'desk' may ask; enable another first: first" in told) == (1, True)
            _, told = await service.ctl("--json", "targets")
            assert [(row["target"], row["disabled"]) for row in map(json.loads, told.splitlines())] == [
                ("first", True),
                ("second", False),
            ]
            assert (await service.ctl("log-level", "loud"))[0] == 1
            assert (await service.ctl("log-level", "error"))[0] == 0
            assert (await service.ctl("drain", "--seconds", "1"))[1].startswith(
                "drain: 1 s left (before: taking calls)"
            )
        told = (await watching.communicate())[0].decode()
        assert (watching.returncode, "Monday" in told) == (0, False)
        assert {"in", "out", "turn", "attempt", "tool"} <= {text.split()[1] for text in told.splitlines()}
    changes = [str(line["verb"]) for line in service.log if line["event"] == "control.changed"]
    assert sorted(changes) == ["drain", "hedge", "log-level", "targets", "tools"]
    assert service.log[-1]["event"] == "control.changed"  # the level is error
    assert not (tmp_path / "ctl.sock").exists()


def test_where_nobody_answers_it_says_where_it_looked(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["ctl", "--socket", str(tmp_path / "x.sock"), "calls"])
    assert result.exit_code == 1
    assert f"no service answers at {tmp_path / 'x.sock'} (No such file or directory)" in result.output


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [({"CUEBOX_CONTROL_SOCKET": "off"}, "CUEBOX_CONTROL_SOCKET is off"), ({"PORT": "many"}, "PORT must be")],
)
def test_without_a_place_it_says_so(environ: dict[str, str], sentence: str) -> None:
    result = CliRunner().invoke(main, ["ctl", "calls"], env=environ)
    assert (result.exit_code, sentence in result.output) == (2, True)


def test_the_place_is_the_port_s_own_unless_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/me")
    assert control_path(Settings(port=9000)) == Path("/run/me/cuebox-9000.sock")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    path = control_path(Settings(port=9000))
    assert path is not None
    assert (path.name, os.access(path.parent, os.W_OK)) == ("cuebox-9000.sock", True)
    assert control_path(Settings(control_socket="/x")) == Path("/x")
    assert control_path(Settings(control_socket="off")) is None


@pytest.mark.parametrize("verb", ["calls", "watch", "targets", "tools", "hedge", "drain", "log-level"])
def test_each_order_has_help(verb: str) -> None:
    result = CliRunner().invoke(main, ["ctl", verb, "--help"])
    assert result.exit_code == 0
    assert "Usage: " in result.output
