"""What the stand-in model is asked and what it answers, as OpenAI spells it (and Azure, where that differs)."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec

from service.simulator.model_script import Refuse, Script, WrongCalls


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
    tools: list[Any] | None = None

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def brings_tool_result(self) -> bool:
        return bool(self.messages) and self.messages[-1].role == "tool"

    @property
    def last_user_text(self) -> str:
        return next((message.text for message in reversed(self.messages) if message.role == "user"), "")


_HEADERS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n%b\r\n"
_FILTERED = b'data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[]}\n\n'
_KINDS: dict[int | str, tuple[str, str | None]] = {
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
    "insufficient_quota": ("insufficient_quota", "insufficient_quota"),
}


class Spelling:
    """The wire words of one answer, by its number; what is the same in all its chunks is encoded once."""

    def __init__(self, number: int, chat: ChatRequest, script: Script, *, is_azure: bool = False) -> None:
        self._number = number
        self._chat = chat
        self._script = script
        self._prelude = _FILTERED if is_azure else b""
        self._finish = "tool_calls" if script.calls else "stop"
        self._kept = _left(max(0, 10_000 - number)) + b"x-request-id: req_%d\r\n" % number
        self._opening = b'data: %b,"choices":' % msgspec.json.encode(self._about("chat.completion.chunk"))[:-1]
        self._closing = b',"usage":null}\n\n' if chat.wants_usage else b"}\n\n"

    def headers(self) -> bytes:
        return _HEADERS % self._kept

    def role(self) -> bytes:
        content = None if self._script.calls and not self._script.lead_in else ""
        return framed(self._prelude + self._chunk(_json(role="assistant", content=content, refusal=None)))

    def words(self, text: str) -> bytes:
        return framed(self._chunk(_spoken(text) if len(text) < 100 else _json(content=text)))  # noqa: PLR2004  worth keeping

    def calls(self) -> Iterator[bytes]:
        """Spell the tool calls one after another: id and name, then the arguments in pieces."""
        fault = self._script.fault
        wrong = fault if isinstance(fault, WrongCalls) else WrongCalls("right")
        for place, call in enumerate(self._script.calls):
            index = {"zero": {"index": 0}, "missing": {}, "right": {"index": place}}[wrong.index]
            about = {"id": f"call_{self._number}_{place}", "type": "function"}
            for piece in ("", *re.findall(r"(?s).{1,12}", call.arguments)):
                known = about if not piece or wrong.id == "every" else {}
                named = {"name": call.name} if not piece or wrong.name == "every" else {}
                delta = {**index, **known, "function": {**named, "arguments": piece}}
                yield framed(self._chunk(_json(tool_calls=[delta])))

    def wrong(self, of: str) -> bytes:
        """Spell an event in which this is of a type that it never has."""
        spelt = {
            "content": self._chunk(b'{"content":7}'),
            "delta": self._chunk(b'["content"]'),
            "choices": self._event(b'{"index":0}'),
            "event": b"data: 7\n\n",
        }
        return framed(spelt[of])

    def end(self, chunks: int, finish: str | None = None) -> bytes:
        last = self._chunk(b"{}", msgspec.json.encode(finish or self._finish))
        if self._chat.wants_usage:
            last += b'%b[],"usage":%b}\n\n' % (self._opening, msgspec.json.encode(self._usage(chunks)))
        return framed(last + b"data: [DONE]\n\n") + b"0\r\n\r\n"

    def completion(self, text: str, finish: str | None = None) -> bytes:
        called = [
            {"id": f"call_{self._number}_{place}", "type": "function", "function": call}
            for place, call in enumerate(self._script.calls)
        ]
        calls = {"tool_calls": called} if called else {}
        message = {"role": "assistant", "content": text, "refusal": None, **calls}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish or self._finish}
        usage = self._usage(len(text.split()))
        return answered(200, _json(**self._about("chat.completion"), choices=[choice], usage=usage), self._kept)

    def _about(self, kind: str) -> dict[str, object]:
        # Created when the epoch says: the loop's clock is no calendar, and a test wants the same answer twice.
        made = {"id": f"chatcmpl-{self._number}", "object": kind, "created": 1_700_000_000, "model": self._chat.model}
        return {**made, "system_fingerprint": "fp_standin"}

    def _chunk(self, delta: bytes, finish: bytes = b"null") -> bytes:
        return self._event(b'[{"index":0,"delta":%b,"logprobs":null,"finish_reason":%b}]' % (delta, finish))

    def _event(self, choices: bytes) -> bytes:
        return self._opening + choices + self._closing

    def _usage(self, spoken: int) -> dict[str, Any]:
        prompt = sum(len(message.text.split()) for message in self._chat.messages)
        thought = self._script.reasoning_tokens
        return {
            "prompt_tokens": prompt,
            "completion_tokens": spoken + thought,
            "total_tokens": prompt + spoken + thought,
            "prompt_tokens_details": {"cached_tokens": prompt // 128 * 128},  # as OpenAI counts a prefix seen before
            "completion_tokens_details": {"reasoning_tokens": thought},
        }


def refused(refusal: Refuse, message: str = "The stand-in model refuses, as its script says.") -> bytes:
    """Spell an error as OpenAI does."""
    usual = ("server_error" if refusal.status >= 500 else "invalid_request_error", refusal.code)  # noqa: PLR2004
    kind, code = _KINDS.get(refusal.code or refusal.status, usual)
    extra = b"" if refusal.retry_after is None else b"retry-after: %g\r\n" % refusal.retry_after
    if refusal.status == 429:  # noqa: PLR2004  too many requests
        extra += _left(0)
    return answered(refusal.status, _json(error={"message": message, "type": kind, "param": None, "code": code}), extra)


def answered(status: int, body: bytes, extra: bytes = b"") -> bytes:
    """Frame a JSON body as an HTTP answer."""
    # The reason phrase is for no one: a client reads the number.
    head = b"HTTP/1.1 %d Answer\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%b\r\n"
    return head % (status, len(body), extra) + body


def framed(events: bytes) -> bytes:
    """Frame server-sent events as one chunk of an HTTP body."""
    return b"%x\r\n%b\r\n" % (len(events), events)


def _left(requests: int) -> bytes:
    return b"x-ratelimit-remaining-requests: %d\r\nx-ratelimit-remaining-tokens: %d\r\n" % (requests, requests * 100)


def _json(**fields: object) -> bytes:
    return msgspec.json.encode(fields)


@lru_cache(4096)
def _spoken(text: str) -> bytes:
    return _json(content=text)
