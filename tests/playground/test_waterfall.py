"""What the page is told of turns: those of its own call alone, and each as soon as something of it is known."""

import asyncio
from collections.abc import Mapping
from typing import Any

from service.conversation import commands, events
from service.conversation.call import Outcome, Prompt, Turn, TurnRecord
from service.conversation.commands import Command, Say, StartReply
from service.conversation.events import DeadlineKind, Event
from service.conversation.parts import HoldLine, Speech
from service.llm.model import Occasion
from service.llm.records import AttemptRecord, Cause, Result
from service.observability.watch import Watch
from service.playground.waterfall import TurnsSeen
from service.virtual.loop import run

OURS, OTHERS = "call_ours", "call_others"
RECORD = TurnRecord(0, 1, Prompt.CALLER_SPOKE, Outcome.INTERRUPTED, 10.0, 10.4, 11.0, 14.0, 7, 3)


class Seen:
    """A call that is looked at, beside another."""

    def __init__(self) -> None:
        self.told: list[tuple[float, Mapping[str, object]]] = []
        self.part = TurnsSeen(OURS, lambda at, facts: self.told.append((at, facts)))
        self.watch = Watch([self.part])

    async def happens(self, event: Event, *answer: Command, call_id: str = OURS) -> None:
        self.watch.saw(call_id, event, answer)
        await asyncio.sleep(0)

    async def begins(self, call_id: str = OURS) -> None:
        await self.happens(events.CallStarted(9.0, 0.0), call_id=call_id)
        asked = events.ReplyRequested(10.0, 1, Prompt.CALLER_SPOKE, ())
        await self.happens(asked, StartReply(Turn(call_id, 0, 1, Prompt.CALLER_SPOKE)), call_id=call_id)

    @property
    def latest(self) -> Mapping[str, Any]:
        return self.told[-1][1]


def attempt(call_id: str) -> AttemptRecord:
    return AttemptRecord(Occasion(call_id, 0), "m", "m", Cause.FIRST, Result.ANSWERED, 10.0, 10.4, 11.0)


def test_a_turn_is_told_of_when_it_is_asked() -> None:
    async def play() -> None:
        seen = Seen()
        await seen.begins()
        assert [at for at, _ in seen.told] == [10.0]
        assert (seen.latest["outcome"], seen.latest["time_to_first_chunk"]) == (None, None)

    run(play())


def test_first_words_first_sentence_and_the_end_are_told_and_no_words_between() -> None:
    async def play() -> None:
        seen = Seen()
        await seen.begins()
        for at, text in ((10.4, "We open"), (10.5, " at nine. "), (10.6, "And we"), (10.7, " close at five.")):
            await seen.happens(events.ReplyDrafted(at, 0, Speech(text)), Say(1, text))
        await seen.happens(events.ReplyFinished(11.0, 0), Say(1, "", is_final=True))
        known = ("time_to_first_chunk", "time_to_first_sentence", "duration")
        assert [[facts[name] for name in known] for _, facts in seen.told] == [
            [None, None, None],
            [0.4, None, None],
            [0.4, 0.5, None],
            [0.4, 0.5, 1.0],
        ]

    run(play())


def test_hold_lines_are_no_answer_whoever_says_them() -> None:
    async def play() -> None:
        for event in (
            events.DeadlinePassed(11.8, DeadlineKind.PATIENCE),
            events.ReplyDrafted(11.8, 0, HoldLine("Let me look.")),
        ):
            seen = Seen()
            await seen.begins()
            await seen.happens(event, Say(1, "One moment. "))
            assert (seen.latest["held_after"], seen.latest["time_to_first_chunk"]) == (1.8, None)

    run(play())


def test_an_apology_is_the_end_and_no_answer_either() -> None:
    async def play() -> None:
        seen = Seen()
        await seen.begins()
        await seen.happens(events.ReplyFailed(10.5, 0, "RateLimited"), Say(1, "I am sorry.", is_final=True))
        assert (seen.latest["duration"], seen.latest["time_to_first_chunk"]) == (0.5, None)

    run(play())


def test_words_of_another_turn_are_not_this_ones() -> None:
    async def play() -> None:
        seen = Seen()
        await seen.begins()
        await seen.happens(events.ReplyDrafted(10.4, 0, Speech("We")), Say(7, "We"))
        assert len(seen.told) == 1

    run(play())


def test_an_attempt_that_ends_after_its_turn_is_told_with_it() -> None:
    async def play() -> None:
        seen = Seen()
        await seen.begins()
        await seen.happens(events.CallDisconnected(14.0), commands.RecordTurn(RECORD))
        assert (seen.latest["outcome"], seen.latest["attempts"]) == ("interrupted", 0)
        seen.watch.attempted(attempt(OURS))
        assert (seen.latest["outcome"], seen.latest["attempts"]) == ("interrupted", 1)

    run(play())


def test_nothing_is_told_of_another_call() -> None:
    async def play() -> None:
        seen = Seen()
        await seen.begins(OTHERS)
        seen.watch.attempted(attempt(OTHERS))
        seen.watch.attempted(attempt("call_nobody_knows"))
        await seen.happens(events.ReplyDrafted(10.4, 0, Speech("We")), Say(1, "We"), call_id=OTHERS)
        await seen.happens(events.CallDisconnected(14.0), commands.RecordTurn(RECORD), call_id=OTHERS)
        assert seen.told == []
        assert not seen.part.is_over.is_set()

    run(play())
