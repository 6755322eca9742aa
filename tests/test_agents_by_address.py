"""Several agents in one service: shares of the calls, and addresses that name an agent."""

import asyncio
import urllib.request
from pathlib import Path

import pytest
from msgspec import structs
from structlog.testing import capture_logs
from websockets.exceptions import InvalidStatus

from service.settings import Settings
from tests.agents.folders import written
from tests.live import Service, serving
from tests.posting import KEY, tell, webhook


def two_agents(place: Path, *, dev: bool = False) -> Settings:
    """`a` takes all calls but those whose address names `b`. Neither has a model."""
    for name in ("a", "b"):
        written(place / name, agent_toml=f"greeting = 'I am {name}.'\n[lines]\nfarewell = 'Bye from {name}.'")
    return Settings(agent="a:1,b:0", agents_dir=str(place), dev=dev, openai_api_key="k")


async def greeting(service: Service, path: str) -> str:
    async with service.line(path=path) as line:
        frames = await line.greeted()
    return "".join(str(frame.get("content", "")) for frame in frames)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/llm-websocket/call_1", "a"),
        ("/llm-websocket/a/call_1", "a"),
        ("/llm-websocket/b/call_1", "b"),
        ("/llm-websocket/b/call_1/", "b"),
        ("/llm-websocket?site=1/call_1", "a"),
        ("/llm-websocket/b?site=1/call_1", "b"),
        ("/llm-websocket/call_1?site=1/x", "a"),
    ],
)
async def test_an_address_may_name_the_agent(path: str, name: str, tmp_path: Path) -> None:
    async with serving(settings=two_agents(tmp_path)) as service:
        assert await greeting(service, path) == f"I am {name}."


@pytest.mark.parametrize(
    "path",
    [
        "/llm-websocket/nobody/call_1",
        "/llm-websocket/receptionist/call_1",
        "/llm-websocket/a/b/call_1",
        "/llm-websocket/../a/call_1",
    ],
)
async def test_an_agent_that_is_not_there_is_a_refused_path_and_counted(path: str, tmp_path: Path) -> None:
    async with serving(settings=two_agents(tmp_path)) as service:
        with pytest.raises(InvalidStatus) as refused:
            await greeting(service, path)
        assert refused.value.response.status_code == 404
        counted = service.app.state.metrics.registry.get_sample_value("cuebox_calls_total", {"result": "refused_path"})
        assert counted == 1


async def test_logs_and_metrics_tell_which_agent_had_the_call(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with serving(settings=two_agents(tmp_path)) as service:
            await greeting(service, "/llm-websocket/b/call_1")
            samples = [
                sample.labels["agent"]
                for family in service.app.state.metrics.registry.collect()
                for sample in family.samples
                if sample.name == "cuebox_build_info"
            ]
    assert samples == ["a", "b"]
    (ended,) = [line for line in logs if line["event"] == "call.ended"]
    assert (ended["agent"], len(ended["folder_hash"])) == ("b", 12)


AFTER_CALL = """
from pathlib import Path

async def after_call(call, ending):
    Path(__file__).with_name("accounts").write_text(f"{call.id} {ending.reason}")
"""


@pytest.mark.parametrize(
    ("path", "status", "told"), [("/webhook", 204, {"a"}), ("/webhook/b", 204, {"b"}), ("/webhook/nobody", 404, set())]
)
async def test_the_webhook_of_a_call_whose_process_is_gone_may_name_its_agent(
    path: str, status: int, told: set[str], tmp_path: Path
) -> None:
    settings = structs.replace(two_agents(tmp_path), retell_api_key=KEY)
    for name in ("a", "b"):
        (tmp_path / name / "tools.py").write_text(AFTER_CALL)
    body = webhook("call_ended", "call_1", disconnection_reason="user_hangup", start_timestamp=1_700_000_000_000)
    async with serving(settings=settings) as service:
        assert await tell(service.address, body, path) == status
    assert {name for name in ("a", "b") if (tmp_path / name / "accounts").exists()} == told


async def test_in_development_the_next_call_follows_the_files(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with serving(settings=two_agents(tmp_path, dev=True)) as service:
            (tmp_path / "a" / "agent.toml").write_text("greeting = 'I am new.'")
            assert await greeting(service, "/llm-websocket/call_1") == "I am new."
            (tmp_path / "a" / "agent.toml").write_text("greeting = ")
            assert await greeting(service, "/llm-websocket/call_2") == "I am new."
    assert [line["agent"] for line in logs if line["event"] == "agent.reloaded"] == ["a"]
    (broken,) = [line for line in logs if line["event"] == "agent.not_reloaded"]
    assert "agent.toml:1: this is not TOML" in broken["mistakes"][0]


async def test_an_agent_of_one_s_own_that_hides_a_shipped_one_is_told(tmp_path: Path) -> None:
    written(tmp_path / "receptionist", agent_toml="greeting = 'Mine.'")
    with capture_logs() as logs:
        async with serving(settings=Settings(agents_dir=str(tmp_path))) as service:
            assert await greeting(service, "/llm-websocket/call_1") == "Mine."
    assert [line["agent"] for line in logs if line["event"] == "agent.overrides_shipped"] == ["receptionist"]


async def test_the_front_door_names_all_that_take_calls(tmp_path: Path) -> None:
    async with serving(settings=structs.replace(two_agents(tmp_path), agent="a:1,b:1")) as service:
        with await asyncio.to_thread(urllib.request.urlopen, f"http://{service.address}/") as page:
            assert "'a' and 'b'" in page.read().decode()
