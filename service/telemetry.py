"""What is seen of the service, put together by the settings."""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import structlog

from service import __version__
from service.conversation.events import Oddity
from service.limits import Guard, Limits
from service.observability.conventions import Provider
from service.observability.exporting import Exporting
from service.observability.flight import FlightRecorder
from service.observability.logs import CallLog
from service.observability.loop import LoopMonitor
from service.observability.prices import TABLE, Price, read_prices
from service.observability.traces import Tracer
from service.observability.watch import Part, Watch
from service.platforms.platform import Platform
from service.settings import Settings, SettingsError

if TYPE_CHECKING:  # 70 ms, paid only where metrics are wanted
    from service.observability.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The observer of all calls, and what goes with it."""

    watch: Watch
    loop: LoopMonitor
    guard: Guard
    """Ends calls that go beyond their limits, once it is told how."""
    metrics: "Metrics | None" = None
    refused: Callable[[str], None] = lambda _: None
    """Told why a call was not taken."""
    spans: Exporting | None = None
    """The way out for spans, to be opened and closed; None where nothing is traced."""


def create_telemetry(
    settings: Settings,
    voice: Platform,
    agents: Mapping[str, str],
    targets: Sequence[tuple[str, str]],
    *,
    tools: Sequence[str] = (),
    providers: Mapping[str, Provider] = MappingProxyType({}),
) -> Telemetry:
    """For one platform and its agents. Raises SettingsError.

    `agents` are their names, with the hash of each one's folder; `targets` are the names and models of what they ask,
    `tools` the names of all their tools.
    """
    loop = LoopMonitor()
    metrics = _metrics(settings, voice, loop, agents, targets, tools=tools) if settings.metrics_port else None
    spans, tracer = _traces(settings, next(iter(agents)), providers, metrics) if settings.is_traced else (None, None)
    trace_of_call = (lambda _: None) if tracer is None else tracer.trace_of_call
    prices = prices_of(settings)
    log = CallLog(
        voice.assumption_broken_by, log_content=settings.log_content, trace_of_call=trace_of_call, prices=prices
    )
    first: list[Part] = [] if tracer is None else [tracer]  # it tells the others what is kept
    if metrics is None:
        guard = _guard(settings, prices, lambda _: None)
        return Telemetry(Watch([*first, log, FlightRecorder(), guard], tools=tools), loop, guard, spans=spans)
    from service.observability.agent_metrics import AgentMeter  # noqa: PLC0415 - see above
    from service.observability.meter import Meter  # noqa: PLC0415
    from service.observability.verdicts import VerdictMeter  # noqa: PLC0415

    meter = Meter(metrics, prices, voice.assumption_broken_by, loop.overdue)
    guard = _guard(settings, prices, meter.limited)
    parts = [*first, log, meter, AgentMeter(metrics.agents), VerdictMeter(metrics), FlightRecorder(), guard]
    watch = Watch(parts, lambda part: metrics.service.failures[part].inc(), tools)
    return Telemetry(watch, loop, guard, metrics, meter.refused, spans)


def _guard(settings: Settings, prices: Mapping[str, Price], count: Callable[[str], None]) -> Guard:
    def on_reached(call_id: str, limit: str) -> None:
        structlog.get_logger().warning("call.limited", call_id=call_id, limit=limit)
        count(limit)

    limits = Limits(
        settings.max_turns,
        settings.max_call_seconds,
        settings.max_call_dollars,
        settings.caller_calls_per_hour,
        settings.caller_turns_per_hour,
    )
    return Guard(limits, prices, on_reached)


def _metrics(
    settings: Settings,
    voice: Platform,
    loop: LoopMonitor,
    agents: Mapping[str, str],
    targets: Sequence[tuple[str, str]],
    *,
    tools: Sequence[str],
) -> "Metrics":
    from service.observability.metrics import Metrics  # noqa: PLC0415 - see above

    assumptions = [assumption for oddity in Oddity if (assumption := voice.assumption_broken_by(oddity))]
    build = {"agent": "", "folder_hash": "", "python": platform.python_version(), "version": __version__}
    metrics = Metrics(targets, assumptions, build, loop.longest_stall, reasons=voice.reasons, tools=tools)
    metrics.service.runs(agents)
    metrics.calls.limit.set(settings.max_calls)
    loop.on_lag = metrics.service.loop_lag.observe
    return metrics


def _traces(
    settings: Settings, agent_name: str, providers: Mapping[str, Provider], metrics: "Metrics | None"
) -> tuple[Exporting, Tracer]:
    spans = Exporting(lambda result, count: None if metrics is None else metrics.service.spans[result].inc(count))
    tracer = Tracer(
        agent_name,
        providers,
        spans.send,
        share=settings.trace_share,
        route="/llm-websocket/{call_id}",
        captures_content=settings.captures_content,
    )
    return spans, tracer


def serve_metrics(metrics: "Metrics | None", settings: Settings) -> Callable[[], None]:
    """Answer scrapes, in threads of their own; returns what ends it. Raises SettingsError."""
    if metrics is None:
        return lambda: None
    try:
        return metrics.serve(settings.metrics_host, settings.metrics_port)
    except OSError as error:
        raise SettingsError(
            f"Cannot serve metrics on {settings.metrics_host}:{settings.metrics_port} ({error.strerror or error}): "
            "set CUEBOX_METRICS_PORT to a free port (0 for no metrics), and CUEBOX_METRICS_HOST to an address of here."
        ) from error


def prices_of(settings: Settings) -> dict[str, Price]:
    """What models cost, by their names: of the table that comes along, or the operator's own. Raises SettingsError."""
    try:
        return read_prices(TABLE if settings.prices is None else Path(settings.prices))
    except (ValueError, OSError) as error:
        raise SettingsError(f"CUEBOX_PRICES is {settings.prices!r}, but that table cannot be read: {error}") from error
