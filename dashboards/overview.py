"""Are callers all right?"""

from dashboards.panel import Board, Panel, Query, Row, percentiles, quantile, series, total
from infra.slo import Slo, edge

FIRST = "turn_time_to_first_chunk_seconds"
COUNTED = 'result=~"sent|failed"'
SETTLED = 'outcome=~"completed|interrupted"'
ENDED = 'outcome=~"completed|interrupted|failed"'


def kept(slo: Slo, window: str) -> str:
    """The share of turns whose first words came in time. A turn without any is bad, too."""
    good = total(f"{FIRST}_bucket", edge(slo.first_words.promise), window=window)
    return f"{good} / {total('turn_first_chunk_total', COUNTED, window=window)}"


def overview(slo: Slo) -> Board:
    """What an operator looks at first."""
    return Board(
        "cuebox-overview",
        "Cuebox: overview",
        "Are callers all right? Green numbers above, lines below their dashes: yes.",
        (
            Row("Today", (_promise(slo), _first_words(slo), _failed(), _interrupted(slo))),
            Row("Now", (_calls(), _apdex(slo), _abandoned(), _platform())),
            Row("Over time", (_waiting(slo), _burn(slo), _outcomes(), _firing())),
        ),
    )


def _promise(slo: Slo) -> Panel:
    goal = slo.first_words
    budget = f"1 - (1 - {kept(slo, '7d')}) / {1 - goal.share:.4g}"
    return Panel(
        "The promise, over 7 days",
        "percentunit",
        f"Turns whose first words came within {goal.promise:g} s. {goal.share:.0%} are promised; failed turns count as late. Below, what is left of the week's budget of late ones.",
        "See when it went in “Late turns” below, then the dashboard “Turn latency” for whether the model or we were slow.",
        (Query(kept(slo, "7d"), "in time"), Query(budget, "budget left")),
        "stat",
        (goal.share,),
        higher_is_better=True,
        width=6,
        height=5,
    )


def _first_words(slo: Slo) -> Panel:
    return Panel(
        "First words, p95",
        "s",
        "19 of 20 turns had their first words within this time, over the range chosen above. It says little of fewer than 20 turns.",
        "“Turn latency” shows whether it is the model, one kind of turn, one machine, or a few very slow turns.",
        (
            Query(quantile(0.95, FIRST, window="$__range"), "p95"),
            Query(total(f"{FIRST}_count", window="$__range"), "turns", count=True),
        ),
        "stat",
        (slo.first_words.promise,),
        width=6,
        height=5,
    )


def _failed() -> Panel:
    ended = total("turns_total", ENDED, window="$__range")
    return Panel(
        "Failed turns",
        "percentunit",
        "Turns that ended with an apology, or without an answer. Superseded ones are not counted: they were never heard.",
        "“Model and cost” shows the reasons; the log line turn.settled of such a turn has its error, and `cuebox check` asks the model.",
        (
            Query(f"{total('turns_total', _outcome('failed'), window='$__range')} / {ended}", "failed"),
            Query(ended, "turns", count=True),
        ),
        "stat",
        (0.01, 0.05),
        width=6,
        height=5,
    )


def _interrupted(slo: Slo) -> Panel:
    settled = total("turns_total", SETTLED, window="$__range")
    return Panel(
        "Interrupted turns",
        "percentunit",
        "Answers that the caller cut off, of all that were heard. Some is normal: people interrupt people.",
        "“Interruptions” shows what goes with it: long answers, slow ones, or a prompt that was changed.",
        (
            Query(f"{total('turns_total', _outcome('interrupted'), window='$__range')} / {settled}", "interrupted"),
            Query(settled, "turns", count=True),
        ),
        "stat",
        (slo.interrupts.share, 2 * slo.interrupts.share),
        width=6,
        height=5,
    )


def _calls() -> Panel:
    return Panel(
        "Calls",
        "short",
        "Calls that have a line now, and replies being made for them.",
        "No calls at a time when there should be some: look at “Calls and platform”, and call the number yourself.",
        (Query(f"sum({series('calls_open')})", "calls"), Query(f"sum({series('turns_in_progress')})", "replies")),
        "stat",
        width=6,
        height=5,
    )


