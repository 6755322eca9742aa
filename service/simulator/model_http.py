"""The stand-in model's connections: requests taken off them, and the moves of each answer made when they are due."""

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, assert_never, cast

from service.simulator.model_script import Refuse
from service.simulator.model_spelling import ChatRequest, refused
from service.simulator.model_wire import Move, Stop


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request, whole; header names are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


def take_request(buffer: bytearray) -> HttpRequest | None:
    """Take the first whole request off the buffer, if it is there; ValueError if what is there is none."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0 and len(buffer) <= 65_536:  # noqa: PLR2004  as much head as servers usually bear
        return None
    asked, *lines = buffer[: max(end, 0)].decode("latin-1").split("\r\n")
    line = re.fullmatch(r"([A-Z]+) (/[^\s?]*)(?:\?(\S*))? HTTP/1\.1", asked)
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
    return HttpRequest(line[1], line[2], line[3] or "", headers, body)


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        field = re.fullmatch(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):(.*)", line)
        if not field:
            raise ValueError("not a header field")
        name, value = field[1].lower(), field[2].strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


@dataclass(frozen=True, slots=True)
class Received:
    """One chat request, as it came and when, by the loop's clock."""

    at: float
    headers: Mapping[str, str]
    body: bytes
    chat: ChatRequest
    path: str
    query: str


class Server(Protocol):
    """What answers the requests of a connection, and counts."""

    def answer(self, request: HttpRequest) -> Iterable[Move]: ...
    def connection_opened(self, connection: "Connection") -> None: ...
    def connection_closed(self, connection: "Connection") -> None: ...
    def stream_opened(self) -> None: ...
    def stream_closed(self, *, by_client: bool) -> None: ...


class Connection(asyncio.Protocol):
    """One connection: takes requests off it, one at a time, and makes the moves of each answer when they are due.

    It reads on while it answers, so a client that leaves amid a silence is noticed at once.
    """

    def __init__(self, model: Server) -> None:
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
            case None:
                self._timer = self._loop.call_at(self._due, self._wake, moves)
            case Stop.FINISHED | Stop.CUT:
                self._settle(closed_by_client=False)
                if then is Stop.CUT or self._is_last:
                    self._transport.close()  # not abort(), which on uvloop would take back what was written just now
            case Stop.SILENT:
                pass
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
