"""Watches one process: what its core decides, and what it writes on its lines, frame by frame."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import msgspec

from service.conversation import commands, events
from service.conversation.call import Deadlines, Prompt, Turn
from service.conversation.commands import Command
from service.conversation.events import Event, FrameEvent
from service.conversation.parts import Action, HangUp, PressDigits, Transfer
from service.conversation.silence import PINGED_LINE
from service.conversation.transcript import Transcript
from service.observability.watch import Part
from service.platforms.retell import messages
from service.simulator.storm.findings import Findings
from service.simulator.storm.pledge import SLACK, Pledge
from service.simulator.storm.verdicts import on_end, on_history

_decode = msgspec.json.Decoder(messages.AnyToRetell).decode


@dataclass(frozen=True, slots=True)
class Manners:
    """How the agent leads its calls."""

    deadlines: Deadlines
    turn_budget: float
    holds: Collection[str] = ()
    """The lines that bridge a wait for words."""
    tool_holds: Collection[str] = ()
    """Those that bridge a tool's work."""
    rescue: Action | None = None


@dataclass(slots=True)
class _Open:
    """The turn in flight."""

    turn: Turn
    pledge: Pledge
    follows_hold: bool = False
    """Whether a hold line was spoken in the turn before."""
    is_final: bool = False
    is_over: bool = False
    said: str = ""
    """All but the hold lines and the last words."""
    asked: list[Action] = field(default_factory=list)
    """The actions that its agent asked for."""


@dataclass(slots=True)
class _Call:
    newest: int = -1
    """The newest turn that was read."""
    line: int = 0
    """The latest line that wrote something."""
    slow_line: int = -1
    """The latest whose platform does not read: what waits there is its own fault."""
    open: _Open | None = None
    started: set[int] = field(default_factory=set)
    cancelled: tuple[int, float] = (-1, 0.0)
    """Which turn's reply was cancelled last, and when."""
    held: set[str] = field(default_factory=set)
    """The hold lines that were spoken."""
    interrupt_id: int = -1
    greeted_on: int = 0
    """The line on which it was greeted."""
    heard_at: float = 0.0
    is_pinged: bool = False


