"""Every metric of the service: its name, labels and what it means. Who updates them stands in `meter`.

Labels have closed sets of values, and every series is there from the start, at 0. Nothing that a peer sends is a label.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, GCCollector, Histogram, Metric, ProcessCollector

from service.conversation.call import Fallback, Outcome, Prompt
from service.llm import model
from service.llm.records import Cause, Result
from service.observability.agent_metrics import AgentMetrics
from service.observability.call_metrics import CallMetrics, PlatformMetrics
from service.observability.children import each, of, these

SECONDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 1.8, 2.0, 2.5, 3.0, 4.5, 6.0, 10.0)
"""Bucket edges of what callers wait for: one at each deadline and at each threshold of an objective."""
COARSER = tuple(edge for edge in SECONDS if edge not in {0.4, 0.6, 0.7, 0.9, 1.2, 1.8, 2.5, 6.0})
"""For what nobody is promised: each edge is a series, for every target one more."""

MODEL_ERRORS = tuple(
    error.__name__
    for error in (
        model.KeyRejected,
        model.RequestRejected,
        model.QuotaExhausted,
        model.AnswerFiltered,
        model.RateLimited,
        model.ServerFailed,
        model.Unreachable,
        model.StreamBroken,
        model.NothingSaid,
        model.AnswerRan,
    )
)
REASONS = (*MODEL_ERRORS, "too_slow", "stalled", "timeout", "agent_error")
HEARD = ("completed", "interrupted")
FIRST_CHUNK = ("sent", "failed", "superseded", "disconnected", "silent")
SPANS = ("exported", "dropped", "failed")
PARTS = ("logs", "metrics", "traces", "flight_recorder", "limits", "control")
VERBS = ("targets", "hedge", "tools", "drain", "log-level")


class TurnMetrics:
    """What callers hear, told at each turn's settlement."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        text = "Settled turns. Interrupt rate = interrupted / (completed + interrupted)."
        turns = counter("cuebox_turns_total", text, "prompt", "outcome")
        self.turns = each(turns, [prompt.value for prompt in Prompt], [outcome.value for outcome in Outcome])
        text = "Turns but greetings, by their first words. The objective counts sent and failed, as fallbacks are."
        self.first_chunk = of(counter("cuebox_turn_first_chunk_total", text, "result"), FIRST_CHUNK)
        self.failures = of(counter("cuebox_turn_failures_total", "Turns that failed, by why.", "reason"), REASONS)
        text = "Completed and interrupted turns: could what was heard be aligned with what was said?"
        self.heard = of(counter("cuebox_turns_heard_total", text, "how"), ("aligned", "unknown"))
        fallbacks = counter("cuebox_turn_fallbacks_total", "Lines of ours that ended a failed turn.", "line")
        self.fallbacks = of(fallbacks, [fallback.value for fallback in Fallback])
        self.holds = counter("cuebox_turn_holds_total", "Hold lines that bridged a slow answer.")
        self.in_progress = Gauge("cuebox_turns_in_progress", "Replies being made now.", registry=registry)
        self._time(registry)
        self._measure(registry)

    def _time(self, registry: CollectorRegistry) -> None:
        def histogram(name: str, text: str, edges: Sequence[float], *labels: str) -> Histogram:
            return Histogram(name, text, labels, registry=registry, buckets=edges)

        name = "cuebox_turn_time_to_first_chunk_seconds"
        text = "From the request to the first words of an answer, handed over: no hold, no fallback, no greeting."
        answered = [prompt.value for prompt in Prompt if prompt is not Prompt.GREETING]  # which asks no model
        self.first_words = of(histogram(name, text, SECONDS, "prompt"), answered)
        name = "cuebox_turn_time_to_first_sentence_seconds"
        text = "From the request to the answer's first sentence, when the platform begins to speak. Without greetings."
        self.first_sentence = histogram(name, text, SECONDS)
        text = "From the request to the reply's end: its final frame, or what overtook it."
        edges: tuple[float, ...] = (2.0, 4.5, 25.0)
        self.duration = of(histogram("cuebox_turn_duration_seconds", text, edges, "outcome"), (*HEARD, "failed"))
        text = "The longest that a caller had nothing left to hear in mid-answer, by estimate; 0 for most."
        edges = (0.3, 0.5, 1.0, 2.0)
        self.audible_gap = histogram("cuebox_turn_audible_gap_seconds", text, edges)
        text = "From a newer request to the end of the attempt that it cancelled."
        edges = (0.005, 0.02, 0.1, 0.5)
        self.cancel_to_silence = histogram("cuebox_cancel_to_silence_seconds", text, edges)
        text = "Our own share of the time to the first words: what the model did not take. Turns of one attempt only."
        edges = (0.005, 0.01, 0.02, 0.05, 0.1, 0.5)
        self.overhead = histogram("cuebox_overhead_seconds", text, edges)

    def _measure(self, registry: CollectorRegistry) -> None:
        edges = (10, 20, 40, 80, 160)
        words = Histogram("cuebox_turn_words", "Words said in a turn.", ["outcome"], registry=registry, buckets=edges)
        self.words = of(words, HEARD)
        self.heard_share = Histogram(
            "cuebox_turn_heard_share",
            "Share of its words that the caller heard of an interrupted turn.",
            registry=registry,
            buckets=(0.1, 0.25, 0.5, 0.75, 0.9),
        )


