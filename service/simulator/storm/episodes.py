"""A storm is played in episodes; what came of all of them, told to people."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape

from service.reporting.html import Section, table
from service.reporting.page import page
from service.simulator.storm.findings import RULES, Finding

OWN_AGENT = "storm"
EPISODE = 100.0
"""Call-minutes of one episode, about: a failure in it is played again in seconds."""

_BEAT = 10.0
_SHOWN = 40
"""Lines of a timeline before a finding."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is played. Each episode is a world of its own, drawn from the seed and its number."""

    seed: int
    minutes: float = EPISODE
    """Of all calls of an episode together, about."""
    calls: int = 10
    """At once, about."""
    agent: str = OWN_AGENT

    def again(self, number: int) -> str:
        """The command that plays an episode again."""
        minutes = "" if self.minutes == EPISODE else f" --minutes {self.minutes:g}"
        agent = "" if self.agent == OWN_AGENT else f" --agent {self.agent}"
        return f"cuebox storm --seed {self.seed}:{number} --calls {self.calls}{minutes}{agent}"


@dataclass(slots=True)
class Episode:
    """One that was played."""

    number: int
    minutes: float
    """Of all calls together, in virtual time."""
    counts: Counter[str]
    digest: str
    """Of all its frames: the same when the same was played."""
    findings: list[Finding] = field(default_factory=list)
    timelines: dict[str, list[str]] = field(default_factory=dict)
    """Of the calls in which something was found."""
    cpu_seconds: float = 0.0


class Sum:
    """Of all episodes of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.broken: list[tuple[Finding, Episode]] = []
        self._plan = plan
        self._began = self._told_at = time.monotonic()
        self._minutes = self._cpu_seconds = 0.0
        self._counts = Counter[str]()

    def add(self, episode: Episode) -> None:
        """One more is over."""
        self._minutes, self._cpu_seconds = self._minutes + episode.minutes, self._cpu_seconds + episode.cpu_seconds
        self._counts.update(episode.counts)
        self._counts["episodes"] += 1
        self.broken += [(finding, episode) for finding in episode.findings]

    @property
    def is_time_to_tell(self) -> bool:
        """Whether nothing was told for a while. It is now."""
        if (now := time.monotonic()) - self._told_at < _BEAT:
            return False
        self._told_at = now
        return True

    def __str__(self) -> str:
        rate = self._minutes / max(self._cpu_seconds, 1e-9)
        took = time.monotonic() - self._began
        return (
            f"{self._minutes:,.0f} call-minutes in {took:.0f} s ({rate:.1f} per core-second), "
            f"{len(self.broken) or 'no'} {'finding' if len(self.broken) == 1 else 'findings'}"
        )

    @property
    def counted(self) -> str:
        """What was played, in one line."""
        return ", ".join(f"{count:,} {what}" for what, count in self._counts.items())

    def told(self, finding: Finding, episode: Episode, shown: int = _SHOWN) -> Iterator[str]:
        """A finding, in lines: the rule, the end of the timeline, and how to see it again."""
        yield f"\nBROKEN  {finding.rule}: {RULES[finding.rule]}"
        where = f" in {finding.call_id}" if finding.call_id else ""
        yield f"  {finding.at:.3f} s into episode {episode.number}{where}: {finding.detail}"
        yield from (f"  {line}" for line in episode.timelines.get(finding.call_id, ())[-shown:])
        yield f"  again: {self._plan.again(episode.number)}"

    def page(self) -> str:
        """All of it as a page."""
        counts = [(what, float(count)) for what, count in self._counts.items()]
        found = "".join(
            f"<details><summary>{escape(finding.rule)}: {escape(finding.detail)}</summary>"
            f"<pre>{escape(chr(10).join(self.told(finding, episode, shown=200)))}</pre></details>"
            for finding, episode in self.broken
        )
        sections = [
            Section("What was found", found or "<p>No rule was broken.</p>"),
            Section("What was played", table("Of all episodes", ("", "number"), counts)),
            Section("The rules", table("Checked on every frame", ("rule", "which says"), RULES.items())),
        ]
        return page(None, f"{self}, of seed {self._plan.seed}", title="A storm", first=sections)
