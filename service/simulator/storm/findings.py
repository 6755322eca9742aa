"""What a storm found: rules that were broken, where and when."""

from collections.abc import Callable
from dataclasses import dataclass

MOST = 20
"""Findings kept of one storm: what comes later is mostly the same again."""

RULES = {
    "one reply in flight": "Never are two replies of a call in flight.",
    "no stale words": "No word of a turn is sent once a newer request was read, nor on a line that was replaced.",
    "one final": "A turn that was asked ends in exactly one final frame, and nothing after it, unless overtaken.",
    "settled once": "Every turn is settled exactly once, at the latest when its call ends.",
    "in time": "Nobody waits in silence beyond the deadlines.",
    "held once": "A hold line comes once a turn at most, and none that only bridges a wait in two turns running.",
    "ends well": "A turn ends with no action but its own, with words if it failed or hangs up, and repeats nothing.",
    "as heard": "An agent reads what the platform says was said and heard, without hold lines.",
    "greeted once": "A call is greeted once, over all its lines and processes.",
    "effects once": "What a caller wished for is done once, over all turns, lines and processes.",
    "told once": "The agent is told once that a call is over.",
    "pings answered": "A ping is answered at once, whatever else goes on.",
    "never closed": "The service closes no line: it would end the call.",
    "as the platform says": "Every frame is as the platform's reference says.",
    "tools answered": "A tool call that is shown has one result, unless its call ends or its process dies before.",
    "bounded": "Nothing is left of calls that are over: no state, no task, no timer.",
    "goes on": "Time goes on: nobody waits for what never comes, or runs for ever.",
    "no fault": "Nothing of the service's own fails.",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken rule. `at` is seconds since the storm's beginning; `call_id` is empty where it is no call's."""

    rule: str
    call_id: str
    at: float
    detail: str


class Findings:
    """All of one storm."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.found: list[Finding] = []
        self.on_found: Callable[[Finding], None] = lambda _: None
        self._now = now

    def broken(self, rule: str, call_id: str, detail: str) -> None:
        """A rule was broken, just now. The rule is one of RULES."""
        if rule not in RULES:
            raise KeyError(rule)
        if len(self.found) < MOST:
            self.found.append(finding := Finding(rule, call_id, self._now(), detail))
            self.on_found(finding)
