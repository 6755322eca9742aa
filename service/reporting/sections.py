"""Parts of a page, one function each. Where there is nothing to show, a sentence says so."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import islice

from service.reporting.facts import AttemptSpan, CallFacts, Facts, ToolSpan, TurnFacts, quantile
from service.reporting.html import (
    Cell,
    Safe,
    Section,
    bdi,
    dollars,
    lasted,
    paragraph,
    percent,
    plural,
    seconds,
    table,
)
from service.reporting.plots import histogram, percentile_plot

MOST_ROWS = 10
MARKS = {"p50": 0.5, "p95": 0.95, "p99": 0.99}

_OUTCOMES = {
    "completed": "heard to its end",
    "interrupted": "the caller cut it off while hearing it",
    "superseded": "the caller spoke on before any of it was heard: normal, the platform asks early and often",
    "failed": "the caller got an apology, or nothing",
    "disconnected": "the line closed before it was heard",
}


def headline(facts: Facts) -> Section:
    """How much there was, how long callers waited, how turns ended, what it cost."""
    turns = facts.turns
    words, sentences = first_chunks(turns), first_sentences(turns)
    heard = [turn for turn in turns if turn.was_heard]
    cut_off = sum(turn.outcome == "interrupted" for turn in heard)
    costs = [cost for call in facts.calls if (cost := call.cost) is not None]
    told = [call.duration for call in facts.calls if call.duration is not None]
    tiles = [
        ("Calls", f"{len(facts.calls):,}", f"{lasted(sum(told) / len(told))} each" if told else "none has ended"),
        ("Turns", f"{len(turns):,}", f"{len(turns) / max(1, len(facts.calls)):.1f} a call"),
        ("First words", *_typical(words)),
        ("First sentence", *_typical(sentences)),
        ("Cut off by callers", percent(cut_off / len(heard)) if heard else "–", f"{cut_off} of {len(heard)} heard"),
        (
            "Cost",
            dollars(sum(costs)) if costs else "–",
            f"{dollars(sum(costs) / len(costs))} a call" if costs else "not told",
        ),
    ]
    drawn = "".join(
        f"<div><dt>{name}</dt><dd><b>{value}</b><span>{more}</span></dd></div>" for name, value, more in tiles
    )
    return Section("At a glance", f'{_in_a_sentence(sentences)}<dl class="tiles">{drawn}</dl>{_outcomes(turns)}')


def first_chunks(turns: Iterable[TurnFacts]) -> list[float]:
    """How long callers waited for the first words of answers, in order. Nobody waits for a greeting."""
    waits = (turn.time_to_first_chunk for turn in turns if turn.is_answer)
    return sorted(wait for wait in waits if wait is not None)


def first_sentences(turns: Iterable[TurnFacts]) -> list[float]:
    """The same, for enough to begin to speak."""
    waits = (turn.time_to_first_sentence for turn in turns if turn.is_answer)
    return sorted(wait for wait in waits if wait is not None)


def _typical(waits: Sequence[float]) -> tuple[str, str]:
    if not waits:
        return "–", "none was said"
    half, most, all_but = (seconds(quantile(waits, share)) for share in MARKS.values())
    return half, f"p95 {most}<br>p99 {all_but}"


def _in_a_sentence(sentences: Sequence[float]) -> Safe:
    if not sentences:
        return paragraph("No answer was said to a caller here.", "lead")
    half, most = (seconds(quantile(sentences, share)) for share in (0.5, 0.95))
    return paragraph(
        f"Half of the answers began within {half} of the caller's last word; one in twenty took longer than {most}.",
        "lead",
    )


def _outcomes(turns: Sequence[TurnFacts]) -> str:
    counts = Counter(turn.outcome for turn in turns)
    known = [name for name in _OUTCOMES if counts[name]]
    order = [*known, *sorted(counts.keys() - _OUTCOMES.keys())]
    bar = "".join(f'<i class="{escape(name)}" style="flex:{counts[name]}"></i>' for name in order)
    rows = [
        (
            Safe(f'<i class="dot {escape(name)}"></i>{escape(name)}'),
            counts[name],
            percent(counts[name] / len(turns)),
            _OUTCOMES.get(name, ""),
        )
        for name in order
    ]
    how = table("How turns ended", ("outcome", "turns", "share", "what it means"), rows)
    return f'<div class="bar" aria-hidden="true">{bar}</div>{how}' if turns else ""


def waiting(facts: Facts) -> Section:
    """Latency distributions."""
    sets = {"first words": first_chunks(facts.turns), "first sentence": first_sentences(facts.turns)}
    model = sorted(
        (it.first_words - it.began) / 1000
        for turn in facts.turns
        for it in turn.model_attempts
        if it.first_words is not None
    )
    if not sets["first words"]:
        return Section("How long callers waited", paragraph("No answer had words, so nothing was measured."))
    lead = paragraph(
        "From the caller's last word, as the platform tells it, to the agent's first words, and to a first sentence, "
        "which is when the platform begins to speak. With a hosted model, a p95 of 0.6 to 1.5 s is healthy, and above "
        "2 s callers notice. p95 is what 95 of 100 answers stayed below. Greetings are not counted."
    )
    drawn = "".join(histogram(f"Until the {name}", "s", waits, _marks(waits)) for name, waits in sets.items() if waits)
    tail = percentile_plot("The slowest answers", "s", {**sets, "model's first token": model})
    rows: list[list[Cell]] = [
        [name, len(waits), *_quantiles(waits, (*MARKS.values(), 1.0))]
        for name, waits in {**sets, "model's first token": model}.items()
        if waits
    ]
    figures = table("Waiting, in figures", ("until", "times", *MARKS, "slowest"), rows)
    return Section("How long callers waited", f'{lead}<div class="plots">{drawn}{tail}{figures}</div>')


def _marks(waits: Sequence[float]) -> dict[str, float]:
    return {name: quantile(waits, share) for name, share in MARKS.items()}


def machinery(facts: Facts) -> Section:
    """Tools and models, each with how often and how fast."""
    tools, targets = defaultdict[str, list[ToolSpan]](list), defaultdict[str, list[AttemptSpan]](list)
    for turn in facts.turns:
        for tool in turn.tools:
            tools[tool.name].append(tool)
        for attempt in turn.model_attempts:
            targets[attempt.target].append(attempt)
    of_tools = table(
        "Tools",
        ("tool", "calls", "ok", "refused", "otherwise", "p50", "p95", "slowest"),
        (_of_tool(name, used) for name, used in sorted(tools.items())),
    )
    of_models = table(
        "Models, as the agents name them",
        ("model", "asked", "answered", "failed", "beaten", "stopped", "as second attempt", "p50", "p95", "p99"),
        (_of_target(name, asked) for name, asked in sorted(targets.items())),
    )
    nothing = "" if tools else paragraph("No tool was called."), "" if targets else paragraph("No model was asked.")
    lead = paragraph(
        "Times of models are until their first token. One is beaten when another attempt of the same turn spoke first, "
        "and stopped when the turn was over before it was."
    )
    return Section("Models and tools", f"{lead}{of_models}{nothing[1]}{of_tools}{nothing[0]}")


def _of_tool(name: str, used: Sequence[ToolSpan]) -> tuple[str | int, ...]:
    results, took = Counter(tool.how for tool in used), sorted(t.took / 1000 for t in used if t.took is not None)
    otherwise = ", ".join(f"{n} {how}" for how, n in results.items() if how not in {"ok", "refused"}) or "0"
    return name, len(used), results["ok"], results["refused"], otherwise, *_quantiles(took, (0.5, 0.95, 1.0))


def _of_target(name: str, asked: Sequence[AttemptSpan]) -> tuple[str | int, ...]:
    results = Counter(attempt.result for attempt in asked)
    first = sorted((it.first_words - it.began) / 1000 for it in asked if it.first_words is not None)
    counts = (results[result] for result in ("answered", "failed", "lost", "cancelled"))
    again = sum(attempt.cause != "first" for attempt in asked)
    return name, len(asked), *counts, again, *_quantiles(first, MARKS.values())


def _quantiles(ordered: Sequence[float], shares: Iterable[float]) -> list[str]:
    return [seconds(quantile(ordered, share)) if ordered else "–" for share in shares]


def costs(facts: Facts) -> Section:
    """Dollars and tokens, and the calls that took most."""
    title, turns = "What it cost", facts.turns
    counted = [turn.tokens for turn in turns if turn.tokens is not None]
    if not counted:
        return Section(title, paragraph("No turn tells its tokens: no model was asked, or it does not count them."))
    read, cached, written = (sum(getattr(it, kind) for it in counted) for kind in ("input", "cached", "output"))
    by_call = sorted(((cost, call) for call in facts.calls if (cost := call.cost) is not None), key=lambda it: -it[0])
    total = sum(cost for cost, _ in by_call)
    minutes = sum(call.duration or 0.0 for _, call in by_call) / 60
    lead = (
        f"{dollars(total)} for {plural(len(by_call), 'call')}: {dollars(total / len(by_call))} a call"
        f"{f', {dollars(total / minutes)} a minute' if minutes else ''}. "
        if by_call
        else "The models have no price in the table (CUEBOX_PRICES), so there are only tokens. "
    )
    unpriced = sum(turn.tokens is not None and turn.cost is None for turn in turns)
    share = f" ({percent(cached / read)} of them from the cache)" if read else ""
    lead += f"{read:,} tokens read{share} and {written:,} written, in {plural(len(counted), 'turn')}. "
    lead += f"{plural(unpriced, 'turn')} without a price left out. " if unpriced and by_call else ""
    lead += "What attempts cost that were stopped amid their words, nobody tells."
    head = ("call", "cost", "lasted", "turns", "agent", "its end, by the platform")
    rows = (_of_call(cost, call) for cost, call in islice(by_call, MOST_ROWS))
    return Section(title, paragraph(lead) + table("The calls that cost most", head, rows))


def _of_call(cost: float, call: CallFacts) -> tuple[str | int, ...]:
    ended = call.ended_by.replace("_", " ")
    name = Safe(f'<span class="id">{bdi(call.call_id)}</span>')
    return name, dollars(cost), lasted(call.duration), len(call.turns), call.agent, ended or "–"


def troubles(facts: Facts) -> Section:
    """Warnings and errors, and why turns failed."""
    reasons = Counter(turn.reason or "unknown" for turn in facts.turns if turn.outcome == "failed")
    failed = table("Why turns failed", ("reason", "turns"), reasons.most_common())
    rows = sorted(_by_count(facts.troubles), key=lambda row: -row[2])
    warned = table("Warnings and errors in the log", ("event", "about", "times"), rows)
    nothing = "" if failed or warned else paragraph("No turn failed, and nothing was warned of.")
    return Section("What went wrong", f"{failed}{warned}{nothing}")


def _by_count(counts: Mapping[tuple[str, str], int]) -> Iterable[tuple[str, str, int]]:
    return ((event, about or "–", times) for (event, about), times in counts.items())
