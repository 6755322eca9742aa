"""A stand-in model server: speaks OpenAI Chat Completions, says what its script says, fails as its script tells.

A request takes the first of `scripts`, else `script`; if that has no fault, the chances may give it one; then a
directive in its last user message overrides both, and a broken one is answered by a 400. All that is drawn for an
answer depends on the seed and on the answer's number alone.
"""

import argparse
import asyncio
import gc
import random
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import MISSING, fields, replace
from itertools import chain
from typing import Self

import msgspec

if sys.platform != "win32":
    import uvloop

from service.simulator.model_http import Connection, HttpRequest, Received
from service.simulator.model_script import FAULTS, Chances, Refuse, Script, directed
from service.simulator.model_spelling import ChatRequest, Spelling, answered, refused
from service.simulator.model_times import times
from service.simulator.model_wire import Move, streamed, whole

Scripted = Script | Callable[[ChatRequest], Script]


class StandInModel:
    """The server: `async with StandInModel(script) as model`, and `model.base_url` is where it answers.

    What it counts: a stream is an answer in progress, of any kind; one is closed by the client if its connection
    ends first, and not by our own cut or leaving; `peak_streams` is at the last request for an answer.
    """

    def __init__(
        self,
        script: Scripted | None = None,
        chances: Chances | None = None,
        *,
        port: int = 0,
        remembered: int = 1000,
        seed: int | None = None,
    ) -> None:
        self.script: Scripted = script or Script()
        self.scripts: deque[Scripted] = deque()
        self.chances = chances or Chances()
        self.seed = random.getrandbits(32) if seed is None else seed
        self.requests: deque[Received] = deque(maxlen=remembered)
        self.open_streams = 0
        self.base_url = ""
        self._port = port
        self._number = 0
        self._connections: set[Connection] = set()
        self._changed = asyncio.Event()
        self.forget_stats()

    def forget_stats(self) -> None:
        """Count anew, as `POST /stats/reset` does."""
        self.received = self.answered = self.closed_by_client = 0
        self.peak_streams = self.open_streams
        self.first_tokens: deque[float] = deque(maxlen=200_000)

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), "127.0.0.1", self._port, backlog=4096)
        self.base_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_error: object) -> None:
        # CPython 3.11 loses a connection accepted just when its server closes: accept no more, and let the last one in.
        for listening in self._server.sockets:
            asyncio.get_running_loop().remove_reader(listening.fileno())
        await asyncio.sleep(0)
        self._server.close()
        for connection in tuple(self._connections):
            connection.drop()
        await self.until(lambda: not self._connections)
        await self._server.wait_closed()

    async def quiet(self, *, within: float = 1.0) -> None:
        """Wait until no stream is open; TimeoutError if one still is after so many seconds."""
        await self.until(lambda: self.open_streams == 0, within=within)

    async def until(self, condition: Callable[[], bool], *, within: float = 1.0) -> None:
        """Wait until this is so of what is counted here, looking whenever a count changes."""
        async with asyncio.timeout(within):
            while not condition():
                await self._changed.wait()

    def answer(self, request: HttpRequest) -> Iterable[Move]:
        match request.method, request.path:
            case "POST", path if path.endswith("/v1/chat/completions"):  # some providers' addresses have more before it
                return self._chat(request)
            case "POST", path if re.fullmatch("/openai/deployments/[^/]+/chat/completions", path):
                return self._azure(request)
            case "GET", "/v1/models":
                model = {"id": "stand-in", "object": "model", "created": 1_700_000_000, "owned_by": "cuebox"}
                return [answered(200, msgspec.json.encode({"object": "list", "data": [model]}))]
            case "GET", "/stats":
                return [answered(200, self._stats())]
            case "POST", "/stats/reset":
                self.forget_stats()
                return [answered(200, b"{}")]
            case _:
                return [refused(Refuse(404, code="unknown_url"), f"no {request.method} {request.path} here")]

    def _stats(self) -> bytes:
        counted = ("seed", "answered", "closed_by_client", "open_streams", "peak_streams")
        stats = {name: getattr(self, name) for name in counted}
        return msgspec.json.encode({**stats, "requests": self.received, "first_tokens": list(self.first_tokens)})

    def _azure(self, request: HttpRequest) -> Iterable[Move]:
        if not re.search(r"(?:^|&)api-version=[^&]", request.query):
            return [refused(Refuse(404, code="404"), "Resource not found")]
        if not request.headers.get("api-key"):
            return [refused(Refuse(401), "Access denied due to a missing api-key")]
        return self._chat(request, is_azure=True)

    def _chat(self, request: HttpRequest, *, is_azure: bool = False) -> Iterable[Move]:
        self.received += 1
        self.peak_streams = max(self.peak_streams, self.open_streams + 1)
        try:
            chat = msgspec.json.decode(request.body, type=ChatRequest)
        except ValueError as error:  # not JSON, not UTF-8, or without its fields
            return [refused(Refuse(400), str(error))]
        now = asyncio.get_running_loop().time()
        self.requests.append(Received(now, request.headers, request.body, chat, request.path, request.query))
        chance = random.Random(f"{self.seed}:{self._number}")  # noqa: S311  wanted: the same again
        self._number += 1
        try:
            scripted = self._next_script(chat)
        except Exception as error:  # noqa: BLE001  a script that is a function is a test's code: it must not hang the caller
            return [refused(Refuse(500, code="script_failed"), f"the script failed: {error!r}")]
        try:
            fault = scripted.fault or self.chances.draw(chance)
            script = directed(replace(scripted, fault=fault), chat.last_user_text)
        except ValueError as error:
            return [refused(Refuse(400, code="broken_directive"), f"broken directive: {error}")]
        if chat.brings_tool_result and script.calls is not scripted.calls:
            script = replace(script, calls=())
        self.answered += 1
        pauses = script.pauses(chance)
        self.first_tokens.append(first := next(pauses))
        spelling = Spelling(self._number, chat, script, is_azure=is_azure)
        return (streamed if chat.stream else whole)(script, spelling, chain([first], pauses))

    def _next_script(self, chat: ChatRequest) -> Script:
        scripted = self.scripts.popleft() if self.scripts else self.script
        if not isinstance(scripted, Script):
            return scripted(chat)  # it has seen whether there are results, and may call again
        return replace(scripted, calls=()) if chat.brings_tool_result else scripted

    def stream_opened(self) -> None:
        self.open_streams += 1
        self._notify()

    def stream_closed(self, *, by_client: bool) -> None:
        self.open_streams -= 1
        self.closed_by_client += by_client
        self._notify()

    def connection_opened(self, connection: Connection) -> None:
        self._connections.add(connection)
        self._notify()
        if not self._server.is_serving():  # it was accepted in the moment of leaving
            connection.drop()

    def connection_closed(self, connection: Connection) -> None:
        self._connections.remove(connection)
        self._notify()

    def _notify(self) -> None:
        self._changed.set()  # wakes all who wait now
        self._changed.clear()


