"""`cuebox connect`: against a real service, and a stand-in of Retell's REST API."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result
from websockets.sync.server import serve

from service.account import NotPossible, addresses_of, try_line, try_webhook
from service.app import create_app
from service.connect import connect
from service.server import running
from service.settings import Settings

KEY = "key_of_tests"


class Web(ThreadingHTTPServer):
    """A web server that answers what it is told to, and remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Asked)
        self.asked: list[tuple[str, str, Any, str | None]] = []
        self.status, self.fixed = 200, b""
        self.agent: dict[str, Any] = {
            "agent_id": "agent_1",
            "response_engine": {"type": "custom-llm", "llm_websocket_url": "wss://old.example/llm-websocket"},
            "version": 4,
            "is_published": False,
            "webhook_url": None,
            "voice_id": "what is not ours is not read",
        }

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def reply(self, method: str, path: str, body: Any) -> Any:
        """As Retell's reference has it."""
        match method, path.partition("?")[0]:
            case "POST", "/create-agent-version/agent_1":
                self.agent |= {"version": 5, "is_published": False}
            case "PATCH", "/update-agent/agent_1":
                self.agent |= body
            case "POST", "/v3/create-web-call":
                return {"call_id": "call_1", "access_token": "token_1", "expires_at": 1, "transport": "gateway"}
        return self.agent


class _Asked(BaseHTTPRequestHandler):
    server: Web
    protocol_version = "HTTP/1.1"  # or no upgrade is read

    def do_GET(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self.server.asked.append((self.command, self.path, body, self.headers.get("authorization")))
        answer = self.server.fixed or json.dumps(self.server.reply(self.command, self.path, body)).encode()
        self.send_response(self.server.status)
        self.send_header("location", "https://elsewhere.example/")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_PATCH = do_GET  # noqa: N815 - the library's spelling

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def a_web() -> Iterator[Web]:
    with Web() as web:
        Thread(target=web.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield web
        finally:
            web.shutdown()


@pytest.fixture
def web() -> Iterator[Web]:
    with a_web() as it:
        yield it


def connected(*words: str, **environ: str) -> Result:
    clean = {"RETELL_API_KEY": "", "CUEBOX_PATH_SECRET": ""}
    return CliRunner(env=clean | environ).invoke(connect, words)


async def connected_to_cuebox(*words: str, kept: str | None = None, **environ: str) -> Result:
    settings = Settings(agent="dummy", retell_api_key=KEY, metrics_port=0, path_secret=kept)
    async with running(create_app(settings), settings) as address:
        return await asyncio.to_thread(connected, "--url", f"http://{address}", *words, **environ)


async def test_a_draft_gets_the_addresses_of_a_service_that_was_tried(web: Web) -> None:
    result = await connected_to_cuebox("--agent-id", "agent_1", "--api", web.address, RETELL_API_KEY=f"{KEY},old")
    assert result.exit_code == 0, result.output
    assert "in version 4" in result.output
    assert "a draft" in result.output
    (_, path, wanted, key) = web.asked[-1]
    assert path == "/update-agent/agent_1?version=4"
    assert wanted["response_engine"]["llm_websocket_url"].startswith("ws://127.0.0.1:")
    assert wanted["response_engine"]["llm_websocket_url"].endswith("/llm-websocket")
    assert wanted["webhook_url"].endswith("/webhook")
    assert key == f"Bearer {KEY}"


async def test_a_published_version_is_left_alone_and_its_successor_published(web: Web) -> None:
    web.agent["is_published"] = True
    words = ["--agent-id", "agent_1", "--api", web.address, "--publish", "--web-call", "--agent", "dummy"]
    result = await connected_to_cuebox(*words, RETELL_API_KEY=KEY)
    assert result.exit_code == 0, result.output
    assert [(method, path, body) for method, path, body, _ in web.asked if method == "POST"] == [
        ("POST", "/create-agent-version/agent_1", {"base_version": 4}),
        ("POST", "/publish-agent-version/agent_1", {"version": 5}),
        ("POST", "/v3/create-web-call", {"agent_id": "agent_1", "agent_version": 5}),
    ]
    assert "call_1" in result.output
    assert "token_1" in result.output
    assert web.agent["response_engine"]["llm_websocket_url"].endswith("/llm-websocket/dummy")


async def test_without_an_agent_addresses_are_only_tried() -> None:
    result = await connected_to_cuebox()
    assert (result.exit_code, "speaks after" in result.output) == (0, True)


async def test_the_secret_of_the_address_is_taken_from_the_environment_and_not_shown(web: Web) -> None:
    secret = "a-long-random-word-of-tests"
    words = ["--agent-id", "agent_1", "--api", web.address]
    result = await connected_to_cuebox(
        *words, kept=f"{secret},old-{secret}", RETELL_API_KEY=KEY, CUEBOX_PATH_SECRET=secret
    )
    assert result.exit_code == 0, result.output
    assert secret not in result.output
    assert web.agent["response_engine"]["llm_websocket_url"].endswith(f"/llm-websocket/{secret}")
    without = await connected_to_cuebox(*words, kept=secret, RETELL_API_KEY=KEY)
    assert (without.exit_code, "HTTP 401" in without.stderr) == (1, True)


async def test_nothing_is_changed_at_retell_when_the_service_cannot_be_reached(web: Web) -> None:
    words = ["--agent-id", "agent_1", "--api", web.address, "--agent", "nobody"]
    result = await connected_to_cuebox(*words, RETELL_API_KEY=KEY)
    assert (result.exit_code, web.asked) == (1, [])
    assert "HTTP 404" in result.stderr


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "CUEBOX_PATH_SECRET"), (403, "CUEBOX_ALLOWED_IPS"), (503, "no calls now"), (418, "a proxy before it")],
)
def test_a_refused_line_says_what_to_look_at_and_never_the_secret(web: Web, status: int, words: str) -> None:
    web.status = status
    result = connected("--url", web.address, CUEBOX_PATH_SECRET="s3cret,older")
    assert result.exit_code == 1
    assert words in result.stderr
    assert "s3cret" not in result.output
    assert web.asked[0][1].startswith("/llm-websocket/s3cret/call_")


