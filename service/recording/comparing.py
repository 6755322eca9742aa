"""Two recordings of one call, turn by turn: what was then, and what is now."""

import difflib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from service.recording.lines import FrameIn, FrameOut, Happening, TurnAsked, TurnSettled
from service.recording.reading import Recording
from service.recording.redaction import redacted

_FAILED = "failed"
_LONGEST = 200
"""Characters of a frame that is told."""


@dataclass(slots=True)
class TurnPlayed:
    """What can be compared of one turn. Moments are seconds since the call began; None for what did not happen."""

    turn_id: int
    prompt: str
    asked_at: float
    caller: str = ""
    """What the caller had said last."""
    said: str = ""
    first_words_at: float | None = None
    final_at: float | None = None
    tools: list[str] = field(default_factory=list)
    """What was called, and what came of it."""
    actions: list[str] = field(default_factory=list)
    frames: list[str] = field(default_factory=list)
    """The others: neither words, nor tool calls, nor pings."""
    questions: int = 0
    """How often its model was asked."""
    outcome: str | None = None

    @property
    def words_after(self) -> float | None:
        """Seconds from being asked to the first words."""
        return None if self.first_words_at is None else self.first_words_at - self.asked_at

    @property
    def took(self) -> float | None:
        """Seconds from being asked to the final frame."""
        return None if self.final_at is None else self.final_at - self.asked_at


@dataclass(frozen=True, slots=True)
class Change:
    """What is not as it was. `what` is words, tools, action, frames, questions, outcome or turn."""

    what: str
    then: str
    now: str


@dataclass(frozen=True, slots=True)
class TurnCompared:
    """A turn then and now; None where there was none."""

    then: TurnPlayed | None
    now: TurnPlayed | None
    changes: Sequence[Change] = ()


def compared(then: Recording, now: Recording) -> list[TurnCompared]:
    """All turns of both, in order; what was sent before the first one counts to it."""
    pairs = _paired(turns_of(then), turns_of(now))
    return [TurnCompared(old, new, list(_changes(old, new, is_redacted=then.began.is_redacted))) for old, new in pairs]


def _paired(
    then: Sequence[TurnPlayed], now: Sequence[TurnPlayed]
) -> Iterator[tuple[TurnPlayed | None, TurnPlayed | None]]:
    """Turns go together by what asked for them."""
    asked_then, asked_now = ([(turn.turn_id, turn.prompt) for turn in turns] for turns in (then, now))
    for _, a, b, c, d in difflib.SequenceMatcher(None, asked_then, asked_now, autojunk=False).get_opcodes():
        yield from zip_longest(then[a:b], now[c:d])


def _changes(then: TurnPlayed | None, now: TurnPlayed | None, *, is_redacted: bool) -> Iterator[Change]:
    if then is None or now is None:
        yield Change("turn", *("nobody asked" if turn is None else f"asked: {turn.prompt}" for turn in (then, now)))
        return
    if (then.turn_id, then.prompt) != (now.turn_id, now.prompt):
        yield Change("turn", f"asked: {then.prompt}", f"asked: {now.prompt}")
    words = [" ".join((redacted(turn.said) if is_redacted else turn.said).split()) for turn in (then, now)]
    is_reworded = words[0] != words[1] and not _is_cut_elsewhere(then, now, *words)
    if is_reworded:
        yield Change("words", *words)
    for what, sent, sends in (
        ("tools", then.tools, now.tools),
        ("action", then.actions, now.actions),
        ("frames", then.frames, now.frames),
    ):
        if sent != sends:
            yield Change(what, ", ".join(sent) or "none", ", ".join(sends) or "none")
    if then.questions != now.questions:
        yield Change("questions", f"asked the model {then.questions} times", f"{now.questions} times")
    old, new = then.outcome or "", now.outcome or ""
    is_known = old and new and (not is_reworded or _FAILED in old + new)  # how much of other words was heard is not
    if is_known and old != new:
        yield Change("outcome", old, new)


def _is_cut_elsewhere(then: TurnPlayed, now: TurnPlayed, old: str, new: str) -> bool:
    """The same words, of which the caller cut off more or less: a matter of milliseconds."""
    return None in (then.final_at, now.final_at) and (old.startswith(new) or new.startswith(old))


