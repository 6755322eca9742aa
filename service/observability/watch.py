"""The one observer of all calls: it joins what belongs to a turn, and tells it to the parts of telemetry.

A turn is told of at its settlement. An attempt of its that is cancelled then ends a moment later, and is told of
with the turn that it belonged to. What a part raises is logged once, counted, and felt by nobody.
"""

import hashlib
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import structlog

from service.conversation import commands
from service.conversation.call import CallRecord, Prompt, Turn, TurnRecord
from service.conversation.commands import Command
from service.conversation.events import AsideMade, CallStarted, Event, ReplyDrafted
from service.conversation.parts import KnowledgeSought, Speech
from service.conversation.transcript import ToolAnswered, ToolCalled
from service.conversation.verdict import Hearsay
from service.llm.model import Occasion
from service.llm.records import AttemptRecord
from service.observability.faults import innermost, where
from service.observability.tools import ACTION_TOOLS, UNKNOWN, SeenTool

MOST_CALLS = 10_000
"""Calls known at once. More can only be calls whose end was never seen: the oldest is forgotten."""

MOST_TAKEN = 100
"""Calls that an agent took and that have not started."""

MOST_ATTEMPTS = 64
"""Attempts and tools kept of one turn, and tools of one call that run at once."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A span's ids, as the W3C's Trace Context has them."""

    trace_id: int
    span_id: int

    @classmethod
    def drawn(cls, trace_id: int | None = None) -> "Trace":
        """New ids, in a trace of their own unless one is given."""
        return cls(trace_id or secrets.randbits(128) or 1, secrets.randbits(64) or 1)

    @classmethod
    def of(cls, traceparent: str) -> "Trace":
        _, trace_id, span_id, _ = traceparent.split("-")
        return cls(int(trace_id, 16), int(span_id, 16))

    def of_tool(self, tool_call_id: str) -> "Trace":
        """The ids of a tool's call in this trace: the same whenever they are asked for."""
        digest = hashlib.blake2b(f"{self.hex}{tool_call_id}".encode(errors="replace"), digest_size=8).digest()
        return Trace(self.trace_id, int.from_bytes(digest) or 1)

    @property
    def traceparent(self) -> str:
        """The header that makes this span the parent of what others do. It may be kept, so it says that it is."""
        return f"00-{self.hex}-{self.span_id:016x}-01"

    @property
    def hex(self) -> str:
        """The trace's id, as everybody writes it."""
        return f"{self.trace_id:032x}"


@dataclass(frozen=True, slots=True)
class ServedBy:
    """The agent of a call, and the hash of its folder as it was then."""

    agent: str = ""
    folder_hash: str = ""


@dataclass(slots=True, eq=False)
class SeenTurn:
    """A turn from its start until the next one is settled, or the call ends. Parts may keep their own facts on it."""

    call_id: str
    index: int
    turn_id: int
    prompt: Prompt
    served_by: ServedBy = ServedBy()
    attempts: list[AttemptRecord] = field(default_factory=list)
    tools: list[SeenTool] = field(default_factory=list)
    knowledge: KnowledgeSought | None = None
    record: TurnRecord | None = None
    """None until it is settled."""
    trace: Trace | None = None
    """Its root span, from its start; None when nothing is traced."""
    exemplar: dict[str, str] | None = None
    """Labels that point from a metric to this turn's trace, once it is settled; None when its trace is not kept."""


