"""The frames, spelled as Retell spells them (docs.retellai.com, API reference "LLM WebSocket").

Tolerant in: unknown fields are skipped and nearly everything is optional. Strict out: types are exact, and an
optional field that is not set is left out, never null.
"""

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""Ids and timestamps come back to Retell, so they must fit what JSON writers can write."""


MAX_ROWS = 50_000
"""Two hours of the densest talk make some 4 000 rows; more would hold up the other calls."""

_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
    re.DOTALL,
)


def without_half_emoji(json: str) -> str:
    """Replace escapes that JSON forbids and JavaScript writes: Retell cuts strings in the middle of characters."""
    return _ESCAPE.sub(lambda escape: r"\ufffd" if escape.lastgroup == "half" else escape[0], json)


class FromRetell(Struct, frozen=True, tag_field="interaction_type"):
    """A frame that Retell sends."""


class PingFromRetell(FromRetell, frozen=True, tag="ping_pong"):
    timestamp: Int64


class TranscriptRow(Struct, frozen=True):
    """One row of a transcript, of any role: the fields of all roles together."""

    role: str = ""
    content: str | None = None
    tool_call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    successful: bool | None = None
    digit: str | None = None


Rows = Annotated[list[TranscriptRow], Meta(max_length=MAX_ROWS)]


class CallObject(Struct, frozen=True):
    """The call as it was registered."""

    call_id: str
    call_type: str | None = None
    call_status: str | None = None
    direction: str | None = None
    from_number: str | None = None
    to_number: str | None = None
    start_timestamp: float | None = None
    metadata: Any = None  # whatever the customer attached
    retell_llm_dynamic_variables: dict[str, Any] | None = None  # strings, by the guide
    data_storage_setting: str | None = None
    opt_out_sensitive_data_storage: bool | None = None


class CallDetailsFromRetell(FromRetell, frozen=True, tag="call_details"):
    call: CallObject


class UpdateOnly(FromRetell, frozen=True, tag="update_only"):
    transcript: Rows | None = None
    transcript_with_tool_calls: Rows | None = None


class ResponseRequired(FromRetell, frozen=True, tag="response_required"):
    response_id: Int64
    transcript: Rows | None = None
    transcript_with_tool_calls: Rows | None = None


class ReminderRequired(ResponseRequired, frozen=True, tag="reminder_required"):
    pass


AnyFromRetell = PingFromRetell | CallDetailsFromRetell | UpdateOnly | ResponseRequired | ReminderRequired


class Envelope(Struct, frozen=True):
    """What can be saved of a frame whose rest is unreadable."""

    interaction_type: str | None = None
    response_id: Int64 | None = None
    timestamp: Int64 | None = None
    transcript: Raw = Raw(b"null")
    transcript_with_tool_calls: Raw = Raw(b"null")


class ToRetell(Struct, frozen=True, tag_field="response_type", omit_defaults=True):
    """A frame for Retell."""


class ConfigFlags(Struct, frozen=True):
    auto_reconnect: bool = True
    call_details: bool = True
    transcript_with_tool_calls: bool = True


class Config(ToRetell, frozen=True, tag="config"):
    config: ConfigFlags


class Ping(ToRetell, frozen=True, tag="ping_pong"):
    timestamp: int


class Response(ToRetell, frozen=True, tag="response"):
    response_id: int
    content: str
    content_complete: bool
    no_interruption_allowed: bool = False
    end_call: bool = False
    transfer_number: str | None = None
    show_transferee_as_caller: bool = False
    digit_to_press: str | None = None


class AgentInterrupt(ToRetell, frozen=True, tag="agent_interrupt"):
    interrupt_id: int
    content: str
    content_complete: bool
    no_interruption_allowed: bool = False
    end_call: bool = False
    transfer_number: str | None = None
    digit_to_press: str | None = None


class ToolCallInvocation(ToRetell, frozen=True, tag="tool_call_invocation"):
    tool_call_id: str
    name: str
    arguments: str


class ToolCallResult(ToRetell, frozen=True, tag="tool_call_result"):
    tool_call_id: str
    content: str
    successful: bool | None = None


class AgentConfig(Struct, frozen=True, omit_defaults=True):
    responsiveness: float | None = None
    interruption_sensitivity: float | None = None
    reminder_trigger_ms: int | None = None
    reminder_max_count: int | None = None


class UpdateAgent(ToRetell, frozen=True, tag="update_agent"):
    agent_config: AgentConfig


class Metadata(ToRetell, frozen=True, tag="metadata"):
    metadata: Raw


AnyToRetell = Config | Ping | Response | AgentInterrupt | ToolCallInvocation | ToolCallResult | UpdateAgent | Metadata

decode = msgspec.json.Decoder(AnyFromRetell).decode
decode_envelope = msgspec.json.Decoder(Envelope, strict=False).decode
decode_raw_rows = msgspec.json.Decoder(Annotated[list[Raw], Meta(max_length=MAX_ROWS)]).decode
decode_row = msgspec.json.Decoder(TranscriptRow).decode
encode = msgspec.json.Encoder(enc_hook=str).encode
"""Relatives of text, as template engines make them, go out as plain text."""
