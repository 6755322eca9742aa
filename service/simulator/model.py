"""A stand-in model server: speaks OpenAI Chat Completions, says what its script says, fails as its script tells.

A request takes the first of `scripts`, else `script`; then a directive in its last user message overrides that, and
a broken one is answered by a 400.
"""

import argparse
import asyncio
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Self, assert_never, cast

import msgspec

from service.simulator.model_script import Refuse, Script, directed
from service.simulator.model_wire import ChatRequest, Move, Received, Spelling, Stop, answered, refused, streamed, whole


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request, whole; header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


def take_request(buffer: bytearray) -> HttpRequest | None:
    """Take the first whole request off the buffer, if it is there; ValueError if what is there is none."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0 and len(buffer) <= 65_536:  # noqa: PLR2004  as much head as servers usually bear
        return None
    asked, *lines = buffer[: max(end, 0)].decode("latin-1").split("\r\n")
    line = re.fullmatch(r"([A-Z]+) (/[^\s?]*)(?:\?\S*)? HTTP/1\.1", asked)
    if not line:
        raise ValueError("not an HTTP/1.1 request")
    headers = _headers(lines)
    length = headers.get("content-length", "0")
    if "transfer-encoding" in headers or not re.fullmatch("[0-9]{1,8}", length):
        raise ValueError("a body comes with its content-length, once")
    body_end = end + 4 + int(length)
    if len(buffer) < body_end:
        return None
    body = bytes(buffer[end + 4 : body_end])
    del buffer[:body_end]
    return HttpRequest(line[1], line[2], headers, body)


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        field = re.fullmatch(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):(.*)", line)
        if not field:
            raise ValueError("not a header field")
        name, value = field[1].lower(), field[2].strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


class _Connection(asyncio.Protocol):
    """One connection: takes requests off it, one at a time, and makes the moves of each answer when they are due.

    It reads on while it answers, so a client that leaves amid a silence is noticed at once.
    """

    def __init__(self, model: "StandInModel") -> None:
        self._model = model
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._moves: Iterator[Move] | None = None
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._is_last = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._model.connection_opened(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._take_requests()

    def connection_lost(self, _error: Exception | None) -> None:
        self._settle(closed_by_client=True)
        self._model.connection_closed(self)

    def drop(self) -> None:
        self._settle(closed_by_client=False)
        self._transport.abort()

    def _take_requests(self) -> None:
        while self._moves is None and not self._transport.is_closing():
            try:
                request = take_request(self._received)
            except ValueError as error:
                self._transport.write(refused(Refuse(400), str(error)))
                self._transport.close()
                return
            if request is None:
                return
            self._is_last = request.headers.get("connection", "").lower() == "close"
            self._due = self._loop.time()
            self._moves = iter(self._model.answer(request))
            self._model.stream_opened()
            self._move_on(self._moves)

    def _wake(self, moves: Iterator[Move]) -> None:
        self._move_on(moves)
        self._take_requests()

    def _move_on(self, moves: Iterator[Move]) -> None:
        burst, then = self._next_burst(moves)
        self._transport.write(burst)
        match then:
            case Stop.FINISHED | Stop.CUT:
                self._settle(closed_by_client=False)
                if then is Stop.CUT or self._is_last:
                    self._transport.close()  # not abort(), which on uvloop would take back what was written just now
            case Stop.SILENT:
                pass
            case None:
                self._timer = self._loop.call_at(self._due, self._wake, moves)
            case _:
                assert_never(then)

    def _next_burst(self, moves: Iterator[Move]) -> tuple[bytes, Stop | None]:
        """Gather all that is due by now into one write, and what stands after it: a stop, or a wait."""
        burst: list[bytes] = []
        for move in moves:
            if isinstance(move, bytes):
                burst.append(move)
            elif isinstance(move, Stop):
                return b"".join(burst), move
            else:
                self._due += move
                if self._due > self._loop.time():
                    return b"".join(burst), None
        return b"".join(burst), Stop.FINISHED

    def _settle(self, *, closed_by_client: bool) -> None:
        if self._moves is not None:
            self._moves = None
            if self._timer:
                self._timer.cancel()
            self._model.stream_closed(by_client=closed_by_client)


Scripted = Script | Callable[[ChatRequest], Script]


class StandInModel:
    """The server: `async with StandInModel(script) as model`, and `model.base_url` is where it answers.

    What it counts: a stream is an answer in progress, of any kind; one is closed by the client if its connection
    ends first, and not by our own cut or leaving.
    """

    def __init__(self, script: Scripted | None = None, *, port: int = 0, remembered: int = 1000) -> None:
        self.script: Scripted = script or Script()
        self.scripts: deque[Scripted] = deque()
        self.requests: deque[Received] = deque(maxlen=remembered)
        self.open_streams = self.peak_streams = self.answered = self.closed_by_client = 0
        self.base_url = ""
        self._port = port
        self._connections: set[_Connection] = set()
        self._changed = asyncio.Event()

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", self._port, backlog=4096)
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
            case "POST", "/v1/chat/completions":
                return self._chat(request)
            case "GET", "/v1/models":
                model = {"id": "stand-in", "object": "model", "created": 1_700_000_000, "owned_by": "cuebox"}
                return [answered(200, msgspec.json.encode({"object": "list", "data": [model]}))]
            case _:
                return [refused(Refuse(404, code="unknown_url"), f"no {request.method} {request.path} here")]

    def _chat(self, request: HttpRequest) -> Iterable[Move]:
        try:
            chat = msgspec.json.decode(request.body, type=ChatRequest)
        except ValueError as error:  # not JSON, not UTF-8, or without its fields
            return [refused(Refuse(400), str(error))]
        now = asyncio.get_running_loop().time()
        self.requests.append(Received(now, request.headers, request.body, chat))
        try:
            script = self._next_script(chat)
        except Exception as error:  # noqa: BLE001  a script that is a function is a test's code: it must not hang the caller
            return [refused(Refuse(500, code="script_failed"), f"the script failed: {error!r}")]
        try:
            script = directed(script, chat.last_user_text)
        except ValueError as error:
            return [refused(Refuse(400, code="broken_directive"), f"broken directive: {error}")]
        self.answered += 1
        return (streamed if chat.stream else whole)(script, Spelling(self.answered, chat))

    def _next_script(self, chat: ChatRequest) -> Script:
        scripted = self.scripts.popleft() if self.scripts else self.script
        return scripted if isinstance(scripted, Script) else scripted(chat)

    def stream_opened(self) -> None:
        self.open_streams += 1
        self.peak_streams = max(self.peak_streams, self.open_streams)
        self._notify()

    def stream_closed(self, *, by_client: bool) -> None:
        self.open_streams -= 1
        self.closed_by_client += by_client
        self._notify()

    def connection_opened(self, connection: _Connection) -> None:
        self._connections.add(connection)
        self._notify()
        if not self._server.is_serving():  # it was accepted in the moment of leaving
            connection.drop()

    def connection_closed(self, connection: _Connection) -> None:
        self._connections.remove(connection)
        self._notify()

    def _notify(self) -> None:
        self._changed.set()  # wakes all who wait now
        self._changed.clear()


def main(arguments: list[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="A stand-in model server, speaking OpenAI Chat Completions.")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--text", default=Script().text)
    parser.add_argument("--first-token-after", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--gap", type=float, default=0.0, metavar="SECONDS")
    given = parser.parse_args(arguments)
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(Script(given.text, given.first_token_after, given.gap), given.port))


async def _serve(script: Script, port: int) -> None:
    async with StandInModel(script, port=port) as model:
        sys.stdout.write(f"""{model.base_url}
curl -N {model.base_url}/chat/completions -d '{{"model": "any", "stream": true, "messages": [
  {{"role": "user", "content": "Hi. [[stall after=3 gap=0.2 text=\\"One two three four.\\"]]"}}]}}'
""")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    main()
