"""Alerts on what callers notice: silence, apologies, being talked over."""

from collections.abc import Iterator

from infra.alert import ANSWERED, ENDED, INTERRUPTS, LATENCY, MODEL, SETTLED, Alert, burn, total
from infra.slo import Slo, edge


def first_words(slo: Slo) -> Iterator[Alert]:
    """Burn rates of the promise, over windows and factors that fit a week and a share of 95 %: at most 20 times can burn."""
    goal = slo.first_words
    promised = f"turn_time_to_first_chunk_seconds_bucket{{{edge(goal.promise)}}}"

    def burns(factor: float, long: str, short: str, least: float) -> str:
        return burn(promised, ANSWERED, limit=factor * (1 - goal.share), windows=(long, short), least=least)

    sentence = f"A turn is bad when its first words took more than {goal.promise:g} s or never came; {goal.share:.0%} of turns over 7 days are to be good."
    yield Alert(
        "CueboxFirstWordsBudgetFastBurn",
        burns(6.72, "1h", "5m", 19.5),
        "{{ $value | humanizePercentage }} of turns kept their caller waiting in the last hour",
        sentence + " At this pace 4 % of the week's budget goes in an hour.",
        severity="page",
        hold="2m",
        keep="5m",
        board=LATENCY,
        slo="first_words",
    )
    yield Alert(
        "CueboxFirstWordsBudgetSlowBurn",
        burns(3.5, "6h", "30m", 49.5),
        "{{ $value | humanizePercentage }} of turns kept their caller waiting in the last six hours",
        sentence + " At this pace an eighth of the week's budget goes in six hours.",
        severity="page",
        hold="15m",
        keep="15m",
        board=LATENCY,
        slo="first_words",
    )
    yield Alert(
        "CueboxFirstWordsBudgetTicket",
        f"({burns(1.4, '1d', '2h', 99.5)})\nor\n({burns(0.98, '3d', '6h', 99.5)})",
        "{{ $value | humanizePercentage }} of turns keep their caller waiting: the week's budget will not last",
        sentence + " Nobody need get up for it, but the promise will be broken by the end of the week.",
        hold="1h",
        keep="15m",
        board=LATENCY,
        slo="first_words",
    )
    hopeless = f"turn_time_to_first_chunk_seconds_bucket{{{edge(goal.hopeless)}}}"
    yield Alert(
        "CueboxSlowTurnsLowTraffic",
        f"{total(ANSWERED, '15m')} - {total(hopeless, '15m')} > 2.5\nand\n{total(ANSWERED, '1h')} < 19.5",
        "{{ $value | humanize }} of the last few turns failed or began after " + f"{goal.hopeless:g} s",
        "There are too few turns for percentages, so these are counted.",
        board=LATENCY,
        slo="first_words",
    )


def overhead(slo: Slo) -> Iterator[Alert]:
    """Burn rates of our own promise."""
    goal = slo.overhead
    promised, every = f"overhead_seconds_bucket{{{edge(goal.promise)}}}", "overhead_seconds_count"
    fast, slow = (
        burn(promised, every, limit=factor * (1 - goal.share), windows=windows, least=199.5)
        for factor, windows in ((6.72, ("1h", "5m")), (3.5, ("6h", "30m")))
    )
    yield Alert(
        "CueboxOverheadBudgetBurn",
        f"({fast})\nor\n({slow})",
        "{{ $value | humanizePercentage }} of turns waited for us, not for the model",
        f"Our own part of the time to the first words is to stay within {goal.promise * 1000:g} ms in {goal.share:.1%} of turns.",
        hold="2m",
        keep="15m",
        board=LATENCY,
        slo="overhead",
    )


def turns(slo: Slo) -> Iterator[Alert]:
    """Turns that fail, are answered by a line of ours, are talked over, or do not stop."""
    failed = 'turns_total{outcome="failed"}'
    yield Alert(
        "CueboxTurnFailures",
        f"{total('turn_failures_total', '10m', 'app, reason')} > 0.5\nand on (app) {total(failed, '10m')} > 2.5\n"
        f"and on (app) {total(failed, '10m')} / {total(ENDED, '10m')} > 0.05",
        "Turns fail: {{ $labels.reason }} {{ $value | humanize }} times in ten minutes",
        "More than 5 % of turns end with an apology or not at all. The label `reason` says what went wrong.",
        severity="page",
        board=MODEL,
    )
    fallbacks = total("turn_fallbacks_total", "1h")
    yield Alert(
        "CueboxSpokenFallbacks",
        f"{fallbacks} / {total(ENDED, '1h')} > 0.01\nand {fallbacks} > 2.5\nand {total(ENDED, '1h')} > 49.5",
        "{{ $value | humanizePercentage }} of turns were answered with a line of ours instead of the model's words",
        "More than 1 % of turns in the last hour had an apology, a give-up, a closing line or the fallback greeting.",
        keep="15m",
        board=MODEL,
    )
    now, then = _interrupted("1h"), _interrupted("1h offset 1w")
    yield Alert(
        "CueboxInterruptRateHigh",
        f"({now} > {slo.interrupts.share:g} and {total(SETTLED, '1h')} > 49.5)\n"
        f"unless ({now} <= {slo.interrupts.growth:g} * {then} and {total(SETTLED, '1h offset 1w')} > 49.5)",
        "Callers cut off {{ $value | humanizePercentage }} of the answers",
        f"More than {slo.interrupts.share:.0%} of the turns of the last hour, and more than {slo.interrupts.growth:g} times the same hour last week (where that had enough turns to compare).",
        hold="30m",
        keep="15m",
        board=INTERRUPTS,
    )
    yield Alert(
        "CueboxCancelSlow",
        f"histogram_quantile(0.95, sum by (app, le) (rate(cuebox_cancel_to_silence_seconds_bucket[30m]))) > 0.1\n"
        f"and {total('cancel_to_silence_seconds_count', '30m')} > 9.5",
        "An interrupted answer takes {{ $value | humanizeDuration }} to stop (p95)",
        "After a newer request the older answer's connection should be closed within 0.1 s: until then the caller may hear two answers, and tokens are paid for nothing.",
        hold="10m",
        keep="15m",
        board=INTERRUPTS,
    )


def _interrupted(window: str) -> str:
    interrupted = total('turns_total{outcome="interrupted"}', window)
    return f"{interrupted} / {total(SETTLED, window)}"