class Watcher(Part):
    """One process's. It is shown the core's facts by the process, and frames by whoever holds its lines."""

    name = "storm"

    def __init__(self, findings: Findings, manners: Manners) -> None:
        self.is_dead = False
        """A process that was killed is watched no more."""
        self.turns = 0
        self._findings, self._manners = findings, manners
        self._calls: dict[str, _Call] = {}

    # What the core decides.

    def saw(self, call_id: str, event: Event, answer: Sequence[Command]) -> None:
        if self.is_dead:
            return
        if type(event) is events.CallStarted:
            if call_id in self._calls:
                self._findings.broken("settled once", call_id, "it began anew before it had ended in this process")
            self._calls[call_id] = _Call()
        call = self._calls.get(call_id)
        if call is None:
            return
        self._hear(call_id, call, event)
        if type(event) is events.ReplyRequested and event.transcript is not None:
            self._read(call_id, call, event.transcript, answer)
        self._take(call_id, call, event, answer)

    def _hear(self, call_id: str, call: _Call, event: Event) -> None:
        match event:
            case events.ReplyDrafted() | events.ReplyFinished() | events.ReplyFailed():
                if event.index == call.cancelled[0] and event.at > call.cancelled[1]:
                    self._findings.broken("one reply in flight", call_id, f"{event} goes on, though it was cancelled")
                part = event.part if isinstance(event, events.ReplyDrafted) else None
                if isinstance(part, HangUp | Transfer | PressDigits) and call.open is not None:
                    call.open.asked += [part] if call.open.turn.index == event.index else []
            case events.CallDisconnected():
                if call.open is not None:
                    self._overtake(call, call.open, event.at)
                if call.is_pinged and (silence := event.at - call.heard_at) > PINGED_LINE + 2 * SLACK:
                    self._findings.broken("in time", call_id, f"a line is held that was silent for {silence:.2f} s")
            case events.CallStarted() | events.CallResumed():
                call.heard_at, call.is_pinged = event.at, False
            case _ if isinstance(event, FrameEvent):
                call.heard_at, call.is_pinged = event.at, call.is_pinged or type(event) is events.Pinged
            case _:
                pass

    def _read(self, call_id: str, call: _Call, transcript: Transcript, answer: Sequence[Command]) -> None:
        for command in answer:
            if isinstance(command, commands.StartReply):
                turn = command.turn
                was_elsewhere = turn.call is not None and turn.call.is_ongoing
                holds = call.held.union(self._manners.holds if was_elsewhere else ())
                if wrong := on_history(turn.history, transcript, holds):
                    self._findings.broken("as heard", call_id, f"turn {turn.turn_id}: {wrong}")

    def _take(self, call_id: str, call: _Call, event: Event, answer: Sequence[Command]) -> None:
        at = event.at
        for command in answer:
            match command:
                case commands.StartReply():
                    self._begin(call, command.turn, at)
                case commands.Say() if command.is_final and not isinstance(event, FrameEvent):
                    self._say_last(call_id, call, command, event)
                case commands.CancelReply():
                    self._cancel(call, command, at)
                case commands.DropLine() if call.is_pinged and at < call.heard_at + PINGED_LINE:
                    self._findings.broken("never closed", call_id, "a line is dropped that is not silent")
                case commands.RecordTurn():
                    self._settle(call_id, call, command.record.index)
                case commands.RecordCall():
                    self._end(call_id, call)
                case _:
                    pass

    def failed(self, call_id: str, error: Exception) -> None:
        if not self.is_dead:
            self._findings.broken("no fault", call_id, f"{type(error).__name__}: {error}")

    def _begin(self, call: _Call, turn: Turn, at: float) -> None:
        before, manners = call.open, self._manners
        if before is not None and not (before.is_over or before.is_final):
            detail = f"turn {turn.turn_id} begins, and turn {before.turn.turn_id} was neither final nor cancelled"
            self._findings.broken("one reply in flight", turn.call_id, detail)
        was_cut = before is not None and not before.is_final
        pledge = Pledge(
            at,
            manners.deadlines,
            manners.turn_budget,
            may_hold=bool(manners.holds)
            and turn.prompt is not Prompt.GREETING
            and not (before is not None and before.pledge.has_held),
            tools=before.pledge.tools if before is not None and was_cut else frozenset(),
        )
        call.open = _Open(turn, pledge, follows_hold=before is not None and before.pledge.has_held)
        call.newest = max(call.newest, turn.turn_id)
        call.started.add(turn.index)
        self.turns += 1

    def _say_last(self, call_id: str, call: _Call, say: commands.Say, event: Event) -> None:
        """What the core decided comes after what was written of it at once."""
        turn = call.open
        if turn is None or turn.is_over or say.turn_id != turn.turn.turn_id:
            return
        if wrong := on_end(say, event, turn.asked, turn.said, self._manners.rescue):
            self._findings.broken("ends well", call_id, f"turn {say.turn_id}: {wrong}")
        if not turn.is_final and call.slow_line != call.line:
            self._findings.broken("one final", call_id, f"turn {say.turn_id}: its last words were not written")

    def _cancel(self, call: _Call, cancel: commands.CancelReply, at: float) -> None:
        turn, call.cancelled = call.open, (cancel.index, at)
        if turn is not None and turn.turn.index == cancel.index and not cancel.keeps_words:
            self._overtake(call, turn, at)

    def _overtake(self, call: _Call, turn: _Open, at: float) -> None:
        if not (turn.is_over or turn.is_final):
            self._owed(call, turn, turn.pledge.over(at))
            turn.is_over = True

    def _settle(self, call_id: str, call: _Call, index: int) -> None:
        if index not in call.started:
            self._findings.broken("settled once", call_id, f"turn number {index} is settled, and none is open")
        call.started.discard(index)

    def _end(self, call_id: str, call: _Call) -> None:
        del self._calls[call_id]
        if call.started:
            self._findings.broken("settled once", call_id, f"turns number {sorted(call.started)} were never settled")

    def _owed(self, call: _Call, turn: _Open, late: str) -> None:
        if late and not (turn.is_over or turn.is_final) and call.slow_line != call.line:
            self._findings.broken("in time", turn.turn.call_id, f"turn {turn.turn.turn_id}: {late}")

    # What it writes.

    def wrote(self, call_id: str, line: int, frame: str, at: float, *, is_slow: bool) -> None:
        """A frame left the process. Lines are numbered as they were dialled; `is_slow`: its platform does not read."""
        call = self._calls.get(call_id)
        if call is None or self.is_dead:
            return
        if line < call.line:
            self._findings.broken("no stale words", call_id, f"the line was replaced, and gets {frame[:200]}")
        call.line = max(call.line, line)
        call.slow_line = line if is_slow else call.slow_line
        try:
            message = _decode(frame)
        except msgspec.DecodeError as error:
            self._findings.broken("as the platform says", call_id, f"{error}: {frame[:200]}")
            return
        match message:
            case messages.Response():
                self._respond(call_id, call, message, at)
            case messages.AgentInterrupt():
                if message.interrupt_id <= call.interrupt_id:
                    detail = f"interruption {message.interrupt_id} comes after {call.interrupt_id}"
                    self._findings.broken("as the platform says", call_id, detail)
                call.interrupt_id = message.interrupt_id
                if call.open is not None:
                    self._overtake(call, call.open, at)
            case messages.ToolCallInvocation() if call.open is not None:
                self._owed(call, call.open, call.open.pledge.calls(message.tool_call_id, at))
            case messages.ToolCallResult() if call.open is not None:
                self._owed(call, call.open, call.open.pledge.answers(message.tool_call_id, at))
            case _:
                pass

    def _respond(self, call_id: str, call: _Call, said: messages.Response, at: float) -> None:
        if said.response_id < call.newest and (said.content or said.response_id):
            detail = f"turn {call.newest} was read, and then turn {said.response_id} says {said.content[:80]!r}"
            self._findings.broken("no stale words", call_id, detail)
        if not said.response_id and said.content:
            if call.greeted_on not in (0, call.line):
                self._findings.broken("greeted once", call_id, f"once more on line {call.line} of the same process")
            call.greeted_on = call.line
        turn = call.open
        if turn is None or said.response_id != turn.turn.turn_id:
            return
        if not (said.response_id or said.content) and (turn.is_final or turn.is_over):
            return  # the empty greeting of a new line
        if turn.is_final:
            self._findings.broken("one final", call_id, f"turn {said.response_id}: a frame after its final frame")
        else:
            self._add(call_id, call, turn, said, at)
        turn.is_final = turn.is_final or said.content_complete

    def _add(self, call_id: str, call: _Call, turn: _Open, said: messages.Response, at: float) -> None:
        text, manners = said.content.strip(), self._manners
        is_hold = not said.content_complete and (text in manners.holds or text in manners.tool_holds)
        if is_hold and (turn.pledge.has_held or (turn.follows_hold and text in manners.holds)):
            where = "in this turn" if turn.pledge.has_held else "in the turn before"
            self._findings.broken("held once", call_id, f"turn {said.response_id}: {text!r}, after another {where}")
        call.held |= {text} if is_hold else set()
        turn.said += "" if is_hold or said.content_complete else said.content
        self._owed(call, turn, turn.pledge.holds(at) if is_hold else turn.pledge.says(said.content, at))

    def left(self) -> list[str]:
        """The calls that have not ended here."""
        return list(self._calls)