_EXAMPLES = """\
times       0.05 is always the same; uniform:4,8 lies between; lognormal:0.55,1.2 has this median and 95th percentile;
            4%uniform:4,8+lognormal:0.55,1.2 is the first in 4% of the draws, and else the second
chances     4%hang_after_role, or "1%refuse status=429 retry_after=2": of all requests so many have this fault
directives  in the last user message, [[stall after=3 gap=0.2]] says for this request what is else drawn or given,
            [[calls="find_slot {\\"day\\": 1}; take_message" lead_in=Wait.]] answers with tool calls
elsewhere   GET /stats tells what was drawn and counted since POST /stats/reset; an Azure target has the base URL
            without its /v1, and any key, deployment and api-version

faults and their fields:
"""


def main(arguments: list[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m service.simulator.model",
        description="A stand-in model server: OpenAI Chat Completions, with the waits and the faults of your choice.",
        epilog=_EXAMPLES + "\n".join(f"  {_usage(name, kind)}" for name, kind in FAULTS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=9000, help="0 takes a free one; the first line says which")
    parser.add_argument("--text", default=Script().text, help="what it says, one chunk a word")
    parser.add_argument("--chunks", type=int, metavar="N", help="say N words instead, ten a sentence")
    parser.add_argument("--first-token", default="0", metavar="TIMES", help="from the request to the first words")
    parser.add_argument("--gap", default="0", metavar="TIMES", help="from each chunk to the next")
    parser.add_argument("--fault", action="append", default=[], metavar="CHANCE", help="may be given more than once")
    parser.add_argument("--seed", type=int, help="the same seed draws the same; the second line says which")
    given = parser.parse_args(arguments)
    try:
        script = Script(_sentences(given.chunks) or given.text, times(given.first_token), times(given.gap))
        model = StandInModel(script, Chances(*given.fault), port=given.port, remembered=0, seed=given.seed)
    except ValueError as error:
        parser.error(str(error))
    gc.freeze()  # a long collection would look like a slow model
    with suppress(KeyboardInterrupt):
        (asyncio.run if sys.platform == "win32" else uvloop.run)(_serve(model))


def _usage(name: str, kind: type) -> str:
    """Say a fault in one line: its fields, with their defaults, and what it does."""
    spelt = [f"{field.name}={'' if field.default in (MISSING, None) else field.default}" for field in fields(kind)]
    return f"{' '.join([name, *spelt]):52} {kind.__doc__}"


def _sentences(words: int | None) -> tuple[str, ...]:
    return tuple(f" word{number}{'' if number % 10 else '.'}" for number in range(1, (words or 0) + 1))


async def _serve(model: StandInModel) -> None:
    async with model:
        sys.stdout.write(f"""{model.base_url}
seed {model.seed}
curl -N {model.base_url}/chat/completions -d '{{"model": "any", "stream": true, "messages": [
  {{"role": "user", "content": "Hi. [[stall after=3 gap=0.2 text=\\"One two three four.\\"]]"}}]}}'
""")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    main()
