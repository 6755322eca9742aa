"""What Retell's `call_ended` webhook tells of a call, beyond that it is over. Pure."""

from contextlib import suppress

import msgspec
from msgspec import Raw, Struct

from service.conversation.call import CallDetails, Ending
from service.conversation.verdict import CallConcluded
from service.platforms.retell.messages import CallObject, without_half_emoji
from service.platforms.retell.protocol import details_of, readable_rows


class _Posted(Struct, frozen=True):
    call: Raw


class _Said(Struct, frozen=True):
    end_timestamp: float | None = None
    transcript_object: Raw = Raw(b"null")
    transcript_with_tool_calls: Raw = Raw(b"null")


_decode = msgspec.json.Decoder(_Posted).decode
_decode_details = msgspec.json.Decoder(CallObject).decode
_decode_said = msgspec.json.Decoder(_Said).decode


def ending_of(body: bytes, verdict: CallConcluded) -> Ending:
    """The account of a call by the webhook that told of its end. What of it cannot be read is unknown. Never raises."""
    details: CallDetails | None = None
    said = _Said()
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = body.decode()
        call = _decode(without_half_emoji(text) if "\\u" in text else text).call
        with suppress(msgspec.DecodeError, RecursionError):
            details = details_of(_decode_details(call))
        said = _decode_said(call)
    rows = readable_rows(said.transcript_with_tool_calls, said.transcript_object)
    ended_at = None if said.end_timestamp is None else said.end_timestamp / 1000
    return Ending(verdict.reason, details, rows or (), ended_at)
