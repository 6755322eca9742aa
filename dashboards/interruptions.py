"""Do callers talk over the agent, and why?"""

from dashboards.overview import FIRST, SETTLED
from dashboards.panel import Board, Panel, Query, Row, percentiles, quantile, total
from infra.slo import Slo

CUT = 'outcome="interrupted"'


def interruptions(slo: Slo) -> Board:
    """What goes with interruptions."""
    return Board(
        "cuebox-interruptions",
        "Cuebox: interruptions",
        "Do callers talk over the agent, and what goes with it?",
        (
            Row("How often", (_rate(slo), _share_heard())),
            Row("What goes with it", (_length(), _waiting(slo))),
            Row("How well we stop", (_stopping(), _superseded())),
            Row("How sure we are", (_aligned(), _turns())),
        ),
    )


def _share(outcome: str, of: str, offset: str = "") -> str:
    window = {"window": "1h", "offset": offset}
    return f"{total('turns_total', outcome, **window)} / {total('turns_total', of, **window)}"


def _rate(slo: Slo) -> Panel:
    return Panel(
        "Interrupted turns",
        "percentunit",
        "Of the turns that were heard, those that the caller cut off, over an hour; and the same hour last week. The dashes are the alert's.",
        "Above both the dashes and last week: what changed? The purple line is a new agent. Long or slow answers show below; else listen to a few of these calls.",
        (
            Query(_share(CUT, SETTLED), "now"),
            Query(_share(CUT, SETTLED, " offset 1w"), "last week"),
            Query(total("turns_total", SETTLED, window="1h"), "n", count=True),
        ),
        limits=(slo.interrupts.share,),
    )


def _share_heard() -> Panel:
    return Panel(
        "How much of a cut answer was heard",
        "percentunit",
        "The share of its words that the caller heard of an interrupted turn: p25, half, p75. Bars are interrupted turns.",
        "Low: callers cut in at once, so the answer is not to the point or comes too late. High: they only cut the last words, which hurts nobody.",
        percentiles("turn_heard_share", "", (0.25, 0.5, 0.75)),
        every="15m",
    )


def _length() -> Panel:
    return Panel(
        "Words in a reply, half of them have more",
        "short",
        "The median number of words that were said in interrupted and in completed turns.",
        "Interrupted ones are much longer: ask for shorter answers in prompt.md, one question at a time.",
        (
            Query(quantile(0.5, "turn_words", by="outcome"), "{{outcome}} p50"),
            Query(total("turn_words_count"), "n", count=True),
        ),
        every="15m",
    )


def _waiting(slo: Slo) -> Panel:
    return Panel(
        "First words",
        "s",
        "How long callers waited for the answer to begin. Whoever waits long begins to speak again, and so interrupts the answer that comes.",
        "It rises together with the interrupted turns: mend the latency first (“Turn latency”).",
        percentiles(FIRST, exemplars=True),
        limits=(slo.first_words.promise,),
        every="15m",
        traces='{ span.cuebox.turn.outcome = "interrupted" }',
    )


def _stopping() -> Panel:
    return Panel(
        "From a newer request to silence",
        "s",
        "How long the older answer's connection to the model stayed open after a newer request had come. The dashes are the alert's.",
        "The event loop is late (“Calls and platform”), or an agent holds on to its answer in a `finally` that awaits.",
        percentiles("cancel_to_silence_seconds", "", (0.5, 0.95)),
        limits=(0.1,),
        every="15m",
    )


def _superseded() -> Panel:
    superseded = total("turns_total", 'outcome="superseded"', window="1h")
    every = total("turns_total", window="1h")
    return Panel(
        "Superseded turns",
        "percentunit",
        "Turns that a newer request overtook before any of it was heard, of all turns. They are no interruptions: the platform asks as soon as the caller pauses.",
        "A rise means that callers speak in pieces or the platform became more eager (its responsiveness setting). Each costs a model's request.",
        (Query(f"{superseded} / {every}", "superseded"), Query(every, "n", count=True)),
    )


def _aligned() -> Panel:
    unknown, every = (total("turns_heard_total", labels, window="1h") for labels in ('how="unknown"', ""))
    return Panel(
        "Turns whose hearing is unknown",
        "percentunit",
        "Turns whose transcript could not be matched with what was said, so that what was heard of them is not known.",
        "Above a few percent the heard share is not to be trusted: look for CueboxAssumptionBroken (A9, A10) and at a transcript in the platform's dashboard.",
        (Query(f"{unknown} / {every}", "unknown"), Query(every, "n", count=True)),
        limits=(0.05,),
    )


def _turns() -> Panel:
    return Panel(
        "Interrupted turns",
        "none",
        "Traces of turns that were cut off. Each links to the turn that cut it.",
        "Open a few: long replies, slow first words, or the caller only saying “yes”? Empty without a trace backend.",
        kind="traces",
        traces='{ span.cuebox.turn.outcome = "interrupted" }',
    )
