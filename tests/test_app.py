import asyncio
import urllib.error
import urllib.request

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from service.health import Readiness, health_routes
from service.llm.model import Unreachable
from service.observability.loop import LoopMonitor
from service.settings import Settings
from tests.live import ScriptedAgent, serving
from tests.test_session import greets


async def get(address: str, path: str) -> tuple[int, str]:
    def fetch() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{address}{path}") as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    return await asyncio.to_thread(fetch)


async def test_a_running_service_is_alive_and_ready() -> None:
    async with serving() as service:
        assert await get(service.address, "/healthz") == (200, "alive\n")
        assert await get(service.address, "/readyz") == (200, "ready\n")
        status, text = await get(service.address, "/")
        assert status == 200
        assert "'dummy'" in text
        assert "/llm-websocket" in text
        assert (await get(service.address, "/nowhere"))[0] == 404


async def test_a_service_that_stops_is_not_ready() -> None:
    readiness = Readiness()
    async with AsyncTestClient(Litestar(health_routes(lambda: readiness.is_ready, ["x"], []))) as client:
        assert (await client.get("/readyz")).status_code == 503


async def test_a_service_whose_loop_is_late_all_the_time_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LoopMonitor, "is_overloaded", True)
    async with serving() as service:
        assert (await get(service.address, "/readyz"))[0] == 503
        assert (await get(service.address, "/healthz"))[0] == 200


async def test_strangers_are_told_neither_the_agents_nor_the_secret() -> None:
    guarded = Settings(host="0.0.0.0", agent="dummy", path_secret="0123456789abcdef")  # noqa: S104
    async with serving(settings=guarded) as service:
        _, text = await get(service.address, "/")
    assert "dummy" not in text
    assert "0123456789abcdef" not in text
    assert "/llm-websocket/<your secret>" in text


async def test_an_agent_that_cannot_warm_up_answers_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    class Cold(ScriptedAgent):
        async def warm_up(self) -> None:
            raise Unreachable

    async with serving(Cold(greets)) as service, service.line() as line:
        assert (await line.greeted())[-2]["content"] == "Hello."
    assert "agent.warm_up_failed" in capsys.readouterr().out


async def test_stopping_the_service_ends_its_calls(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving() as service:
        async with service.line() as line:
            await line.greeted()
        assert len(service.calls) == 1
    assert len(service.calls) == 0
    assert "call.ended" in capsys.readouterr().out


async def test_an_agent_that_cannot_be_closed_does_not_keep_the_service_from_its_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Stuck(ScriptedAgent):
        async def close(self) -> None:
            raise OSError

    async with serving(Stuck(greets)) as service, service.line() as line:
        await line.greeted()
    assert "agent.close_failed" in capsys.readouterr().out
