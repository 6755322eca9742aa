"""A stand-in model server: speaks OpenAI Chat Completions, says what its script says, fails as its script tells.

Rule 1: headers and the role delta leave at once; `first_token_after` runs from the request to the first words,
        `gap` from each chunk to the next, and whatever a fault does instead of a chunk it does when that chunk is due.
Rule 2: a fault always happens: one after more chunks than there are words comes right after the last of them.
Rule 3: a request takes the first of `scripts`, else `script`; then a directive in its last user message overrides that.
Rule 4: a directive is `[[fault field=value ...]]`, each part optional, one a message: `[[stall after=3]]`,
        `[[first_token_after=0.5 text="Hello there."]]`, `[[refuse status=429 retry_after=2]]`. Faults are named in
        FAULTS, fields as in Script and the fault; a value with a space is a JSON string. A broken one is a 400.
"""

import argparse
import asyncio
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from enum import Enum, auto
from itertools import chain, cycle
from math import inf
from typing import Any, Self, assert_never, cast

import msgspec

# What to say, and what goes wrong.


@dataclass(frozen=True, slots=True)
class HangBeforeHeaders:
    """Take the request and never answer."""


@dataclass(frozen=True, slots=True)
class HangAfterHeaders:
    """Send the headers and nothing more."""


@dataclass(frozen=True, slots=True)
class HangAfterRole:
    """Send the role delta, then nothing more."""


@dataclass(frozen=True, slots=True)
class OnlyComments:
    """Send headers, then only SSE comments for ever: bytes that are no progress."""

    every: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.every < inf:
            raise ValueError("comments come every so many seconds, above 0")


@dataclass(frozen=True, slots=True)
class _AfterChunks:
    after: int

    def __post_init__(self) -> None:
        if self.after < 0:
            raise ValueError("a fault comes after 0 chunks or more")


class Stall(_AfterChunks):
    """Send so many chunks, then nothing more."""

    __slots__ = ()


class Cut(_AfterChunks):
    """Send so many chunks, then end the connection amid the body."""

    __slots__ = ()


class Garble(_AfterChunks):
    """Send so many chunks, one of broken JSON, and the rest."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Empty:
    """Stop without a word."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with an HTTP error, when the first words were due."""

    status: int
    code: str | None = None
    retry_after: float | None = None

    def __post_init__(self) -> None:
        if not 400 <= self.status <= 599:  # noqa: PLR2004  HTTP's own bounds
            raise ValueError("a refusal has a status of 400 to 599")


Fault = HangBeforeHeaders | HangAfterHeaders | HangAfterRole | OnlyComments | Stall | Cut | Garble | Empty | Refuse
FAULTS: dict[str, type[Fault]] = {
    "hang_before_headers": HangBeforeHeaders,
    "hang_after_headers": HangAfterHeaders,
    "hang_after_role": HangAfterRole,
    "only_comments": OnlyComments,
    "stall": Stall,
    "cut": Cut,
    "garble": Garble,
    "empty": Empty,
    "refuse": Refuse,
}


@dataclass(frozen=True, slots=True)
class Script:
    """One answer: its text (split into words, if not given as chunks), its times in seconds, and its fault."""

    text: str | tuple[str, ...] = "Hello, how can I help you?"
    first_token_after: float = 0.0
    gap: float = 0.0
    fault: Fault | None = None

    def __post_init__(self) -> None:
        if not (0 <= self.first_token_after < inf and 0 <= self.gap < inf):
            raise ValueError("first_token_after and gap are seconds, 0 or more")

    def chunks(self) -> tuple[str, ...]:
        return self.text if isinstance(self.text, tuple) else tuple(re.findall(r"\s*\S+|\s+", self.text))


