"""A call that is about to come: the agent's hook decides, and the platform is told in time."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from service import inbound
from service.conversation.inbound import Inbound, InboundCall
from service.platforms.retell.webhooks import Malformed, answer_of, read_inbound
from service.settings import Settings
from tests.agents.folders import written
from tests.live import Service, serving
from tests.posting import KEY, signed

HEAD = "import asyncio\nfrom service.conversation.inbound import Inbound, InboundCall\n\n"
CALL = {"from_number": "+4930123456", "to_number": "+4930999"}


def body(event: str = "call_inbound", call: Any = None) -> bytes:
    return json.dumps({"event": event, "event_timestamp": 1, "call_inbound": CALL if call is None else call}).encode()


@asynccontextmanager
async def asked(place: Path, hook: str) -> AsyncIterator[Service]:
    """A service of an agent with this hook, and another without."""
    written(place / "a", tools_py=f"{HEAD}async def inbound(call: InboundCall):\n    {hook}\n")
    written(place / "b")
    settings = Settings(agent="a:2,b:1", agents_dir=str(place), dev=True, retell_api_key=KEY)
    async with serving(settings=settings) as service:
        yield service


async def answer(
    service: Service, said: bytes, path: str = "/webhook/inbound", seal: str | None = None
) -> tuple[int, Any]:
    host, port = service.address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(said)}\r\nconnection: close\r\n"
    writer.write(f"{head}x-retell-signature: {seal or signed(said)}\r\n\r\n".encode() + said)
    async with asyncio.timeout(5):
        got = await reader.read()
    writer.close()
    top, _, content = got.partition(b"\r\n\r\n")
    return int(top.split()[1]), json.loads(content) if content else None


def counted(service: Service, result: str, event: str = "call_inbound") -> float:
    labels = {"event": event, "result": result}
    return service.app.state.metrics.registry.get_sample_value("cuebox_webhooks_total", labels) or 0.0


async def test_a_call_that_the_agent_does_not_want_is_rejected(tmp_path: Path) -> None:
    async with asked(tmp_path, "return Inbound(is_rejected=call.from_number.endswith('456'))") as service:
        assert await answer(service, body()) == (200, {"call_inbound": {"reject": True}})
        assert await answer(service, body(call={"from_number": "1"})) == (200, {"call_inbound": {}})
        assert (counted(service, "rejected"), counted(service, "accepted")) == (1, 1)


async def test_it_may_be_given_to_another_agent_with_variables_and_metadata(tmp_path: Path) -> None:
    hook = "return Inbound(agent_id='agent_9', variables={'name': call.to_number}, metadata={'n': 1})"
    async with asked(tmp_path, hook) as service:
        decided = {"override_agent_id": "agent_9", "dynamic_variables": {"name": "+4930999"}, "metadata": {"n": 1}}
        assert await answer(service, body()) == (200, {"call_inbound": decided})


@pytest.mark.parametrize(
    "hook",
    [
        "raise KeyError(call)",
        "return 'yes'",
        "return Inbound(variables={'n': 1})",
        "return Inbound(metadata={'n': float('nan')})",
        "await asyncio.sleep(60)",
        "raise SystemExit(call)",
        "raise asyncio.CancelledError",
    ],
)
async def test_an_agent_that_cannot_decide_keeps_nobody_out(
    hook: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(inbound, "DECIDED_WITHIN", 0.05)
    async with asked(tmp_path, hook) as service:
        assert await answer(service, body()) == (200, {"call_inbound": {}})
        assert counted(service, "undecided") == 1
    out = capsys.readouterr().out
    assert "agent.inbound_failed" in out
    assert CALL["from_number"] not in out


async def test_a_service_that_stops_waits_for_no_hook() -> None:
    class Slow:
        def __contains__(self, agent: object) -> bool:
            return True

        async def decide(self, call: InboundCall, agent: str = "") -> Inbound:
            await asyncio.Event().wait()
            raise AssertionError

    async with asyncio.TaskGroup() as tasks:
        deciding = tasks.create_task(inbound._decided(Slow(), InboundCall(), ""))
        await asyncio.sleep(0)
        deciding.cancel()
    assert deciding.cancelled()


async def test_an_agent_without_the_hook_puts_every_call_through(tmp_path: Path) -> None:
    async with asked(tmp_path, "return Inbound(is_rejected=True)") as service:
        assert await answer(service, body(), "/webhook/inbound/b") == (200, {"call_inbound": {}})
        assert await answer(service, body(), "/webhook/inbound/a") == (200, {"call_inbound": {"reject": True}})
        assert (await answer(service, body(), "/webhook/inbound/nobody"))[0] == 404


async def test_what_retell_did_not_sign_or_cannot_be_read_decides_nothing(tmp_path: Path) -> None:
    async with asked(tmp_path, "raise SystemError") as service:
        assert await answer(service, body(), seal=signed(body(), "another key")) == (401, None)
        assert await answer(service, b"{") == (400, None)
        assert await answer(service, body("chat_inbound")) == (204, None)
        assert counted(service, "undecided") == 0
        assert counted(service, "accepted", "other") == 1


def test_what_is_missing_of_a_call_is_empty_and_odd_headers_are_left_out() -> None:
    nobody = {"from_number": None, "custom_sip_headers": {"X-A": "1", "X-B": 2}}
    assert read_inbound(body(call=nobody)) == InboundCall(headers={"X-A": "1"})
    assert read_inbound(body(call={"agent_id": "agent_1"})) == InboundCall(agent_id="agent_1")


@pytest.mark.parametrize(
    "said", [b"\xff", b"[]", b'{"event":"call_inbound"}', b'{"event":"call_inbound","call_inbound":7}']
)
def test_a_call_that_cannot_be_read_is_malformed(said: bytes) -> None:
    with pytest.raises(Malformed):
        read_inbound(said)


@pytest.mark.parametrize(
    "wrong", [{"is_rejected": 1}, {"agent_id": None}, {"variables": {"a": None}}, {"metadata": {"a": object()}}]
)
def test_what_the_platform_would_not_take_is_told_where_it_is_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Inbound(**wrong)


def test_nothing_decided_is_an_empty_answer() -> None:
    assert answer_of(Inbound()) == b'{"call_inbound": {}}'
