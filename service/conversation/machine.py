"""One call, as rules. Tests and documents quote their numbers.

Rule 1   Stale is nothing: a fact about any turn but the one in flight changes nothing.
Rule 2   At most one reply is in flight. A newer request, an interjection, another line or the end of the line
         overtakes it at once, and no further words of it are sent.
Rule 3   On one line a request is answered only if its id is greater than every id before it; gaps are fine.
         A new line starts afresh.
Rule 4   Every turn ends in exactly one final frame, and nothing after it, unless it is overtaken.
Rule 5   The greeting is turn id 0, spoken once per call. It waits for the call details, but not for long. A call that
         is already under way elsewhere, or whose caller speaks first, gets the empty greeting.
Rule 6   A reminder is a turn like any other, prompted by silence.
Rule 7   A transcript update is never answered and never overtakes.
Rule 8   A turn that is not finished within the turn budget has failed.
Rule 9   An agent that fails before it spoke is apologised for; one that fails in mid-sentence gets a closing line.
         Nothing said is repeated.
Rule 10  An action travels on the final frame, at most one a turn (hang up before transfer before digits); a failed or
         overtaken turn has none of the agent's. A farewell has words, because an empty one hangs up at once.
Rule 11  Every turn is settled exactly once: by the next request, interjection or line, or by the end.
Rule 12  A line that fell silent is dropped, never closed: 8 s after the last frame where pings had come,
         10 minutes where none ever did. A stall of our own is not their silence.
Rule 13  A ping is answered whatever else goes on, and changes nothing.
Rule 14  The history is what was heard, without hold lines. An utterance that the caller cut off is marked.
Rule 15  Without words 1.8 s after the request a hold line is spoken, never in two turns running. It is no answer.
Rule 16  Without words after 4.5 s the turn has failed, and an honest line says so. A tool's answer starts anew.
Rule 17  When the caller has run out of words for 1 s (or no word came for 8 s), and 4.5 s have passed, the turn has
         failed: what was said is finished (rule 9); so it is without a first sentence after 5 s. A tool at work stops
         rules 16 and 17 for 10 s, a stall of ours excuses everybody, and an action that was asked for is taken.
Rule 18  What the agent does beside its replies is carried out at once; an interjection overtakes the open turn.
Rule 19  Where there is a rescue, a second failed turn running hands the caller over; so does one that is past mending.

Theory: the platform numbers its requests, afresh on each line; we number our turns. `OpenTurn.index` never repeats in a
call, so a late word of an earlier reply can never be taken for one of this (rule 1).
"""

from typing import assert_never

from service.conversation import commands, events, parts
from service.conversation.call import CallDetails, Outcome, Policy, Prompt, Turn, TurnRecord
from service.conversation.commands import Command
from service.conversation.events import DeadlineKind, Event, Oddity
from service.conversation.greeting import Greeting
from service.conversation.patience import LOOK_AGAIN, Due, Holds, Patience
from service.conversation.reply import STALLED, TIMEOUT, TOO_SLOW, OpenTurn, closing_words, shown
from service.conversation.settlement import settled, settled_at_end
from service.conversation.silence import Silence
from service.conversation.tally import Tally
from service.conversation.transcript import Hearing, Mark, ToolAnswered, Transcript, has_agent_words

GREETING_ID = 0
Commands = list[Command]


