"""What a Chat Completions endpoint is asked: what is the same is the same bytes each time, and stands first.

Providers keep what they computed for a beginning that they saw before: the target's own fields, the tools, and the
messages of the turns before.
"""

from functools import lru_cache

import msgspec

from service.llm.model import Message, Messages, Role, ToolExchange, Toolset, ToolSpec
from service.llm.targets import Target


class QuestionSpelling:
    """The bodies of one target's requests."""

    def __init__(self, target: Target) -> None:
        counting = {"stream_options": {"include_usage": True}} if target.counts_tokens else {}
        fields = {"model": target.model, "stream": True, **counting, **target.options}
        self._beginning = msgspec.json.encode(fields)[:-1]
        self._is_strict = target.has_strict_tools

    def body(self, messages: Messages, tools: Toolset) -> bytes:
        told = _spelled(tools, is_strict=self._is_strict) if tools.specs else b""
        choice = b"" if tools.may_call or not tools.specs else b',"tool_choice":"none"'
        return b'%b%b,"messages":%b%b}' % (self._beginning, told, msgspec.json.encode(_wire(messages)), choice)


@lru_cache(maxsize=64)
def _spelled(tools: Toolset, *, is_strict: bool) -> bytes:
    return b',"tools":%b' % msgspec.json.encode([_tool(spec, is_strict=is_strict) for spec in tools.specs])


def _tool(spec: ToolSpec, *, is_strict: bool) -> dict[str, object]:
    function: dict[str, object] = {"name": spec.name, "description": spec.description, "parameters": spec.parameters}
    if is_strict and _is_closed(spec.parameters):
        function["strict"] = True
    return {"type": "function", "function": function}


def _is_closed(schema: object) -> bool:
    """Whether every object in it says all of its fields: endpoints refuse the whole request over one that does not."""
    if isinstance(schema, list | tuple):
        return all(map(_is_closed, schema))
    if not isinstance(schema, dict):
        return True
    kinds = schema.get("type")
    if kinds == "object" or (isinstance(kinds, list) and "object" in kinds):
        names = schema.get("properties", {}).keys()
        if schema.get("additionalProperties") is not False or set(schema.get("required", ())) != names:
            return False
    return all(map(_is_closed, schema.values()))


def _wire(messages: Messages) -> list[object]:
    wire: list[object] = []
    calls: list[object] = []
    last: Message | ToolExchange | None = None
    for message in messages:
        if isinstance(message, Message):
            wire.append(message)
        else:
            if not (message.is_parallel and isinstance(last, ToolExchange)):
                asking: dict[str, object] = {"role": "assistant"}
                if isinstance(last, Message) and last.role is Role.ASSISTANT:
                    asking["content"] = last.text
                    del wire[-1]
                calls = asking["tool_calls"] = []
                wire.append(asking)
            call = message.call
            function = {"name": call.name, "arguments": call.arguments}
            calls.append({"id": call.id, "type": "function", "function": function})
            wire.append({"role": "tool", "tool_call_id": call.id, "content": message.result})
        last = message
    return wire