_DIRECTIVE = re.compile(
    r"""\[\[ \s* (?P<fault> [a-z_]+ (?=[\s\]]) )?
        (?P<fields> (?: \s* [a-z_]+ = (?: "(?:[^"\\]|\\.)*" | [^\s"\[\]]+ ) (?=[\s\]]) )* ) \s* \]\]""",
    re.VERBOSE,
)
_FIELD = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|[^\s"]+)')
_SCRIPT_FIELDS: dict[str, Any] = {"text": str, "first_token_after": float, "gap": float}


def directed(script: Script, words: str) -> Script:
    """Return the script as a directive among these words changes it (rule 4); ValueError says why one is broken."""
    start = words.find("[[")
    if start < 0:
        return script
    found = _DIRECTIVE.match(words, start)
    if found is None or "[[" in words[found.end() :]:
        raise ValueError("not one directive of the form [[fault field=value ...]]")
    pairs = [(name, _value(spelt)) for name, spelt in _FIELD.findall(found["fields"])]
    given = dict(pairs)
    if len(given) < len(pairs):
        raise ValueError("a field is given twice")
    changes = {
        name: msgspec.convert(given.pop(name), kind, strict=False)
        for name, kind in _SCRIPT_FIELDS.items()
        if name in given
    }
    return replace(script, **changes, fault=_fault(found["fault"], given, otherwise=script.fault))


def _value(spelt: str) -> str:
    return msgspec.json.decode(spelt, type=str) if spelt.startswith('"') else spelt


def _fault(name: str | None, given: dict[str, str], otherwise: Fault | None) -> Fault | None:
    kind = FAULTS.get(name) if name else None
    if name and not kind:
        raise ValueError(f"no fault is named {name}; there are {', '.join(FAULTS)}")
    known = {field.name for field in fields(kind)} if kind else set()
    if unknown := given.keys() - known:
        raise ValueError(f"no such field here: {', '.join(sorted(unknown))}")
    return msgspec.convert(given, kind, strict=False) if kind else otherwise


# What is asked.


class Part(msgspec.Struct, frozen=True):
    """A piece of a message; one that is no text counts for nothing here."""

    text: str = ""


class Message(msgspec.Struct, frozen=True):
    """One line of the conversation."""

    role: str
    content: str | list[Part] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class StreamOptions(msgspec.Struct, frozen=True):
    """Whether the tokens are counted at the end."""

    include_usage: bool = False


class ChatRequest(msgspec.Struct, frozen=True):
    """The fields of a request that shape the answer; the rest stands in the `Received.body`."""

    model: str
    messages: list[Message]
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def last_user_text(self) -> str:
        return next((message.text for message in reversed(self.messages) if message.role == "user"), "")


@dataclass(frozen=True, slots=True)
class Received:
    """One request, as it came and when, by the loop's clock."""

    at: float
    headers: Mapping[str, str]
    body: bytes
    chat: ChatRequest


# How an answer runs: bytes to send, seconds to wait, and in the end a stop.


class Stop(Enum):
    """How an answer ends: whole, in silence on an open connection, or with the connection."""

    FINISHED = auto()
    SILENT = auto()
    CUT = auto()


Move = bytes | float | Stop

_COMMENT = b": keep-alive\n\n"
_GARBLED = b'data: {"choices": [{"delta": {"\n\n'
_HEADERS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n"
_KINDS: dict[int | str, tuple[str, str | None]] = {
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
    "insufficient_quota": ("insufficient_quota", "insufficient_quota"),
}


def streamed(script: Script, spelling: "Spelling") -> Iterable[Move]:
    """Lay out a streamed answer: a new fault has its place here, or among the chunks."""
    match script.fault:
        case HangBeforeHeaders():
            return [Stop.SILENT]
        case HangAfterHeaders():
            return [spelling.headers(), Stop.SILENT]
        case HangAfterRole():
            return [spelling.headers() + spelling.role(), Stop.SILENT]
        case OnlyComments(every):
            return chain([spelling.headers()], cycle([every, _framed(_COMMENT)]))
        case Refuse() as refusal:
            return [script.first_token_after, refused(refusal)]
        case Empty() | Stall() | Cut() | Garble() | None as fault:
            return chain([spelling.headers() + spelling.role()], _paced(script, _chunks(script, fault, spelling)))
        case _:
            assert_never(script.fault)


def _chunks(script: Script, fault: Empty | Stall | Cut | Garble | None, spelling: "Spelling") -> list[bytes | Stop]:
    words = [spelling.words(chunk) for chunk in script.chunks()]
    end = spelling.end(len(words))
    match fault:
        case Empty():
            return [spelling.end(0)]
        case Stall(after):
            return [*words[:after], Stop.SILENT]
        case Cut(after):
            return [*words[:after], Stop.CUT]
        case Garble(after):
            return [*words[:after], _framed(_GARBLED), *words[after:], end]
        case None:
            return [*words, end]
        case _:
            assert_never(fault)


def _paced(script: Script, beats: list[bytes | Stop]) -> Iterator[Move]:
    pause = script.first_token_after
    for beat in beats:
        yield pause
        yield beat
        pause = script.gap


def whole(script: Script, spelling: "Spelling") -> Iterable[Move]:
    """Lay out an answer in one piece, which comes when the last chunk of a stream would have come."""
    chunks = script.chunks()
    wait = script.first_token_after + script.gap * len(chunks)
    match script.fault:
        case HangBeforeHeaders() | HangAfterHeaders() | HangAfterRole() | OnlyComments() | Stall():
            return [Stop.SILENT]
        case Refuse() as refusal:
            return [script.first_token_after, refused(refusal)]
        case Cut():
            return [wait, Stop.CUT]
        case Garble():
            return [wait, _answer(200, b'{"choices": [{"message": {"')]
        case Empty():
            return [wait, spelling.completion(())]
        case None:
            return [wait, spelling.completion(chunks)]
        case _:
            assert_never(script.fault)


def refused(refusal: Refuse, message: str = "The stand-in model refuses, as its script says.") -> bytes:
    """Spell an error as OpenAI does."""
    usual = ("server_error" if refusal.status >= 500 else "invalid_request_error", refusal.code)  # noqa: PLR2004
    kind, code = _KINDS.get(refusal.code or refusal.status, usual)
    error = {"message": message, "type": kind, "param": None, "code": code}
    extra = "" if refusal.retry_after is None else f"retry-after: {refusal.retry_after:g}\r\n"
    return _answer(refusal.status, msgspec.json.encode({"error": error}), extra)


def _answer(status: int, body: bytes, extra: str = "") -> bytes:
    # The reason phrase is for no one: a client reads the number.
    head = f"HTTP/1.1 {status} Answer\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


@dataclass(frozen=True, slots=True)
class Spelling:
    """The wire words of one answer."""

    number: int
    chat: ChatRequest

    def headers(self) -> bytes:
        return b"%bx-request-id: req_%d\r\n\r\n" % (_HEADERS, self.number)

    def role(self) -> bytes:
        return _framed(self._chunk({"role": "assistant", "content": "", "refusal": None}))

    def words(self, text: str) -> bytes:
        return _framed(self._chunk({"content": text}))

    def end(self, chunks: int) -> bytes:
        usage = self._event(choices=[], usage=self._usage(chunks)) if self.chat.wants_usage else b""
        return _framed(self._chunk({}, "stop") + usage + b"data: [DONE]\n\n") + b"0\r\n\r\n"

    def completion(self, chunks: tuple[str, ...]) -> bytes:
        message = {"role": "assistant", "content": "".join(chunks), "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        body = self._body("chat.completion", choices=[choice], usage=self._usage(len(chunks)))
        return _answer(200, body, f"x-request-id: req_{self.number}\r\n")

    def _chunk(self, delta: dict[str, str | None], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self._event(choices=[choice], **({"usage": None} if self.chat.wants_usage else {}))

    def _event(self, **fields: object) -> bytes:
        return b"data: %b\n\n" % self._body("chat.completion.chunk", **fields)

    def _body(self, kind: str, **fields: object) -> bytes:
        # Created when the epoch says: the loop's clock is no calendar, and a test wants the same answer twice.
        about = {"id": f"chatcmpl-{self.number}", "object": kind, "created": 1_700_000_000, "model": self.chat.model}
        return msgspec.json.encode({**about, "system_fingerprint": "fp_standin", **fields})

    def _usage(self, completion: int) -> dict[str, int]:
        prompt = sum(len(message.text.split()) for message in self.chat.messages)
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _framed(events: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(events), events)


# How it travels.


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
    line = re.fullmatch(r"([A-Z]+) (/[^\s?]*)\S* HTTP/1\.1", asked)
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
        field = re.fullmatch(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*", line)
        if not field:
            raise ValueError("not a header field")
        name = field[1].lower()
        headers[name] = f"{headers[name]}, {field[2]}" if name in headers else field[2]
    return headers


class _Connection(asyncio.Protocol):
    """One connection: takes requests off it, one at a time, and makes the moves of each answer when they are due."""

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


class StandInModel:
    """The server: `async with StandInModel(script) as model`, and `model.base_url` is where it answers."""

    def __init__(self, script: "Scripted | None" = None, *, port: int = 0, remembered: int = 1000) -> None:
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
                return [_answer(200, msgspec.json.encode({"object": "list", "data": [model]}))]
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


Scripted = Script | Callable[[ChatRequest], Script]


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
