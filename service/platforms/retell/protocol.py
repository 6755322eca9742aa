"""Retell's frames to our events, our commands to Retell's frames. Pure; the letters A… name entries in assumptions."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, assert_never

import msgspec
from msgspec import structs

from service.conversation import commands, events
from service.conversation.call import CallDetails, Prompt
from service.conversation.commands import Outgoing
from service.conversation.events import Event, Oddity, OddityNoticed
from service.conversation.parts import Action, HangUp, PressDigits, Transfer, VoiceSettings
from service.conversation.transcript import (
    DigitPressed,
    Note,
    Row,
    Speaker,
    ToolAnswered,
    ToolCalled,
    Transcript,
    Utterance,
)
from service.platforms.retell import messages
from service.platforms.retell.assumptions import BROKEN_BY
from service.platforms.retell.webhooks import REASONS

_PROMPTS = {"response_required": Prompt.CALLER_SPOKE, "reminder_required": Prompt.CALLER_SILENT}
_KNOWN = {"ping_pong", "call_details", "update_only", *_PROMPTS}
_STORES_EVERYTHING = "everything"
_LONGEST_UTTERANCE = 65_536
"""Characters; an hour of monologue. What a peer sends beyond it would hold up the other calls."""

_PLAIN_ROWS, _WOVEN_ROWS = ',"transcript":[', '],"transcript_with_tool_calls":[{'

_PLACE = re.compile(r"at `([^`]*)`")
_NAME = re.compile(r"[a-z_]{1,40}")
_LONGEST_REMINDER, _MOST_REMINDERS = 86_400.0, 1000


@dataclass(frozen=True, slots=True)
class Retell:
    """Retell AI's custom-LLM WebSocket, as the Platform port asks for it."""

    auto_reconnect: bool = True
    call_details: bool = True
    transcript_with_tool_calls: bool = True
    name: str = "retell"

    @property
    def tells_call_details(self) -> bool:
        return self.call_details

    @property
    def reasons(self) -> Sequence[str]:
        return REASONS

    def opening(self) -> Sequence[bytes]:
        flags = messages.ConfigFlags(self.auto_reconnect, self.call_details, self.transcript_with_tool_calls)
        return (_bytes(messages.Config(flags)),)  # A3

    def decode(self, frame: str | bytes, at: float) -> Sequence[Event]:
        if isinstance(frame, bytes):
            return (OddityNoticed(at, Oddity.BINARY_FRAME),)  # A11
        try:
            return (_event(messages.decode(_without_plain_rows(frame)), at),)
        except (msgspec.DecodeError, RecursionError) as error:
            return _salvaged(frame, error, at)

    def encode(self, command: Outgoing) -> bytes:
        return _bytes(_message(command))

    def assumption_broken_by(self, oddity: Oddity) -> str | None:
        return BROKEN_BY.get(oddity)


# In.


def _without_plain_rows(frame: str) -> str:
    """The frame without its plain transcript, unread, where the woven one holds all of it once more (A16).

    That is half of a long call's frame. What is sought stands between values: inside one its quotes were escaped.
    """
    woven = frame.find(_WOVEN_ROWS)
    plain = frame.find(_PLAIN_ROWS, 0, woven) if woven > 0 else -1
    return frame if plain < 0 else frame[:plain] + frame[woven + 1 :]


def _event(message: messages.AnyFromRetell, at: float) -> Event:
    match message:
        case messages.PingFromRetell():
            return events.Pinged(at, message.timestamp)
        case messages.CallDetailsFromRetell():
            return events.CallDetailsReceived(at, details_of(message.call))
        case messages.UpdateOnly():
            return events.TranscriptUpdated(at, _transcript(message))
        case messages.ReminderRequired():
            return events.ReplyRequested(at, message.response_id, Prompt.CALLER_SILENT, _transcript(message))
        case messages.ResponseRequired():
            return events.ReplyRequested(at, message.response_id, Prompt.CALLER_SPOKE, _transcript(message))
        case _:
            assert_never(message)


