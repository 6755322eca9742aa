"""What a Chat Completions endpoint streams: server-sent events, each one chunk of JSON.

Bytes are decoded once, and chunks that arrived in one read leave as one piece of text.
"""

import msgspec
from msgspec import Struct

from service.llm.model import (
    KeyRejected,
    ModelError,
    QuotaExhausted,
    RateLimited,
    RequestRejected,
    ServerFailed,
    StreamBroken,
)

_MAX_EVENT = 1 << 20
"""Bytes of one event; an endpoint that sends more without a line break is not one."""


class _Delta(Struct, frozen=True):
    content: str | None = None


class _Choice(Struct, frozen=True):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Fault(Struct, frozen=True):
    code: str | int | None = None
    type: str | None = None


class _Chunk(Struct, frozen=True):
    choices: list[_Choice] | None = None
    error: _Fault | str | None = None


_decode = msgspec.json.Decoder(_Chunk).decode
_QUOTA = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}


class AnswerReader:
    """Reads one streamed answer, however its bytes are cut."""

    def __init__(self) -> None:
        self._rest = b""
        self.finish_reason: str | None = None
        """Why the model stopped; None while it has not, and when the answer was cut."""
        self.is_done = False
        """Whether the endpoint said that nothing more comes."""
        self.failure: ModelError | None = None
        """What made the rest unreadable; the text before it stands."""

    def feed(self, data: bytes) -> str:
        """The text in these bytes, often none, up to a failure."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        text = ""
        try:
            for line in lines:
                if line.startswith(b"data:"):  # the rest is comments and event names
                    text += self._text_of(line[5:].strip())
            if len(self._rest) > _MAX_EVENT:
                raise StreamBroken
        except ModelError as error:
            self.failure = error
        return text

    def _text_of(self, event: bytes) -> str:
        if event == b"[DONE]":
            self.is_done = True
            return ""
        try:
            chunk = _decode(event)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise StreamBroken from error
        if chunk.error is not None:
            raise _class_of_fault(chunk.error)
        text = ""
        for choice in chunk.choices or ():
            if choice.delta is not None and choice.delta.content:
                text += choice.delta.content
            self.finish_reason = choice.finish_reason or self.finish_reason
        return text


def refusal_of(status: int, body: bytes) -> ModelError:
    """The error of an answer whose HTTP status is not 200."""
    if status in (401, 403):
        return KeyRejected()
    if status == 402:  # noqa: PLR2004 - as some providers spell an empty account
        return QuotaExhausted()
    if status in (408, 409) or status >= 500:  # noqa: PLR2004
        return ServerFailed()
    if status != 429:  # noqa: PLR2004
        return RequestRejected()
    try:
        error = msgspec.json.decode(body, type=_Chunk).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        error = None
    return QuotaExhausted() if isinstance(error, _Fault) and error.code in _QUOTA else RateLimited()


def _class_of_fault(fault: _Fault | str) -> ModelError:
    """An error told inside the stream: it began, so its kind is a guess."""
    if isinstance(fault, _Fault) and isinstance(fault.code, int) and fault.code >= 400:  # noqa: PLR2004
        return refusal_of(fault.code, b"")
    return StreamBroken()
