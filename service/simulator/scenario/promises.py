"""What holds in each call, without being asked for.

No rule of the platform is broken, stale words among them; each turn ends in one final frame, unless something newer
overtook it. Where the inside is known, frames take no time, and more can be told: an older turn says nothing from the
moment that the newer one is asked, each turn is settled once, no caller waits in silence, each ping is answered.
"""

from collections import Counter
from collections.abc import Iterator

from service.simulator import retell_steps as steps
from service.simulator.scenario.answers import compiled
from service.simulator.scenario.script import Mute, Scenario
from service.simulator.scenario.timeline import Failure, Settled, Timeline

LONGEST_TURN = 60.0
"""Seconds after which the end of a call excuses no turn that was not answered."""

LONGEST_SILENCE = 16.0
"""Seconds without a word after which a caller takes the line for dead: a tool's longest, and what follows it."""

AT_ONCE = 0.05
"""Seconds in which a service that read the newer request has stopped."""


def broken_promises(scenario: Scenario, timeline: Timeline) -> Iterator[Failure]:
    """All that does not hold."""
    yield from _rules(timeline, scenario.expect.rules_broken)
    yield from _finals(timeline)
    if timeline.is_inside_known and not any(isinstance(step, Mute) for step in scenario.steps):
        yield from _stale(timeline)
        yield from _silences(timeline)
        yield from _settlements(timeline)


def _rules(timeline: Timeline, allowed: list[str]) -> Iterator[Failure]:
    missed = set(allowed)
    for _, broken in timeline.of(steps.RuleBroken):
        fitting = {pattern for pattern in allowed if compiled(pattern).search(broken.rule)}
        missed -= fitting
        if not fitting:
            yield Failure(f"a rule of the platform is broken: {broken.rule}")
    for pattern in sorted(missed):
        yield Failure(f"no rule like /{pattern}/ was broken")


def _finals(timeline: Timeline) -> Iterator[Failure]:
    """Each turn ends in one final frame, unless it is overtaken: then there may be one."""
    finals = Counter(what.turn_id for _, what in timeline.of(steps.TurnFinished) if what.turn_id is not None)
    for turn_id, count in finals.items():
        if count > 1:
            yield Failure(f"turn {turn_id} has {count} final frames, not one", turn_id=turn_id)
    asked = [what.turn_id for _, what in timeline.of(steps.TurnAsked)]
    for turn_id in asked:
        if not finals[turn_id] and not is_overtaken(timeline, turn_id):
            yield Failure(f"turn {turn_id} has no final frame, and nothing newer overtook it", turn_id=turn_id)


def _settlements(timeline: Timeline) -> Iterator[Failure]:
    """A turn is settled at most once: what was killed settles nothing."""
    for turn_id, count in Counter(what.turn_id for _, what in timeline.of(Settled)).items():
        if count > 1:
            yield Failure(f"turn {turn_id} was settled {count} times, not once", turn_id=turn_id)


def is_overtaken(timeline: Timeline, turn_id: int) -> bool:
    """By a newer request, an interjection, another line, the caller's next words, or the end of the call."""
    begin, end = timeline.span(turn_id)
    if end < float("inf"):
        return True
    if any(begin < at < begin + LONGEST_TURN for at, _ in timeline.of(steps.CallEnded)):
        return True
    lines = any(at > begin for kind in (steps.Redial, steps.LineOpened) for at, _ in timeline.of(kind))
    return lines or any(at > begin and what.turn_id is None for at, what in timeline.of(steps.ChunkArrived))


def _stale(timeline: Timeline) -> Iterator[Failure]:
    """Here nothing is under way: also of a service that did not show yet that it has read the newer request."""
    newest, asked_at = 0, 0.0
    for at, what in timeline.moments:
        match what:
            case steps.TurnAsked(turn_id=newest):
                asked_at = at
            case steps.ResponseDropped(turn_id=int() as old) if old < newest and at > asked_at + AT_ONCE:
                after = f"{at - asked_at:.2f} s after turn {newest} was asked"
                yield Failure(f"turn {old} went on, {after}", turn_id=newest)
                return
            case _:
                pass


def _silences(timeline: Timeline) -> Iterator[Failure]:
    for asked_at, asked in timeline.of(steps.TurnAsked):
        turn_id, ends = asked.turn_id, timeline.span(asked.turn_id)[1]
        heard = (at for at, what in timeline.of(steps.ChunkArrived) if what.turn_id == turn_id and what.text.strip())
        finished = [what for what in timeline.of_turn(steps.TurnFinished, turn_id) if not what.text.strip()]
        acted = any(what.action for what in timeline.of_turn(steps.SpeechFinished, turn_id))
        if finished and not acted and not asked.is_reminder:
            yield Failure(f"turn {turn_id} ended without a word", turn_id=turn_id)
        until = min(next(heard, ends), ends, timeline.moments[-1][0])
        if until - asked_at > LONGEST_SILENCE:
            yield Failure(f"the caller heard nothing for {until - asked_at:.0f} s", turn_id=turn_id)
