"""Retell as strict as its reference allows: each frame is checked against section 1.5 (cases 14, 41)."""

import json
import math
import re
from typing import Any

Frame = dict[str, Any]

_ACTIONS = {"end_call": bool, "transfer_number": str, "digit_to_press": str}
_WORDS = {"content": str, "content_complete": bool}
_REQUIRED: dict[str, dict[str, type]] = {
    "config": {"config": dict},
    "ping_pong": {"timestamp": int},
    "response": {"response_id": int, **_WORDS},
    "agent_interrupt": {"interrupt_id": int, **_WORDS},
    "tool_call_invocation": {"tool_call_id": str, "name": str, "arguments": str},
    "tool_call_result": {"tool_call_id": str, "content": str},
    "update_agent": {"agent_config": dict},
    "metadata": {"metadata": dict},
}
_OPTIONAL: dict[str, dict[str, type]] = {
    "response": {"no_interruption_allowed": bool, "show_transferee_as_caller": bool, **_ACTIONS},
    "agent_interrupt": {"no_interruption_allowed": bool, **_ACTIONS},
    "tool_call_result": {"successful": bool},
}
_CONFIG: dict[str, type] = {"auto_reconnect": bool, "call_details": bool, "transcript_with_tool_calls": bool}
_RANGES = {
    "responsiveness": (0, 1),
    "interruption_sensitivity": (0, 1),
    "reminder_trigger_ms": (1, math.inf),
    "reminder_max_count": (0, math.inf),
}


def parse(text: str | bytes) -> Frame:
    """One JSON object of a text frame, each key once, with no number that JSON does not know."""
    assert isinstance(text, str), "a binary frame ends the call with 1007"
    frame = json.loads(text, object_pairs_hook=_keys_once, parse_constant=_no_constant)
    assert isinstance(frame, dict), f"not an object: {text[:100]}"
    return frame


def check(frame: Frame) -> None:
    """Every field is known, of its exact type, never null."""
    kind = frame.get("response_type")
    assert isinstance(kind, str), f"no response_type: {frame}"
    assert kind in _REQUIRED, f"an unknown response_type: {frame}"
    required, optional = _REQUIRED[kind], _OPTIONAL.get(kind, {})
    fields = {name: value for name, value in frame.items() if name != "response_type"}
    assert required.keys() <= fields.keys(), f"a field is missing: {frame}"
    _check_types(fields, {**required, **optional}, frame)
    match kind:
        case "config":
            _check_types(frame["config"], _CONFIG, frame)
        case "response" | "agent_interrupt":
            _check_actions(frame)
        case "tool_call_invocation":
            json.loads(frame["arguments"])
        case "update_agent":
            _check_ranges(frame["agent_config"], frame)
        case _:
            pass


def _check_types(fields: Frame, types: dict[str, type], frame: Frame) -> None:
    for name, value in fields.items():
        assert name in types, f"an unknown field {name}: {frame}"
        assert type(value) is types[name], f"{name} has the wrong type: {frame}"


def _check_actions(frame: Frame) -> None:
    actions = _ACTIONS.keys() & frame.keys()
    assert len(actions) <= 1, f"at most one action a response: {frame}"
    assert not actions or frame["content_complete"], f"an action before the end: {frame}"
    assert "show_transferee_as_caller" not in frame or "transfer_number" in frame, f"not a transfer: {frame}"
    assert re.fullmatch(r"\+[1-9]\d{1,14}", frame.get("transfer_number", "+12")), f"not E.164: {frame}"
    assert re.fullmatch(r"[0-9*#]+", frame.get("digit_to_press", "0")), f"not keys: {frame}"


def _check_ranges(settings: Frame, frame: Frame) -> None:
    for name, value in settings.items():
        assert name in _RANGES, f"an unknown field {name}: {frame}"
        types = (int,) if name == "reminder_max_count" else (int, float)
        assert type(value) in types, f"{name} has the wrong type: {frame}"
        low, high = _RANGES[name]
        assert low <= value <= high, f"{name} is out of range: {frame}"


def _keys_once(pairs: list[tuple[str, Any]]) -> Frame:
    assert len({name for name, _ in pairs}) == len(pairs), f"a key stands twice: {pairs}"
    return dict(pairs)


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


class StrictLine:
    """What must hold over the frames of one line, in their order."""

    def __init__(self) -> None:
        self._is_open = False
        self._completed: set[int] = set()
        self._newest = 0
        self._interrupt = 0
        self._text = ""

    def take(self, text: str | bytes) -> Frame:
        """Check a frame alone and behind those before it."""
        frame = parse(text)
        check(frame)
        kind = frame["response_type"]
        assert self._is_open == (kind != "config"), f"the config is the first frame, and comes once: {frame}"
        self._is_open = True
        if kind == "response":
            self._take_response(frame)
        elif kind == "agent_interrupt":
            assert frame["interrupt_id"] > self._interrupt, f"interrupt ids grow: {frame}"
            self._interrupt = frame["interrupt_id"]
            self._completed.add(self._newest)  # the response in flight is withdrawn
            assert not frame.get("end_call") or frame["content"].strip(), f"a hang-up without words: {frame}"
        return frame

    def _take_response(self, frame: Frame) -> None:
        turn = frame["response_id"]
        assert turn not in self._completed, f"a frame behind the final one: {frame}"
        assert turn >= self._newest, f"words of a stale turn: {frame}"
        if turn != self._newest:
            self._newest, self._text = turn, ""
        self._text += frame["content"]
        if frame["content_complete"]:
            self._completed.add(turn)
        assert not frame.get("end_call") or self._text.strip(), f"a hang-up without words: {frame}"