class ModelMetrics:
    """What the targets do. `target` and `model` are what the configuration calls them."""

    def __init__(self, registry: CollectorRegistry, targets: Sequence[tuple[str, str]]) -> None:
        names = [name for name, _ in targets]

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, ["target", *labels], registry=registry)

        def gauge(name: str, text: str) -> dict[str, Gauge]:
            return of(Gauge(name, text, ["target"], registry=registry), names)

        attempts = counter("cuebox_model_attempts_total", "Requests to a model.", "model", "cause", "result")
        causes, results = [cause.value for cause in Cause], [result.value for result in Result]
        self.attempts = these(attempts, ((*target, *how) for target in targets for how in product(causes, results)))
        errors = counter("cuebox_model_errors_total", "Requests to a model that failed, by class.", "error")
        self.errors = each(errors, names, (*MODEL_ERRORS, "other"))
        self.first_words = these(
            Histogram(
                "cuebox_model_time_to_first_words_seconds",
                "From a request to the model to its first words that can be spoken, or a tool call.",
                ["target", "model"],
                registry=registry,
                buckets=COARSER,
            ),
            targets,
        )
        hedges = counter(
            "cuebox_model_hedges_total", "Second attempts beside a slow one, by who spoke first.", "result"
        )
        self.hedges = each(hedges, names, ("won", "lost"))
        text = "Input tokens of attempts that lost: what hedging costs. An estimate, from the winner's count."
        self.hedge_tokens = of(counter("cuebox_model_hedge_tokens_total", text), names)
        text = "Tokens as endpoints count them, of answers that came to their end. input_cached is part of input."
        tokens = counter("cuebox_model_tokens_total", text, "model", "kind")
        kinds = ("input", "input_cached", "output", "reasoning")
        self.tokens = these(tokens, ((*target, kind) for target in targets for kind in kinds))
        text = "What those tokens cost by the price table; nothing for a model that is not in it."
        self.cost = these(counter("cuebox_model_cost_dollars_total", text, "model"), targets)
        self.requests_left = gauge("cuebox_model_requests_left", "Requests left of the rate limit; NaN while untold.")
        self.tokens_left = gauge("cuebox_model_tokens_left", "Tokens left of the rate limit; NaN while untold.")
        for left in [*self.requests_left.values(), *self.tokens_left.values()]:
            left.set(float("nan"))
        self.breaker_state = gauge("cuebox_model_breaker_state", "0 closed, 1 half open, 2 open, as last seen.")


class ServiceMetrics:
    """The process and its telemetry."""

    def __init__(
        self, registry: CollectorRegistry, build: Mapping[str, str], longest_stall: Callable[[], float]
    ) -> None:
        text = (
            "What runs: its version, an agent, a hash of the agent's folder, and Python's version. One for each agent."
        )
        self._build = dict(build)
        self._info = Gauge("cuebox_build_info", text, list(build), registry=registry)
        self._info.labels(**build).set(1)
        self.loop_lag = Histogram(
            "cuebox_event_loop_lag_seconds",
            "How much later than due a timer fired, ten times a second.",
            registry=registry,
            buckets=(0.005, 0.02, 0.1, 0.5),
        )
        stall = Gauge(
            "cuebox_event_loop_stall_max_seconds", "The longest lag of the last minute, or now.", registry=registry
        )
        stall.set_function(longest_stall)
        text = "1 while the process takes no new calls and waits for the end of those that it has."
        self.draining = Gauge("cuebox_draining", text, registry=registry)
        text = "Seconds until the lines of calls that are still here are cut; NaN unless the process drains."
        self.drain_left = Gauge("cuebox_drain_seconds_left", text, registry=registry)
        self.drain_left.set(float("nan"))
        failures = Counter(
            "cuebox_telemetry_failures_total", "Faults in telemetry itself; calls go on.", ["part"], registry=registry
        )
        self.failures = of(failures, PARTS)
        text = "Changes that an operator made in the running process, with `cuebox ctl`."
        changes = Counter("cuebox_control_changes_total", text, ["verb"], registry=registry)
        self.changes = of(changes, VERBS)
        text = "Spans by what became of them; dropped are those for which there was no room."
        self.spans = of(Counter("cuebox_spans_total", text, ["result"], registry=registry), SPANS)

    def runs(self, agents: Mapping[str, str]) -> None:
        """Say which agents there are now, by name, with the hash of each one's folder."""
        self._info.clear()
        for name, folder_hash in agents.items():
            self._info.labels(**{**self._build, "agent": name, "folder_hash": folder_hash}).set(1)


class _Collections(GCCollector):
    """How often Python collected garbage, without what it found."""

    def collect(self) -> Iterable[Metric]:
        return [family for family in super().collect() if family.name == "python_gc_collections"]


class Metrics:
    """All of them, in a registry of their own."""

    def __init__(
        self,
        targets: Sequence[tuple[str, str]] = (),
        assumptions: Sequence[str] = (),
        build: Mapping[str, str] | None = None,
        longest_stall: Callable[[], float] = lambda: 0.0,
        *,
        reasons: Sequence[str] = (),
        tools: Sequence[str] = (),
    ) -> None:
        """`targets` are pairs of a target's name and its model's, as configured; `reasons` are why calls end."""
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # twice the series, for nobody
        self.registry = CollectorRegistry()
        build = build or dict.fromkeys(("version", "agent", "folder_hash", "python"), "")
        self.turns = TurnMetrics(self.registry)
        self.agents = AgentMetrics(self.registry, tools)
        self.models = ModelMetrics(self.registry, targets)
        self.calls = CallMetrics(self.registry, assumptions)
        self.platform = PlatformMetrics(self.registry, reasons)
        self.service = ServiceMetrics(self.registry, build, longest_stall)
        ProcessCollector(registry=self.registry)
        _Collections(registry=self.registry)

    def serve(self, host: str, port: int) -> Callable[[], None]:
        """Answer scrapes in threads of their own, until the function that is returned is called. Raises OSError."""
        server, _ = prometheus_client.start_http_server(port, host, self.registry)

        def stop() -> None:
            server.shutdown()
            server.server_close()

        return stop
