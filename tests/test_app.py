import asyncio
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from service import app
from service.app import create_agent, create_app
from service.health import Readiness, health_routes
from service.llm.model import Unreachable
from service.settings import Settings, SettingsError
from tests.fakes import AttemptMemory
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


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (Settings(), "dummy"),
        (Settings(openai_api_key="k"), "receptionist"),
        (Settings(openai_api_key="k", agent="dummy"), "dummy"),
    ],
)
def test_the_agent_is_chosen_by_setting_or_by_the_key(settings: Settings, name: str) -> None:
    assert create_agent(settings, AttemptMemory()).name == name


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (Settings(agent="nobody"), "CUEBOX_AGENT is 'nobody', but the agents here are: dummy, receptionist"),
        (Settings(agent="receptionist"), "the target 'gpt-4.1' needs its key: set OPENAI_API_KEY"),
        (Settings(openai_api_key="k", timezone="Mars/Olympus"), "CUEBOX_TIMEZONE is 'Mars/Olympus'"),
        (Settings(timezone="../etc"), "CUEBOX_TIMEZONE"),
        (Settings(openai_api_key="k", openai_base_url="localhost:8000"), "OPENAI_BASE_URL is 'localhost:8000'"),
    ],
)
def test_what_cannot_be_started_is_told_in_one_sentence(settings: Settings, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence.replace("(", r"\(")):
        create_app(settings)


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("greeting = 5", "greeting"),
        ("greting = 'Hello'", "greting"),
        ("greeting", "Expected"),
        (None, "No such file"),
        ("[[targets]]\nmodel = 'm'\nkey = 'sk-secret'", "key"),
        ("[[targets]]\nmodel = 'm'\nprovider = 'azure'", "api_version"),
        ("[[targets]]\nmodel = 'm'\noptions = { stream = false }", "stream: Cuebox sends its own"),
        ("[model.hedge]\nquantil = 0.9", "quantil"),
    ],
)
def test_a_mistake_in_an_agent_s_files_is_told_in_one_sentence(
    script: str | None, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "FOLDERS", tmp_path)
    (tmp_path / "receptionist").mkdir()
    if script is not None:
        (tmp_path / "receptionist" / "agent.toml").write_text(script)
    with pytest.raises(SettingsError, match=f"The agent 'receptionist' cannot be read: .*{sentence}"):
        create_app(Settings(openai_api_key="k"))


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
    async with AsyncTestClient(Litestar(health_routes(Readiness(), "x", []))) as client:
        assert (await client.get("/readyz")).status_code == 503


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
