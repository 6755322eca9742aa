"""What do the models do, and what does it cost?"""

from dashboards.overview import ENDED
from dashboards.panel import Board, Panel, Query, Row, rate, series, total
from infra.slo import Slo

TARGET = 'target=~"$target"'
TRIED = f'{TARGET},result=~"answered|failed|lost"'


def model(_: Slo) -> Board:
    """Attempts, hedges, failover, breaker, tokens, money."""
    return Board(
        "cuebox-model",
        "Cuebox: model and cost",
        "Do the models answer, what saves a turn when they do not, and what does it all cost?",
        (
            Row("Do they answer?", (_failures(), _attempts(), _refusals(), _errors(), _breaker())),
            Row("What saves a turn", (_causes(), _hedges(), _lines(), _left())),
            Row("What it costs", (_money(), _tokens(), _cached(), _hedge_tokens())),
        ),
    )


def _failures() -> Panel:
    return Panel(
        "Failed turns by reason",
        "short",
        "Turns that ended without a whole answer, by why.",
        "KeyRejected and QuotaExhausted: mend the account. too_slow and stalled: the model, or the times in agent.toml. agent_error: our agent's code, see the log.",
        (Query(total("turn_failures_total", by="reason") + " > 0", "{{reason}}"),),
        "bars",
        every="5m",
    )


def _attempts() -> Panel:
    return Panel(
        "Attempts by how they ended",
        "short",
        "Requests to models. A lost one was overtaken by its hedge, a cancelled one by the caller.",
        "Failed ones: see their class beside. Many cancelled ones are paid for nothing: see superseded turns in “Interruptions”.",
        (Query(total("model_attempts_total", TARGET, by="result"), "{{result}}"),),
        "bars",
        every="5m",
    )


def _refusals() -> Panel:
    tried = total("model_attempts_total", TRIED, by="target")
    return Panel(
        "Share of attempts that failed",
        "percentunit",
        "At each target. Cancelled attempts do not count. The dashes are the alert's, the bars attempts.",
        "One target: its classes beside say why. All of them: our network, or a request that none of them takes.",
        (
            Query(f"{total('model_errors_total', TARGET, by='target')} / {tried}", "{{target}}"),
            Query(total("model_attempts_total", TRIED), "n", count=True),
        ),
        limits=(0.1,),
        width=8,
        every="5m",
    )


def _errors() -> Panel:
    return Panel(
        "Failed attempts by class",
        "short",
        "Attempts that failed, by what went wrong with them.",
        "RateLimited: ask for a higher limit. Unreachable: DNS, proxy, region. ServerFailed: its status page. "
        "RequestRejected: an option or a model name that it does not know.",
        (Query(total("model_errors_total", TARGET, by="target, error") + " > 0", "{{target}} {{error}}"),),
        "bars",
        width=8,
        every="5m",
    )


def _breaker() -> Panel:
    return Panel(
        "Breakers",
        "short",
        "0 closed (the target is asked), 1 half open (one turn tries it), 2 open (it is left alone).",
        "A breaker that opens again and again: its target fails; take it out of agent.toml, or move it to the end.",
        (Query(f"max by (target, instance) ({series('model_breaker_state', TARGET)})", "{{target}} {{instance}}"),),
        "steps",
        limits=(2,),
        width=8,
    )


def _causes() -> Panel:
    return Panel(
        "Attempts by why they were made",
        "short",
        "First ones, hedges beside slow ones, failovers to the next target, retries at the same.",
        "More failovers or retries than usual: the first target is ill, and turns are slower for it. Hedges are bounded to about one turn in twelve.",
        (Query(total("model_attempts_total", TARGET, by="cause"), "{{cause}}"),),
        "bars",
        every="5m",
    )


def _hedges() -> Panel:
    return Panel(
        "Hedges",
        "short",
        "Second attempts beside a slow one, by target and whether they spoke first.",
        "Hardly any is won: they cost tokens and save nothing; raise the quantile in [model.hedge]. Nearly all are won: the first target is slow.",
        (Query(total("model_hedges_total", TARGET, by="target, result"), "{{target}} {{result}}"),),
        "bars",
        every="5m",
    )


def _lines() -> Panel:
    ended = total("turns_total", ENDED)
    return Panel(
        "Lines of ours that were spoken",
        "percentunit",
        "How many turns had a hold line (“One moment.”), and how many ended in a line of ours instead of an answer. The dashes are the alert's.",
        "Holds: the model is slow, though not yet too slow. The others: see the reasons of failed turns above.",
        (
            Query(f"{total('turn_fallbacks_total', by='line')} / on () group_left () {ended}", "{{line}}"),
            Query(f"{total('turn_holds_total')} / {ended}", "hold"),
            Query(ended, "n", count=True),
        ),
        limits=(0.01,),
        every="15m",
    )


def _left() -> Panel:
    return Panel(
        "Left of the rate limits",
        "short",
        "Requests and tokens that each target said are left before it refuses. Nothing where it does not say.",
        "Near 0: fewer hedges ([model.hedge]), a higher limit, or a second target with a limit of its own.",
        (
            Query(f"min by (target) ({series('model_requests_left', TARGET)})", "{{target}} requests"),
            Query(f"min by (target) ({series('model_tokens_left', TARGET)})", "{{target}} tokens"),
        ),
    )


def _money() -> Panel:
    cost = total("model_cost_dollars_total", TARGET, by="target, model", window="1h")
    return Panel(
        "Dollars an hour",
        "currencyUSD",
        "What the tokens of the last hour cost, by the price table. Nothing for models that are not in it.",
        "Doubled with the same number of turns: the prompt or the history grew, or the cached share fell. Missing: add the model to the price table.",
        (Query(cost, "{{target}} {{model}}"),),
        "bars",
        every="5m",
    )


def _tokens() -> Panel:
    return Panel(
        "Tokens a second",
        "short",
        "Tokens by kind. Cached input is a part of input, and reasoning a part of output: they are not added up here.",
        "Input grows with the length of calls and prompts. Reasoning tokens in a voice agent are silence: choose a model without, or the least effort.",
        (Query(rate("model_tokens_total", TARGET, by="kind"), "{{kind}}"),),
        every="5m",
    )


def _cached() -> Panel:
    cached, read = (
        total("model_tokens_total", f'{TARGET},kind="{kind}"', by="target", window="1h")
        for kind in ("input_cached", "input")
    )
    return Panel(
        "Cached share of input",
        "percentunit",
        "The share of input tokens that the endpoint had cached: cheaper, and sooner answered.",
        "It fell: something that changes stands at the prompt's head (a date, a name). Put what changes at its end. Bars are input tokens.",
        (
            Query(f"{cached} / {read}", "{{target}}"),
            Query(total("model_tokens_total", f'{TARGET},kind="input"', window="1h"), "n", count=True),
        ),
    )


def _hedge_tokens() -> Panel:
    return Panel(
        "Tokens paid for hedges an hour",
        "short",
        "Input tokens of attempts that lost, by estimate: what hedging costs beside what it saves.",
        "More than a tenth of all tokens: hedge later ([model.hedge] in agent.toml).",
        (Query(total("model_hedge_tokens_total", TARGET, by="target", window="1h"), "{{target}}"),),
        "bars",
        every="5m",
    )