class Part:
    """What is done with the facts. All hooks run on the event loop, and none of them once a chunk."""

    name: str
    hears_chunks: bool = False
    """Whether `saw` is told of the chunks of answers, too: many times a second in each call."""

    def took(self, call_id: str, served_by: ServedBy) -> None:
        """An agent has a call, whose start comes next."""

    def saw(self, call_id: str, event: Event, answer: Sequence[Command]) -> None:
        """An event, with the commands that answered it. Comes before the other hooks that it causes."""

    def began(self, turn: SeenTurn, asked: Turn) -> None:
        """An agent is asked."""

    def settled(self, turn: SeenTurn, record: TurnRecord) -> None:
        """A turn was settled; the attempts that are over by now are with it."""

    def attempted(self, attempt: AttemptRecord, turn: SeenTurn | None) -> None:
        """An attempt is over: before its turn was settled, or just after it. None when its turn is long gone."""

    def used(self, tool: SeenTool, turn: SeenTurn) -> None:
        """A tool's call is over: in its turn, after it, or with the call."""

    def ended(self, call_id: str, record: CallRecord | None) -> None:
        """A call is over, and all its turns are settled; or its end was never seen, and there is no record."""

    def failed(self, call_id: str, error: Exception) -> None:
        """A fault of our own was caught at the seam of a call."""

    def heard(self, fact: Hearsay) -> None:
        """The platform told of a call beside its line."""


Hooks = list[tuple[str, Callable[..., None]]]
"""Of several parts, with their names."""

_HOOKS = tuple(name for name, hook in vars(Part).items() if callable(hook))


def _those_with(hook: str, parts: Sequence[Part]) -> Hooks:
    """The parts that do something there: the others need not be called."""
    own = [part for part in parts if getattr(type(part), hook) is not getattr(Part, hook)]
    return [(part.name, getattr(part, hook)) for part in own]


@dataclass(slots=True)
class _Call:
    served_by: ServedBy = ServedBy()
    open: SeenTurn | None = None
    late: SeenTurn | None = None
    tools: dict[str, tuple[SeenTool, SeenTurn]] = field(default_factory=dict)
    """Those that run, by their ids."""


