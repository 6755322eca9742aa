"""What a load run stands on: the service and the stand-in model as processes of their own, and what they use."""

import asyncio
import http.client
import os
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import msgspec

from service.simulator.line import NotConnected
from service.simulator.load_run import Plan, Usage

_START_WITHIN, _STOP_WITHIN = 20.0, 3.0


@dataclass(frozen=True, slots=True)
class Host:
    """Where the calls go, the server's process if it is on this machine, and the stand-in's base URL if it is one."""

    url: str
    pid: int | None = None
    model: str | None = None

    async def draws(self) -> list[float]:
        """The first-token times that the stand-in drew since `forget_draws`, in seconds; none when nobody tells."""
        with suppress(msgspec.DecodeError):
            stats = msgspec.json.decode(await self._ask_model("GET", "/stats"), type=dict[str, Any])
            return [*stats.get("first_tokens", ())]
        return []

    async def forget_draws(self) -> None:
        await self._ask_model("POST", "/stats/reset")

    async def _ask_model(self, method: str, path: str) -> bytes:
        def ask(base_url: str) -> bytes:
            with closing(http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=5)) as connection:
                connection.request(method, path)
                return connection.getresponse().read()

        with suppress(OSError, http.client.HTTPException):
            return await asyncio.to_thread(ask, self.model) if self.model else b""
        return b""

    def usage(self, turns: int = 0) -> Usage | None:
        """What the server's process has used; None when it is not here, or no /proc is."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        user, system, pages = int(fields[11]), int(fields[12]), int(fields[21])
        cpu = (user + system) / os.sysconf("SC_CLK_TCK")
        return Usage(time.monotonic(), cpu, pages * os.sysconf("SC_PAGE_SIZE"), turns)


@asynccontextmanager
async def started(plan: Plan, log: IO[bytes] | None = None) -> AsyncIterator[Host]:
    """The stand-in model and, in front of it, the service with this environment. Raises NotConnected.

    Into `log` the service writes its lines; they are all there once it is over.
    """
    options = {"first-token": plan.first_token, "gap": plan.gap, "chunks": plan.chunks, "seed": plan.seed}
    words = [f"--{name}={value}" for name, value in options.items()] + [f"--fault={fault}" for fault in plan.faults]
    model_port, port = _free_port(), _free_port()
    model_url = f"http://127.0.0.1:{model_port}/v1"
    unguarded = {"CUEBOX_PATH_SECRET": "", "CUEBOX_ALLOWED_IPS": "", "CUEBOX_MAX_CALLS": "100000"}
    own = {"HOST": "127.0.0.1", "PORT": f"{port}", "CUEBOX_LOG_FORMAT": "json", "CUEBOX_CONTROL_SOCKET": "off"}
    own |= unguarded
    key = {"OPENAI_API_KEY": "stand-in", "OPENAI_BASE_URL": model_url}
    environ = {"CUEBOX_AGENT": "receptionist", "CUEBOX_METRICS_PORT": "0", **os.environ, **own, **key}
    async with (
        _child(model_port, ["service.simulator.model", f"--port={model_port}", *words], environ),
        _child(port, ["service", "serve"], environ, log) as pid,
    ):
        yield Host(f"ws://127.0.0.1:{port}/llm-websocket", pid, model_url)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@asynccontextmanager
async def _child(
    port: int, module: list[str], environ: dict[str, str], log: IO[bytes] | None = None
) -> AsyncIterator[int]:
    """A process that listens, in a session of its own, so that Ctrl-C leaves it to us to stop it."""
    with tempfile.TemporaryFile() if log is None else nullcontext(log) as said:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *module), env=environ, stdout=said, stderr=said, start_new_session=True
        )
        try:
            if not await _listens(process, port):
                said.seek(0)
                last = (said.read().decode(errors="replace").splitlines() or ["it says nothing"])[-1]
                raise NotConnected(f"What a load run needs did not start: {last}")
            yield process.pid
        finally:
            with suppress(ProcessLookupError, TimeoutError):
                process.terminate()  # so that it tells of the turns that it did not settle yet
                await asyncio.wait_for(process.wait(), _STOP_WITHIN)
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _listens(process: asyncio.subprocess.Process, port: int) -> bool:
    deadline = time.monotonic() + _START_WITHIN
    while process.returncode is None and time.monotonic() < deadline:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return True
        await asyncio.sleep(0.02)
    return False
