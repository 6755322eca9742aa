"""What is seen of the service, put together by the settings."""

import hashlib
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from service import __version__
from service.conversation.events import Oddity
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
    metrics: "Metrics | None" = None
    refused: Callable[[str], None] = lambda _: None
    """Told why a call was not taken."""
    spans: Exporting | None = None
    """The way out for spans, to be opened and closed; None where nothing is traced."""


def create_telemetry(
    settings: Settings,
    voice: Platform,
    agent_name: str,
    folder: Path,
    targets: Sequence[tuple[str, str]],
    *,
    providers: Mapping[str, Provider] = MappingProxyType({}),
) -> Telemetry:
    """For one platform and one agent. `targets` are the names and models of what it asks. Raises SettingsError."""
    loop = LoopMonitor()
    metrics = _metrics(voice, loop, agent_name, folder, targets) if settings.metrics_port else None
    spans, tracer = _traces(settings, agent_name, providers, metrics) if settings.is_traced else (None, None)
    trace_of_call = (lambda _: None) if tracer is None else tracer.trace_of_call
    log = CallLog(voice.assumption_broken_by, log_content=settings.log_content, trace_of_call=trace_of_call)
    first: list[Part] = [] if tracer is None else [tracer]  # it tells the others what is kept
    if metrics is None:
        return Telemetry(Watch([*first, log, FlightRecorder()]), loop, spans=spans)
    from service.observability.meter import Meter  # noqa: PLC0415 - see above
    from service.observability.verdicts import VerdictMeter  # noqa: PLC0415

    meter = Meter(metrics, _prices(settings), voice.assumption_broken_by, loop.overdue)
    parts = [*first, log, meter, VerdictMeter(metrics), FlightRecorder()]
    watch = Watch(parts, lambda part: metrics.service.failures[part].inc())
    return Telemetry(watch, loop, metrics, meter.refused, spans)


def _metrics(
    voice: Platform, loop: LoopMonitor, agent_name: str, folder: Path, targets: Sequence[tuple[str, str]]
) -> "Metrics":
    from service.observability.metrics import Metrics  # noqa: PLC0415 - see above

    assumptions = [assumption for oddity in Oddity if (assumption := voice.assumption_broken_by(oddity))]
    build = {"agent": agent_name, "folder_hash": hash_of(folder), "python": platform.python_version()}
    metrics = Metrics(targets, assumptions, {"version": __version__, **build}, loop.longest_stall, voice.reasons)
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


def hash_of(folder: Path) -> str:
    """Twelve hexadecimal digits that change with any file of an agent's folder; empty for none."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(folder)}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12] if files else ""


def _prices(settings: Settings) -> dict[str, Price]:
    try:
        return read_prices(TABLE if settings.prices is None else Path(settings.prices))
    except (ValueError, OSError) as error:
        raise SettingsError(f"CUEBOX_PRICES is {settings.prices!r}, but that table cannot be read: {error}") from error
