"""Retell's side of one call: moments and frames in, orders and facts out. No clock, no socket, no chance.

Rule 1: only the newest turn is heard, until its final frame; older ones are dropped silently.
Rule 2: it is a fault of the server to answer an older turn once it has shown that it read the newer request.
Rule 3: the transcript holds the agent's words as they are spoken, and the caller's as they are recognised.
Rule 4: the caller's words cut the agent off, unless the words being spoken are guarded; what was not heard is lost.
Rule 5: an action is taken when the words of its turn are spoken, and never when they were cut off.
Rule 6: nothing is asked of the server while its words are guarded or its line is down; it is asked right after.
Rule 7: a silent caller brings a reminder, unless a turn is open or somebody speaks.
Rule 8: a line that breaks is dialled again, and what was open is asked again under a new id.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal, assert_never

import msgspec

from service.conversation.playout import WORDS_PER_SECOND
from service.platforms.retell import messages
from service.simulator import retell_steps as steps
from service.simulator.retell_frames import Config, Message, Wishes, read
from service.simulator.retell_line_state import LineState, reason_of_close
from service.simulator.retell_speech import Reply, Speech, Transcript, Word
from service.simulator.retell_steps import Action, Step

UPDATE_EVERY = 1 / 3
MOST_REDIALS = 4
MOST_LOST_KEEPALIVES = 2
UNINTELLIGIBLE = "(unintelligible audio)"

Kind = Literal["response_required", "reminder_required"]
Steps = list[Step]


class RetellCall:
    """One call. Each method takes the moment it happens, in seconds, and returns what follows from it, in order.

    Open the line first. Call `tick` no later than `wakes_at`, and everything happens on time.
    """

    def __init__(
        self,
        call_id: str,
        details: Mapping[str, Any] | None = None,  # the call object, as it was registered
        *,
        words_per_second: float = WORDS_PER_SECOND,
        epoch: float = 0.0,
    ) -> None:
        self.call_id = call_id
        self.ended: str | None = None
        self._details = {"call_type": "web_call", "agent_id": "agent_simulated", "agent_version": 0, **(details or {})}
        self._rate, self._epoch = words_per_second, epoch
        self._line: LineState | None = None
        self._redials = self._lost_keepalives = 0
        self._began_at = math.inf
        self._transcript = Transcript()
        self._update_at, self._updated_at = math.inf, -math.inf
        self._keys = 0
        self._turn = self._reply(0, 0.0)
        self._interrupt: Reply | None = None
        self._speaking: Reply | None = None
        self._owed: Kind | None = None
        self._caller_key: int | None = None  # while the caller speaks
        self._caller_words: list[Word] = []
        self._caller_speech: Speech | None = None
        self._silent_since = 0.0
        self._reminders, self._most_reminders, self._reminder_after = 0, 1, 10.0
        self._is_interruptible = True
        self._tool_calls: set[str] = set()

    # The line.

    def open(self, at: float) -> Steps:
        """A socket stands: the first one, or the next after a Redial."""
        is_again = self._began_at < math.inf
        self._line = LineState(is_again=is_again)
        if not is_again:
            self._began_at = self._silent_since = self._turn.asked_at = at
        elif self._turn.is_open and self._turn.turn_id:
            self._owed = "reminder_required" if self._turn.is_reminder else "response_required"
        return [steps.LineOpened(is_again), *self._ask_owed(at, cut_by="line")]

    def drop(self, at: float) -> Steps:
        """The network between Retell and the server breaks. What was received is still spoken."""
        before = self.tick(at)
        if self._line is None:
            return before
        self._line = None
        return [*before, steps.Redial("the line was cut")]

    def line_closed(self, code: int, at: float) -> Steps:
        """The server closed the line; 1006 when it broke."""
        before = self.tick(at)
        if self._line is None:
            return before
        self._line = None
        self._redials += code == 1006  # noqa: PLR2004  RFC 6455: no close frame came
        if code == 1006 and self._redials <= MOST_REDIALS:  # noqa: PLR2004
            return [*before, steps.Redial("the line broke (1006)")]
        self.ended = reason_of_close(code)
        fault = [] if code == 1000 else [steps.RuleBroken(f"the line was closed with {code}: that ends the call")]  # noqa: PLR2004
        return [*before, *fault, steps.CallEnded(self.ended)]

    def line_lost(self) -> Steps:
        """Nobody answers the dialling."""
        self.ended = "error_llm_websocket_open"
        return [steps.CallEnded(self.ended)]

    # The caller.

    def caller_types(self, text: str, at: float) -> Steps:
        """The caller is speaking; `text` is all of this utterance so far."""
        return [*self.tick(at), *self._recognise(text, at)]

    def caller_says(self, text: str, at: float) -> Steps:
        """The caller has spoken, and waits for an answer. No words: they were not understood."""
        return [*self.tick(at), *self._conclude(text, at)]

    def caller_speaks(self, text: str, at: float) -> Steps:
        """The caller begins to say this, word by word as people speak."""
        before = self.tick(at)
        self._caller_speech = Speech(self._rate)
        self._caller_speech.say(text, at, is_final=True)
        return [*before, *self.tick(at)]

    def press(self, digits: str, at: float) -> Steps:
        """The caller presses keys, and waits for an answer."""
        before = [*self.tick(at), *self._barge_in()]
        for digit in digits:
            self._transcript.weave({"role": "dtmf", "digit": digit})
        return [*before, *self._owe("response_required", at)]

    def remind(self, at: float) -> Steps:
        """Ask for a reminder now, if this is a silence (rule 7)."""
        before = self.tick(at)
        return [*before, *(self._owe("reminder_required", at) if self.is_listening else [])]

    def hang_up(self, at: float) -> Steps:
        before = self.tick(at)
        return [*before, *self._end("user_hangup")]

    # Time.

    @property
    def is_listening(self) -> bool:
        """Whether the agent is done, and it is the caller's turn."""
        is_busy = self._turn.is_open or self._speaking or self._owed or self._caller_key or self._caller_speech
        return self._line is not None and not is_busy

    def wakes_at(self) -> float:
        """When `tick` will do something next."""
        if self.ended is not None:
            return math.inf
        moments = [self._update_at, self._reminder_at()]
        if self._line is not None:
            moments.append(self._line.wakes_at())
        speeches = (self._speaking and self._speaking.speech, self._caller_speech)
        moments += [speech.words[speech.heard].end for speech in speeches if speech and not speech.is_over]
        return min(moments)

    def tick(self, at: float) -> Steps:
        """Do what is due."""
        if self.ended is not None:
            return []
        return [
            *self._hear_caller(at),
            *self._hear_agent(at),
            *self._keep_alive(at),
            *(self._update(at) if at >= self._update_at else []),
            *self._ask_owed(at),
            *(self._owe("reminder_required", at) if at >= self._reminder_at() else []),
        ]

    def receive(self, frame: str | bytes, at: float) -> Steps:
        """A frame came from the server."""
        before = [*self.tick(at), steps.FrameReceived(frame)]
        if self._line is None:
            return before
        if isinstance(frame, bytes):
            broken = steps.RuleBroken("a binary frame: that ends the call")
            return [*before, broken, *self._end("error_llm_websocket_corrupt_payload", 1007)]
        message, rules = read(frame)
        told = [*before, *map(steps.RuleBroken, rules)]
        return told if message is None else [*told, *self._take(message, self._line, at)]

    def _take(self, message: Message, line: LineState, at: float) -> Steps:
        match message:
            case Config():
                return self._configure(message.config, line, at)
            case messages.Ping():
                after = line.pong(message.timestamp, at)
                return [] if after is None else [steps.PingAnswered(after)]
            case messages.Response():
                return self._respond(message, line, at)
            case messages.AgentInterrupt():
                return self._interject(message, at)
            case messages.ToolCallInvocation() | messages.ToolCallResult():
                return self._show_tool(message, at)
            case messages.UpdateAgent():
                return self._tune(message.agent_config)
            case messages.Metadata():
                return [steps.PageTold(bytes(message.metadata).decode())]
            case _:
                assert_never(message)

    # What the server sends.

    def _configure(self, wishes: Wishes, line: LineState, at: float) -> Steps:
        line.configure(wishes, at)
        told: Steps = [steps.Configured(wishes.auto_reconnect, wishes.call_details, wishes.transcript_with_tool_calls)]
        if wishes.call_details:
            began = {"start_timestamp": self._timestamp(self._began_at)} if line.is_again else {}
            status = "ongoing" if line.is_again else "registered"
            call = {"call_id": self.call_id, "call_status": status, **began, **self._details}
            told.append(_frame({"interaction_type": "call_details", "call": call}))
        return told

    def _respond(self, message: messages.Response, line: LineState, at: float) -> Steps:
        turn, turn_id = self._turn, message.response_id
        if turn_id == 0 and line.is_again and not (turn.turn_id == 0 and turn.is_open):
            return [steps.RuleBroken("a second greeting")] if message.content else []
        if turn_id != turn.turn_id:
            return self._drop_response(turn_id, line)
        line.read_turn = turn_id
        if turn.is_complete or turn.is_withdrawn:
            why = "its final frame" if turn.is_complete else "the agent_interrupt that withdrew it"
            return [steps.RuleBroken(f"turn {turn_id}: a frame after {why}")]
        return self._add(turn, message, at)

    def _drop_response(self, turn_id: int, line: LineState) -> Steps:
        """A frame for another turn than the live one: rules 1 and 2."""
        if not 0 <= turn_id < self._last_id:
            return [steps.RuleBroken(f"turn {turn_id} was never asked")]
        if line.read_turn >= self._last_id:
            return [steps.RuleBroken(f"turn {turn_id}: stale words, turn {self._last_id} had been read")]
        return [steps.ResponseDropped(turn_id)]

    def _interject(self, message: messages.AgentInterrupt, line: LineState, at: float) -> Steps:
        reply = self._interrupt
        if reply is not None and reply.interrupt_id == message.interrupt_id:
            if reply.is_complete:
                return [steps.RuleBroken(f"agent_interrupt {message.interrupt_id}: a frame after its final frame")]
            return self._add(reply, message, at)
        cut = self._cut("agent")
        if not self._turn.is_complete:
            self._turn.is_cut = True
            self._turn.is_withdrawn = line.read_turn == self._last_id
        self._caller_key = self._caller_speech = self._owed = None
        self._interrupt = self._reply(None, at)
        self._interrupt.interrupt_id = message.interrupt_id
        return [*cut, *self._add(self._interrupt, message, at)]

    def _add(self, reply: Reply, message: messages.Response | messages.AgentInterrupt, at: float) -> Steps:
        reply.is_complete = message.content_complete
        if reply.is_cut:
            return [steps.ResponseDropped(reply.turn_id)]
        waited = at - reply.asked_at
        is_first = bool(message.content.strip()) and not reply.text.strip()
        reply.text += message.content
        reply.action = action_of(message) or reply.action
        told: Steps = []
        if message.content:
            told.append(steps.ChunkArrived(reply.turn_id, message.content, waited if is_first else None))
        if reply.is_complete:
            told.append(steps.TurnFinished(reply.turn_id, reply.text, waited))
        if reply.speech.say(message.content, at, reply.is_complete, message.no_interruption_allowed):
            told += [steps.SpeechStarted(reply.turn_id, waited), *self._update(at, "agent_turn")]
        self._speaking = reply
        return [*told, *self._hear_agent(at)]

    def _show_tool(self, message: messages.ToolCallInvocation | messages.ToolCallResult, at: float) -> Steps:
        call_id, is_known = message.tool_call_id, message.tool_call_id in self._tool_calls
        fact: Step
        if isinstance(message, messages.ToolCallInvocation):
            rule, role = f"tool call {call_id} is shown twice" if is_known else None, "tool_call_invocation"
            fact = steps.ToolCalled(call_id, message.name, message.arguments)
            self._tool_calls.add(call_id)
        else:
            rule, role = None if is_known else f"tool call {call_id} was never shown", "tool_call_result"
            fact = steps.ToolAnswered(call_id, message.content, message.successful)
        self._transcript.weave({"role": role, **_fields(message)})
        return [*([steps.RuleBroken(rule)] if rule else []), fact, *self._update(at)]

    def _tune(self, config: messages.AgentConfig) -> Steps:
        if config.reminder_trigger_ms is not None:
            self._reminder_after = config.reminder_trigger_ms / 1000
        if config.reminder_max_count is not None:
            self._most_reminders = config.reminder_max_count
        if config.interruption_sensitivity is not None:
            self._is_interruptible = config.interruption_sensitivity > 0
        return [steps.AgentTuned(config)]

    # What is due.

    def _hear_caller(self, at: float) -> Steps:
        speech = self._caller_speech
        if speech is None or not speech.advance(at):
            return []
        text = " ".join(word.word for word in speech.heard_words)
        return self._conclude(text, at) if speech.is_over else self._recognise(text, at)

    def _hear_agent(self, at: float) -> Steps:
        reply = self._speaking
        if reply is None:
            return []
        told: Steps = []
        if reply.speech.advance(at):
            self._show(reply.key, "agent", reply.speech.heard_words)
            told = [steps.WordsHeard(reply.turn_id, reply.speech.heard), *self._update(at)]
        if not (reply.is_complete and reply.speech.is_over):
            return told
        self._speaking, self._silent_since = None, at
        return [*told, steps.SpeechFinished(reply.turn_id), *self._act(reply.action)]

    def _act(self, action: Action | None) -> Steps:
        if action is None:
            return []
        ends = {"end_call": "agent_hangup", "transfer_number": "call_transfer"}
        reason = ends.get(action.name)
        return [steps.ActionTaken(action), *(self._end(reason) if reason else [])]

    def _keep_alive(self, at: float) -> Steps:
        line = self._line
        if line is None:
            return []
        if line.is_dead(at):
            self._line = None
            self._lost_keepalives += 1
            is_over = self._lost_keepalives > MOST_LOST_KEEPALIVES
            end = self._end("error_llm_websocket_lost_connection") if is_over else [steps.Redial("pings unanswered")]
            return [steps.RuleBroken("pings were not answered for 5 s"), *end]
        if at < line.ping_at:
            return []
        timestamp = self._timestamp(at)
        line.pinged(timestamp, self._last_id, at)
        return [steps.SendFrame(messages.encode(messages.PingFromRetell(timestamp)).decode())]

    def _reminder_at(self) -> float:
        is_due = self.is_listening and self._reminders < self._most_reminders
        return self._silent_since + self._reminder_after if is_due else math.inf

    # Who speaks.

    def _recognise(self, text: str, at: float) -> Steps:
        if not text.strip():
            return []
        cut: Steps = []
        turn = None
        if self._caller_key is None:
            cut, turn = self._barge_in(), "user_turn"
            self._caller_key, self._caller_words = self._next_key(), []
        self._caller_words = timed(text.split(), self._caller_words, at, 1 / self._rate)
        self._show(self._caller_key, "user", self._caller_words)
        return [*cut, *self._update(at, turn)]

    def _conclude(self, text: str, at: float) -> Steps:
        told = self._recognise(text.strip() or UNINTELLIGIBLE, at)
        self._caller_key = self._caller_speech = None
        self._silent_since, self._reminders = at, 0
        return [*told, *self._owe("response_required", at)]

    def _barge_in(self) -> Steps:
        """Rule 4."""
        if self._is_guarded:
            return []
        self._turn.is_cut |= self._turn.is_open
        return self._cut("caller")

    @property
    def _is_guarded(self) -> bool:
        if self._speaking is None:
            return False
        speech = self._speaking.speech
        return speech.is_guarded or (not self._is_interruptible and not speech.is_over)

    def _cut(self, by: Literal["caller", "agent", "line"]) -> Steps:
        reply, self._speaking = self._speaking, None
        if reply is None:
            return []
        reply.is_cut = True
        told: Steps = []
        if reply.speech.words:
            words, heard = reply.text.split(), reply.speech.heard
            told = [steps.SpeechCut(reply.turn_id, " ".join(words[:heard]), " ".join(words[heard:]), by)]
        return [*told, *([steps.ActionDiscarded(reply.action)] if reply.action else [])]

    # What is asked and told.

    def _owe(self, kind: Kind, at: float) -> Steps:
        self._owed = kind
        return self._ask_owed(at)

    def _ask_owed(self, at: float, cut_by: Literal["caller", "line"] = "caller") -> Steps:
        """Rule 6."""
        if self._owed is None or self._line is None or self._is_guarded:
            return []
        kind, self._owed = self._owed, None
        cut = self._cut(cut_by)
        self._turn.is_cut |= self._turn.is_open
        self._last_id += 1
        self._turn = self._reply(self._last_id, at)
        self._turn.is_reminder = kind == "reminder_required"
        self._reminders += self._turn.is_reminder
        asked = steps.TurnAsked(self._last_id, self._turn.is_reminder)
        return [*cut, asked, *self._tell(at, interaction_type=kind, response_id=self._last_id)]

    def _update(self, at: float, turn: str | None = None) -> Steps:
        """Tell the transcript, about three times a second at most; a change of speaker at once."""
        if turn is None and at < self._updated_at + UPDATE_EVERY:
            self._update_at = self._updated_at + UPDATE_EVERY
            return []
        return self._tell(at, interaction_type="update_only", **({"turntaking": turn} if turn else {}))

    def _tell(self, at: float, **fields: object) -> Steps:
        self._update_at, self._updated_at = math.inf, at
        if self._line is None:
            return []
        fields["transcript"] = self._transcript.spoken()
        if self._line.wishes.transcript_with_tool_calls:
            fields["transcript_with_tool_calls"] = self._transcript.woven()
        return [_frame(fields)]