class Watch:
    """The session's Observer and the model's AttemptWitness.

    The parts are told in their order, and of a call's end in the reverse: the first keeps what the others ask it for.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        on_failure: Callable[[str], None] = lambda _: None,
        tools: Collection[str] = (),
    ) -> None:
        """`tools` are the names of all there are: others are made up by a model, and told to nobody."""
        self.show_to(parts)
        self._tools = frozenset((*tools, *ACTION_TOOLS))
        self._taken: dict[str, ServedBy] = {}
        self._on_failure = on_failure
        self._calls: dict[str, _Call] = {}
        self._broken: set[str] = set()

    def show_to(self, parts: Sequence[Part]) -> None:
        """Tell these from now on."""
        self.parts = list(parts)
        self._hooks = {hook: _those_with(hook, parts) for hook in _HOOKS}
        self._hooks["ended"].reverse()
        self._chunk_hooks = _those_with("saw", [part for part in parts if part.hears_chunks])

    def took(self, call_id: str, agent: str, folder_hash: str = "") -> None:
        """Say which agent takes a call, before its `CallStarted`. It may never start: then it ended elsewhere."""
        self._taken[call_id] = ServedBy(agent, folder_hash)
        if len(self._taken) > MOST_TAKEN:
            del self._taken[next(iter(self._taken))]

    def saw(self, call_id: str, event: Event, answer: Sequence[Command]) -> None:
        if type(event) is ReplyDrafted and type(event.part) is Speech:
            self._tell(self._chunk_hooks, call_id, event, answer)
            return
        if type(event) is CallStarted:
            self._open(call_id)
        self._tell(self._hooks["saw"], call_id, event, answer)
        call = self._calls.get(call_id)
        if call is None:
            return
        self._note(call, event)
        for command in answer:
            match command:
                case commands.RecordTurn():
                    self._settle(call, command.record)
                case commands.StartReply():
                    self._begin(call, command.turn)
                case commands.RecordCall():
                    self._end(call_id, call, command.record)
                case _:
                    pass

    def attempted(self, record: AttemptRecord) -> None:
        turn = self._turn_of(record.occasion)
        if turn is not None and len(turn.attempts) < MOST_ATTEMPTS:
            turn.attempts.append(record)
        self._tell(self._hooks["attempted"], record, turn)

    def failed(self, call_id: str, error: Exception) -> None:
        self._tell(self._hooks["failed"], call_id, error)

    def heard(self, fact: Hearsay) -> None:
        self._tell(self._hooks["heard"], fact)

    def traceparent(self, occasion: Occasion) -> str | None:
        turn = self._turn_of(occasion)
        return None if turn is None or turn.trace is None else Trace.drawn(turn.trace.trace_id).traceparent

    def traceparent_of_tool(self, occasion: Occasion, tool_call_id: str) -> str | None:
        """The header that makes what a tool asks of others a part of its turn; None when nothing is traced."""
        turn = self._turn_of(occasion)
        return None if turn is None or turn.trace is None else turn.trace.of_tool(tool_call_id).traceparent

    def _turn_of(self, occasion: Occasion) -> SeenTurn | None:
        call, index = self._calls.get(occasion.call_id) or _Call(), occasion.turn_index
        return next((turn for turn in (call.open, call.late) if turn is not None and turn.index == index), None)

    def _open(self, call_id: str) -> None:
        unended = call_id if call_id in self._calls else next(iter(self._calls), "")
        if unended == call_id or len(self._calls) >= MOST_CALLS:
            del self._calls[unended]
            self._tell(self._hooks["ended"], unended, None)
        self._calls[call_id] = call = _Call(self._taken.pop(call_id, ServedBy()))
        self._tell(self._hooks["took"], call_id, call.served_by)

    def _begin(self, call: _Call, asked: Turn) -> None:
        call.open = SeenTurn(asked.call_id, asked.index, asked.turn_id, asked.prompt, call.served_by)
        self._tell(self._hooks["began"], call.open, asked)

    def _note(self, call: _Call, event: Event) -> None:
        """What an agent did beside speaking. A part of a turn that is over by now is nobody's."""
        match event:
            case ReplyDrafted(part=ToolAnswered() as answer) | AsideMade(part=ToolAnswered() as answer):
                self._end_tool(call, answer.tool_call_id, answer, event.at)
            case ReplyDrafted(part=ToolCalled() | KnowledgeSought() as part):
                if call.open is not None and call.open.index == event.index:
                    self._note_of(call, call.open, part, event.at)
            case _:
                pass

    def _note_of(self, call: _Call, turn: SeenTurn, part: ToolCalled | KnowledgeSought, at: float) -> None:
        if isinstance(part, KnowledgeSought):
            turn.knowledge = part
        elif len(call.tools) < MOST_ATTEMPTS:
            tool = SeenTool(part.name if part.name in self._tools else UNKNOWN, part, at)
            call.tools[part.tool_call_id] = tool, turn
            if len(turn.tools) < MOST_ATTEMPTS:
                turn.tools.append(tool)

    def _end_tool(self, call: _Call, tool_call_id: str, answer: ToolAnswered | None, at: float) -> None:
        if tool_call_id in call.tools:
            tool, turn = call.tools.pop(tool_call_id)
            tool.ends(answer, at)
            self._tell(self._hooks["used"], tool, turn)

    def _settle(self, call: _Call, record: TurnRecord) -> None:
        turn = call.open
        if turn is None:
            return
        call.open, call.late = None, turn
        turn.record = record
        self._tell(self._hooks["settled"], turn, record)

    def _end(self, call_id: str, call: _Call, record: CallRecord) -> None:
        for unanswered in list(call.tools):
            self._end_tool(call, unanswered, None, record.ended_at)
        del self._calls[call_id]
        self._tell(self._hooks["ended"], call_id, record)

    def _tell(self, hooks: Hooks, *facts: object) -> None:
        for part, hook in hooks:
            try:
                hook(*facts)
            except Exception as error:  # noqa: BLE001 - what cannot be seen must not be felt
                self._broke(part, error)

    def _broke(self, name: str, error: Exception) -> None:
        self._on_failure(name)
        if name not in self._broken:
            self._broken.add(name)
            log = structlog.get_logger()
            log.error("telemetry.failed", part=name, error=type(innermost(error)).__name__, where=where(error))
