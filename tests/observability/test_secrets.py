"""A secret in the path, a caller's number: nothing that is written or sent has it, whatever is refused or served."""

import asyncio
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import generate_latest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from service.observability.logs import configure_logs
from tests.live import Service
from tests.observability.tracing import traced
from tests.otlp import Collector

SECRET, OTHER = "a-secret-nobody-should-read", "the-next-one-of-two"
NUMBER = "+4930123456"


@asynccontextmanager
async def guarded() -> AsyncIterator[Service]:
    limits = {"CUEBOX_CALLER_CALLS_PER_HOUR": "1", "CUEBOX_MAX_FRAMES_PER_SECOND": "2", "RETELL_API_KEY": "k"}
    async with traced(None, CUEBOX_PATH_SECRET=f"{SECRET},{OTHER}", **limits) as service:
        yield service


@pytest.mark.parametrize("style", ["json", "pretty"])
async def test_nothing_that_is_written_or_sent_has_the_secret_in_it(
    style: str, tempo: Collector, capfd: pytest.CaptureFixture[str]
) -> None:
    configure_logs(style, "debug")
    told: list[str] = []
    async with guarded() as service:
        for path in (
            f"{SECRET}/call_1",
            f"{SECRET}/call_2",
            f"{SECRET}/a/b/c",
            f"{SECRET}x/call_1",
            SECRET,
            f"?{SECRET}/call_1",
            f"x/{OTHER}/call_1",
        ):
            told += [await called(service, path)]
        for path in (f"llm-websocket/{SECRET}/call_1", SECRET, f"webhook/{SECRET}", f"webhook/inbound/{SECRET}", ""):
            url = f"http://{service.address}/{path}?s={OTHER}"
            told += [await asyncio.to_thread(asked, url, body) for body in (None, b"{}")]
        told += [generate_latest(service.app.state.metrics.registry).decode()]
    out, err = capfd.readouterr()
    assert "line.opened" in out
    assert "call.limited" in out
    assert tempo.named("POST /webhook")
    sent = "".join(str(span.wire) + str(span.resource) for span in tempo.spans)
    assert "invoke_agent" in sent
    for hidden in (SECRET, OTHER, NUMBER, NUMBER.removeprefix("+")):
        assert hidden not in out + err + "".join(told)
        assert hidden not in sent


async def called(service: Service, path: str) -> str:
    """What a caller is told who sends too much of everything."""
    try:
        async with connect(f"ws://{service.address}/llm-websocket/{path}") as line:
            call_id = path.rpartition("/")[2]
            numbers = f'"from_number":"{NUMBER}","direction":"inbound"'
            await line.send(f'{{"interaction_type":"call_details","call":{{"call_id":"{call_id}",{numbers}}}}}')
            answers = [str(await line.recv()) for _ in range(2)]
            for _ in range(60):
                await line.send("{")
            await line.wait_closed()
            return "".join(answers)
    except InvalidStatus as refused:
        return f"{refused.response.headers}{(refused.response.body or b'').decode()}"


def asked(url: str, body: bytes | None) -> str:
    try:
        with urllib.request.urlopen(url, body) as response:
            return f"{response.headers}{response.read().decode()}"
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.headers}{error.read().decode()}"
