"""What a line of the log tells of a settled turn. `service.reporting` reads it again."""

from collections.abc import Callable, Mapping, Sequence

from service.conversation.call import TurnRecord
from service.llm.model import Usage
from service.llm.records import AttemptRecord, Result
from service.observability.frames import ACTIONS
from service.observability.prices import Price
from service.observability.tools import milliseconds, told
from service.observability.watch import SeenTurn


def of_turn(turn: SeenTurn, record: TurnRecord, prices: Mapping[str, Price]) -> dict[str, object]:
    """All but its words. Times are seconds since it was asked, those of tools and attempts milliseconds."""
    return {**_answer(record), **_model(turn, record), **_spent(turn.attempts, prices), **_agents_work(turn, record)}


def _answer(turn: TurnRecord) -> dict[str, object]:
    return {
        "turn_id": turn.turn_id,
        "turn_index": turn.index,
        "prompt": turn.prompt.value,
        "outcome": turn.outcome.value,
        "reason": turn.reason,
        "time_to_first_chunk": seconds(turn.asked_at, turn.first_words_at),
        "time_to_first_sentence": seconds(turn.asked_at, turn.first_sentence_at),
        "duration": seconds(turn.asked_at, turn.final_at),
        "settled_after": seconds(turn.asked_at, turn.settled_at),
        "held": turn.held_at is not None,
        "held_after": seconds(turn.asked_at, turn.held_at),
        "fallback": turn.fallback.value if turn.fallback is not None else None,
        "audible_gap": round(turn.audible_gap, 4),
        "chunks": turn.chunks,
        "words_said": turn.words_said,
        "words_heard": turn.words_heard,
        "heard_share": round(turn.heard_share, 3),
        "heard_unknown": turn.is_heard_unknown,
    }


def _model(turn: SeenTurn, record: TurnRecord) -> dict[str, object]:
    """What came of the attempts that are over by now; those that were not usual have lines of their own, too."""
    about: dict[str, object] = {"attempts": len(turn.attempts)}
    answer = next((attempt for attempt in turn.attempts if attempt.result is Result.ANSWERED), None)
    if answer is not None:
        first_words = seconds(answer.asked_at, answer.first_words_at)
        about |= {"target": answer.target, "model_time_to_first_words": first_words}
    if turn.attempts:
        about["model_attempts"] = [_attempt(attempt, record.asked_at) for attempt in turn.attempts]
    return about


def _attempt(attempt: AttemptRecord, asked_at: float) -> tuple[object, ...]:
    return attempt.target, attempt.cause.value, attempt.result.value, *moments_of(attempt, asked_at)


def moments_of(attempt: AttemptRecord, asked_at: float) -> tuple[int, int | None, int]:
    """When it began, spoke first (None for never) and ended, in milliseconds since its turn was asked."""
    first = None if attempt.first_words_at is None else milliseconds(attempt.first_words_at - asked_at)
    return milliseconds(attempt.asked_at - asked_at), first, milliseconds(attempt.ended_at - asked_at)


def _spent(attempts: Sequence[AttemptRecord], prices: Mapping[str, Price]) -> dict[str, object]:
    """Of the attempts whose tokens were counted. `cost` is dollars, and not told where a model has no price."""
    spent = [(usage, prices.get(attempt.model)) for attempt in attempts if (usage := attempt.usage) is not None]
    if not spent:
        return {}
    costs = [price.of(usage) for usage, price in spent if price is not None]
    cost = {"cost": round(max(0.0, sum(costs)), 7)} if len(costs) == len(spent) else {}
    return {"tokens": {kind: max(0, sum(of(usage) for usage, _ in spent)) for kind, of in _TOKENS.items()}, **cost}


_TOKENS: Mapping[str, Callable[[Usage], int]] = {
    "input": lambda usage: usage.input,
    "cached": lambda usage: usage.cached,
    "output": lambda usage: usage.output,
}


def _agents_work(turn: SeenTurn, record: TurnRecord) -> dict[str, object]:
    """Tools, knowledge and action of a turn, where it had them."""
    work: dict[str, object] = {"tools": told(turn.tools, record.asked_at)} if turn.tools else {}
    if (sought := turn.knowledge) is not None:
        work |= {"knowledge": sought.result.value, "passages": len(sought.passages)}
        work |= {"knowledge_waited": round(sought.waited, 4)}
    if record.action is not None:
        work |= {"action": ACTIONS[type(record.action)], "rescued": record.is_rescued}
    return work


def seconds(start: float, end: float | None) -> float | None:
    """For a line of the log; None of what did not happen."""
    return None if end is None else round(end - start, 4)
