"""`cuebox check`, without a process of its own: what is told of the settings and of each agent."""

from pathlib import Path

import pytest
from msgspec import structs

from service import checkup
from service.checkup import Verdict, findings
from service.settings import Settings, SettingsError
from tests.agents.folders import TOOL, written


async def told(settings: Settings) -> list[tuple[Verdict, str, str]]:
    return [(found.verdict, found.subject, found.text) async for found in findings(settings, {})]


async def oddities(settings: Settings) -> list[str]:
    return [text for verdict, subject, text in await told(settings) if (verdict, subject) == (Verdict.ODD, "setting")]


async def test_traces_without_their_package_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(agent="dummy", retell_api_key="k", otlp_endpoint="http://127.0.0.1:4318")
    assert await oddities(settings) == []
    monkeypatch.setattr(checkup, "find_spec", lambda _: None)
    (oddity,) = await oddities(settings)
    assert oddity.endswith("pip install 'cuebox[otel]'")


async def test_a_log_that_holds_words_and_webhooks_without_a_key_are_told() -> None:
    content, webhooks = await oddities(Settings(agent="dummy", log_content=True))
    assert content.startswith("CUEBOX_LOG_CONTENT is on")
    assert webhooks.startswith("RETELL_API_KEY is not set")


async def test_each_agent_is_tried(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        written(tmp_path / name, agent_toml=f"greeting = 'I am {name}.'")
    settings = Settings(agent="a:3,b:1", agents_dir=str(tmp_path), dev=True, retell_api_key="k")
    found = await told(settings)
    agents = [text.split(", without")[0] for _, subject, text in found if subject == "agent"]
    assert agents == ["a (75% of the calls)", "b (25% of the calls)", "c (only for addresses that name it)"]
    greetings = [text.split(" (")[0] for _, subject, text in found if subject == "greeting"]
    assert greetings == ["I am a.", "I am b.", "I am c."]


async def test_an_agent_that_cannot_be_closed_is_found(tmp_path: Path) -> None:
    store = """
class Wiki:
    async def search(self, query, limit=3): return []
    async def warm_up(self): ...
    async def close(self): raise OSError("the wiki is gone")
knowledge = Wiki()
"""
    written(tmp_path / "a", tools_py=store)
    *_, last = await told(Settings(agent="a", agents_dir=str(tmp_path), dev=True))
    assert last == (Verdict.BAD, "end", "OSError: the wiki is gone")


async def test_what_a_folder_brings_is_told_and_what_is_not_read(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "tools_py": TOOL,
        "knowledge__hours_md": "# Hours\n\nNine to five.",
        "knowledge__prices_pdf": b"%PDF",
    }
    written(tmp_path / "a", agent_toml="[actions.end_call]", **files)
    written(tmp_path / "b")
    found = await told(Settings(agent="a:1,b:1", agents_dir=str(tmp_path), dev=True))
    brings = [text.partition(" (hash ")[0] for _, subject, text in found if subject == "brings"]
    assert brings == ["opening_hours, end_call, knowledge", "its prompt alone"]
    (unread,) = [text for verdict, subject, text in found if (verdict, subject) == (Verdict.ODD, "knowledge")]
    assert unread.startswith(f"{tmp_path}/a/knowledge/prices.pdf is not read: only .markdown, .md, .txt")


async def test_a_service_that_anybody_may_call_is_told_and_one_that_cannot_start_is_refused() -> None:
    anybody = Settings(agent="dummy", host="0.0.0.0", open=True, retell_api_key="k")  # noqa: S104
    (oddity,) = await oddities(anybody)
    assert oddity.startswith("CUEBOX_OPEN is on")
    with pytest.raises(SettingsError, match="so anybody could call"):
        await told(Settings(agent="dummy", host="0.0.0.0"))  # noqa: S104


async def test_a_model_without_a_price_is_told_because_no_limit_of_dollars_holds_it() -> None:
    known = Settings(openai_api_key="k", openai_base_url="http://127.0.0.1:9/v1", turn_budget=0.1)
    assert [text for _, subject, text in await told(known) if subject == "price"] == []
    (odd,) = [text for _, subject, text in await told(structs.replace(known, model="own-model")) if subject == "price"]
    assert odd.startswith("own-model has none in the table: CUEBOX_MAX_CALL_DOLLARS does not hold it")
