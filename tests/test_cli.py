"""The command as a user meets it: real processes, real signals."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from service.cli import main
from service.server import bind
from service.settings import Settings
from service.simulator.model import StandInModel
from service.simulator.model_script import Empty, HangAfterRole, Refuse, Script
from tests.agents.folders import written

CUEBOX = [sys.executable, "-m", "service"]
CLEAN = {
    name: value for name, value in os.environ.items() if not name.startswith(("CUEBOX_", "OPENAI_", "PORT", "HOST"))
} | {"CUEBOX_METRICS_PORT": "0"}


def cuebox(*words: str, said: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CUEBOX, *words], env=CLEAN | environ, input=said, capture_output=True, text=True, timeout=20, check=False
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def served(environ: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A service that listens."""
    port = free_port()
    process = subprocess.Popen(
        [*CUEBOX, "serve"], env={**CLEAN, "PORT": str(port), **environ}, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert "service.ready" in process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("command", [[], ["serve"], ["check"], ["call"], ["connect"], ["probe"]])
def test_help_teaches_with_examples(command: list[str]) -> None:
    result = CliRunner().invoke(main, [*command, "--help"])
    assert result.exit_code == 0
    assert "Examples:\n  " in result.output


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"PORT": "many"}, "PORT must be a whole number"),
        ({"CUEBOX_AGENT": "nobody"}, "the agents here are: dummy, receptionist"),
        ({"CUEBOX_AGENT": "receptionist"}, "set OPENAI_API_KEY"),
        ({"HOST": "300.1.1.1", "CUEBOX_OPEN": "true"}, "Cannot listen on 300.1.1.1"),
        ({"HOST": "0.0.0.0"}, "HOST is 0.0.0.0, so anybody could call. Set CUEBOX_PATH_SECRET"),  # noqa: S104
    ],
)
def test_a_start_that_cannot_be_ends_with_one_sentence_and_code_2(environ: dict[str, str], sentence: str) -> None:
    result = cuebox("serve", **environ)
    assert result.returncode == 2
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_taken_port_ends_the_start_with_one_sentence_and_code_2() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = cuebox("serve", PORT=str(taken.getsockname()[1]))
    assert result.returncode == 2
    assert "Cannot listen on" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_port_that_another_service_is_about_to_use_is_taken() -> None:
    with bind(Settings(), port=0) as bound:
        result = cuebox("serve", PORT=str(bound.getsockname()[1]))
    assert result.returncode == 2