def _salvaged(frame: str, error: Exception, at: float) -> Sequence[Event]:
    """What can be saved of a frame that is not as the reference says: above all the request in it."""
    try:
        if not isinstance(error, msgspec.ValidationError | RecursionError) and "\\u" in frame:
            frame = messages.without_half_emoji(frame)
            return (_event(messages.decode(frame), at),)
    except (msgspec.DecodeError, RecursionError) as reason:
        error = reason
    if not isinstance(error, msgspec.ValidationError):
        oddity = Oddity.MALFORMED_FRAME if isinstance(error, RecursionError) else Oddity.NOT_JSON
        return (OddityNoticed(at, oddity, type(error).__name__),)
    return _envelope_alone(frame, error, at)


def _envelope_alone(frame: str, error: Exception, at: float) -> Sequence[Event]:
    """A frame some part of which has another shape than the reference says: the rest of it counts."""
    place = _PLACE.search(str(error))
    detail = place[1] if place else ""  # where, never what: it may be anything that somebody said
    try:
        envelope = messages.decode_envelope(frame)
    except (msgspec.DecodeError, RecursionError):
        return (OddityNoticed(at, Oddity.MALFORMED_FRAME, detail),)
    kind = envelope.interaction_type or ""
    odd = OddityNoticed(at, Oddity.TRANSCRIPT_UNREADABLE, f"{kind} {detail}")
    match kind:
        case "response_required" | "reminder_required" if envelope.response_id is not None:
            return (
                odd,
                events.ReplyRequested(at, envelope.response_id, _PROMPTS[kind], readable_rows(*_transcripts(envelope))),
            )
        case "update_only":
            return (odd, events.TranscriptUpdated(at, readable_rows(*_transcripts(envelope))))
        case "ping_pong" if envelope.timestamp is not None:
            return (events.Pinged(at, envelope.timestamp),)
        case _ if kind in _KNOWN or not kind:
            return (OddityNoticed(at, Oddity.MALFORMED_FRAME, f"{kind} {detail}".strip()),)
        case _:
            return (OddityNoticed(at, Oddity.UNKNOWN_TYPE, kind if _NAME.fullmatch(kind) else ""),)


def _transcripts(envelope: messages.Envelope) -> tuple[msgspec.Raw, msgspec.Raw]:
    return envelope.transcript_with_tool_calls, envelope.transcript


def readable_rows(*transcripts: msgspec.Raw) -> Transcript | None:
    """The rows that are as they should be, of the first transcript that has any. One odd row does not hide others."""
    for rows in transcripts:
        with suppress(msgspec.DecodeError, RecursionError):
            if readable := tuple(_rows(_each_readable(messages.decode_raw_rows(rows)))):
                return readable
    return None


def _each_readable(rows: Iterable[msgspec.Raw]) -> Iterator[messages.TranscriptRow]:
    for row in rows:
        with suppress(msgspec.DecodeError, RecursionError):
            yield messages.decode_row(row)


def _transcript(message: messages.UpdateOnly | messages.ResponseRequired) -> Transcript | None:
    rows = message.transcript_with_tool_calls or message.transcript  # A16
    return None if rows is None else tuple(_rows(rows))


def _rows(rows: Iterable[messages.TranscriptRow]) -> list[Row]:
    told: list[Row] = []
    for row in rows:
        text = (row.content or "")[:_LONGEST_UTTERANCE]
        match row.role:
            case "user":
                told.append(Utterance(Speaker.CALLER, text))
            case "agent":
                told.append(Utterance(Speaker.AGENT, text))
            case "tool_call_invocation":
                told.append(ToolCalled(row.tool_call_id or "", row.name or "", row.arguments or "{}"))
            case "tool_call_result":
                told.append(ToolAnswered(row.tool_call_id or "", text, row.successful))
            case "dtmf":
                told += [DigitPressed(digit) for digit in (row.digit or "") if digit in "0123456789*#"]
            case "sms":
                told.append(Note(f"Text message from the caller: {text}"))
            case "injected":
                told.append(Note(text))
            case "node_transition":
                pass
            case _:  # everybody else speaks from the caller's side, by Retell's own mapping
                told.append(Utterance(Speaker.CALLER, text))
    return told


