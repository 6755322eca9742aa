import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam

from infra.local_model import MISSING, MODEL, REPLY_TOKENS, busy_slots, is_installed, local_model
from service.settings import Settings
from tests.live import serving, words

SCRIPT = Path(__file__).parents[2] / "infra" / "local_model.py"
STORY: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Tell me a long story about a dog."}]


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    if not is_installed() and os.environ.get("CI") == "true":
        pytest.fail(f"CI must hear the real wire. {MISSING}")
    if not is_installed():
        pytest.skip(MISSING)
    with local_model() as url:
        yield url


@pytest.fixture
async def llm(base_url: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=base_url, api_key="local", max_retries=0, timeout=60) as client:
        yield client


async def test_a_reply_streams_in_many_chunks_and_its_usage_comes_last(llm: AsyncOpenAI) -> None:
    stream = await llm.chat.completions.create(
        model=MODEL, messages=STORY, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    words = [text for chunk in chunks for choice in chunk.choices if (text := choice.delta.content)]
    assert len(words) > 1
    assert "".join(words).strip()
    assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].choices == []


async def test_a_reply_ends_at_the_default_length_unless_the_request_asks_for_more(llm: AsyncOpenAI) -> None:
    endless = {"ignore_eos": True}  # llama.cpp's own: the length then depends on nothing but the limit
    short = await llm.chat.completions.create(model=MODEL, messages=STORY, extra_body=endless)
    longer = await llm.chat.completions.create(model=MODEL, messages=STORY, extra_body=endless, max_tokens=70)
    assert [reply.usage.completion_tokens for reply in (short, longer) if reply.usage] == [REPLY_TOKENS, 70]
    assert short.choices[0].finish_reason == "length"


async def test_closing_a_stream_midway_frees_its_slot(llm: AsyncOpenAI, base_url: str) -> None:
    # 3,000 tokens take most of a minute: a slot that is free within five seconds was freed by the close.
    stream = await llm.chat.completions.create(
        model=MODEL, messages=STORY, stream=True, max_tokens=3000, extra_body={"ignore_eos": True}
    )
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            break
    assert len(await asyncio.to_thread(busy_slots, base_url)) == 1
    await stream.close()
    async with asyncio.timeout(5):
        while await asyncio.to_thread(busy_slots, base_url):  # the server tells nobody: ask
            await asyncio.sleep(0.02)


async def test_a_call_is_answered_by_a_real_model_and_the_end_of_its_line_frees_the_slot(base_url: str) -> None:
    settings = Settings(
        agent="plain", agents_dir="infra/bench_agents", openai_api_key="local", openai_base_url=base_url, model=MODEL
    )
    async with serving(settings=settings) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "Hello.", "Tell me a long story about a dog.")
        frames = await line.until(lambda frame: frame["content_complete"], within=30)
        assert len(frames) > 2
        assert words(frames, 1).strip()
        await line.ask(2, "Hello.", "Tell me a long story about a cat.")
        await line.until(lambda frame: bool(frame["content"]), within=30)
        assert len(await asyncio.to_thread(busy_slots, base_url)) == 1
        line.cut()
        async with asyncio.timeout(5):
            while await asyncio.to_thread(busy_slots, base_url):
                await asyncio.sleep(0.02)


@pytest.mark.usefixtures("base_url")
def test_a_command_is_told_where_the_model_is_and_its_exit_code_is_ours() -> None:
    command = """
import json, os, sys, urllib.request
told = {name: os.environ[name] for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "CUEBOX_MODEL")}
with urllib.request.urlopen(told["OPENAI_BASE_URL"] + "/models") as answer:
    print(json.dumps([told, json.load(answer)["data"][0]["id"]]))
sys.exit(7)
"""
    done = run("--", sys.executable, "-c", command)
    announced, said = done.stdout.splitlines()
    told, model = json.loads(said)
    assert told["OPENAI_BASE_URL"] in announced
    assert (told["OPENAI_API_KEY"], told["CUEBOX_MODEL"], model) == ("local", MODEL, MODEL)
    assert (done.returncode, done.stderr) == (7, "")


@pytest.mark.usefixtures("base_url")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_command_which_says_how_it_ends(signum: signal.Signals) -> None:
    command = f"""
import signal, sys, time
signal.signal({signum}, lambda *_: sys.exit(5))
print("ready", flush=True)
time.sleep(60)
"""
    with started("--", sys.executable, "-c", command) as script:
        assert script.stdout
        assert "ready\n" in script.stdout
        script.send_signal(signum)
        assert script.wait(timeout=30) == 5


@pytest.mark.usefixtures("base_url")
def test_without_a_command_it_serves_until_a_signal() -> None:
    with started() as script:
        assert script.stdout
        url = next(word for word in script.stdout.readline().split() if word.startswith("http")).rstrip(":")
        assert busy_slots(url) == []
        script.terminate()
        assert script.wait(timeout=30) == 0


def test_a_taken_port_is_said_in_one_sentence(base_url: str) -> None:
    port = base_url.removesuffix("/v1").rpartition(":")[2]
    done = run("--port", port)
    assert done.returncode == 1
    assert f"is port {port} free?" in done.stderr  # llama.cpp may add a line of its own behind it


@pytest.mark.usefixtures("base_url")
def test_a_command_that_does_not_exist_is_said_in_one_sentence() -> None:
    done = run("--", "cuebox-has-no-such-command")
    assert (done.returncode, done.stderr) == (
        127,
        "cuebox-has-no-such-command cannot be run: No such file or directory.\n",
    )


def test_without_the_packages_it_says_what_to_do() -> None:
    # -S leaves out site-packages: the interpreter of a machine that has not installed them.
    done = run(interpreter_options=["-S"])
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{MISSING}\n")


def run(*arguments: str, interpreter_options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    with started(*arguments, interpreter_options=interpreter_options) as script:
        out, err = script.communicate(timeout=60)
    return subprocess.CompletedProcess(script.args, script.returncode, out, err)


@contextmanager
def started(*arguments: str, interpreter_options: Sequence[str] = ()) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, *interpreter_options, str(SCRIPT), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as script:  # ours
        try:
            yield script
        finally:
            script.kill()  # a failed assertion must not wait for it
