"""`cuebox simulate`, as it is called."""

import builtins
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result

from service.app import create_app
from service.cli import main
from service.server import running
from service.settings import Settings

GOOD = "agent: dummy\nsteps: [{say: Hello., expect: {matches: .}}]"
BAD = "name: A parrot\nagent: dummy\nsteps: [{say: Hello., expect: {contains: Polly}}]"
BROKEN = "steps: [{sya: Hello.}]"


def written(folder: Path, **texts: str) -> Path:
    """A folder of files."""
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def cuebox(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["simulate", *map(str, arguments)])


def test_all_pass(tmp_path: Path) -> None:
    told = cuebox(written(tmp_path, one=GOOD, two=GOOD))
    assert told.exit_code == 0, told.output
    assert told.output.splitlines()[:2] == ["✓ one", "✓ two"]
    assert told.output.splitlines()[-1].startswith("2 passed: 0.")


def test_some_fail_and_the_call_is_drawn(tmp_path: Path) -> None:
    told = cuebox(written(tmp_path, one=GOOD, parrot=BAD))
    assert told.exit_code == 1, told.output
    assert "✗ A parrot" in told.output
    assert "✗ step 1: turn 1 should contain “Polly”, but is" in told.output
    assert "moment caller" in told.output
    assert "1 passed, 1 failed" in told.output


def test_broken_files_are_told_with_their_lines_before_anything_is_played(tmp_path: Path) -> None:
    told = cuebox(written(tmp_path, good=GOOD, broken=BROKEN, other="steps:\n- wait: soon"), tmp_path / "nowhere.yaml")
    assert told.exit_code == 2
    assert f"{tmp_path}/broken.yaml:1: a step has a verb" in told.output
    assert f"{tmp_path}/other.yaml:2: `wait`: expected a number, got text" in told.output
    assert f"{tmp_path}/nowhere.yaml:1: it cannot be read" in told.output
    assert "✓" not in told.output


def test_a_setting_that_cannot_be_used_breaks_its_file_and_the_others_are_played(tmp_path: Path) -> None:
    told = cuebox(written(tmp_path, good=GOOD, odd="settings: {CUEBOX_AGENTT: x}"))
    assert told.exit_code == 2
    assert "odd.yaml:1: CUEBOX_AGENTT is not a setting; did you mean CUEBOX_AGENT?" in told.output
    assert "✓ good" in told.output


def test_results_for_machines(tmp_path: Path) -> None:
    xml, as_json, report = tmp_path / "r.xml", tmp_path / "r.json", tmp_path / "r.html"
    calls = tmp_path / "calls"
    calls.mkdir()
    written(calls, one=GOOD, parrot=BAD)
    told = cuebox(calls, "--junit", xml, "--json", as_json, "--report", report, "--repeat", "2")
    assert told.exit_code == 1, told.output
    suite = ET.parse(xml).getroot()[0]  # noqa: S314  our own
    assert [(case.get("name"), len(case)) for case in suite] == [("one", 0), ("A parrot", 1)]
    found = json.loads(as_json.read_bytes())
    assert (found["passed"], found["failed"]) == (1, 1)
    assert len(found["scenarios"][0]["turns"]) == 2
    page = report.read_text()
    assert "A parrot" in page
    assert "should contain “Polly”" in page


def test_several_processes_tell_the_same_in_the_same_order(tmp_path: Path) -> None:
    files = written(tmp_path, **{f"call-{number}": GOOD if number != 4 else BAD for number in range(8)})
    alone, together = cuebox(files, "--jobs", "1"), cuebox(files, "--jobs", "3")
    assert alone.exit_code == together.exit_code == 1
    assert alone.output.splitlines()[:-1] == together.output.splitlines()[:-1]


AGENT = """
import os
import signal
from service.agents.tools import tool

@tool(effect="read")
def stop() -> str:
    '''Stop.'''
    %s
    return "stopped"
"""
STOPPED = "model: {answers: [{call: {stop: {}}, then: Stopped.}]}\nsteps: [{say: Stop., expect: {tools: {stop: null}}}]"


def agent_that(folder: Path, body: str, *, calls: int) -> Path:
    """The scenarios of an agent whose tool does this. No other test's agents are beside it."""
    folder = folder / "agents" / "shop"
    (folder / "scenarios").mkdir(parents=True)
    (folder / "prompt.md").write_text("Be kind.")
    (folder / "agent.toml").write_text('greeting = "Hello."\n[[targets]]\nmodel = "any"\n')
    (folder / "tools.py").write_text(AGENT % body)
    return written(folder / "scenarios", **{f"call-{number}": STOPPED for number in range(calls)})


