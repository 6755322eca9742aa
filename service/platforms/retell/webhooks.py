"""Retell's webhooks: is it Retell who posts, and what it tells (docs.retellai.com, "Webhooks"). Pure.

A signature is `v=<milliseconds since the epoch>,d=<HMAC-SHA256 of body and v, hexadecimal>`, over the body's raw bytes.
"""

import hmac
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from service.conversation.inbound import Inbound, InboundCall
from service.conversation.verdict import CallAnnounced, CallConcluded, CallMeasured, Verdict
from service.platforms.retell.messages import without_half_emoji

SIGNATURE_HEADER = "x-retell-signature"
INBOUND = "call_inbound"
SIGNED_WITHIN = 300_000
"""Milliseconds that a signature may be old, or new by a clock ahead of ours."""

REASONS = (
    *("user_hangup", "agent_hangup", "call_transfer", "inactivity", "max_duration_reached"),
    *("error_llm_websocket_open", "error_llm_websocket_lost_connection"),
    *("error_llm_websocket_runtime", "error_llm_websocket_corrupt_payload"),
    *("error_other", "not_connected", "other"),
)
"""Why calls end: Retell's own words where they are of our concern; else an error of another kind, a call that nobody
took, or something other. Retell has some forty words, and makes new ones."""

_SIGNATURE = re.compile(r"v=([0-9]{1,16}),d=([0-9a-f]{64})", re.IGNORECASE | re.ASCII)
_WORD = re.compile(r"[a-z0-9_]{1,60}")
_READ = {verdict.event for verdict in (CallAnnounced, CallConcluded, CallMeasured)}


class BadSignature(Exception):
    """Nothing shows that it was Retell. The message is one word of a closed set."""


class Malformed(Exception):
    """Retell posted what it should not have."""


@dataclass(frozen=True, slots=True)
class Seal:
    """A signature that looks as it should and is fresh, and is still to be held against the body."""

    timestamp: int
    digest: bytes


class _Spread(Struct, frozen=True):
    p50: float | None = None


class _Latency(Struct, frozen=True):
    llm: _Spread | None = None
    e2e: _Spread | None = None


class _Call(Struct, frozen=True):
    call_id: Annotated[str, Meta(min_length=1, max_length=128)]
    call_status: str | None = None
    disconnection_reason: str | None = None
    latency: _Latency | None = None


class _Envelope(Struct, frozen=True):
    event: str


class _Posted(_Envelope, frozen=True):
    call: _Call


class _InboundCall(Struct, frozen=True):
    from_number: str | None = None
    to_number: str | None = None
    agent_id: str | None = None
    custom_sip_headers: dict[str, Any] | None = None


class _InboundPosted(_Envelope, frozen=True):
    call_inbound: _InboundCall


_decode = msgspec.json.Decoder(_Posted).decode
_decode_inbound = msgspec.json.Decoder(_InboundPosted).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode


def seal_of(signature: str | None, now: float) -> Seal:
    """What the header says at `now`, in seconds since the epoch. Raises BadSignature."""
    if signature is None:
        raise BadSignature("missing")
    match = _SIGNATURE.fullmatch(signature)
    if match is None:
        raise BadSignature("unreadable")
    timestamp = int(match[1])
    if abs(int(now * 1000) - timestamp) > SIGNED_WITHIN:
        raise BadSignature("stale")
    return Seal(timestamp, bytes.fromhex(match[2]))


def check(seal: Seal, body: bytes, keys: Sequence[str]) -> None:
    """Hold the body against its seal. Raises BadSignature unless it was made with one of the keys."""
    signed = body + str(seal.timestamp).encode()
    if not any(hmac.compare_digest(hmac.digest(key.encode(), signed, "sha256"), seal.digest) for key in keys):
        raise BadSignature("wrong")


def read(body: bytes) -> Verdict | None:
    """What a webhook tells; None for an event that we do not read. Raises Malformed."""
    try:
        posted = _posted(body.decode())
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
        raise Malformed from error
    if posted is None:
        return None
    call = posted.call
    match posted.event:
        case CallAnnounced.event:
            return CallAnnounced(call.call_id)
        case CallConcluded.event:
            word = call.disconnection_reason or ""
            return CallConcluded(call.call_id, _reason(word, call), word if _WORD.fullmatch(word) else "")
        case CallMeasured.event:
            latency = call.latency or _Latency()
            return CallMeasured(call.call_id, _seconds(latency.llm), _seconds(latency.e2e))
        case _:
            return None


def read_inbound(body: bytes) -> InboundCall | None:
    """A call that is about to come; None for another event. Raises Malformed."""
    try:
        text = body.decode()
        if _decode_envelope(text).event != INBOUND:
            return None
        call = _decode_inbound(text).call_inbound
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
        raise Malformed from error
    headers = {name: value for name, value in (call.custom_sip_headers or {}).items() if isinstance(value, str)}
    return InboundCall(call.from_number or "", call.to_number or "", call.agent_id or "", headers)


def answer_of(inbound: Inbound) -> bytes:
    """What Retell is told of it: a field that is not decided is left out."""
    fields = {
        "reject": inbound.is_rejected,
        "override_agent_id": inbound.agent_id,
        "dynamic_variables": dict(inbound.variables),
        "metadata": dict(inbound.metadata),
    }
    return json.dumps({INBOUND: {name: value for name, value in fields.items() if value}}).encode()


def _posted(text: str) -> _Posted | None:
    """None for an event of theirs that has another shape than those which we read."""
    try:
        return _decode(text)
    except msgspec.ValidationError:
        if _decode_envelope(text).event in _READ:
            raise
        return None
    except msgspec.DecodeError:
        mended = without_half_emoji(text)
        if mended == text:
            raise
        return _posted(mended)


def _reason(word: str, call: _Call) -> str:
    if word in REASONS:
        return word
    if call.call_status == "not_connected":
        return "not_connected"
    return "error_other" if word.startswith("error_") else "other"


def _seconds(spread: _Spread | None) -> float | None:
    median = None if spread is None else spread.p50
    return median / 1000 if median is not None and median >= 0 else None
