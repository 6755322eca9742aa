"""Where do the seconds go?"""

from dashboards.panel import Board, Panel, Query, Row, percentiles, quantile, total
from infra.slo import Slo, edge

FIRST, SENTENCE, MODEL = (
    "turn_time_to_first_chunk_seconds",
    "turn_time_to_first_sentence_seconds",
    "model_time_to_first_words_seconds",
)
PROMPT, TARGET = 'prompt=~"$prompt"', 'target=~"$target"'


def latency(slo: Slo) -> Board:
    """From the request to what the caller hears."""
    return Board(
        "cuebox-latency",
        "Cuebox: turn latency",
        "Where do the seconds go: to the model, to us, or to a few turns?",
        (
            Row("What callers wait for", (_spread(), _words(slo), _sentence(slo))),
            Row("Whose time it is", (_model(slo), _ours(slo))),
            Row("After the first words", (_gaps(), _durations())),
            Row("Which turns", (_prompts(slo), _machines(slo), _slow(slo), _kept(slo))),
        ),
    )


def _spread() -> Panel:
    return Panel(
        "First words, spread",
        "s",
        "How many turns took how long: the darker, the more. Two bands are two kinds of turns, such as short and long prompts, which a percentile would hide.",
        "A new upper band: something began to take its time for a part of the turns. Set “Asked by” or “Machine” above until the bands part.",
        (Query(total(f"{FIRST}_bucket", PROMPT, by="le"), "{{le}}", exemplars=True),),
        "heatmap",
        width=24,
        every="5m",
    )


def _words(slo: Slo) -> Panel:
    return Panel(
        "First words",
        "s",
        "From the request to the answer's first words. Holds and apologies are no answer. The dashes are the promise; bars are turns.",
        "Compare with the model's own time below: if that moved along, the model is slow; if not, we are. Click a dot for its trace, or the link for a search.",
        percentiles(FIRST, PROMPT, (0.5, 0.95, 0.99), exemplars=True),
        limits=(slo.first_words.promise,),
        every="5m",
        traces=_slower_than(slo),
    )


def _sentence(slo: Slo) -> Panel:
    return Panel(
        "First sentence",
        "s",
        "From the request to the answer's first whole sentence: about when the platform begins to speak.",
        "Far above the first words: the model writes slowly or in long sentences. Ask in the prompt for a short first sentence.",
        percentiles(SENTENCE, "", (0.5, 0.95, 0.99), exemplars=True),
        limits=(slo.first_words.promise,),
        every="5m",
        traces=f"{{ span.cuebox.turn.time_to_first_sentence > {slo.first_words.promise:g} }}",
    )


def _model(slo: Slo) -> Panel:
    return Panel(
        "The model's own time",
        "s",
        "From a request to a target to its first words, for each target. Bars are attempts.",
        "One target is slow: its provider's status page, then another order in agent.toml. All are slow: the network, or a prompt that has grown.",
        percentiles(MODEL, TARGET, by="target", exemplars=True),
        limits=(slo.first_words.promise,),
        every="5m",
        traces='{ span.gen_ai.operation.name = "chat" && span.gen_ai.response.time_to_first_chunk > 1 }',
    )


def _ours(slo: Slo) -> Panel:
    return Panel(
        "Our own overhead",
        "s",
        f"First words less the model's own, in turns of one attempt. {slo.overhead.share:.1%} are promised within the dashes, {slo.overhead.promise * 1000:g} ms.",
        "Look at the event loop in “Calls and platform”: a busy machine, or an agent that computes before it asks its model.",
        percentiles("overhead_seconds", "", (0.5, 0.95, 0.995)),
        limits=(slo.overhead.promise,),
        every="5m",
    )


def _gaps() -> Panel:
    return Panel(
        "Silence in mid-answer",
        "s",
        "The longest that a caller had nothing left to hear within an answer, by estimate. 0 for most turns.",
        "The model stalls after it began: tokens a second are low, or a tool is asked in mid-sentence. `cuebox check --target NAME` measures its speed.",
        percentiles("turn_audible_gap_seconds", "", (0.95, 0.99)),
        limits=(1.0,),
        every="5m",
    )


def _durations() -> Panel:
    return Panel(
        "Length of replies, p95",
        "s",
        "From the request to the reply's end, by how it ended.",
        "Long completed ones are long answers: ask for shorter ones in the prompt. Long failed ones waited for a deadline: see [deadlines] in agent.toml.",
        (
            Query(quantile(0.95, "turn_duration_seconds", by="outcome"), "{{outcome}}"),
            Query(total("turn_duration_seconds_count"), "n", count=True),
        ),
        every="5m",
    )


def _prompts(slo: Slo) -> Panel:
    return Panel(
        "First words by what asked for them, p95",
        "s",
        "Greetings, answers to callers, and reminders when nobody speaks.",
        "Greetings that are slow make the platform's callers say “hello?”: give the agent a fixed greeting in agent.toml.",
        (
            Query(quantile(0.95, FIRST, PROMPT, by="prompt"), "{{prompt}}"),
            Query(total(f"{FIRST}_count", PROMPT), "n", count=True),
        ),
        limits=(slo.first_words.promise,),
        every="5m",
    )


def _machines(slo: Slo) -> Panel:
    return Panel(
        "First words by machine, p95",
        "s",
        "From the request to the first words, for each machine.",
        "One machine is slower: its region may be far from the model, or it is busy. Stop it, and another takes its calls.",
        (
            Query(quantile(0.95, FIRST, PROMPT, by="instance"), "{{instance}}"),
            Query(total(f"{FIRST}_count", PROMPT), "n", count=True),
        ),
        limits=(slo.first_words.promise,),
        every="5m",
    )


def _slow(slo: Slo) -> Panel:
    return Panel(
        "Slow turns",
        "none",
        f"Traces of turns whose first words took more than {slo.first_words.promise:g} s. Every slow or failed turn is kept, so none is missing here.",
        "Open one: the longest child is the cause. Its gen_ai.conversation.id is the call: `cuebox explain CALL_ID`. Empty without a trace backend.",
        kind="traces",
        traces=_slower_than(slo),
    )


def _kept(slo: Slo) -> Panel:
    good = total("overhead_seconds_bucket", edge(slo.overhead.promise), window="1h")
    return Panel(
        "Turns that waited for us",
        "percentunit",
        "The share of turns in which our own overhead broke its promise, over an hour. Dashes: 3.5 and 6.72 times what the week allows.",
        "Follow the runbook of CueboxOverheadBudgetBurn.",
        (Query(f"1 - {good} / {total('overhead_seconds_count', window='1h')}", "1 hour"),),
        limits=tuple(round(factor * (1 - slo.overhead.share), 5) for factor in (3.5, 6.72)),
    )


def _slower_than(slo: Slo) -> str:
    return f"{{ span.cuebox.turn.time_to_first_chunk > {slo.first_words.promise:g} }}"
