"""What a scenario needs to be played: a line alone, or the world behind it."""

from collections.abc import Iterator

from service.simulator.scenario.expectations import Call, Reply
from service.simulator.scenario.script import MONDAY, Asking, Listen, Model, Scenario


def why_inside(scenario: Scenario) -> str | None:
    """Why it cannot be played against an address; None when it can."""
    return next(_reasons(scenario), None)


def _reasons(scenario: Scenario) -> Iterator[str]:
    if scenario.model != Model():
        yield "it says what the model does"
    for name in ("settings", "path", "headers"):
        if getattr(scenario, name):
            yield f"it has `{name}` of its own"
    if scenario.now != MONDAY:
        yield "it has a date of its own"
    if scenario.processes > 1:
        yield "it has several processes"
    for number, step in enumerate(scenario.steps, 1):
        if step.IS_INSIDE:
            yield f"step {number} ({step.told}) needs the inside"
        if isinstance(step, Asking) and step.expect is not None:
            yield from _unseen(step.expect)
        if isinstance(step, Listen) and isinstance(step.listen, Reply):
            yield from _unseen(step.listen)
    yield from _unseen(scenario.expect)


def _unseen(expected: Reply | Call) -> Iterator[str]:
    """What no line shows."""
    for name in expected.INSIDE:
        if getattr(expected, name) not in (None, "", [], {}):
            yield f"it expects `{name}`, which no line shows"
