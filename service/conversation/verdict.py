"""What the platform tells of a call beside its line: its own view, which may come when the call is long over."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class CallAnnounced:
    """The caller is on the phone: a line should come, or be there."""

    event: ClassVar = "call_started"
    call_id: str


@dataclass(frozen=True, slots=True)
class CallConcluded:
    """The call is over. `reason` is of a closed set, `word` is the platform's own for it; empty when unreadable."""

    event: ClassVar = "call_ended"
    call_id: str
    reason: str
    word: str


@dataclass(frozen=True, slots=True)
class CallMeasured:
    """The medians of a call's turns as the platform measured them, in seconds; None where it did not.

    `llm` is from its request to our first words, the way to us and back included; `e2e` from the caller's last word
    to the agent's voice.
    """

    event: ClassVar = "call_analyzed"
    call_id: str
    llm: float | None
    e2e: float | None


Verdict = CallAnnounced | CallConcluded | CallMeasured


@dataclass(frozen=True, slots=True)
class WebhookPosted:
    """Something came, and what became of it. `event` and `result` are of closed sets, as `why` it was refused is.

    A duplicate has its verdict, too: it was told before.
    """

    event: str
    result: str
    why: str | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class LineMissed:
    """An announced call had no line here in time. Nobody told: it was found."""

    call_id: str


Hearsay = WebhookPosted | LineMissed
"""What is known of calls without their lines."""
