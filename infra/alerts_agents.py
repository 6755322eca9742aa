"""Alerts on what agents do for callers: their tools and their knowledge."""

from collections.abc import Iterator

from infra.alert import AGENTS, Alert, total
from infra.slo import Slo

BROKEN = 'result=~"timeout|raised|unreadable|unknown",tool!="unknown"'
"""Faults of a tool. Refused calls are its rules at work, those with wrong arguments are the model's."""
TRIED = 'result=~"ok|refused|timeout|raised|unreadable|unknown",tool!="unknown"'


def tools(slo: Slo) -> Iterator[Alert]:
    """Tools that do not do what they are for, or take too long about it."""
    goal = slo.tools
    broken = f"tool_calls_total{{{BROKEN}}}"
    broken_calls, tried = (total(selector, "15m", "app, tool") for selector in (broken, f"tool_calls_total{{{TRIED}}}"))
    yield Alert(
        "CueboxToolFailing",
        f"{total(broken, '15m', 'app, tool, result')} > 0.5\nand on (app, tool) {broken_calls} > 2.5\n"
        f"and on (app, tool) {broken_calls} / {tried} > {goal.failing:g}",
        "The tool {{ $labels.tool }} fails: {{ $labels.result }} {{ $value | humanize }} times in a quarter of an hour",
        f"More than {goal.failing:.0%} of its calls brought nothing. Callers are told that it did not work; what they called for is not done.",
        severity="page",
        board=AGENTS,
    )
    yield Alert(
        "CueboxToolSlow",
        f"histogram_quantile(0.9, sum by (app, tool, le) (rate(cuebox_tool_duration_seconds_bucket[15m]))) > {goal.slow:g}\n"
        f"and on (app, tool) {total('tool_duration_seconds_count', '15m', 'app, tool')} > 9.5",
        "One call in ten of the tool {{ $labels.tool }} takes longer than {{ $value | humanizeDuration }}",
        "Callers hear a hold line, then nothing. The tool's timeout ends it at last, and the answer is an excuse.",
        hold="5m",
        keep="15m",
        board=AGENTS,
    )


def knowledge(slo: Slo) -> Iterator[Alert]:
    """Turns that had to do without."""
    missed, sought = (
        f'knowledge_searches_total{{result=~"{results}"}}' for results in ("late|failed", "found|nothing|late|failed")
    )
    yield Alert(
        "CueboxKnowledgeMissed",
        f"{total(missed, '15m', 'app, result')} > 0.5\nand on (app) {total(missed, '15m')} > 4.5\n"
        f"and on (app) {total(missed, '15m')} / {total(sought, '15m')} > {slo.knowledge.missed:g}",
        "Turns go on without knowledge: {{ $labels.result }} {{ $value | humanize }} times in a quarter of an hour",
        f"More than {slo.knowledge.missed:.0%} of the searches came too late or failed. The agent answers from its prompt alone, or says that it does not know.",
        hold="2m",
        keep="15m",
        board=AGENTS,
    )
