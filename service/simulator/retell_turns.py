"""What the server says in a simulated call, turn by turn: which words count, and which break a rule.

The rules are numbered in `retell.py`.
"""

from service.platforms.retell import messages
from service.simulator import retell_steps as steps
from service.simulator.retell_floor import Floor, Reply
from service.simulator.retell_frames import action_of, row_of
from service.simulator.retell_line import RetellLine
from service.simulator.retell_steps import Cutter, Step


class Turns:
    """The turns asked of a server, of which the newest is live; its interruptions, and the tool calls it shows."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._last_id = 0
        self._interrupt: Reply | None = None
        self._tool_calls: set[str] = set()
        self.live = Reply(0, 0.0)  # the greeting needs no asking

    @property
    def newest(self) -> int:
        return self._last_id

    def ask(self, at: float, *, is_reminder: bool, cut_by: Cutter) -> list[Step]:
        """Begin a turn; what is still being said of older ones is lost."""
        cut = self._floor.cut(cut_by)
        self.abandon()
        self._last_id += 1
        self.live = Reply(self._last_id, at, is_reminder)
        return [*cut, steps.TurnAsked(self._last_id, is_reminder)]

    def abandon(self) -> None:
        """Wait no longer for the words of the live turn."""
        self.live.is_cut |= self.live.is_open

    def respond(self, message: messages.Response, line: RetellLine, at: float) -> list[Step]:
        turn, turn_id = self.live, message.response_id
        if turn_id == 0 and line.is_again and not (turn.turn_id == 0 and turn.is_open):
            return [steps.RuleBroken("a second greeting")] if message.content else []
        if turn_id != turn.turn_id:
            return [self._drop(turn_id, line)]
        line.read_turn = turn_id
        if turn.is_complete or turn.is_withdrawn:
            why = "its final frame" if turn.is_complete else "the agent_interrupt that withdrew it"
            return [steps.RuleBroken(f"turn {turn_id}: a frame after {why}")]
        return self._add(turn, message, at)

    def _drop(self, turn_id: int, line: RetellLine) -> Step:
        """Rules 1 and 2."""
        if not 0 <= turn_id < self._last_id:
            return steps.RuleBroken(f"turn {turn_id} was never asked")
        if line.read_turn >= self._last_id:
            return steps.RuleBroken(f"turn {turn_id}: stale words, turn {self._last_id} had been read")
        return steps.ResponseDropped(turn_id)

    def interject(self, message: messages.AgentInterrupt, line: RetellLine, at: float) -> list[Step]:
        """Words that cut off whoever speaks, and the response in flight with it."""
        reply = self._interrupt
        if reply is not None and reply.interrupt_id == message.interrupt_id:
            if reply.is_complete:
                return [steps.RuleBroken(f"agent_interrupt {message.interrupt_id}: a frame after its final frame")]
            return self._add(reply, message, at)
        cut = self._floor.cut("agent")
        self._floor.caller_stops(at)
        if not self.live.is_complete:
            self.live.is_cut, self.live.is_withdrawn = True, line.read_turn == self._last_id
        self._interrupt = Reply(None, at, interrupt_id=message.interrupt_id)
        return [*cut, *self._add(self._interrupt, message, at)]

    def _add(self, reply: Reply, message: messages.Response | messages.AgentInterrupt, at: float) -> list[Step]:
        reply.is_complete = message.content_complete
        if reply.is_cut:
            return [steps.ResponseDropped(reply.turn_id)]
        waited = at - reply.asked_at
        is_first = bool(message.content.strip()) and not reply.text.strip()
        reply.text += message.content
        reply.action = action_of(message) or reply.action
        told: list[Step] = []
        if message.content:
            told.append(steps.ChunkArrived(reply.turn_id, message.content, waited if is_first else None))
        if reply.is_complete:
            told.append(steps.TurnFinished(reply.turn_id, reply.text, waited))
        return [*told, *self._floor.play(reply, message.content, at, is_guarded=message.no_interruption_allowed)]

    def show_tool(self, message: messages.ToolCallInvocation | messages.ToolCallResult) -> list[Step]:
        """A tool call or its result, for the transcript only."""
        self._floor.transcript.weave(row_of(message))
        tool_call_id, is_known = message.tool_call_id, message.tool_call_id in self._tool_calls
        fault: list[Step] = []
        if isinstance(message, messages.ToolCallInvocation):
            self._tool_calls.add(tool_call_id)
            fault = [steps.RuleBroken(f"tool call {tool_call_id} is shown twice")] if is_known else []
            return [*fault, steps.ToolCalled(tool_call_id, message.name, message.arguments)]
        fault = [] if is_known else [steps.RuleBroken(f"the result of tool call {tool_call_id}, never shown")]
        return [*fault, steps.ToolAnswered(tool_call_id, message.content, message.successful)]
