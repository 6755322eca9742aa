"""How a turn ended. What was heard is known only later, so a turn stays open until the next transcript tells.

`completed`     heard to its end: at least 90 % of its words
`interrupted`   the caller cut it off while hearing it
`superseded`    a newer request came before any of it was heard
`failed`        the caller got an apology or nothing
`disconnected`  the line closed while it was spoken
"""

from collections.abc import Sequence
from dataclasses import dataclass

from service.conversation.call import Outcome, Prompt, TurnRecord
from service.conversation.reply import OpenTurn
from service.conversation.transcript import Row

COMPLETED_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class _Heard:
    outcome: Outcome
    words: int
    is_unknown: bool = False


def settled(turn: OpenTurn, transcript: Sequence[Row] | None, at: float, *, overtaken_by: str) -> TurnRecord:
    """The record of a turn that a newer request, an interjection or a new line overtook, or that was over.

    `transcript` is what was heard by then, None when it is not known.
    """
    heard = None if transcript is None else turn.words_heard(transcript)
    said = turn.words_said
    return _record(turn, at, said, _by_what_was_heard(turn, said, heard, overtaken_by), overtaken_by)


def settled_at_end(turn: OpenTurn, transcript: Sequence[Row], at: float, *, line_closed_at: float) -> TurnRecord:
    """The record of a turn after which nothing more came: its line closed.

    Where the transcript stopped short, the playout estimate says whether the caller had time to hear the rest.
    """
    heard = turn.words_heard(transcript)
    said = turn.words_said
    if turn.final_at is None:
        result = _Heard(Outcome.DISCONNECTED, heard or 0)
    elif heard is None:
        result = _Heard(Outcome.COMPLETED, said, is_unknown=True)
    elif heard >= COMPLETED_SHARE * said:
        result = _Heard(Outcome.COMPLETED, heard)
    elif turn.playout.runs_out_at() <= line_closed_at:
        result = _Heard(Outcome.COMPLETED, said, is_unknown=True)
    else:
        result = _Heard(Outcome.DISCONNECTED, heard)
    return _record(turn, at, said, result, "line_closed")


def _by_what_was_heard(turn: OpenTurn, said: int, heard: int | None, overtaken_by: str) -> _Heard:
    is_over = turn.final_at is not None
    if not said:
        return _Heard(Outcome.COMPLETED if is_over else Outcome.SUPERSEDED, 0)
    if heard is None:
        return _Heard(Outcome.COMPLETED, said, is_unknown=True)
    if heard == 0:
        return _Heard(Outcome.SUPERSEDED, 0)
    if is_over and heard >= COMPLETED_SHARE * said:
        return _Heard(Outcome.COMPLETED, heard)
    if overtaken_by == Prompt.CALLER_SPOKE.value:
        return _Heard(Outcome.INTERRUPTED, heard)
    # Nobody interrupts by being silent, nor does our own interjection.
    return _Heard(Outcome.COMPLETED if is_over else Outcome.SUPERSEDED, heard, is_unknown=is_over)


def _record(turn: OpenTurn, at: float, said: int, result: _Heard, overtaken_by: str) -> TurnRecord:
    outcome = Outcome.FAILED if turn.failure else result.outcome
    return TurnRecord(
        index=turn.index,
        turn_id=turn.turn_id,
        prompt=turn.prompt,
        outcome=outcome,
        asked_at=turn.asked_at,
        first_words_at=turn.first_words_at,
        final_at=turn.final_at,
        settled_at=at,
        words_said=said,
        words_heard=result.words,
        is_heard_unknown=result.is_unknown,
        reason=turn.failure or (None if outcome is Outcome.COMPLETED else overtaken_by),
        first_sentence_at=turn.first_sentence_at,
        held_at=turn.held_at,
        fallback=turn.fallback,
        chunks=turn.chunks,
        audible_gap=turn.audible_gap,
        action=None if turn.final_at is None else turn.action,
    )
