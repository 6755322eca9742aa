"""The end of the process, whatever an agent's own code does, and what uvicorn must not do."""

import asyncio
import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn

from service import server as module
from service.app import create_app
from service.server import Server, bind, serve_until_signal, server_of
from service.settings import Settings

Scope = dict[str, Any]


class Out:
    """The way out, taken when a test says so."""

    def __init__(self) -> None:
        self.begun = 0
        self.is_taken = False

    def begin(self) -> None:
        self.begun += 1

    def is_over(self) -> bool:
        return self.is_taken


def server_for(app: Callable[..., Any], out: Out, on_ready: Callable[[], None] = lambda: None) -> Server:
    config = uvicorn.Config(app, lifespan="on", log_config=None, timeout_graceful_shutdown=1)
    return Server(config, on_ready, out)


async def never_closes(scope: Scope, receive: Callable[[], Any], send: Callable[[Scope], Any]) -> None:
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await asyncio.Event().wait()


def test_what_never_closes_does_not_keep_the_process(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "LAST_SECONDS", 0.3)
    out = Out()

    def leave() -> None:
        out.is_taken = True

    listener = bind(Settings(), port=0)
    serve_until_signal(server_for(never_closes, out, leave), listener)
    assert "not all could be closed in time" in caplog.text


def test_uvicorn_sends_no_pings_of_its_own_and_believes_no_proxy() -> None:
    settings = Settings(agent="dummy", metrics_port=0)
    config = server_of(create_app(settings), settings, lambda: None).config
    assert config.ws_ping_interval is None  # it would close with 1011, and end the call
    assert config.timeout_graceful_shutdown is not None
    assert not config.proxy_headers


STUBBORN = """
import asyncio
from service import server
from service.settings import Settings
from tests.test_server import Out, server_for

server.LAST_SECONDS = 0.1
out = Out()
out.is_taken = True

async def stubborn(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass

server.serve_until_signal(server_for(stubborn, out), server.bind(Settings(), port=0))
"""


async def test_a_task_that_will_not_be_cancelled_does_not_keep_the_process() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-W", "error", "-c", STUBBORN)
    try:
        async with asyncio.timeout(30):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_drains_the_second_ends_it_and_the_third_tidies_up_no_more(kind: signal.Signals) -> None:
    out = Out()
    server = server_for(never_closes, out)
    told = []
    for _ in range(3):
        server.handle_exit(kind, None)
        told.append((out.begun, server.should_exit, server.force_exit))
    assert told == [(1, False, False), (1, True, False), (1, True, True)]