def _apdex(slo: Slo) -> Panel:
    goal = slo.first_words
    near, far = (total(f"{FIRST}_bucket", edge(limit), window="$__range") for limit in (goal.satisfied, goal.promise))
    return Panel(
        "Apdex",
        "none",
        f"1 when every caller waited for less than {goal.satisfied:g} s; up to {goal.promise:g} s counts half, later or never counts nothing. Above 0.85 is good for a hosted model.",
        "The share of quick answers falls before the promise breaks. Compare models in “Turn latency”; a nearer region or a smaller model helps most.",
        (Query(f"({near} + {far}) / 2 / {total('turn_first_chunk_total', COUNTED, window='$__range')}", "apdex"),),
        "stat",
        (0.85,),
        higher_is_better=True,
        width=6,
        height=5,
    )


def _abandoned() -> Panel:
    calls = total("calls_total", 'result="accepted"', window="$__range")
    return Panel(
        "Hung up while waiting",
        "percentunit",
        "Calls whose caller left while waiting for the first words of an answer: the clearest complaint there is.",
        "Find such calls in the log (call.ended) and read them with `cuebox explain CALL_ID`. Mostly answers were slow.",
        (
            Query(f"{total('calls_abandoned_total', window='$__range')} / {calls}", "left"),
            Query(calls, "calls", count=True),
        ),
        "stat",
        (0.02, 0.05),
        width=6,
        height=5,
    )


def _platform() -> Panel:
    calls = total("platform_calls_total", window="$__range")
    broken = total("platform_calls_total", 'disconnection_reason=~"error_llm_websocket_.*"', window="$__range")
    return Panel(
        "Calls the platform lost",
        "percentunit",
        "By the platform's own account, calls that ended because of the connection to us. No number: no webhook has told of a call yet.",
        "“Calls and platform” names the reason. If ours say all is well, look between us and the platform: proxy, TLS, machines that start slowly.",
        (Query(f"{broken} / {calls}", "lost"), Query(calls, "calls", count=True)),
        "stat",
        (0.001, 0.01),
        width=6,
        height=5,
    )


def _waiting(slo: Slo) -> Panel:
    goal = slo.first_words
    return Panel(
        "How long callers wait for first words",
        "s",
        f"From the platform's request to the first words of the answer. The dashes are what is promised, {goal.promise:g} s. The bars are how many turns a line rests on.",
        "A p95 above the dashes with a steady p50 is a slow tail: see the model's own lines in “Turn latency”. Both up is the model or the network. A few bars only: wait for more turns.",
        percentiles(FIRST, exemplars=True),
        limits=(goal.promise,),
        every="5m",
        traces=f"{{ span.cuebox.turn.time_to_first_chunk > {goal.promise:g} }}",
    )


def _burn(slo: Slo) -> Panel:
    spare = 1 - slo.first_words.share
    return Panel(
        "Late turns",
        "percentunit",
        "The share of turns that broke the promise, in the last 5 minutes and the last hour. At the dashes a ticket is due (1.4 times what the week allows), then a page (6.72 times).",
        "Only the short line is up: it may pass. Both are up: follow the runbook of the alert that fires (CueboxFirstWordsBudgetFastBurn).",
        (Query(f"1 - {kept(slo, '5m')}", "5 minutes"), Query(f"1 - {kept(slo, '1h')}", "1 hour")),
        limits=(round(1.4 * spare, 4), round(6.72 * spare, 4)),
    )


def _outcomes() -> Panel:
    return Panel(
        "Turns by outcome",
        "short",
        "How turns ended. Superseded ones are normal: the platform asks early and often.",
        "Failed turns: “Model and cost”. Many disconnected ones: lines break, see “Calls and platform”. Nothing at all: no calls reach us.",
        (Query(total("turns_total", by="outcome"), "{{outcome}}"),),
        "bars",
        every="5m",
    )


def _firing() -> Panel:
    return Panel(
        "Alerts",
        "none",
        "What fires or is about to, as Grafana's own alerting sees it.",
        "Open the runbook that the alert names (infra/runbooks).",
        kind="alerts",
    )


def _outcome(outcome: str) -> str:
    return f'outcome="{outcome}"'
