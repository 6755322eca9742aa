"""What the writes of a call did: each wish is carried out once, however often a model asks for it.

A platform asks early and often, and its requests come again on another line or machine; so the same tool with the same
arguments is the same wish, and gets the result that it had. It is a new wish only when another write went well
in a later turn: who books, cancels and books again means it. Turns are told apart by what the caller said or pressed
between them, because every machine reads that from the transcript, and thus finds the same wishes under the same keys.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise

from service.agents.tools import IN_DOUBT, Answer
from service.conversation.transcript import (
    DigitPressed,
    Note,
    Row,
    Speaker,
    ToolAnswered,
    ToolCalled,
    Transcript,
    Utterance,
)

MOST_WISHES = 1000
"""In a call; further ones are refused, because a forgotten one might be carried out twice."""


@dataclass(slots=True, eq=False)
class Wish:
    """A write that was asked for: a tool, its arguments, and which time they were wished for."""

    key: str
    name: str
    arguments: str
    number: int
    asked: int
    """In which of the caller's turns it was asked for last."""
    acted: int = 0
    """In which it was carried out, by which tool call."""
    acted_by: str = ""
    ids: set[str] = field(default_factory=set)
    """Of the tool calls that its result answers."""
    answer: Answer | None = None
    running: asyncio.Task[Answer] | None = None
    """While it is carried out."""

    @property
    def is_done(self) -> bool:
        """Whether it must not be tried again: also when it went well and its result was nothing that can be told."""
        return self.answer is not None and self.answer.fault in (None, "unreadable")

    def is_shown_at(self, turn: int, tool_call_id: str) -> None:
        """A whole history shows one of its tool calls in this turn. A shorter one may have counted fewer before."""
        self.asked = max(self.asked, turn)
        if tool_call_id == self.acted_by:
            self.acted = max(self.acted, turn)


class Ledger:
    """The wishes of one call."""

    def __init__(self, call_id: str) -> None:
        self._call_id = call_id
        self._wishes: list[Wish] = []
        self._latest: dict[tuple[str, str], Wish] = {}
        self._known: set[str] = set()
        self._turn = 0

    @property
    def running(self) -> list[Wish]:
        """Those that are being carried out."""
        return [wish for wish in self._wishes if wish.running is not None]

    def turn_of(self, history: Transcript) -> int:
        """Which of the caller's turns this is the history of. It never falls back.

        The first request on a new line may come before the platform knows that tools and pressed digits are wanted
        in it: then it shows fewer turns.
        """
        self._turn = max(self._turn, *turns_of(history), 0)
        return self._turn

    def wish(self, name: str, arguments: str, turn: int) -> Wish | None:
        """The wish that this is: an earlier one, or a new one. None when there were too many.

        `arguments` are canonical; `turn` counts the caller's turns.
        """
        spoken = " ".join(arguments.casefold().split())  # nobody can hear capitals: the model guesses them each time
        wish = self._latest.get((name, spoken))
        if wish is not None and (wish.running is not None or not self._is_over(wish)):
            wish.asked = max(wish.asked, turn)
            return wish
        if len(self._wishes) == MOST_WISHES:
            return None
        number = 1 if wish is None else wish.number + 1
        key = sha256("\0".join((self._call_id, name, spoken, str(number))).encode("utf-8", "replace"))
        wish = self._latest[name, spoken] = Wish(key.hexdigest()[:32], name, arguments, number, turn)
        self._wishes.append(wish)
        return wish

    def _is_over(self, wish: Wish) -> bool:
        return any(other.is_done and other.acted > wish.asked for other in self._wishes)

    def begin(self, wish: Wish, tool_call_id: str, running: asyncio.Task[Answer]) -> None:
        """It is being carried out from now on, for that tool call."""
        wish.ids, wish.acted, wish.acted_by, wish.running = {tool_call_id}, wish.asked, tool_call_id, running
        running.add_done_callback(lambda task: self._ended(wish, task))

    def _ended(self, wish: Wish, task: asyncio.Task[Answer]) -> None:
        wish.running = None
        if not task.cancelled() and task.exception() is None:
            wish.answer = task.result()

    def made(self, tool_call_id: str) -> None:
        """A tool call was made by this process: its row in the transcript is no news."""
        self._known.add(tool_call_id)

    def recall(self, history: Transcript, canonical: Callable[[str, str], str | None]) -> None:
        """Take in the writes that a process before this one made, and when each was made by this history.

        `canonical` spells the arguments of a write, by its name; None for what is none.
        One without an answer may have been carried out. With the key, its backend can tell.
        """
        own = {tool_call_id: wish for wish in self._wishes for tool_call_id in wish.ids}
        if not own and all(row.tool_call_id in self._known for row in history if isinstance(row, ToolCalled)):
            return
        rows = zip(history, turns_of(history), strict=True)
        calls = [(row, turn) for row, turn in rows if isinstance(row, ToolCalled)]
        for row, turn in calls:  # its own first: a wish that counted too few turns would seem to be over
            if row.tool_call_id in own:
                own[row.tool_call_id].is_shown_at(turn, row.tool_call_id)
        answers: dict[str, ToolAnswered] | None = None
        for row, turn in calls:
            if row.tool_call_id in self._known:
                continue
            self._known.add(row.tool_call_id)
            if (arguments := canonical(row.name, row.arguments)) is None:
                continue
            if answers is None:
                answers = {answer.tool_call_id: answer for answer in history if isinstance(answer, ToolAnswered)}
            wish, answer = self.wish(row.name, arguments, turn), answers.get(row.tool_call_id)
            if wish is None or wish.is_done:
                continue
            if answer is None:
                wish.answer = Answer.failed("raised", f"This was cut short.{IN_DOUBT}")
            else:
                wish.ids, wish.acted, wish.acted_by = {row.tool_call_id}, turn, row.tool_call_id
                wish.answer = Answer(answer.content, "raised" if answer.is_successful is False else None)

    def completed(self, history: Transcript) -> Transcript:
        """The history with the results that the platform does not show: each behind the turn that asked for it."""
        if not self._wishes:
            return history
        shown = {row.tool_call_id for row in history if isinstance(row, ToolAnswered)}
        missing = [wish for wish in self._wishes if wish.ids and wish.answer is not None and not wish.ids & shown]
        if not missing:
            return history
        rows: list[Row] = []
        for row, turn in zip(history, turns_of(history), strict=True):
            due = [wish for wish in missing if wish.asked < turn]
            missing = [wish for wish in missing if wish.asked >= turn]
            rows += [*_rows_of(due, history), row]
        return (*rows, *_rows_of(missing, history))


def turns_of(rows: Iterable[Row]) -> Iterator[int]:
    """For each row, the number of the caller's turns so far: of utterances, notes, and runs of digits."""
    turns = 0
    for before, row in pairwise((None, *rows)):
        is_digit = isinstance(row, DigitPressed) and not isinstance(before, DigitPressed)
        is_words = isinstance(row, Note) or (isinstance(row, Utterance) and row.speaker is Speaker.CALLER)
        turns += is_digit or is_words
        yield turns


def _rows_of(wishes: Iterable[Wish], history: Transcript) -> Iterator[Row]:
    called = {row.tool_call_id for row in history if isinstance(row, ToolCalled)}
    for wish in wishes:
        answer = wish.answer
        if answer is not None:
            # A call that is shown without its answer gets it there.
            of = min(wish.ids & called, default=min(wish.ids))
            if of not in called:
                yield ToolCalled(of, wish.name, wish.arguments)
            yield ToolAnswered(of, answer.content, answer.fault is None, answer.fault)
