"""The tool calls of one round: each is told before it runs, and has exactly one result, whatever happens."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from service.agents.call import Call
from service.agents.chat import presentable
from service.agents.errands import Errands
from service.agents.ledger import Ledger, Wish
from service.agents.tools import IN_DOUBT, Answer, Arguments, Tool, ToolError
from service.conversation.call import Turn
from service.conversation.parts import Action, HoldLine
from service.conversation.transcript import ToolAnswered, ToolCalled
from service.llm.model import Occasion, ToolCall, ToolExchange
from service.llm.switches import Switches

_LOG = logging.getLogger(__name__)
_LONGEST_ARGUMENTS = 4000
"""Of a call that is refused: characters. They go back to the model, and to the platform."""


ToolTrace = Callable[[Occasion, str], str | None]
"""The traceparent of a tool call, by its turn and its id; None when nothing is traced."""


def untraced(_: Occasion, __: str) -> None:
    """Trace nothing."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What the turns of one call work with."""

    call: Call
    tools: Mapping[str, Tool]
    ledger: Ledger
    errands: Errands
    ids: Iterator[str]
    """For tool calls: unlike any other anywhere, whatever the model called them."""
    trace: ToolTrace = untraced
    switches: Switches = field(default_factory=Switches)


@dataclass(slots=True, eq=False)
class _Job:
    """One tool call."""

    called: ToolCalled
    tool: Tool | None = None
    arguments: Arguments | None = None
    answer: Answer | None = None
    task: asyncio.Task[Answer] | None = None
    is_committed: bool = False
    """Whether it goes on when the turn is overtaken."""

    @property
    def answered(self) -> ToolAnswered:
        doubt = IN_DOUBT if self.is_committed else ", because the caller went on."
        answer = self.answer or Answer.failed("cancelled", f"This was stopped{doubt}")
        return ToolAnswered(self.called.tool_call_id, answer.content, answer.fault is None, answer.fault, answer.error)


