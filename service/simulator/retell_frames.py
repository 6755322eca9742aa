"""Reads what a server sends as Retell does: strict types, a frame that breaks them is dropped, its reason told.

Retell drops such frames silently; a simulator is there to tell.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct, structs

from service.platforms.retell import messages
from service.platforms.retell.messages import ToRetell
from service.simulator.retell_steps import Action


class Wishes(Struct, frozen=True):
    """What a config asks for. Left out is off, on Retell's side."""

    auto_reconnect: bool = False
    call_details: bool = False
    transcript_with_tool_calls: bool = False


class Config(ToRetell, frozen=True, tag="config"):
    """A config as Retell reads it."""

    config: Wishes


Message = (
    Config
    | messages.Ping
    | messages.Response
    | messages.AgentInterrupt
    | messages.ToolCallInvocation
    | messages.ToolCallResult
    | messages.UpdateAgent
    | messages.Metadata
)
_decode = msgspec.json.Decoder(Message).decode
_decode_response = msgspec.json.Decoder(messages.Response).decode
_DIGITS = re.compile(r"[0-9*#]+")


def read(frame: str) -> tuple[Message | None, list[str]]:
    """The message, unless Retell would drop it, and the rules that the frame breaks."""
    try:
        fields = msgspec.json.decode(frame)
    except (ValueError, RecursionError) as error:
        return None, [f"a frame is not JSON: {error}"]
    if not isinstance(fields, dict):
        return None, ["a frame is not a JSON object"]
    is_typed = "response_type" in fields
    rules = [] if is_typed else ["a frame has no response_type"]  # Retell takes it for a response
    try:
        message = _decode(frame) if is_typed else _decode_response(frame)
    except msgspec.ValidationError as error:
        return None, [*rules, f"{fields.get('response_type', 'response')}: {error}"]
    rules += [*_field_rules(message, fields), *_rules(message)]
    if isinstance(message, messages.UpdateAgent) and any(_tuning_rules(message.agent_config)):
        return None, rules  # a value outside its range makes Retell drop the frame
    return message, rules


def action_of(message: messages.Response | messages.AgentInterrupt) -> Action | None:
    """The one action that Retell takes of those on a frame."""
    if message.end_call:
        return Action("end_call")
    if message.transfer_number:
        return Action("transfer_number", message.transfer_number)
    return Action("digit_to_press", message.digit_to_press) if message.digit_to_press else None


def row_of(message: messages.ToolCallInvocation | messages.ToolCallResult) -> dict[str, Any]:
    """The frame as a row of the woven transcript."""
    fields: dict[str, Any] = msgspec.to_builtins(message)
    fields["role"] = fields.pop("response_type")
    return fields


def _field_rules(message: Message, fields: dict[str, Any]) -> Iterator[str]:
    kind = fields.get("response_type", "response")
    known = {field.encode_name for field in structs.fields(message)}
    for name, value in fields.items():
        if name not in known and name != "response_type":
            yield f"{kind}: unknown field {name}"
        elif value is None:
            yield f"{kind}: {name} is null, leave it out"


def _rules(message: Message) -> Iterator[str]:
    match message:
        case messages.Response() | messages.AgentInterrupt():
            yield from _action_rules(message)
        case messages.ToolCallInvocation():
            try:
                msgspec.json.decode(message.arguments)
            except msgspec.DecodeError:
                yield "tool_call_invocation: arguments is not stringified JSON"
        case messages.UpdateAgent():
            yield from _tuning_rules(message.agent_config)
        case messages.Metadata() if not bytes(message.metadata).startswith(b"{"):
            yield "metadata: metadata is not an object"


def _action_rules(message: messages.Response | messages.AgentInterrupt) -> Iterator[str]:
    digits, number = message.digit_to_press, message.transfer_number
    if message.end_call + (number is not None) + (digits is not None) > 1:
        yield "more than one of end_call, transfer_number and digit_to_press"
    if digits is not None and not _DIGITS.fullmatch(digits):
        yield "digit_to_press holds something else than 0 to 9, * and #"
    if number == "":
        yield "transfer_number is empty"
    if isinstance(message, messages.Response) and message.show_transferee_as_caller and number is None:
        yield "show_transferee_as_caller without transfer_number"


def _tuning_rules(config: messages.AgentConfig) -> Iterator[str]:
    for name in ("responsiveness", "interruption_sensitivity"):
        if not 0 <= (getattr(config, name) or 0) <= 1:
            yield f"update_agent: {name} is outside 0 to 1"
    if config.reminder_trigger_ms is not None and config.reminder_trigger_ms <= 0:
        yield "update_agent: reminder_trigger_ms is not positive"
    if (config.reminder_max_count or 0) < 0:
        yield "update_agent: reminder_max_count is negative"
