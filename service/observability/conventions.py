"""What spans are called and what they carry: OpenTelemetry's conventions for generative AI, and our own `cuebox.*`.

The conventions are not stable yet (state of their release 0.1.0): what is renamed there is renamed here alone.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from service.conversation.call import Outcome, TurnRecord
from service.conversation.parts import KnowledgeSought
from service.llm.model import Usage
from service.llm.records import AttemptRecord, Cause
from service.observability.frames import ACTIONS
from service.observability.tools import OK, SeenTool
from service.observability.watch import ServedBy

Value = str | bool | int | float | tuple[str, ...] | tuple[float, ...]
Attributes = dict[str, Value]
Happening = tuple[str, float, Attributes]
"""An event of a span: its name, its moment, and more."""

CONVERSATION = "gen_ai.conversation.id"
ERROR = "error.type"
LINK_KIND = "cuebox.link.kind"

_PROVIDERS = {"azure": "azure.ai.openai"}  # the others are called the same there, or not known there
_LONGEST = 64
"""Characters kept of a word that an endpoint chose."""
_LONGEST_ID, _LONGEST_CONTENT = 200, 4096


@dataclass(frozen=True, slots=True)
class Provider:
    """Who runs a target, and where."""

    name: str = "openai"
    host: str | None = None
    port: int | None = None

    @classmethod
    def of(cls, name: str, address: str | None) -> "Provider":
        """By the name and the address that a target has; no address is OpenAI's own."""
        url = urlsplit(address or "https://api.openai.com")
        try:
            port = url.port or (443 if url.scheme == "https" else 80)
        except ValueError:  # no number: the first turn will tell
            port = None
        return cls(_PROVIDERS.get(name, name), url.hostname, port)


def of_handshake(call_id: str, route: str) -> Attributes:
    """The attributes of a line's opening."""
    known: Attributes = {"http.request.method": "GET", "http.route": route, "http.response.status_code": 101}
    return known | {"network.protocol.name": "websocket", CONVERSATION: call_id}


def of_turn(call_id: str, by: ServedBy, record: TurnRecord, answered: "tuple[str, str] | None") -> Attributes:
    """The attributes of a turn's root span. `answered` are the provider and the model of the answer."""
    provider, model = answered or (None, None)
    return _known(
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": by.agent,
            "gen_ai.agent.version": by.folder_hash or None,
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model,
            CONVERSATION: call_id,
            "cuebox.turn.id": record.turn_id,
            "cuebox.turn.index": record.index,
            "cuebox.turn.prompt": record.prompt.value,
            "cuebox.turn.outcome": record.outcome.value,
            "cuebox.turn.reason": record.reason,
            "cuebox.turn.fallback": None if record.fallback is None else record.fallback.value,
            "cuebox.turn.time_to_first_chunk": _since(record.asked_at, record.first_words_at),
            "cuebox.turn.time_to_first_sentence": _since(record.asked_at, record.first_sentence_at),
            "cuebox.turn.audible_gap": round(record.audible_gap, 4),
            "cuebox.turn.words_said": record.words_said,
            "cuebox.turn.words_heard": record.words_heard,
            "cuebox.turn.heard_share": round(record.heard_share, 3),
            "cuebox.turn.heard_unknown": record.is_heard_unknown,
            "cuebox.turn.chunks": record.chunks,
            "cuebox.turn.action": None if record.action is None else ACTIONS[type(record.action)],
            "cuebox.turn.rescued": record.is_rescued or None,
            ERROR: (record.reason or "_OTHER") if record.outcome is Outcome.FAILED else None,
        }
    )