class Round:
    """The tool calls that a model made in one go. They run side by side."""

    def __init__(self, desk: Desk, turn: Turn, *, act_at: float) -> None:
        """Nothing is written before `act_at`: the loop's time."""
        self._desk, self._turn, self._act_at = desk, turn, act_at
        self._call = replace(desk.call, transcript=turn.history)
        self._jobs: list[_Job] = []
        self._actions: list[tuple[ToolCall, Action]] = []
        self.has_acted = False
        """Whether an action ended the turn."""
        self._owed: dict[str, _Job] = {}
        self._ended: asyncio.Queue[_Job] = asyncio.Queue()
        self._is_left = False

    def ask(self, call: ToolCall) -> None:
        """Add a call of a tool."""
        tool = self._desk.tools.get(call.name)
        if tool is None:
            self.refuse(call, f"There is no such tool. There are: {', '.join(self._desk.tools) or 'none'}.", "unknown")
            return
        try:
            arguments = tool.read(call.arguments)
        except ToolError as error:
            self.refuse(call, str(error), "arguments")
        else:
            called = ToolCalled(next(self._desk.ids), tool.name, arguments.canonical)
            self._jobs.append(_Job(called, tool, arguments))

    def refuse(self, call: ToolCall, why: str, fault: str = "refused") -> _Job:
        """Add a call that is not carried out. The model is told why."""
        call = presentable(call if len(call.arguments) <= _LONGEST_ARGUMENTS else replace(call, arguments="{}"))
        called = ToolCalled(next(self._desk.ids), call.name, call.arguments)
        self._jobs.append(job := _Job(called, answer=Answer.failed(fault, why)))
        return job

    def act(self, call: ToolCall, action: Action) -> None:
        """Add an action: it is for the end of the round, and only if everything beside it went well."""
        self._actions.append((call, action))

    @property
    def exchanges(self) -> Iterator[ToolExchange]:
        """For the model, in the order of its calls."""
        for number, job in enumerate(self._jobs):
            call = ToolCall(job.called.tool_call_id, job.called.name, job.called.arguments)
            yield ToolExchange(call, job.answered.content, is_parallel=number > 0)

    async def parts(self) -> AsyncGenerator[ToolCalled | ToolAnswered | HoldLine | Action]:
        """Run them. When the turn is overtaken, reads are stopped and writes go on: their results are told aside."""
        try:
            for job in self._jobs:
                yield self._told(job)
            for job in self._jobs:
                self._begin(job)
            hold, hold_at = self._hold()
            while self._owed:
                try:
                    async with asyncio.timeout_at(hold_at):
                        job = await self._ended.get()
                except TimeoutError:
                    hold_at = None
                    yield HoldLine(hold)
                else:
                    yield self._settled(job)
            self.has_acted = bool(self._actions) and all(job.answered.is_successful for job in self._jobs)
            for call, action in self._actions:
                if self.has_acted:
                    yield action
                else:
                    job = self.refuse(call, "Not done, because something beside it failed. Tell the caller first.")
                    yield self._told(job)
                    yield self._settled(job)
        finally:
            await self._leave()

    def _told(self, job: _Job) -> ToolCalled:
        self._owed[job.called.tool_call_id] = job
        self._desk.ledger.made(job.called.tool_call_id)
        return job.called

    def _settled(self, job: _Job) -> ToolAnswered:
        del self._owed[job.called.tool_call_id]
        return job.answered

    def _hold(self) -> tuple[str, float | None]:
        """The first line that is due while they run, and when."""
        now = asyncio.get_running_loop().time()
        lines = [(job.tool.hold_after, job.tool.hold) for job in self._jobs if job.tool and job.tool.hold]
        after, line = min(lines, default=(0.0, ""))
        return line, now + after if line else None

    def _begin(self, job: _Job) -> None:
        if job.tool is None or job.arguments is None:
            self._ended.put_nowait(job)
            return
        if job.tool.effect == "read":
            work = job.tool.run(self._call_for(job), job.arguments)
        else:
            work = self._write(job, job.tool, job.arguments)
        job.task = self._desk.errands.start(work)
        job.task.add_done_callback(partial(self._on_end, job))

    async def _write(self, job: _Job, tool: Tool, arguments: Arguments) -> Answer:
        desk = self._desk
        wish = desk.ledger.wish(tool.name, arguments.canonical, desk.ledger.turn_of(self._turn.history))
        if wish is None:
            return Answer.failed("refused", "There were too many changes in this call. Nothing was done.")
        if wish.running is None and _result_of(wish, tool) is None:
            if not self._is_confirmed(tool):
                return Answer.failed("refused", "Nothing was done yet. Ask the caller to confirm it first.")
            await asyncio.sleep(self._act_at - asyncio.get_running_loop().time())
        job.is_committed = True
        if wish.running is None and (result := _result_of(wish, tool)) is not None:
            wish.ids.add(job.called.tool_call_id)
            return result
        if wish.running is None:
            call = self._call_for(job, wish.key)
            desk.ledger.begin(wish, job.called.tool_call_id, running := desk.errands.start(tool.run(call, arguments)))
        else:
            wish.ids.add(job.called.tool_call_id)
            running = wish.running
        return await asyncio.shield(running)

    def _call_for(self, job: _Job, key: str = "") -> Call:
        occasion = Occasion(self._turn.call_id, self._turn.index)
        return replace(self._call, key=key, traceparent=self._desk.trace(occasion, job.called.tool_call_id))

    def _is_confirmed(self, tool: Tool) -> bool:
        try:
            return tool.confirm is None or bool(tool.confirm(self._turn.history))
        except Exception as error:  # noqa: BLE001 - a predicate is user code: what it cannot say is no yes
            _LOG.warning("a tool's confirm failed", exc_info=error)
            return False

    def _on_end(self, job: _Job, task: asyncio.Task[Answer]) -> None:
        if not task.cancelled():
            job.answer = Answer.failed("raised", "This failed.") if task.exception() else task.result()
        if self._is_left:
            self._desk.call.aside(job.answered)
        else:
            self._ended.put_nowait(job)

    async def _leave(self) -> None:
        self._is_left = True
        stopped = []
        for job in self._owed.values():
            if job.task is None or job.answer is not None:
                self._desk.call.aside(job.answered)
            elif not job.is_committed:
                job.task.cancel()
                stopped.append(job.task)
        if stopped:
            await asyncio.wait(stopped)


def _result_of(wish: Wish, tool: Tool) -> Answer | None:
    """What it had. None when it may be tried, for the first time or again."""
    answer = wish.answer
    if answer is not None and (wish.is_done or (answer.is_in_doubt and not tool.parameters.takes_call)):
        return answer
    return None
