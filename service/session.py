"""The imperative shell of one call: one mailbox, one reply in flight, one line at a time.

Everything that happens (a frame, a part of a reply, a deadline) goes into the mailbox and is taken out by one reader,
synchronously: decisions need no lock. What has to wait does so in tasks of the line's own TaskGroup: the writer and the
reply in flight. When the line ends they are cancelled and awaited before `serve` returns.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Protocol

from service.agents.agent import Agent
from service.conversation import commands, events
from service.conversation.call import CallRecord, Ending, Policy, Turn
from service.conversation.commands import Command
from service.conversation.events import DeadlineKind, Event
from service.conversation.machine import Conversation
from service.conversation.parts import Aside, HangUp, Interjection
from service.visit import Line, Visit

_LOST = 1006  # the close code of a line that was cut


class Observer(Protocol):
    """Sees every event with the commands that answered it, once, in order. Decides nothing."""

    def saw(self, call_id: str, event: Event, answer: Sequence[Command]) -> None: ...

    def failed(self, call_id: str, error: Exception) -> None:
        """A fault of our own was caught at the seam; the line is cut, the call may go on."""
        ...


class Session:
    """One call, from its first line to its end."""

    def __init__(self, call_id: str, agent: Agent, policy: Policy, observer: Observer) -> None:
        self.call_id = call_id
        self._answerer = agent.take(call_id, self._aside)
        self._lines = agent.lines
        self._observer = observer
        self._conversation = Conversation(call_id, policy)
        self._mailbox: list[Event] = []
        self._is_deciding = False
        self._visit: Visit | None = None
        self._close_code: int | None = None
        self._is_known = False
        self._record: CallRecord | None = None
        self._deadlines: dict[DeadlineKind, float] = {}
        self._timers: dict[DeadlineKind, tuple[float, asyncio.TimerHandle]] = {}
        self._loop = asyncio.get_running_loop()

    @property
    def is_connected(self) -> bool:
        return self._visit is not None

    @property
    def is_answering(self) -> bool:
        """Whether words are being made, or wait to be sent."""
        return self._visit is not None and self._visit.is_busy

    @property
    def was_closed(self) -> bool:
        """Whether the peer closed its last line as one closes what is done with, instead of losing it."""
        return self._close_code not in {None, _LOST}

    async def serve(self, line: Line, on_left: Callable[[], None]) -> None:
        """Hold the call over this line until it ends. A newer line takes the call over.

        `on_left` is told when the call has no line any more: that may be long before the last of its tasks has ended.
        """
        if self._visit is not None:
            self._visit.replace()
        async with asyncio.TaskGroup() as tasks:
            visit = self._visit = Visit(line, tasks, on_left)
            try:
                self.happen(self._opening())
                await line.listen(partial(self._hear, visit))
            finally:
                self._leave(visit)

    def _hear(self, visit: Visit, arrived: Sequence[Event]) -> None:
        for event in arrived:
            if visit is self._visit:  # else it was replaced
                self.happen(event)

    def _leave(self, visit: Visit, *, is_let_go: bool = False) -> None:
        try:
            if visit is self._visit:
                is_our_fault = isinstance(sys.exception(), Exception)
                self._close_code = visit.line.close_code
                left = events.CallDisconnected(self._loop.time(), self._close_code, is_our_fault, is_let_go)
                self.happen(left)
        finally:
            if visit is self._visit:
                self._visit = None
                visit.on_left()
            visit.replace()

    def happen(self, event: Event) -> None:
        """Put an event into the mailbox, and read the mailbox unless somebody up the stack does."""
        self._mailbox.append(event)
        if self._is_deciding:
            return
        self._is_deciding = True
        try:
            while self._mailbox:
                self._decide(self._mailbox.pop(0))
        finally:
            self._is_deciding = False

    def _aside(self, part: Aside) -> None:
        """What the agent does outside of its replies; from this event loop, as everything else."""
        if self._is_known and self._record is None:
            self.happen(events.AsideMade(self._loop.time(), part))

    def dismiss(self, language: str = "") -> None:
        """Say that the call has to end, in this language, and a farewell; the platform hangs up then."""
        self._aside(Interjection(self._lines.spoken_in(language).limit, action=HangUp()))

    def end(self) -> None:
        """Settle what is open: the call is over, or the service stops."""
        if self._visit is not None:
            self._leave(self._visit, is_let_go=True)
        self.happen(events.CallEnded(self._loop.time()))
        for _, timer in self._timers.values():
            timer.cancel()

    def conclude(self, ending: Ending) -> None:
        """Tell the agent that the call is over everywhere. It may never have been here."""
        try:
            self._answerer.conclude(replace(ending, record=self._record))
        except Exception as error:  # noqa: BLE001 - user code, and the call is over
            self._observer.failed(self.call_id, error)

    def _opening(self) -> Event:
        if self._is_known:
            return events.CallResumed(self._loop.time())
        self._is_known = True
        return events.CallStarted(self._loop.time(), time.time())

    def _decide(self, event: Event) -> None:
        answer = self._conversation.receive(event)
        try:
            for command in answer:
                self._carry_out(command)
        finally:  # seen last: nobody waits for what is told of it
            try:
                self._observer.saw(self.call_id, event, answer)
                self._tell_agent(event, answer)
            except Exception as error:  # noqa: BLE001 - what cannot be seen must not be felt
                self._observer.failed(self.call_id, error)

    def _tell_agent(self, event: Event, answer: Sequence[Command]) -> None:
        if type(event) is events.TranscriptUpdated and event.transcript is not None:
            self._answerer.hear(event.transcript)
        elif type(event) is events.CallEnded:
            for command in answer:
                if isinstance(command, commands.RecordCall):
                    self._record = command.record
                    self._answerer.end(command.record)

    def _carry_out(self, command: Command) -> None:
        visit = self._visit
        match command:
            case commands.SetDeadline():
                self._set_deadline(command.kind, command.at)
            case commands.ReportOddity() | commands.RecordTurn() | commands.RecordCall():
                pass  # those who look on are told below
            case _ if visit is None:
                pass  # nobody to tell
            case commands.StartReply():
                visit.start_reply(self._reply(visit, command.turn))
            case commands.CancelReply():
                visit.cancel_reply(None if command.keeps_words else command.turn_id)
            case commands.DropLine():
                visit.line.abort()
            case _:
                visit.send(command)

    def _set_deadline(self, kind: DeadlineKind, at: float) -> None:
        """Each turn moves its deadlines on, so a timer that is early is left to run, and set anew when it fires."""
        self._deadlines[kind] = at
        fires_at, timer = self._timers.get(kind, (0.0, None))
        if timer is None or fires_at > at:
            if timer is not None:
                timer.cancel()
            self._timers[kind] = at, self._loop.call_at(at, self._on_timer, kind)  # uvloop's may not know its when()

    def _on_timer(self, kind: DeadlineKind) -> None:
        due_at, (fired_at, _) = self._deadlines[kind], self._timers.pop(kind)
        if fired_at < due_at:
            self._set_deadline(kind, due_at)
            return
        # A timer may fire a moment early; the core is told the moment it asked for.
        try:
            self.happen(events.DeadlinePassed(max(due_at, self._loop.time()), kind))
        except Exception as error:  # noqa: BLE001 - no task to fail: cut the line, as a fault in one would
            self._observer.failed(self.call_id, error)
            if self._visit is not None:
                self._visit.line.abort()

    async def _reply(self, visit: Visit, turn: Turn) -> None:
        try:
            async with aclosing(self._answerer.reply(turn)) as parts:
                async for part in parts:
                    self.happen(events.ReplyDrafted(self._loop.time(), turn.index, part))
                    if _is_cancelled():
                        await asyncio.sleep(0)  # overtaken by what the part brought about: no other shall be made
                    if visit.outbox is not None and visit.outbox.is_full:
                        await visit.outbox.room()
        except BaseException as error:  # an agent is user code: whatever it raises is the end of its turn alone
            if isinstance(error, KeyboardInterrupt) or (_is_cancelled() and isinstance(error, asyncio.CancelledError)):
                raise
            if _is_cancelled():
                return  # overtaken: nobody waits for this turn any more
            self.happen(events.ReplyFailed(self._loop.time(), turn.index, type(error).__name__))
        else:
            self.happen(events.ReplyFinished(self._loop.time(), turn.index))


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