class Conversation:
    """The state of one call. `receive` is its only verb."""

    def __init__(self, call_id: str, policy: Policy) -> None:
        self._call_id, self._policy = call_id, policy
        self._details: CallDetails | None = None
        self._greeting, self._silence = Greeting(), Silence(0.0)
        self._is_connected, self._line_closed_at = False, 0.0
        self._newest_id: int | None = None
        self._turn: OpenTurn | None = None
        self._patience: Patience
        self._interrupt_id, self._failures_running, self._tools_at_work = 0, 0, frozenset[str]()
        self._hearing, self._holds, self._tally = Hearing(), Holds(), Tally()

    def receive(self, event: Event) -> Commands:
        """Take in what happened; return what to do, in order."""
        match event:
            case events.ReplyDrafted() | events.ReplyFinished() | events.ReplyFailed():
                turn = self._turn
                if turn is None or turn.index != event.index or not turn.is_drafting:
                    return []  # rule 1
                return self._on_reply(turn, event)
            case events.DeadlinePassed():
                return self._on_deadline(event)
            case events.CallStarted():
                self._tally.started_at, self._greeting.clock = event.at, event.epoch - event.at
                self._interrupt_id = int(event.epoch)  # greater than those of a process before this one
                return self._open_line(event.at)
            case events.CallResumed():
                return [*self._leave_line(event.at), *self._open_line(event.at)]
            case events.CallDisconnected():
                return self._leave_line(event.at)
            case events.CallEnded():
                return self._end(event.at)
            case events.AsideMade():
                return self._on_aside(event.part, event.at)
            case _:
                self._silence.broken(event.at)
                return self._on_frame(event)

    def _on_frame(self, event: events.FrameEvent) -> Commands:
        match event:
            case events.CallDetailsReceived():
                return self._on_details(event)
            case events.TranscriptUpdated():
                return self._on_transcript(event.transcript, event.at)
            case events.ReplyRequested():
                return self._on_request(event)
            case events.Pinged():
                return self._on_ping(event)
            case events.OddityNoticed():
                return self._odd(event.oddity, event.detail)
            case _:
                assert_never(event)

    # The line.

    def _open_line(self, at: float) -> Commands:
        self._is_connected, self._newest_id = True, None
        self._tally.lines += 1
        self._silence = Silence(at)
        guard = commands.SetDeadline(DeadlineKind.LINE, self._silence.until)
        if not self._greeting.is_due:
            return [guard, *self._greet_silently()]
        if self._policy.details_expected:  # anew on each line: it may have been elsewhere meanwhile
            self._greeting.awaits_details = True
            return [guard, commands.SetDeadline(DeadlineKind.GREETING, at + self._policy.greeting_wait)]
        return [guard, *self._greet(at)]

    def _leave_line(self, at: float) -> Commands:
        if not self._is_connected:
            return []
        self._is_connected = self._greeting.awaits_details = False
        self._line_closed_at = at
        if self._turn is None or not self._turn.is_drafting:
            return []
        return self._overtake(self._turn, settled_at_end(self._turn, self._hearing.rows, at, line_closed_at=at))

    def _end(self, at: float) -> Commands:
        left, turn = self._leave_line(at), self._turn
        if turn is not None:
            left += self._settle(settled_at_end(turn, self._hearing.rows, at, line_closed_at=self._line_closed_at))
        return [*left, commands.RecordCall(self._tally.record(at))]

    def _on_ping(self, event: events.Pinged) -> Commands:
        pong = commands.AnswerPing(event.timestamp)
        is_first = self._silence.pinged(event.at)
        return [pong, commands.SetDeadline(DeadlineKind.LINE, self._silence.until)] if is_first else [pong]

    def _on_deadline(self, event: events.DeadlinePassed) -> Commands:
        turn, at = self._turn, event.at
        match event.kind:
            case DeadlineKind.GREETING if self._greeting.awaits_details:
                return [*self._odd(Oddity.DETAILS_LATE), *self._greet(at)]
            case DeadlineKind.LINE if self._is_connected:
                is_over, until = self._silence.lasts(at), self._silence.until
                return [commands.DropLine("silent") if is_over else commands.SetDeadline(DeadlineKind.LINE, until)]
            case DeadlineKind.TURN if turn is not None and turn.is_drafting:
                return self._cut_short(turn, TIMEOUT, at) if at >= turn.asked_at + self._policy.turn_budget else []
            case DeadlineKind.PATIENCE if turn is not None and turn.is_drafting:
                return self._on_patience(turn, at)
            case _:
                return []

    def _on_patience(self, turn: OpenTurn, at: float) -> Commands:
        due, told = self._patience.due(at), list[Command]()
        if due is Due.GIVE_UP or due is Due.FINISH:
            return self._cut_short(turn, TOO_SLOW if due is Due.GIVE_UP else STALLED, at)
        if due is Due.HOLD:
            told = self._hold(turn, self._holds.draw(self._policy.lines.hold), at)
        return [*told, self._look(at + LOOK_AGAIN)]

    def _look(self, at: float) -> Command:
        return commands.SetDeadline(DeadlineKind.PATIENCE, self._patience.look_at(at))

    def _hold(self, turn: OpenTurn, line: str, at: float) -> Commands:
        if turn.held or not line:
            return []
        self._holds.told(line)
        return [turn.hold(line, at)]

    def _cut_short(self, turn: OpenTurn, reason: str, at: float) -> Commands:
        """The agent is stopped, and the turn ends with the action it asked for, with what it said or an honest line."""
        end = events.ReplyFinished(at, turn.index) if turn.action else events.ReplyFailed(at, turn.index, reason)
        return [commands.CancelReply(turn.index, turn.turn_id, keeps_words=True), *self._on_reply(turn, end)]

    def _odd(self, oddity: Oddity, detail: str = "") -> Commands:
        return [commands.ReportOddity(oddity, detail)] if self._tally.is_first(oddity) else []

    # The greeting (rule 5).

    def _on_details(self, event: events.CallDetailsReceived) -> Commands:
        details = event.details
        if details.call_id != self._call_id:
            return self._odd(Oddity.CALL_ID_DIFFERS)
        self._details, self._policy = details, self._policy.spoken_in(details)
        self._holds.said |= {*self._policy.lines.hold} if details.is_ongoing else set()  # by a process before this one
        if not self._greeting.awaits_details:
            return []
        is_needless = self._greeting.is_needless(details, event.at, is_first_line=self._tally.lines == 1)
        return self._greet_silently() if is_needless else self._greet(event.at)

    def _greet(self, at: float) -> Commands:
        return self._begin(GREETING_ID, Prompt.GREETING, at)

    def _greet_silently(self) -> Commands:
        self._greeting.awaits_details = self._greeting.is_due = False
        return [commands.Say(GREETING_ID, "", is_final=True)]

    # Turns.

    def _on_request(self, event: events.ReplyRequested) -> Commands:
        if not self._is_connected:
            return []
        if self._newest_id is not None and event.turn_id <= self._newest_id:
            return self._odd(Oddity.REQUEST_NOT_NEWER)  # rule 3
        self._newest_id = event.turn_id
        told = self._on_transcript(event.transcript, event.at)
        if self._turn is not None:
            by = event.prompt.value
            told += self._overtake(self._turn, settled(self._turn, event.transcript, event.at, overtaken_by=by))
        if self._greeting.is_due:
            told += self._greet_silently()  # rule 5: the caller spoke first
        return [*told, *self._begin(event.turn_id, event.prompt, event.at)]

    def _on_transcript(self, transcript: Transcript | None, at: float) -> Commands:
        if transcript is None:
            return []
        told = self._odd(Oddity.TRANSCRIPT_SHRANK) if len(transcript) < len(self._hearing.rows) else []
        self._hearing.rows = transcript
        if self._greeting.was_missed(transcript):
            told += self._odd(Oddity.FRESH_CALL_CALLED_ONGOING)
        if self._turn is not None and self._turn.playout.sent:
            self._turn.hear(transcript, at)
        if self._greeting.awaits_details and has_agent_words(transcript):
            return [*told, *self._greet_silently()]
        return told

    def _begin(self, turn_id: int, prompt: Prompt, at: float) -> Commands:
        turn = OpenTurn(self._tally.turns, turn_id, prompt, at, Mark.at_end_of(self._hearing.rows), waits_since=at)
        turn.open_tools, turn.tools_since, self._tools_at_work = self._tools_at_work, at, frozenset()
        self._greeting.awaits_details = False
        may_hold = self._holds.may_hold(self._policy.lines.hold) and prompt is not Prompt.GREETING
        self._turn, self._patience = turn, Patience(turn, self._policy.deadlines, may_hold=may_hold)
        self._tally.turns += 1
        asked = Turn(self._call_id, turn.index, turn_id, prompt, self._hearing.history(self._holds.said), self._details)
        budget = commands.SetDeadline(DeadlineKind.TURN, at + self._policy.turn_budget)
        return [commands.StartReply(asked), budget, self._look(at)]

    def _overtake(self, turn: OpenTurn, record: TurnRecord) -> Commands:
        """Rule 2. What waits to be sent of the turn is stale too, drafted or not."""
        self._tools_at_work = turn.open_tools if turn.is_drafting else frozenset()
        return [commands.CancelReply(turn.index, turn.turn_id), *self._settle(record)]

    def _settle(self, record: TurnRecord) -> Commands:
        turn, self._turn = self._turn, None
        if turn is not None and record.outcome is Outcome.INTERRUPTED:
            self._hearing.cut_off_since(turn.mark)
        self._tally.settled(record.outcome)
        return [commands.RecordTurn(record)]

    # The reply in flight.

    def _on_reply(self, turn: OpenTurn, event: events.ReplyEvent) -> Commands:
        match event:
            case events.ReplyDrafted():
                return self._on_part(turn, event.part, event.at)
            case events.ReplyFinished():
                self._greeting.is_due, self._failures_running = False, 0
                return [turn.finish(self._policy, event.at)]
            case events.ReplyFailed():
                self._greeting.is_due = False
                return [self._fail(turn, event.reason, event.at)]
            case _:
                assert_never(event)

    def _on_part(self, turn: OpenTurn, part: parts.Part, at: float) -> Commands:
        if isinstance(part, parts.Interjection):
            return self._interject(turn, part, at)
        if isinstance(part, parts.HoldLine):
            return self._hold(turn, part.text.strip(), at)
        told = turn.take(part, at)
        self._greeting.is_due = self._greeting.is_due and not turn.has_spoken
        return [*told, self._look(at)] if turn.tool_answered_at and self._patience.is_sooner else told

    def _fail(self, turn: OpenTurn, reason: str, at: float) -> Command:
        self._failures_running += 1
        rescue = self._policy.rescue  # rule 19
        is_rescued = rescue is not None and (self._failures_running > 1 or reason in rescue.at_once)
        return turn.fail(self._policy, reason, at, is_rescued=is_rescued)

    def _interject(self, turn: OpenTurn | None, part: parts.Interjection, at: float) -> Commands:
        self._interrupt_id += 1
        text = part.text + closing_words(part.action, self._policy, after=part.text)
        told = self._greet_silently() if self._greeting.is_due else []
        if turn is not None:
            told = [*self._overtake(turn, settled(turn, self._hearing.rows, at, overtaken_by="interjection")), *told]
        return [*told, commands.Interject(self._interrupt_id, text, part.is_uninterruptible, part.action)]

    def _on_aside(self, part: parts.Aside, at: float) -> Commands:
        turn = self._turn
        self._tools_at_work -= {part.tool_call_id} if isinstance(part, ToolAnswered) else set()
        if not self._is_connected:
            return []
        if isinstance(part, parts.Interjection):
            return self._interject(turn, part, at)
        is_awaited = isinstance(part, ToolAnswered) and turn is not None and part.tool_call_id in turn.open_tools
        return self._on_part(turn, part, at) if turn is not None and is_awaited else [shown(part)]
