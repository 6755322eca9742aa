"""A call played to the core, one event after the other, on a clock that the test turns."""

from collections.abc import Sequence
from typing import TypeVar

from service.conversation import commands, events
from service.conversation.call import CallDetails, Policy, Prompt, TurnRecord
from service.conversation.commands import Command
from service.conversation.events import DeadlineKind, Event
from service.conversation.machine import Conversation
from service.conversation.parts import Part, Speech
from service.conversation.transcript import Row, Speaker, Utterance

CALL_ID = "call_1"
EPOCH = 1_700_000_000.0


def agent(text: str) -> Utterance:
    return Utterance(Speaker.AGENT, text)


def caller(text: str) -> Utterance:
    return Utterance(Speaker.CALLER, text)


class Play:
    """A conversation, the moment, and all commands so far."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.policy = policy or Policy(details_expected=False)
        self.conversation = Conversation(CALL_ID, self.policy)
        self.at = 100.0
        self.answers: list[Command] = []

    def happens(self, event: Event) -> list[Command]:
        answer = self.conversation.receive(event)
        self.answers += answer
        return answer

    def starts(self) -> list[Command]:
        return self.happens(events.CallStarted(self.at, EPOCH))

    def resumes(self) -> list[Command]:
        return self.happens(events.CallResumed(self.at))

    def disconnects(self) -> list[Command]:
        return self.happens(events.CallDisconnected(self.at))

    def ends(self) -> list[Command]:
        return self.happens(events.CallEnded(self.at))

    def tells(self, *, call_id: str = CALL_ID, ongoing: bool = False, started_at: float | None = None) -> list[Command]:
        details = CallDetails(call_id, is_ongoing=ongoing, started_at=started_at)
        return self.happens(events.CallDetailsReceived(self.at, details))

    def hears(self, *rows: Row) -> list[Command]:
        return self.happens(events.TranscriptUpdated(self.at, rows))

    def asks(self, turn_id: int, *rows: Row, prompt: Prompt = Prompt.CALLER_SPOKE) -> list[Command]:
        return self.happens(events.ReplyRequested(self.at, turn_id, prompt, rows))

    def asks_unreadably(self, turn_id: int) -> list[Command]:
        return self.happens(events.ReplyRequested(self.at, turn_id, Prompt.CALLER_SPOKE, None))

    def pings(self, timestamp: int = 1) -> list[Command]:
        return self.happens(events.Pinged(self.at, timestamp))

    def drafts(self, part: Part | str, index: int | None = None) -> list[Command]:
        part = Speech(part) if isinstance(part, str) else part
        return self.happens(events.ReplyDrafted(self.at, self._index(index), part))

    def finishes(self, index: int | None = None) -> list[Command]:
        return self.happens(events.ReplyFinished(self.at, self._index(index)))

    def fails(self, reason: str = "Boom", index: int | None = None) -> list[Command]:
        return self.happens(events.ReplyFailed(self.at, self._index(index), reason))

    def says(self, text: str) -> None:
        """The reply in flight says this and ends."""
        self.drafts(text)
        self.finishes()

    def passes(self, kind: DeadlineKind) -> list[Command]:
        return self.happens(events.DeadlinePassed(self.at, kind))

    def waits(self, seconds: float) -> None:
        self.at += seconds

    @property
    def records(self) -> list[TurnRecord]:
        return [command.record for command in self.answers if isinstance(command, commands.RecordTurn)]

    @property
    def turns(self) -> list[commands.StartReply]:
        return [command for command in self.answers if isinstance(command, commands.StartReply)]

    @property
    def finals(self) -> list[commands.Say]:
        return [command for command in self.said if command.is_final]

    @property
    def said(self) -> list[commands.Say]:
        return [command for command in self.answers if isinstance(command, commands.Say)]

    def _index(self, index: int | None) -> int:
        return self.turns[-1].turn.index if index is None else index


Kind = TypeVar("Kind")


def of(kind: type[Kind], answer: Sequence[object]) -> list[Kind]:
    return [command for command in answer if isinstance(command, kind)]


def greeted(policy: Policy | None = None) -> Play:
    """A call whose greeting was said: "Hello." under id 0."""
    play = Play(policy)
    play.starts()
    play.says("Hello.")
    return play