def happenings_of_turn(record: TurnRecord, attempts: list[AttemptRecord]) -> list[Happening]:
    """What happened in a turn, in its order."""
    told: list[Happening] = []
    if record.first_words_at is not None:
        told.append(("cuebox.first_chunk", record.first_words_at, {}))
    if record.held_at is not None:
        told.append(("cuebox.hold_line", record.held_at, {}))
    if record.fallback is not None and record.final_at is not None:
        told.append(("cuebox.fallback", record.final_at, {"cuebox.turn.fallback": record.fallback.value}))
    if record.outcome is Outcome.INTERRUPTED:
        told.append(("cuebox.interruption", record.settled_at, {"cuebox.turn.words_heard": record.words_heard}))
    for attempt in attempts:
        if attempt.cause is not Cause.FIRST:
            target: Attributes = {"cuebox.attempt.target": attempt.target}
            told.append((f"cuebox.{attempt.cause.value}", attempt.asked_at, target))
    return sorted(told, key=lambda happening: happening[1])


def of_attempt(attempt: AttemptRecord, provider: Provider) -> Attributes:
    """The attributes of one request to a model."""
    return _known(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider.name,
            "gen_ai.request.model": attempt.model,
            "gen_ai.request.stream": True,
            CONVERSATION: attempt.occasion.call_id,
            "server.address": provider.host,
            "server.port": provider.port,
            "gen_ai.response.finish_reasons": (attempt.finish_reason[:_LONGEST],) if attempt.finish_reason else None,
            "gen_ai.response.time_to_first_chunk": _since(attempt.asked_at, attempt.first_words_at),
            **({} if attempt.usage is None else _tokens(attempt.usage)),
            "cuebox.attempt.target": attempt.target,
            "cuebox.attempt.cause": attempt.cause.value,
            "cuebox.attempt.result": attempt.result.value,
            "cuebox.attempt.breaker": attempt.breaker.value,
            "cuebox.attempt.request_id": attempt.request_id and attempt.request_id[:_LONGEST],
            ERROR: attempt.error,
        }
    )


def of_tool(call_id: str, tool: SeenTool, *, with_content: bool) -> Attributes:
    """The attributes of one call of a tool; what it was told and what it answered are content."""
    content = {"gen_ai.tool.call.arguments": tool.asked.arguments[:_LONGEST_CONTENT]} if with_content else {}
    if with_content and tool.answer is not None:
        content["gen_ai.tool.call.result"] = tool.answer.content[:_LONGEST_CONTENT]
    return _known(
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": tool.name,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": tool.asked.tool_call_id[:_LONGEST_ID],
            CONVERSATION: call_id,
            "cuebox.tool.result": tool.result,
            ERROR: None if tool.result == OK else tool.result,
            **content,
        }
    )


def of_knowledge(sought: KnowledgeSought | None) -> Attributes:
    """What a turn's root span tells of the search for knowledge: which passages, never their words."""
    if sought is None:
        return {}
    return _known(
        {
            "cuebox.knowledge.result": sought.result.value,
            "cuebox.knowledge.ids": tuple(passage for passage, _ in sought.passages) or None,
            "cuebox.knowledge.scores": tuple(round(score, 4) for _, score in sought.passages) or None,
            "cuebox.knowledge.waited": round(sought.waited, 4),
            "cuebox.knowledge.took": None if sought.took is None else round(sought.took, 4),
        }
    )


def _tokens(usage: Usage) -> Attributes:
    return {
        "gen_ai.usage.input_tokens": usage.input,
        "gen_ai.usage.cache_read.input_tokens": usage.cached,
        "gen_ai.usage.output_tokens": usage.output,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning,
    }


def of_words(caller_said: str, agent_said: str) -> Attributes:
    """The words around a turn, for where they may be kept."""

    def message(role: str, text: str) -> str:
        return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}], ensure_ascii=False)

    return {
        "gen_ai.input.messages": message("user", caller_said),
        "gen_ai.output.messages": message("assistant", agent_said),
    }


def _known(attributes: Mapping[str, Value | None]) -> Attributes:
    return {name: value for name, value in attributes.items() if value is not None}


def _since(start: float, end: float | None) -> float | None:
    return None if end is None else round(end - start, 4)
