"""Which agents the settings choose, and what is told when they cannot be had."""

from pathlib import Path

import pytest

from service.agents.prompted import PromptedAgent
from service.choice import choice_of
from service.settings import Settings, SettingsError
from tests.agents.folders import TOOL, written
from tests.fakes import AttemptMemory

LOCAL = "[[targets]]\nprovider = 'ollama'\nmodel = 'llama'"
SPARE = "[[targets]]\nmodel = 'gpt'\n[[targets]]\nmodel = 'spare'\nkey = 'SPARE_API_KEY'"


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        pytest.param(Settings(), [], id="nothing-set"),
        pytest.param(Settings(openai_api_key="k"), ["gpt-4.1"], id="key"),
        pytest.param(Settings(openai_api_key="k", model="m", agent="receptionist"), ["m"], id="model"),
        pytest.param(Settings(agent="receptionist", dev=True), [], id="development"),
        pytest.param(Settings(openai_api_key="k", dev=True), ["gpt-4.1"], id="development-with-key"),
    ],
)
def test_the_receptionist_answers_and_asks_a_model_where_there_is_a_key(settings: Settings, asked: list[str]) -> None:
    choice = choice_of(settings)
    assert choice.names == ["receptionist"]
    assert [target for target, _ in choice.targets] == asked
    assert choice.without_model == ([] if asked else ["receptionist"])
    agent = choice.agent("receptionist", AttemptMemory())
    assert isinstance(agent, PromptedAgent)
    assert (agent.model is None) is (not asked)
    assert "book_appointment" in choice.tools


def test_the_dummy_needs_nothing() -> None:
    choice = choice_of(Settings(agent="dummy"))
    assert (choice.endpoints, choice.without_model) == ([], [])
    assert len(choice.hashes["dummy"]) == 12
    assert choice.agent("dummy", AttemptMemory()).name == "dummy"


def test_agents_of_one_s_own_are_there_and_win(tmp_path: Path) -> None:
    written(tmp_path / "receptionist", tools_py=TOOL)
    written(tmp_path / "dummy", agent_toml=LOCAL)
    written(tmp_path / "practice", agent_toml=SPARE)
    settings = Settings(agent="practice:95,receptionist:5", agents_dir=str(tmp_path), openai_api_key="k")
    choice = choice_of(
        Settings(
            agent=settings.agent, agents_dir=settings.agents_dir, openai_api_key="k", other_keys={"SPARE_API_KEY": "s"}
        )
    )
    assert choice.names == ["practice", "receptionist", "dummy"]
    assert choice.shares == {"practice": 0.95, "receptionist": 0.05}
    assert choice.tools == ["opening_hours"]
    assert sorted(choice.overriding) == ["dummy", "receptionist"]
    assert choice.targets == [("gpt", "gpt"), ("spare", "spare"), ("gpt-4.1", "gpt-4.1"), ("llama", "llama")]
    assert isinstance(choice.agent("dummy", AttemptMemory()), PromptedAgent)
    with pytest.raises(SettingsError, match="the target 'spare' needs its key: set SPARE_API_KEY"):
        choice_of(settings)


async def test_a_changed_prompt_keeps_its_model(tmp_path: Path) -> None:
    folder = written(tmp_path / "practice", agent_toml=LOCAL)
    choice = choice_of(Settings(agent="practice", agents_dir=str(tmp_path), dev=True))
    library = choice.library(AttemptMemory(), lambda *_: None)
    first = library.pick("call_1").agent
    (folder / "prompt.md").write_text("You are changed.")
    await library.refresh()
    second = library.pick("call_1").agent
    assert isinstance(first, PromptedAgent)
    assert isinstance(second, PromptedAgent)
    assert second is not first
    assert second.model is first.model is not None
    for agent in library.agents:
        await agent.close()  # the model twice, too


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (Settings(agent="nobody"), "CUEBOX_AGENT is 'nobody', but the agents here are: dummy, receptionist"),
        (Settings(agent="a:x"), "CUEBOX_AGENT is 'a:x', but must be an agent, or shares such as a:95,b:5"),
        (Settings(agent="receptionist"), "the target 'gpt-4.1' needs its key: set OPENAI_API_KEY"),
        (Settings(openai_api_key="k", timezone="Mars/Olympus"), "CUEBOX_TIMEZONE is 'Mars/Olympus'"),
        (Settings(timezone="../etc"), "CUEBOX_TIMEZONE"),
        (Settings(openai_api_key="k", openai_base_url="localhost:8000"), "OPENAI_BASE_URL is 'localhost:8000'"),
        (Settings(agents_dir="/nowhere"), r"CUEBOX_AGENTS_DIR is '/nowhere', .* \(No such file or directory\)"),
    ],
)
def test_what_cannot_be_started_is_told_in_one_sentence(settings: Settings, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        choice_of(settings)


def test_all_mistakes_of_all_agents_are_told(tmp_path: Path) -> None:
    """Of those, too, that only an address would name."""
    written(tmp_path / "a", agent_toml="greting = 'Hello'")
    written(tmp_path / "b", agent_toml="[[targets]]\nmodel = 'm'\nkey = 'sk-secret'", tools_py="x = ")
    with pytest.raises(SettingsError) as refused:
        choice_of(Settings(agent="dummy", agents_dir=str(tmp_path)))
    told = str(refused.value).replace(f"{tmp_path}/", "")
    assert told.splitlines() == [
        "The agent 'a' cannot be read:",
        "  a/agent.toml:1: `greting` means nothing (did you mean `greeting`?)",
        "The agent 'b' cannot be read:",
        "  b/agent.toml:3: `targets[1].key`: expected `str` matching regex '^([A-Z0-9_]+_API_KEY)?$'",
        "  b/tools.py:1: SyntaxError: invalid syntax",
    ]
