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
from collections.abc import Collection, Mapping
from typing import Any, Literal, assert_never

import msgspec
from msgspec import structs

from service.conversation.playout import WORDS_PER_SECOND
from service.platforms.retell import messages
from service.simulator import retell_steps as steps
from service.simulator.retell_floor import Floor
from service.simulator.retell_frames import Config, Message, Wishes, read
from service.simulator.retell_line import ANSWERED_WITHIN, RetellLine, reason_of_close
from service.simulator.retell_steps import Action, Cutter, Step
from service.simulator.retell_turns import Turns

UPDATE_EVERY = 1 / 3
MOST_REDIALS, MOST_LOST_KEEPALIVES = 4, 2
LOST = "error_llm_websocket_lost_connection"
UNINTELLIGIBLE = "(unintelligible audio)"
NORMAL, BROKEN, CORRUPT = 1000, 1006, 1007

Kind = Literal["response_required", "reminder_required"]
Steps = list[Step]


class RetellCall:
    """One call. Each method takes the moment it happens, in seconds, and returns what follows from it, in order.

    Open the line first. Call `tick` at `wakes_at`, and everything happens on time.
    """

    def __init__(
        self,
        call_id: str,
        details: Mapping[str, Any] | None = None,  # of the call object, as the call was registered
        *,
        words_per_second: float = WORDS_PER_SECOND,
        epoch: float = 0.0,  # moment 0, in seconds since 1970
    ) -> None:
        self.call_id = call_id
        self.ended: str | None = None
        self._details = {"call_type": "web_call", "agent_id": "agent_simulated", "agent_version": 0, **(details or {})}
        self._epoch, self._began_at = epoch, math.inf
        self._floor = Floor(words_per_second)
        self._line: RetellLine | None = None
        self._redials = self._lost_keepalives = 0
        self._turns = Turns(self._floor)
        self._owed: Kind | None = None
        self._early: Collection[int] = ()
        self._update_at, self._updated_at = math.inf, -math.inf

    # The line.

    def open(self, at: float) -> Steps:
        """A socket stands: the first one, or the next after a Redial."""
        is_again, turn = self._began_at < math.inf, self._turns.live
        self._line = RetellLine(is_again=is_again)
        if not is_again:
            self._began_at = self._floor.transcript.began_at = self._floor.silent_since = turn.asked_at = at
        elif turn.is_open and turn.turn_id:
            self._owed = "reminder_required" if turn.is_reminder else "response_required"
        return [steps.LineOpened(is_again), *self._ask_owed(at, cut_by="line")]

    def drop(self, at: float) -> Steps:
        """The network between Retell and the server breaks. What was received is still spoken."""
        return [*self.tick(at), *(self._redial("the line was cut") if self._line else [])]

    def line_closed(self, code: int, at: float) -> Steps:
        """The server closed the line; 1006 when it broke."""
        before = self.tick(at)
        if self._line is None:
            return before
        self._redials += code == BROKEN
        if code == BROKEN and self._redials <= MOST_REDIALS:
            return [*before, *self._redial("the line broke")]
        fault = [] if code == NORMAL else [steps.RuleBroken(f"the line ended with code {code}, and the call with it")]
        return [*before, *fault, *self._end(reason_of_close(code))]

    def _redial(self, reason: str) -> Steps:
        self._line = None  # rule 8
        return [steps.Redial(reason)]

    def line_lost(self) -> Steps:
        """Nobody answers the dialling."""
        return self._end("error_llm_websocket_open")

    # The caller.

    def caller_types(self, text: str, at: float) -> Steps:
        """The caller is speaking; `text` is all of this utterance so far."""
        return [*self.tick(at), *self._recognise(text, at)]

    def caller_says(self, text: str, at: float) -> Steps:
        """The caller has spoken, and waits for an answer. No words: they were not understood."""
        return [*self.tick(at), *self._conclude(text, at)]

    def caller_speaks(self, text: str, at: float, asked_early_after: Collection[int] = ()) -> Steps:
        """The caller begins to say this, word by word as people speak.

        After so many words the platform takes a pause for the end, and asks; the caller goes on with the next word.
        """
        before, self._early = self.tick(at), asked_early_after
        self._floor.begin_to_say(text.strip() or UNINTELLIGIBLE, at)
        return [*before, *self._hear_caller(at)]

    def press(self, digits: str, at: float) -> Steps:
        """The caller presses keys, and waits for an answer."""
        before = self.tick(at)
        self._floor.press(digits, at)
        return [*before, *self._owe("response_required", at)]

    def remind(self, at: float) -> Steps:
        """Ask for a reminder now, if this is a silence (rule 7)."""
        before = self.tick(at)
        return [*before, *(self._owe("reminder_required", at) if self.is_listening else [])]

    def hang_up(self, at: float) -> Steps:
        return [*self.tick(at), *self._end("user_hangup", NORMAL)]

    # Time.

    @property
    def is_listening(self) -> bool:
        """Whether the agent is done, and it is the caller's turn."""
        return self._line is not None and self._floor.is_quiet and not self._turns.live.is_open and self._owed is None

    def wakes_at(self) -> float:
        """When `tick` will do something next."""
        line = math.inf if self._line is None else self._line.wakes_at()
        due = min(line, self._floor.wakes_at(), self._update_at, self._reminder_at())
        return math.inf if self.ended else due

    def tick(self, at: float) -> Steps:
        """Do what is due."""
        if self.ended:
            return []
        return [
            *self._hear_caller(at),
            *self._follow(self._floor.listen(at), at),
            *self._keep_alive(at),
            *self._ask_owed(at),
            *(self._update(at) if at >= self._update_at else []),
            *(self._owe("reminder_required", at) if at >= self._reminder_at() else []),
        ]

    def _hear_caller(self, at: float) -> Steps:
        speech = self._floor.caller_speech
        before = speech.heard if speech else 0
        if speech is None or not speech.advance(at):
            return []
        text = " ".join(word.word for word in speech.heard_words)
        if speech.is_over:
            return self._conclude(text, at)
        told = self._recognise(text, at)
        if any(before < count <= speech.heard for count in self._early):
            self._floor.caller_pauses()
            told += self._owe("response_required", at)
        return told

    def _follow(self, facts: Steps, at: float) -> Steps:
        """What is spoken goes into the transcript, and then to the server."""
        told: Steps = []
        for fact in facts:
            told.append(fact)
            match fact:
                case steps.SpeechStarted():
                    told += self._update(at, "agent_turn")
                case steps.WordsHeard() | steps.ToolCalled() | steps.ToolAnswered():
                    told += self._update(at)
                case steps.SpeechFinished():
                    told += self._act(fact.action)
        return told

    def _act(self, action: Action | None) -> Steps:
        if action is None:
            return []
        reason = {"end_call": "agent_hangup", "transfer_number": "call_transfer"}.get(action.name)
        return [steps.ActionTaken(action), *(self._end(reason, NORMAL) if reason else [])]

    def _keep_alive(self, at: float) -> Steps:
        line = self._line
        if line is None or at < line.wakes_at():
            return []
        if line.is_dead(at):
            self._lost_keepalives += 1
            is_over = self._lost_keepalives > MOST_LOST_KEEPALIVES
            end = self._end(LOST, NORMAL) if is_over else self._redial("no ping came back")
            return [steps.RuleBroken(f"no ping was answered for {ANSWERED_WITHIN:g} s"), *end]
        line.pinged(self._timestamp(at), self._turns.newest, at)
        return [_frame({"interaction_type": "ping_pong", "timestamp": self._timestamp(at)})]

    def _reminder_at(self) -> float:
        return self._floor.reminder_at() if self.is_listening else math.inf  # rule 7

    # What the caller does.

    def _recognise(self, text: str, at: float) -> Steps:
        """Rule 4."""
        if self.ended is not None or not text.strip():
            return []
        turn = None if self._floor.is_caller_speaking else "user_turn"
        if turn and not self._floor.is_guarded:
            self._turns.abandon()
        return [*self._floor.recognise(text, at), *self._update(at, turn)]

    def _conclude(self, text: str, at: float) -> Steps:
        heard = self._recognise(text.strip() or UNINTELLIGIBLE, at)
        self._floor.caller_stops(at)
        return [*heard, *self._owe("response_required", at)]

    # What the server sends.

    def receive(self, frame: str | bytes, at: float) -> Steps:
        before = [*self.tick(at), steps.FrameReceived(frame)]
        if self._line is None:
            return before
        if isinstance(frame, bytes):
            broken = steps.RuleBroken("a binary frame ends the call")
            return [*before, broken, *self._end("error_llm_websocket_corrupt_payload", CORRUPT)]
        message, rules = read(frame)
        taken = [] if message is None else self._take(message, self._line, at)
        return [*before, *map(steps.RuleBroken, rules), *taken]

    def _take(self, message: Message, line: RetellLine, at: float) -> Steps:
        match message:
            case Config():
                return self._configure(message.config, line, at)
            case messages.Ping():
                after = line.pong(message.timestamp, at)
                return [] if after is None else [steps.PingAnswered(after)]
            case messages.Response():
                return self._follow(self._turns.respond(message, line, at), at)
            case messages.AgentInterrupt():
                self._owed = None
                return self._follow(self._turns.interject(message, line, at), at)
            case messages.ToolCallInvocation() | messages.ToolCallResult():
                return self._follow(self._turns.show_tool(message), at)
            case messages.UpdateAgent():
                return self._floor.tune(message.agent_config)
            case messages.Metadata():
                return [steps.PageTold(bytes(message.metadata).decode())]
            case _:
                assert_never(message)

    def _configure(self, wishes: Wishes, line: RetellLine, at: float) -> Steps:
        line.configure(wishes, at)
        told = steps.Configured(*structs.astuple(wishes))
        if not wishes.call_details:
            return [told]
        call = {"call_id": self.call_id, "call_status": "registered", **self._details}
        if line.is_again:
            call |= {"call_status": "ongoing", "start_timestamp": self._timestamp(self._began_at)}
        return [told, _frame({"interaction_type": "call_details", "call": call})]

    # What is asked and told.

    def _owe(self, kind: Kind, at: float) -> Steps:
        self._owed = kind
        return self._ask_owed(at)

    def _ask_owed(self, at: float, cut_by: Cutter = "caller") -> Steps:
        """Rule 6."""
        if self._owed is None or self._line is None or self._floor.is_guarded:
            return []
        kind, self._owed = self._owed, None
        is_reminder = kind == "reminder_required"
        self._floor.reminders += is_reminder
        asked = self._turns.ask(at, is_reminder=is_reminder, cut_by=cut_by)
        return [*asked, *self._tell(at, interaction_type=kind, response_id=self._turns.newest)]

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
        transcript, has_rows = self._floor.transcript, self._line.wishes.transcript_with_tool_calls
        rows = {"transcript_with_tool_calls": transcript.woven()} if has_rows else {}
        return [_frame({**fields, "transcript": transcript.spoken(), **rows})]

    def _end(self, reason: str, code: int | None = None) -> Steps:
        if self.ended is not None:
            return []
        self.ended, self._line = reason, None
        return [*([steps.CloseLine(code)] if code else []), steps.CallEnded(reason)]

    def _timestamp(self, at: float) -> int:
        return round((self._epoch + at) * 1000)


def _frame(fields: Mapping[str, object]) -> steps.SendFrame:
    return steps.SendFrame(msgspec.json.encode(fields).decode())
