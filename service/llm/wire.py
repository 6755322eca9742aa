"""What a Chat Completions endpoint streams: server-sent events, each one chunk of JSON.

Bytes are decoded once, and chunks that arrived in one read leave as one piece of text.
"""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec
from msgspec import Struct

from service.llm.model import (
    AnswerBegun,
    AnswerFiltered,
    KeyRejected,
    ModelError,
    QuotaExhausted,
    RateLimited,
    RequestRejected,
    ServerFailed,
    StreamBroken,
    Usage,
)
from service.llm.tool_calls import ToolCallDelta, ToolCalls

_MAX_EVENT = 1 << 20
"""Bytes of one event; an endpoint that sends more without a line break is not one."""

_SHORTEST_CHUNK = 20
"""A line of fewer bytes holds no words."""

_DONE = b"[DONE]"
_NO_CHUNK = {b"", _DONE}
_LONGEST_DATE = 40


class _Delta(Struct, frozen=True):
    content: str | None = None
    tool_calls: list[ToolCallDelta] | None = None


class _Choice(Struct, frozen=True):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Fault(Struct, frozen=True):
    code: str | int | None = None
    type: str | None = None
    metadata: Any = None


class _InputDetails(Struct, frozen=True):
    cached_tokens: int | None = None


class _OutputDetails(Struct, frozen=True):
    reasoning_tokens: int | None = None


class _Usage(Struct, frozen=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None


class _Chunk(Struct, frozen=True):
    choices: list[_Choice] | None = None
    error: _Fault | str | None = None
    usage: Any = None


may_end_a_sentence = re.compile(  # begun by one set of bytes, it costs a third of what plain alternatives do
    rb"""[.!?[\xe3\xef](?:(?<=[.!?])["' \\)]|(?<=\[)DONE\]|(?<=\xe3)\x80\x82|(?<=\xef)\xbc[\x81\x9f])"""
).search
"""Whether these bytes of a stream may hold the end of a sentence, or of the answer: then they should not wait."""

_decode = msgspec.json.Decoder(_Chunk).decode
_QUOTA = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}


class AnswerReader:
    """Reads one streamed answer, however its bytes are cut."""

    def __init__(self) -> None:
        self._rest, self._text = b"", ""
        self.finish_reason: str | None = None
        """Why the model stopped; None while it has not, and when the answer was cut."""
        self.is_done = False
        """Whether the endpoint said that nothing more comes."""
        self.failure: ModelError | None = None
        """What made the rest unreadable; the text before it stands."""
        self.tool_calls = ToolCalls()
        self.usage: Usage | None = None

    def feed(self, data: bytes) -> str:
        """The text in these bytes, often none, up to a failure."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._text = ""
        try:
            self._take(lines)
        except ModelError as error:
            self.failure = error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self.failure = StreamBroken()
            self.failure.__cause__ = error
        return self._text

    def _take(self, lines: list[bytes]) -> None:
        for line in lines:
            if not line.startswith(b"data:"):
                continue  # a comment, an event's name or its end
            if len(line) < _SHORTEST_CHUNK and (word := line[5:].strip()) in _NO_CHUNK:
                self.is_done = self.is_done or word == _DONE
                continue
            chunk = _decode(line[5:])
            for choice in chunk.choices or ():
                if choice.delta is not None:
                    self._text += choice.delta.content or ""
                    if choice.delta.tool_calls:
                        self.tool_calls.take_all(choice.delta.tool_calls)
                self.finish_reason = choice.finish_reason or self.finish_reason
            if chunk.error is not None or chunk.usage is not None:
                self._take_aside(chunk)
        if len(self._rest) > _MAX_EVENT:
            raise StreamBroken

    def _take_aside(self, chunk: _Chunk) -> None:
        if chunk.error is not None:
            raise _class_of_fault(chunk.error)
        self.usage = _usage_of(chunk.usage)


def begun_of(headers: Mapping[str, str]) -> AnswerBegun:
    """What the response's headers tell (names in lower case)."""
    return AnswerBegun(
        headers.get("x-request-id") or headers.get("apim-request-id"),
        _count(headers.get("x-ratelimit-remaining-requests")),
        _count(headers.get("x-ratelimit-remaining-tokens")),
    )


def refusal_of(status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
    """The error of an answer whose HTTP status is not 200."""
    try:
        fault = msgspec.json.decode(body, type=_Chunk).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        fault = None
    error = _class_of_status(status, fault if isinstance(fault, _Fault) else _Fault())
    error.request_id = begun_of(headers).request_id
    if isinstance(error, RateLimited):
        error.retry_after = _patience(headers)
    return error


def _class_of_status(status: int, fault: _Fault) -> ModelError:
    if _is_filtered(fault):
        return AnswerFiltered()
    if status in (401, 403):
        return KeyRejected()
    if status == 402:  # noqa: PLR2004 - as some providers spell an empty account
        return QuotaExhausted()
    if status in (408, 409) or status >= 500:  # noqa: PLR2004
        return ServerFailed()
    if status != 429:  # noqa: PLR2004
        return RequestRejected()
    return QuotaExhausted() if fault.code in _QUOTA else RateLimited()


def _class_of_fault(fault: _Fault | str) -> ModelError:
    """An error told inside the stream: it began, so its kind is a guess."""
    if isinstance(fault, str):
        return StreamBroken()
    if isinstance(fault.code, int) and fault.code >= 400:  # noqa: PLR2004
        return _class_of_status(fault.code, fault)
    return AnswerFiltered() if _is_filtered(fault) else StreamBroken()


def _is_filtered(fault: _Fault) -> bool:
    """Azure tells the code; OpenRouter what was flagged, under a 403 that is not about the key."""
    flagged = isinstance(fault.metadata, dict) and "flagged_input" in fault.metadata
    return flagged or fault.code == "content_filter"


def _usage_of(told: Any) -> Usage | None:
    """None where it is told in another way: an answer is worth more than its bill."""
    try:
        usage = msgspec.convert(told, _Usage)
    except msgspec.ValidationError:
        return None
    cached = usage.prompt_tokens_details and usage.prompt_tokens_details.cached_tokens
    reasoning = usage.completion_tokens_details and usage.completion_tokens_details.reasoning_tokens
    return Usage(usage.prompt_tokens, cached or 0, usage.completion_tokens, reasoning or 0)


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() and len(text) <= 12 else None  # noqa: PLR2004


def _patience(headers: Mapping[str, str]) -> float | None:
    """Seconds until the endpoint takes requests again. A date is told by the server's clock, and read by it."""
    milliseconds, told = _number(headers.get("retry-after-ms")), headers.get("retry-after", "")
    if milliseconds is not None:
        return milliseconds / 1000
    if (seconds := _number(told)) is not None or len(told) > _LONGEST_DATE:
        return seconds
    try:
        until = parsedate_to_datetime(told) - parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError, OverflowError):  # TypeError: of only one, the time zone is known
        return None
    return max(0.0, until.total_seconds())


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and text.replace(".", "", 1).isdecimal() and len(text) <= 12 else None  # noqa: PLR2004