def test_unknown_settings_are_warned_of_and_the_service_starts() -> None:
    process = subprocess.Popen(
        [*CUEBOX, "serve"],
        env={**CLEAN, "PORT": str(free_port()), "CUEBOX_PROT": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert "CUEBOX_PROT is not a setting" in process.stdout.readline()
        assert "service.ready" in process.stdout.readline()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_service_in_good_order(kind: signal.Signals) -> None:
    with served({"CUEBOX_AGENT": "dummy"}) as process:
        process.send_signal(kind)
        assert process.wait(10) == 0


def test_check_finds_the_dummy_well() -> None:
    result = cuebox("check", CUEBOX_AGENT="dummy")
    assert result.returncode == 0
    assert "How may I help you?" in result.stdout
    assert "RETELL_API_KEY is not set: webhooks are answered 401" in result.stdout


def test_check_tells_that_there_is_no_model() -> None:
    result = cuebox("check")
    assert result.returncode == 0
    assert "receptionist (the default), without a model" in " ".join(result.stdout.split())


def test_check_tells_all_mistakes_in_an_agent_s_files_with_their_places(tmp_path: Path) -> None:
    written(tmp_path / "mine", agent_toml="\ngreting = 'Hello'", prompt_md="This is {{firm}}.")
    result = cuebox("check", CUEBOX_AGENT="mine", CUEBOX_AGENTS_DIR=str(tmp_path))
    assert result.returncode == 2
    assert f"{tmp_path}/mine/agent.toml:2: `greting` means nothing (did you mean `greeting`?)" in result.stderr
    assert f"{tmp_path}/mine/prompt.md:1: {{{{firm}}}} has no default" in result.stderr


def test_a_new_agent_is_made_tested_checked_and_talked_to(tmp_path: Path) -> None:
    made = cuebox("new", "my-practice", CUEBOX_AGENTS_DIR=str(tmp_path / "agents"))
    folder = tmp_path / "agents" / "my-practice"
    assert (made.returncode, made.stdout.splitlines()[0]) == (0, f"Made {folder}. What comes next:")
    assert len(made.stdout.splitlines()) == 6
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    tested = subprocess.run(words, env=CLEAN, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert tested.returncode == 0, tested.stdout
    chosen = {"CUEBOX_AGENTS_DIR": str(folder.parent), "CUEBOX_AGENT": "my-practice", "CUEBOX_DEV": "true"}
    chosen |= {"APPOINTMENTS_FILE": str(tmp_path / "appointments.db")}
    checked = cuebox("check", **chosen)
    assert checked.returncode == 0
    assert "my-practice (CUEBOX_AGENT)" in checked.stdout
    talked = cuebox("call", said="Hello\n", **chosen)
    assert talked.returncode == 0
    assert "1 turn" in talked.stdout


def test_an_agent_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    result = cuebox("new", "mine", "--dir", str(tmp_path))
    assert result.returncode == 2
    assert "is there already" in result.stderr


@pytest.mark.parametrize(
    ("script", "code", "text"),
    [
        (Script("I can hear you."), 0, "I can hear you."),
        (Script("", fault=Refuse(401)), 1, "look at its variable"),
        (Script("", fault=Refuse(404)), 1, "look at the model's name"),
        (Script("**"), 1, "NothingSaid"),
    ],
)
async def test_check_tries_the_model(script: Script, code: int, text: str) -> None:
    async with StandInModel(script) as model:
        environ = {"OPENAI_API_KEY": "sk-secret", "OPENAI_BASE_URL": model.base_url, "CUEBOX_LOG_CONTENT": "true"}
        result = await asyncio.to_thread(cuebox, "check", **environ, CUEBOX_XYZZY="1")
    assert result.returncode == code
    assert text in " ".join(result.stdout.split())
    assert "CUEBOX_XYZZY is not a setting" in result.stdout
    assert "sk-secret" not in result.stdout


@pytest.mark.parametrize(
    ("script", "code", "texts"),
    [
        pytest.param(
            Script("One two three.", gap=0.02),
            0,
            [
                "gpt-4.1: model gpt-4.1",
                "first token after",
                "tokens/s",
                "3 out",
                "req_1",
                "9999 requests, 999900 tokens",
            ],
            id="well",
        ),
        pytest.param(Script(fault=Refuse(401)), 1, ["KeyRejected: the endpoint does not take the key"], id="refused"),
        pytest.param(
            Script(fault=HangAfterRole()), 1, ["TimeoutError: no answer within CUEBOX_TURN_BUDGET"], id="hanging"
        ),
        pytest.param(Script(fault=Empty()), 1, ["NothingSaid"], id="without-a-word"),
    ],
)
async def test_check_measures_one_target(script: Script, code: int, texts: list[str]) -> None:
    async with StandInModel(script) as model:
        environ = {"OPENAI_API_KEY": "sk-secret", "OPENAI_BASE_URL": model.base_url, "CUEBOX_TURN_BUDGET": "2"}
        result = await asyncio.to_thread(cuebox, "check", "--target", "gpt-4.1", **environ)
        assert len(model.requests) == (2 if code == 0 else 1)
        await model.quiet()
    assert result.returncode == code
    told = " ".join(result.stdout.split())
    assert [text for text in texts if text not in told] == []
    assert "sk-secret" not in told


@pytest.mark.parametrize(
    ("target", "environ", "sentence"),
    [
        ("gpt-5", {"OPENAI_API_KEY": "k"}, "No target is called 'gpt-5'; the agent has: gpt-4.1."),
        ("gpt-4.1", {"CUEBOX_AGENT": "receptionist"}, "the target 'gpt-4.1' needs its key: set OPENAI_API_KEY."),
        ("gpt-4.1", {"CUEBOX_AGENT": "dummy"}, "No target is called 'gpt-4.1'; the agent has: none."),
    ],
)
def test_check_of_a_target_that_cannot_be_asked_ends_with_one_sentence_and_code_2(
    target: str, environ: dict[str, str], sentence: str
) -> None:
    result = cuebox("check", "--target", target, **environ)
    assert result.returncode == 2
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_check_refuses_what_serve_would() -> None:
    result = cuebox("check", CUEBOX_AGENT="nobody")
    assert result.returncode == 2


def test_call_without_an_address_starts_a_service_of_its_own() -> None:
    result = cuebox("call", said="Hello\n", CUEBOX_AGENT="dummy")
    assert result.returncode == 0
    assert "How may I help you?" in result.stdout
    assert "I am sorry, can you say that again?" in result.stdout
    assert "No model is attached" not in result.stdout
    assert "1 turn" in result.stdout


def test_call_to_nobody_says_what_to_do() -> None:
    result = cuebox("call", "ws://127.0.0.1:1/llm-websocket")
    assert result.returncode == 1
    assert "Is the service running?" in result.stdout


@pytest.mark.parametrize("words", [["call"], ["call", "--call-id", "a b"]])
def test_call_refuses_what_cannot_be_used(words: list[str]) -> None:
    assert cuebox(*words, PORT="many").returncode == 2


@pytest.mark.parametrize(
    ("key", "hint"), [("", "No model is attached, because no key is set"), ("k", "'receptionist'")]
)
def test_a_terminal_is_told_where_to_look_and_how_to_talk(key: str, hint: str) -> None:
    port = str(free_port())
    environ = {**CLEAN, "PORT": port, "CUEBOX_LOG_FORMAT": "pretty", "OPENAI_API_KEY": key, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([*CUEBOX, "serve"], env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = ""
        while "service.ready" not in told:
            told += process.stdout.readline()
        process.terminate()
    assert hint in told
    assert f"call ws://127.0.0.1:{port}/llm-websocket" in told