def turns_of(recording: Recording) -> list[TurnPlayed]:
    """The turns of a recording, in order."""
    reading = _Reading()
    for entry in recording.entries:
        reading.take(entry)
    for index, questions in recording.questions.items():
        if index in reading.by_index:
            reading.by_index[index].questions = len(questions)
    return reading.turns


class _Reading:
    def __init__(self) -> None:
        self.turns: list[TurnPlayed] = []
        self.by_index: dict[int, TurnPlayed] = {}
        self._by_id: dict[object, TurnPlayed] = {}
        self._called: dict[object, tuple[TurnPlayed, int]] = {}
        self._caller = ""
        self._before: list[str] = []

    def take(self, entry: Happening) -> None:
        match entry:
            case FrameIn(frame=dict() as frame) if frame.get("interaction_type") == "response_required":
                self._caller = _last_words(frame.get("transcript_with_tool_calls") or frame.get("transcript"))
            case FrameOut(frame=dict() as frame):
                self._sent(frame, entry.at)
            case TurnAsked():
                caller = self._caller if entry.prompt == "caller_spoke" else ""
                turn = TurnPlayed(entry.turn_id, entry.prompt, entry.at, caller, frames=self._before)
                self._before = []
                self.turns.append(turn)
                self.by_index[entry.index] = self._by_id[entry.turn_id] = turn
            case TurnSettled() if entry.index in self.by_index:
                reason = f" ({entry.reason})" if entry.reason and entry.outcome == _FAILED else ""
                self.by_index[entry.index].outcome = entry.outcome + reason
            case _:
                pass

    def _sent(self, frame: dict[str, Any], at: float) -> None:
        latest = self.turns[-1] if self.turns else None
        kind = frame.get("response_type")
        turn_id = frame.get("response_id")
        turn = self._by_id.get(turn_id) if isinstance(turn_id, int) else None
        if kind == "response" and turn is not None:
            _said(turn, frame, at)
        elif kind == "tool_call_invocation" and latest is not None:
            self._called[str(frame.get("tool_call_id"))] = latest, len(latest.tools)
            latest.tools.append(f"{frame.get('name')}({frame.get('arguments')})"[:_LONGEST])
        elif kind == "tool_call_result":
            self._answered(frame)
        elif kind != "ping_pong":
            shown = {name: value for name, value in frame.items() if name != "interrupt_id"}
            (self._before if latest is None else latest.frames).append(json.dumps(shown)[:_LONGEST])

    def _answered(self, frame: dict[str, Any]) -> None:
        turn, number = self._called.pop(str(frame.get("tool_call_id")), (None, 0))
        if turn is not None:
            turn.tools[number] += f" → {frame.get('content')}"[:_LONGEST]


def _said(turn: TurnPlayed, frame: dict[str, Any], at: float) -> None:
    content = frame.get("content")
    turn.said += content if isinstance(content, str) else ""
    if turn.first_words_at is None and turn.said.strip():
        turn.first_words_at = at
    if frame.get("content_complete") is True and turn.final_at is None:  # a greeting ends on each line once more
        turn.final_at = at
    actions = {"end_call": "hang up", "transfer_number": "transfer to", "digit_to_press": "press"}
    for name, verb in actions.items():
        if value := frame.get(name):
            turn.actions.append(verb if value is True else f"{verb} {value}")


def _last_words(rows: Any) -> str:
    rows = rows if isinstance(rows, list) else []
    said = [row.get("content") for row in rows if isinstance(row, dict) and row.get("role") == "user"]
    return str(said[-1]) if said else ""


def words_compared(then: str, now: str) -> list[tuple[str, str]]:
    """A text as it was and as it is, word by word: what is `same`, `gone` and `new`, in order."""
    old, new = then.split(), now.split()
    told: list[tuple[str, str]] = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            told.append(("same", " ".join(old[a:b])))
            continue
        told += [(what, " ".join(words)) for what, words in (("gone", old[a:b]), ("new", new[c:d])) if words]
    return told
