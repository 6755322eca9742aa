"""Seconds from starting the service to its greeting on a fresh line. Usage: cold_start.py [RUNS] [-- COMMAND …]."""

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import time

from service.simulator.line import SimulatedLine
from service.simulator.retell import RetellCall
from service.simulator.retell_steps import Step, TurnFinished


def free_port() -> int:
    """A port that nobody has, for now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


async def greeted_after(command: list[str]) -> float:
    """Start the service, call it as soon as it listens, and stop it when it has greeted."""
    port = free_port()
    begun = time.perf_counter()
    environ = os.environ | {"PORT": str(port), "CUEBOX_METRICS_PORT": str(free_port())}
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL) as service:  # noqa: ASYNC220, S603 - nothing else runs, and it is the operator's own command
        try:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 0.2).close()
                    break
                except OSError:
                    await asyncio.sleep(0.005)
            return await _greeting_of(port) - begun
        finally:
            service.terminate()


async def _greeting_of(port: int) -> float:
    call = RetellCall("cold")
    greeted = 0.0

    def see(step: Step) -> None:
        nonlocal greeted
        if isinstance(step, TurnFinished):
            greeted = time.perf_counter()
            line.carry_out(call.hang_up(line.now()))

    line = SimulatedLine(call, f"ws://127.0.0.1:{port}/llm-websocket/cold", see)
    await line.play()
    return greeted


if __name__ == "__main__":
    words, _, command = " ".join(sys.argv[1:]).partition("--")
    runs = int(words or 9)
    started = command.split() or [sys.executable, "-m", "service", "serve"]
    seconds = [asyncio.run(greeted_after(started)) for _ in range(runs)]
    low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
    print(f"exec to greeting: {middle:.2f} s (median of {runs}, {low:.2f} to {high:.2f})")
