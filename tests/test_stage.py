"""Scenarios in worlds of their own: the real service, agent, tools and model engine, in virtual time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.settings import SettingsError
from service.simulator import retell_steps as steps
from service.simulator.scenario.reading import BrokenScenario, read_scenario
from service.simulator.scenario.telling import Played
from service.simulator.scenario.timeline import Settled
from service.stage import attempted, play, played_from, settings_of
from service.virtual.loop import Deadlock, TasksLeft

SCENARIOS = Path(__file__).parent / "scenarios"
BOOKING = SCENARIOS / "booking-a-visit.yaml"
TAKEOVER = SCENARIOS / "another-process-takes-over.yaml"
DIGESTS = (
    "import sys; from pathlib import Path; from service.stage import played_from\n"
    "print(*(played_from(Path(file)).digest for file in sys.argv[1:]))"
)


def written(folder: Path, text: str, name: str = "call.yaml") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def agent_in(folder: Path, name: str, tools: str = "", toml: str = "") -> Path:
    """An agent that greets with its name."""
    written(folder, f'greeting = "I am {name}."\n{toml}', f"{name}/agent.toml")
    written(folder, "Be brief.", f"{name}/prompt.md")
    if tools:
        written(folder, tools, f"{name}/tools.py")
    return folder / name


def test_a_hundred_repetitions_are_one_and_the_same_call(tmp_path: Path) -> None:
    played = played_from(BOOKING, repeat=100, cache=str(tmp_path))
    assert played.failures == ()
    sys.stdout.write(f"100 repetitions of {played.call_seconds:.0f} s of call took {played.took:.1f} s\n")


def test_other_processes_with_other_hashes_play_the_same(tmp_path: Path) -> None:
    files = [str(BOOKING), str(TAKEOVER)]
    here = [played_from(Path(file), cache=str(tmp_path)).digest for file in files]
    for seed in ("0", "4711"):
        told = subprocess.run(
            [sys.executable, "-c", DIGESTS, *files],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert told.stdout.split() == here


def test_what_draws_lots_elsewhere_is_found(tmp_path: Path) -> None:
    tools = """
import itertools
from service.agents import tools
tools.numbers = getattr(tools, "numbers", itertools.count())

async def before_call(call):
    call.variables["number"] = str(next(tools.numbers))
"""
    agent = agent_in(tmp_path, "odd", tools, '[variables]\nnumber = "none"\n')
    written(agent, "Say {{number}}.", "prompt.md")
    text = "steps: [{say: Hello., expect: {exactly: All right.}}]"
    file = written(agent, text, "scenarios/call.yaml")
    assert played_from(file).failures == ()
    (told,) = played_from(file, repeat=3).failures
    assert told.startswith("the call went otherwise when it was played again (2): a tool or a hook")


def test_an_agent_s_own_scenarios_are_played_with_it(tmp_path: Path) -> None:
    mine = agent_in(tmp_path, "mine")
    agent_in(tmp_path, "other")
    own = written(mine, "steps: [{listen: {exactly: I am mine.}}]", "scenarios/call.yaml")
    beside = written(tmp_path, "agent: other\nsteps: [{listen: {exactly: I am other.}}]", "calls/call.yaml")
    beside.write_text("agent: ../other\nsteps: [{listen: {exactly: I am other.}}]")
    assert played_from(own).failures == played_from(beside).failures == ()


def test_an_agent_is_named_as_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent_in(tmp_path, "named")
    monkeypatch.setenv("CUEBOX_AGENTS_DIR", str(tmp_path))
    file = written(tmp_path, "agent: named\nsteps: [{listen: {exactly: I am named.}}]", "call.yaml")
    assert played_from(file).failures == ()
    shipped = written(tmp_path, "agent: dummy\nsteps: [{say: Hello., expect: {matches: .}}]")
    assert played_from(shipped).failures == ()


def test_tools_work_in_a_folder_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = "from pathlib import Path\n\nasync def before_call(call):\n    Path('here').touch(exist_ok=False)\n"
    file = written(agent_in(tmp_path, "writing", tools), "steps: [listen]", "scenarios/call.yaml")
    monkeypatch.chdir(tmp_path)
    assert played_from(file.relative_to(tmp_path), repeat=2).failures == ()
    assert not Path("here").exists()


def test_settings_are_the_scenario_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUEBOX_TURN_BUDGET", "99")
    text = "settings: {CUEBOX_TURN_BUDGET: 7.5, CUEBOX_LOG_CONTENT: true, CUEBOX_PATH_SECRET: a-secret-of-some-length}"
    file = written(tmp_path, text)
    settings = settings_of(read_scenario(file), {})
    assert (settings.turn_budget, settings.log_content) == (7.5, True)
    assert settings.path_secret == "a-secret-of-some-length"
    assert settings_of(read_scenario(written(tmp_path, "name: x")), {}).turn_budget == 25


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("settings: {CUEBOX_TURN_BUDGIT: 3}", "did you mean CUEBOX_TURN_BUDGET"),
        ("settings: {CUEBOX_TURN_BUDGET: soon}", "must be a number"),
        ("agent: nobody", "the agents here are"),
    ],
)
def test_settings_that_cannot_be_used_break_the_file(text: str, why: str, tmp_path: Path) -> None:
    file = written(tmp_path, text)
    with pytest.raises(SettingsError):
        play(read_scenario(file), file)
    broken = attempted(file)
    assert isinstance(broken, BrokenScenario)
    assert str(broken).startswith(f"{file}:1: ")
    assert why in str(broken)


def test_tools_read_variables_of_their_own_in_a_folder_that_goes_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = """
import os
from pathlib import Path

