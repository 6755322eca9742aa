"""What was said around a turn, for those who ask to see it, and never of a call that may not be kept."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from service.conversation import commands, events
from service.conversation.commands import Command
from service.conversation.events import Event
from service.conversation.transcript import Speaker, Utterance


@dataclass(slots=True)
class _Call:
    caller: str = ""
    agent: list[str] = field(default_factory=list)
    settled: dict[str, str] = field(default_factory=dict)
    may_store: bool = False
    """Unknown until the details tell."""


class Words:
    """The words of all calls, each of them for as long as its newest turn."""

    def __init__(self) -> None:
        self._calls: dict[str, _Call] = {}

    def saw(self, call_id: str, event: Event, answer: Sequence[Command]) -> None:
        """Take in an event of a call, a chunk of an answer included."""
        if isinstance(event, events.CallStarted):
            self._calls[call_id] = _Call()
        call = self._calls.get(call_id)
        if call is None:
            return
        if isinstance(event, events.CallDetailsReceived) and event.details.call_id == call_id:
            call.may_store = event.details.may_store_content
        if any(isinstance(command, commands.RecordTurn) for command in answer):  # told of with the words until now
            call.settled = {"caller_said": call.caller, "agent_said": "".join(call.agent)}
        if any(isinstance(command, commands.StartReply) for command in answer):
            call.agent = []
        if isinstance(event, events.ReplyRequested):
            rows = [row for row in event.transcript or () if isinstance(row, Utterance)]
            call.caller = rows[-1].text if rows and rows[-1].speaker is Speaker.CALLER else ""
        call.agent += [command.text for command in answer if isinstance(command, commands.Say)]

    def said(self, call_id: str) -> dict[str, str]:
        """`caller_said` and `agent_said` of the turn that was settled last; nothing where that may not be kept."""
        call = self._calls.get(call_id)
        return call.settled if call is not None and call.may_store else {}

    def may_be_kept(self, call_id: str) -> bool:
        """Whether what is said in a call, and what its tools are told, may be kept."""
        call = self._calls.get(call_id)
        return call is not None and call.may_store

    def ended(self, call_id: str) -> None:
        self._calls.pop(call_id, None)