def test_a_dead_host_is_named(web: Web) -> None:
    web.shutdown()
    web.server_close()
    with pytest.raises(NotPossible, match="does not take calls"):
        try_line(addresses_of(web.address))
    with pytest.raises(NotPossible, match="does not answer"):
        try_webhook(addresses_of(web.address))


def test_a_service_that_takes_unsigned_webhooks_is_not_trusted(web: Web) -> None:
    with pytest.raises(NotPossible, match="HTTP 200 to an unsigned webhook"):
        try_webhook(addresses_of(web.address))


@pytest.mark.parametrize(
    ("status", "answer", "words"),
    [
        (401, b"", "does not take RETELL_API_KEY"),
        (404, b"", "no agent there"),
        (422, b'{"status":"error","message":"url \\u001b[31mis bad"}', "url"),
        (500, b"<html>", "did not say why"),
        (302, b"", "HTTP 302"),
        (200, b"[]", "not what its reference says"),
        (200, b"[" * 100_000, "not what its reference says"),
        (200, b'{"response_engine":{"type":"retell-llm"}}', "retell-llm agent"),
    ],
)
async def test_what_retell_refuses_or_garbles_ends_with_a_sentence(
    web: Web, status: int, answer: bytes, words: str
) -> None:
    web.status, web.fixed = status, answer
    result = await connected_to_cuebox("--agent-id", "agent_1", "--api", web.address, RETELL_API_KEY=KEY)
    assert result.exit_code == 1
    assert words in result.stderr
    assert KEY not in result.output
    assert len(web.asked) == 1


async def test_a_change_that_did_not_take_is_told(web: Web) -> None:
    web.fixed = json.dumps(web.agent).encode()
    result = await connected_to_cuebox("--agent-id", "agent_1", "--api", web.address, RETELL_API_KEY=KEY)
    assert (result.exit_code, "shows other addresses" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    ("words", "environ"),
    [
        (["--publish"], {"RETELL_API_KEY": KEY}),
        (["--web-call"], {"RETELL_API_KEY": KEY}),
        (["--agent-id", "agent_1"], {}),
    ],
)
def test_what_cannot_be_meant_is_bad_usage(words: list[str], environ: dict[str, str]) -> None:
    assert connected("--url", "https://cuebox.example", *words, **environ).exit_code == 2


@pytest.mark.parametrize("agent_id", ["../v2/x", "a b", ""])
async def test_an_agent_s_id_is_no_path(web: Web, agent_id: str) -> None:
    result = await connected_to_cuebox("--agent-id", agent_id, "--api", web.address, RETELL_API_KEY=KEY)
    assert (result.exit_code, web.asked) == (1, [])


@pytest.mark.parametrize(
    ("url", "line", "webhook"),
    [
        ("cuebox.fly.dev", "wss://cuebox.fly.dev/llm-websocket/s3cret/trial", "https://cuebox.fly.dev/webhook/trial"),
        (
            "wss://a.example:444/",
            "wss://a.example:444/llm-websocket/s3cret/trial",
            "https://a.example:444/webhook/trial",
        ),
        ("http://[::1]:8080", "ws://[::1]:8080/llm-websocket/s3cret/trial", "http://[::1]:8080/webhook/trial"),
    ],
)
def test_addresses_are_made_of_the_host(url: str, line: str, webhook: str) -> None:
    addresses = addresses_of(url, "s3cret", "trial")
    assert (addresses.line, addresses.webhook) == (line, webhook)
    assert "s3cret" not in addresses.shown("s3cret")


@pytest.mark.parametrize(
    "url",
    ["", "https://", "ftp://a", "https://a/llm-websocket", "https://a?b", "https://u:p@a", "https://a:0", "http://["],
)
def test_what_is_no_host_is_refused(url: str) -> None:
    with pytest.raises(NotPossible, match="host alone"):
        addresses_of(url)


def test_a_server_that_says_something_else_first_is_not_cuebox() -> None:
    with serve(lambda line: line.send("hello"), "127.0.0.1", 0) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(NotPossible, match="does not speak as Cuebox does"):
            try_line(addresses_of(f"http://127.0.0.1:{server.socket.getsockname()[1]}"))
        server.shutdown()