def details_of(call: messages.CallObject) -> CallDetails:
    """The call, in our words. A variable that is null was not set."""
    variables = call.retell_llm_dynamic_variables or {}
    setting = call.data_storage_setting
    return CallDetails(
        call_id=call.call_id,
        direction=call.direction,
        from_number=call.from_number,
        to_number=call.to_number,
        is_web_call=call.call_type == "web_call",
        is_ongoing=call.call_status == "ongoing",
        started_at=None if call.start_timestamp is None else call.start_timestamp / 1000,
        may_store_content=setting in (None, _STORES_EVERYTHING) and call.opt_out_sensitive_data_storage is not True,
        variables={
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in variables.items()
            if value is not None
        },
        metadata=call.metadata if isinstance(call.metadata, dict) else {},
    )


# Out.


def _message(command: Outgoing) -> messages.AnyToRetell:
    match command:
        case commands.Say():
            response = messages.Response(command.turn_id, command.text, command.is_final, command.is_uninterruptible)
            return response if command.action is None else structs.replace(response, **_fields(command.action))
        case commands.AnswerPing():
            return messages.Ping(command.timestamp)  # A1
        case commands.Interject():
            return _interrupt(command)
        case commands.ShowToolCall():
            return messages.ToolCallInvocation(command.call.tool_call_id, command.call.name, command.call.arguments)
        case commands.ShowToolResult():
            answer = command.answer
            return messages.ToolCallResult(answer.tool_call_id, answer.content, answer.is_successful)
        case commands.TuneVoice():
            return messages.UpdateAgent(_agent_config(command.settings))
        case commands.TellPage():
            return messages.Metadata(msgspec.Raw(command.message.json.encode()))
        case _:
            assert_never(command)


def _fields(action: Action) -> dict[str, str | bool]:
    match action:
        case HangUp():
            return {"end_call": True}
        case Transfer():
            return {"transfer_number": action.number, "show_transferee_as_caller": action.shows_caller_number}
        case PressDigits():
            return {"digit_to_press": action.digits}
        case _:
            assert_never(action)


def _interrupt(command: commands.Interject) -> messages.AgentInterrupt:
    fields = {} if command.action is None else _fields(command.action)
    fields.pop("show_transferee_as_caller", None)  # not among this frame's fields
    frame = messages.AgentInterrupt(command.interrupt_id, command.text, True, command.is_uninterruptible)
    return structs.replace(frame, **fields)


def _agent_config(settings: VoiceSettings) -> messages.AgentConfig:
    """Clamp to the ranges of the reference: Retell drops a frame with any value outside."""
    after, limit = settings.reminder_after, settings.reminder_limit
    reminder_ms = None if after is None else round(1000 * min(max(0.001, after), _LONGEST_REMINDER))
    reminders = None if limit is None else min(max(0, int(limit)), _MOST_REMINDERS)
    return messages.AgentConfig(
        _share(settings.responsiveness), _share(settings.interruption_sensitivity), reminder_ms, reminders
    )


def _share(value: float | None) -> float | None:
    return None if value is None else min(1.0, max(0.0, value))


def _bytes(message: messages.AnyToRetell) -> bytes:
    try:
        return messages.encode(message)
    except UnicodeEncodeError:  # half an emoji, from an agent's own code: the other words matter more
        whole = _without_lone_surrogates(msgspec.to_builtins(message))
        return messages.encode(msgspec.convert(whole, type(message)))


def _without_lone_surrogates(value: Any) -> Any:  # whatever JSON holds
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case dict():
            return {name: _without_lone_surrogates(item) for name, item in value.items()}
        case list():
            return [_without_lone_surrogates(item) for item in value]
        case _:
            return value
