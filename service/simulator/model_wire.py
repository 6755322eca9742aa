"""What the stand-in model is asked and answers, as OpenAI spells it: a script becomes bytes, waits and a stop.

Rule 1: headers and the role delta leave at once; `first_token_after` runs from the request to the first words,
        `gap` from each chunk to the next, and whatever a fault does instead of a chunk it does when that chunk is due.
Rule 2: a fault always happens: one after more chunks than there are words comes right after the last of them.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from itertools import chain, cycle
from typing import assert_never

import msgspec

from service.simulator.model_script import (
    Cut,
    Empty,
    Garble,
    HangAfterHeaders,
    HangAfterRole,
    HangBeforeHeaders,
    OnlyComments,
    Refuse,
    Script,
    Stall,
)


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
            return [wait, answered(200, b'{"choices": [{"message": {"')]
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
    return answered(refusal.status, msgspec.json.encode({"error": error}), extra)


def answered(status: int, body: bytes, extra: str = "") -> bytes:
    """Frame a JSON body as an HTTP answer."""
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
        return answered(200, body, f"x-request-id: req_{self.number}\r\n")

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
