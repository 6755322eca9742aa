"""The metrics of calls, their lines, and what the platform tells of them."""

from collections.abc import Sequence
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.conversation.events import Oddity
from service.observability.children import of, these

CALLS = ("accepted", *(f"refused_{why}" for why in ("address", "secret", "path", "draining", "capacity")))
LIMITS = ("turns", "length", "spend", "caller_calls", "caller_turns")
CLOSES = (
    *(("platform", reason) for reason in ("normal", "going_away", "protocol", "abnormal")),
    *(("us", reason) for reason in ("silent", "fault", "replaced", "let_go", "flooded", "too_large", "protocol")),
)
FRAMES_IN = ("ping", "details", "transcript", "request", "odd")
FRAMES_OUT = ("pong", "words", "interjection", "tool_call", "tool_result", "voice", "page")
WEBHOOKS = (
    *product(("call_started", "call_ended", "call_analyzed"), ("accepted", "duplicate")),
    *product(("call_inbound",), ("accepted", "rejected", "undecided")),
    *(("other", "accepted"), ("unknown", "bad_signature"), ("unknown", "too_large"), ("unknown", "malformed")),
)


class CallMetrics:
    """Calls, their lines, and what passes over them."""

    def __init__(self, registry: CollectorRegistry, assumptions: Sequence[str]) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def histogram(name: str, text: str, edges: Sequence[float]) -> Histogram:
            return Histogram(name, text, registry=registry, buckets=edges)

        self.open = Gauge("cuebox_calls_open", "Calls that have a line now.", registry=registry)
        calls = counter("cuebox_calls_total", "Calls that came; one that dials again is the same call.", "result")
        self.calls = of(calls, CALLS)
        text = "Calls that were told to end, by the limit that they went beyond."
        self.limited = of(counter("cuebox_calls_limited_total", text, "limit"), LIMITS)
        self.limit = Gauge("cuebox_calls_limit", "How many calls there may be at once.", registry=registry)
        closed = counter("cuebox_lines_closed_total", "Lines that ended, by who ended them.", "initiator", "reason")
        self.closed = these(closed, CLOSES)
        edges = (30.0, 120.0, 300.0, 1800.0)
        self.duration = histogram(
            "cuebox_call_duration_seconds", "From a call's first line to its last one's end.", edges
        )
        text = "Calls whose caller left while waiting for the first words of an answer."
        self.abandoned = counter("cuebox_calls_abandoned_total", text)
        self.reconnects = counter("cuebox_call_reconnects_total", "Further lines of calls that were here before.")
        text = "Frames taken in, and handed to lines; `odd` ones were not as they should be."
        frames = counter("cuebox_frames_total", text, "direction", "type")
        self.frames_in = {kind: frames.labels("in", kind) for kind in FRAMES_IN}
        self.frames_out = {kind: frames.labels("out", kind) for kind in FRAMES_OUT}
        odd = counter("cuebox_oddities_total", "Calls in which the other side did what it should not.", "oddity")
        self.oddities = of(odd, [oddity.value for oddity in Oddity])
        broken = counter(
            "cuebox_assumptions_broken_total", "Calls that contradict what we assume of the platform.", "assumption"
        )
        self.assumptions = of(broken, assumptions)
        text = "How long a ping may have waited for us: by how much the event loop was late when it was answered."
        self.pong_delay = histogram("cuebox_pong_delay_seconds", text, (0.1, 0.5, 1.0, 2.0, 5.0))
        self.pongs_late = counter("cuebox_pongs_late_total", "Pings that may have waited for longer than 2 s.")


class PlatformMetrics:
    """The platform's own verdict, as its webhooks tell it."""

    def __init__(self, registry: CollectorRegistry, reasons: Sequence[str]) -> None:
        text = "Webhooks that were posted here, by what became of them. Only accepted ones change anything."
        webhooks = Counter("cuebox_webhooks_total", text, ["event", "result"], registry=registry)
        self.webhooks = these(webhooks, WEBHOOKS)
        text = "Calls that the platform says are over, by its own reason."
        self.calls = of(
            Counter("cuebox_platform_calls_total", text, ["disconnection_reason"], registry=registry), reasons
        )
        text = (
            "Calls whose start this machine was told of, without a line here within 10 s; another machine may have it."
        )
        self.missed = Counter("cuebox_platform_calls_without_line_total", text, registry=registry)
        edges = (0.8, 1.2, 2.0, 4.5)
        text = "From the platform's request to our first words, both ways included: each call's median, by its clock."
        self.llm = Histogram("cuebox_platform_llm_latency_seconds", text, registry=registry, buckets=edges)
        text = "From the caller's last word to the agent's voice: each call's median, by its clock."
        self.e2e = Histogram("cuebox_platform_e2e_latency_seconds", text, registry=registry, buckets=edges)