def test_a_tool_that_never_ends_fails_its_scenario_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.stage.LONGEST", 1.0)
    told = cuebox(agent_that(tmp_path, "while True: pass", calls=1))
    assert told.exit_code == 1, told.output
    assert f"it was not over after 1 s of this machine, at {tmp_path}/agents/shop/tools.py:9" in told.output


def test_a_process_that_dies_fails_what_it_played(tmp_path: Path) -> None:
    body = "os.getpid() == int(os.environ['MAIN']) or os._exit(3)"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAIN", str(os.getpid()))
        told = cuebox(agent_that(tmp_path, body, calls=8), "--jobs", "2")
    assert told.exit_code == 1, told.output
    assert "✓ call 0" in told.output
    assert "a process died that played calls: try it alone, cuebox simulate" in told.output
    assert told.output.splitlines()[-1].startswith("1 passed, 7 failed")


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupt_ends_all_without_a_traceback(jobs: str, tmp_path: Path) -> None:
    calls = written(tmp_path, **{f"call-{number}": GOOD for number in range(50)})
    command = [sys.executable, "-m", "service", "simulate", str(calls), "--repeat", "50", "--jobs", jobs]
    playing = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    assert playing.stdout is not None
    assert playing.stdout.readline().startswith("✓".encode())
    os.killpg(playing.pid, signal.SIGINT)
    told, _ = playing.communicate(timeout=20)
    assert playing.returncode == 1
    assert told.decode().strip().endswith("Aborted!")
    assert b"Traceback" not in told


def test_where_all_had_to_be_skipped_nothing_has_passed(tmp_path: Path) -> None:
    told = cuebox(written(tmp_path, inside="model: none"), "--url", "ws://127.0.0.1:9")
    assert told.exit_code == 1, told.output
    assert told.output.splitlines()[-1].startswith("0 passed, 1 skipped")


def test_only_those_that_are_named(tmp_path: Path) -> None:
    files = written(tmp_path, one=GOOD, parrot=BAD)
    assert cuebox(files, "-k", "ONE").exit_code == 0
    assert cuebox(files, "-k", "a parrot").exit_code == 1
    told = cuebox(files, "-k", "nothing")
    assert told.exit_code == 2
    assert "None of the 2 scenarios has 'nothing' in its name." in told.output


def test_a_path_is_needed_and_a_folder_with_scenarios(tmp_path: Path) -> None:
    assert "Say which: files, or folders of them" in cuebox().output
    told = cuebox(tmp_path)
    assert told.exit_code == 2
    assert "this folder has no scenario: a file that ends in .yaml" in told.output


def test_the_schema_is_printed() -> None:
    told = cuebox("--schema")
    assert told.exit_code == 0
    assert json.loads(told.output)["title"] == "A scenario of Cuebox"


def test_what_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own_import = builtins.__import__

    def importing(
        name: str, globals_: Mapping[str, object] | None, locals_: Any, names: Sequence[str], level: int = 0
    ) -> Any:
        if name.startswith("service.simulator.scenario"):
            raise ModuleNotFoundError(name=missing)
        return own_import(name, globals_, locals_, names, level)

    monkeypatch.setattr(builtins, "__import__", importing)
    missing = "yaml"
    told = cuebox(tmp_path)
    assert told.exit_code == 2
    assert "pip install 'cuebox[simulate]'" in told.output
    missing = "click"
    assert isinstance(cuebox(tmp_path).exception, ModuleNotFoundError)


async def test_a_service_elsewhere_is_called_in_real_time(tmp_path: Path) -> None:
    import asyncio  # noqa: PLC0415

    settings = Settings(agent="dummy", host="127.0.0.1", port=1, metrics_port=0, dev=True)
    calls = written(tmp_path, one=f"words_per_second: 100\n{GOOD}", inside=f"model: none\n{GOOD}")
    async with running(create_app(settings), settings) as address:
        url = f"ws://{address}/llm-websocket"
        told = await asyncio.to_thread(cuebox, calls, "--url", url)
    assert told.exit_code == 0, told.output
    assert "✓ one" in told.output
    assert "- inside  (skipped: it says what the model does)" in told.output


def test_on_a_terminal_progress_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.simulate._is_watched", lambda: True)
    assert "1 of 2 …" in cuebox(written(tmp_path, one=GOOD, two=GOOD)).output


def test_a_new_agent_has_five_calls_that_pass(tmp_path: Path) -> None:
    made = CliRunner().invoke(main, ["new", "practice", "--dir", str(tmp_path)])
    scenarios = tmp_path / "practice" / "scenarios"
    assert f"simulate {scenarios}" in made.output
    told = cuebox(scenarios)
    assert told.exit_code == 0, told.output
    assert told.output.splitlines()[-1].startswith("5 passed")
