"""The processes that a load run starts, and those that it looks at."""

import asyncio

import pytest

from service.simulator.line import NotConnected
from service.simulator.load_host import Host, started
from service.simulator.load_run import Plan

NOWHERE = "ws://127.0.0.1:9"


async def test_the_service_and_its_model_are_started_and_stopped() -> None:
    async with started(Plan()) as host:
        before = host.usage(turns=3)
        await host.forget_draws()
        assert await host.draws() == []
    assert before is not None
    assert before.rss > 20 * 2**20
    assert before.cpu > 0
    assert before.turns == 3
    assert host.usage() is None


@pytest.mark.parametrize(
    ("agent", "plan", "sentence"),
    [("nobody", Plan(), "CUEBOX_AGENT"), ("dummy", Plan(first_token="soon"), "did not start: .*soon")],
)
async def test_what_does_not_start_is_told_in_its_own_words(
    agent: str, plan: Plan, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUEBOX_AGENT", agent)
    with pytest.raises(NotConnected, match=sentence):
        async with started(plan):
            pass


async def test_without_a_process_or_a_model_nothing_is_known() -> None:
    for host in (Host(NOWHERE), Host(NOWHERE, model=f"http{NOWHERE[2:]}")):
        await host.forget_draws()
        assert (host.usage(), await host.draws()) == (None, [])


async def test_a_model_that_is_not_the_stand_in_tells_nothing() -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await Host(NOWHERE, model=f"http://127.0.0.1:{port}").draws() == []
