"""From what was heard to what a chat model reads."""

import re
from collections.abc import Iterable, Iterator

import msgspec

from service.conversation.call import Prompt, Turn
from service.conversation.transcript import (
    DigitPressed,
    Note,
    Row,
    Speaker,
    ToolAnswered,
    ToolCalled,
    Utterance,
)
from service.llm.model import Message, Role, ToolCall, ToolExchange

SILENCE_NUDGE = (
    "The caller has been silent for a while. Ask in one short sentence whether they are still there, "
    "or offer the next step. Do not repeat your last words."
)
OPENING_NUDGE = "The caller is on the line and has not said anything yet. Ask how you can help."

_NO_NAME = re.compile(r"[^a-zA-Z0-9_-]")


def chat_of(turn: Turn, instructions: str, reference: str = "") -> list[Message | ToolExchange]:
    """The messages of a turn: instructions, what was heard, and a nudge where nobody spoke last.

    The nudge is the system's, never put into the caller's mouth. So is the reference, before the caller's last words.
    The beginning is the same from turn to turn, so that the provider can reuse what it computed for it.
    """
    heard = _in_turns(_messages(turn.history))
    if turn.prompt is Prompt.CALLER_SILENT:
        heard.append(Message(Role.SYSTEM, SILENCE_NUDGE))
    elif not heard:
        heard.append(Message(Role.SYSTEM, OPENING_NUDGE))
    if reference:
        asked = (at for at, message in enumerate(heard) if isinstance(message, Message) and message.role is Role.USER)
        heard.insert(max(asked, default=0), Message(Role.SYSTEM, reference))
    return [Message(Role.SYSTEM, instructions), *heard]


def presentable(call: ToolCall) -> ToolCall:
    """The same, so that endpoints do not refuse the conversation over what a model or a platform made up."""
    try:
        is_object = isinstance(msgspec.json.decode(call.arguments), dict)
    except (ValueError, RecursionError):
        is_object = False
    return ToolCall(call.id, _NO_NAME.sub("_", call.name[:64]) or "_", call.arguments if is_object else "{}")


def _messages(history: Iterable[Row]) -> Iterator[Message | ToolExchange]:
    rows = list(history)
    answers = {row.tool_call_id: row.content for row in rows if isinstance(row, ToolAnswered)}
    was_cut_off = was_called = False
    digits = ""
    for row in rows:
        is_parallel, was_called = was_called, False
        if digits and not isinstance(row, DigitPressed):
            yield _keys(digits)
            digits = ""
        match row:
            case Utterance(speaker=Speaker.AGENT):
                yield Message(Role.ASSISTANT, f"{row.text} —" if row.was_cut_off else row.text)
                was_cut_off = row.was_cut_off
            case Utterance():
                yield Message(Role.USER, f"(cutting you off) {row.text}" if was_cut_off else row.text)
                was_cut_off = False
            case DigitPressed():
                digits += row.digit
            case Note():
                yield Message(Role.USER, f"[note: {row.text}]")
            case ToolCalled() if row.tool_call_id in answers:
                call = ToolCall(row.tool_call_id, row.name, row.arguments)
                yield ToolExchange(presentable(call), answers.pop(row.tool_call_id), is_parallel=is_parallel)
                was_called = True
            case _:
                pass  # a tool call without its answer, or the reverse: chat models refuse half of a pair
    if digits:
        yield _keys(digits)


def _keys(digits: str) -> Message:
    return Message(Role.USER, f"[pressed on the keypad: {' '.join(digits)}]")


def _in_turns(messages: Iterable[Message | ToolExchange]) -> list[Message | ToolExchange]:
    """Join neighbours of one role: some providers take only strict alternation."""
    turns: list[Message | ToolExchange] = []
    for message in messages:
        last = turns[-1] if turns else None
        if isinstance(message, Message) and isinstance(last, Message) and last.role is message.role:
            turns[-1] = Message(last.role, f"{last.text}\n{message.text}")
        else:
            turns.append(message)
    return turns