async def before_call(call):
    Path(os.environ["NOTES"]).write_text("here")
    Path(os.environ["TOLD"]).write_text(os.environ["NOTES"])
"""
    monkeypatch.setenv("KEPT", "before")
    agent = agent_in(tmp_path, "noting", tools)
    told = tmp_path / "told"
    text = f'environment: {{NOTES: "{{folder}}/notes", TOLD: "{told}", KEPT: now}}\nsteps: [listen]'
    played_from(written(agent, text, "scenarios/call.yaml"))
    assert told.read_text().endswith("/notes")
    assert not Path(told.read_text()).exists()
    assert "NOTES" not in os.environ
    assert os.environ["KEPT"] == "before"


def test_the_inside_is_told() -> None:
    timeline = play(read_scenario(TAKEOVER), TAKEOVER)
    assert [settled.turn_id for _, settled in timeline.of(Settled)] == [0, 2, 3, 4]  # 1 died with its process
    assert {line["event"] for line in timeline.log} >= {"turn.settled", "service.draining", "call.ended"}
    assert all("timestamp" in line for line in timeline.log)
    first_ask = next(at for at, _ in timeline.of(steps.TurnAsked))
    assert timeline.requests[0].at == pytest.approx(first_ask, abs=0.01)


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ("{kill: other}", "there is no such process: other"),
        ("{drain: other}", "there is no such process: other"),
    ],
)
def test_a_process_that_is_not_there(step: str, why: str, tmp_path: Path) -> None:
    file = written(tmp_path, f"agent: dummy\nsteps: [listen, {step}]")
    assert played_from(file).failures == (f"step 2: {why}",)


def test_a_call_is_dialled_again_when_a_process_comes_back(tmp_path: Path) -> None:
    text = """agent: dummy
steps:
- listen
- kill: home
- {webhook: call_ended, when: lost}
"""
    file = written(tmp_path, text)
    assert played_from(file).failures[0] == "step 3: no process takes webhooks now"
    back = text.replace(
        "- {webhook: call_ended, when: lost}", "- {start: 1, after_ms: 2000}\n- {say: Hello., when: opened}"
    )
    assert played_from(written(tmp_path, f"{back}expect: {{lines: 2}}")).failures == ()


def test_a_tool_that_is_not_async_takes_no_time_of_the_world(tmp_path: Path) -> None:
    tools = """
import time
from service.agents.tools import tool

@tool(effect="read")
def look() -> str:
    "Look."
    time.sleep(0.2)
    return "nothing"
"""
    target = '[[targets]]\nmodel = "any"\n'
    text = """model: {answers: [{call: {look: {}}, then: Nothing.}], first_token_after: 0.1, gap: 0}
steps: [{say: Hello., expect: {exactly: Nothing., tool_results: {look: nothing}, within_ms: 201, not_before_ms: 200}}]
"""
    file = written(agent_in(tmp_path, "slow", tools, target), text, "scenarios/a.yaml")
    assert played_from(file).failures == ()


def test_lines_of_other_libraries_are_kept_too(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tools = "import logging\n\nasync def before_call(call):\n    logging.getLogger('x').warning('so %s', 'odd')\n"
    file = written(agent_in(tmp_path, "loud", tools), "expect: {log: {so odd: 1}}\nsteps: [listen]", "scenarios/a.yaml")
    assert played_from(file).failures == ()
    assert capfd.readouterr() == ("", "")


def test_a_world_that_fails_is_a_scenario_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ExceptionGroup("of tasks", [LookupError("a hole in the world")])

    monkeypatch.setattr("service.stage.play", broken)
    played = attempted(written(tmp_path, "name: A call"))
    assert isinstance(played, Played)
    assert played.failures == ("the world of the call failed: LookupError('a hole in the world')",)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            Deadlock(),
            "everybody waits for something that nobody will do. Does a tool or a hook wait without a timeout?",
        ),
        (TasksLeft("tasks were left: go"), "tasks were left: go. End what a tool or a hook begins in `after_call`."),
    ],
)
def test_a_world_that_cannot_go_on_says_what_to_look_for(
    error: Exception, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr("service.stage.play", broken)
    played = attempted(written(tmp_path, "name: A call"))
    assert isinstance(played, Played)
    assert played.failures == (f"the world of the call failed: {told}",)


def test_what_is_no_setting_is_told(tmp_path: Path) -> None:
    found = attempted(written(tmp_path, "settings: {OPENAI_KEY: x}"))
    assert "OPENAI_KEY is not a setting. What tools read stands under `environment`." in str(found)
