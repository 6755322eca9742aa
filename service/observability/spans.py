"""Spans on their way out, by OpenTelemetry's SDK over OTLP/HTTP. Everything heavy is imported when this is.

The SDK reads its own `OTEL_*` variables: endpoint, headers, service name, resource attributes, batches. Whatever
happens to an exporter happens in its thread; a turn loses nothing but its spans, and those are counted.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Any

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from service.observability.conventions import ERROR, LINK_KIND
from service.observability.traces import Span
from service.observability.watch import Trace

MOST_WAITING = 2048
"""Spans on their way. What comes on top is dropped."""

FLUSH_SECONDS = 2.0
_BATCH, _EVERY_MS = 128, 2000  # one of 512 holds up the event loop for 30 ms

_UNWATCHED = "healthz,readyz"
_ROUTES = ("/webhook/inbound", "/webhook", "/healthz", "/readyz")

Count = Callable[[str, int], None]


class SpanSender:
    """Takes spans on the event loop, and sends them in a thread of its own."""

    def __init__(self, count: Count) -> None:
        """`count` is told of spans `exported`, `failed` and `dropped`, from any thread."""
        self._out, resource = _Out(count), _resource()
        self._ids = _GivenIds()
        turns = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False, id_generator=self._ids)
        self._http = TracerProvider(resource=resource, shutdown_on_exit=False)  # sampled as OTEL_TRACES_SAMPLER says
        for provider in (turns, self._http):
            provider.add_span_processor(self._out)
        self._tracer = turns.get_tracer("cuebox", version("cuebox"))

    def send(self, span: Span) -> bool:
        """Take a span; False when too many wait."""
        if not self._out.has_room():
            return False
        self._ids.given = span.ids
        parent = None if span.parent is None else NonRecordingSpan(_context(span.parent))
        made = self._tracer.start_span(
            span.name,
            Context() if parent is None else set_span_in_context(parent, Context()),
            SpanKind[span.kind],
            span.attributes,
            [Link(_context(other), {LINK_KIND: kind}) for other, kind in span.links],
            _nanoseconds(span.began_at),
        )
        for name, at, more in span.happenings:
            made.add_event(name, more, _nanoseconds(at))
        if ERROR in span.attributes:
            made.set_status(Status(StatusCode.ERROR))
        made.end(_nanoseconds(span.ended_at))
        return True

    def around(self, app: Any) -> Any:  # ASGI applications, whose types nobody agrees on
        """An application whose HTTP requests have spans, with their routes alone: anything else may be a secret."""

        async def as_it_came(scope: Any, receive: Any, send: Any) -> None:
            await app(scope["cuebox.scope"], receive, send)

        without_own = os.environ.get("OTEL_PYTHON_EXCLUDED_URLS", _UNWATCHED)
        watched = OpenTelemetryMiddleware(
            as_it_came, without_own, tracer_provider=self._http, exclude_spans=["receive", "send"]
        )

        async def shown_alone(scope: Any, receive: Any, send: Any) -> None:
            path = next((route for route in _ROUTES if f"{scope['path']}/".startswith(f"{route}/")), "/")
            shown = {"path": path, "raw_path": path.encode(), "query_string": b""}
            await watched({**scope, **shown, "cuebox.scope": scope}, receive, send)

        return shown_alone

    async def close(self) -> None:
        """Send what waits, but let nobody wait for it for long."""
        loop, is_done = asyncio.get_running_loop(), asyncio.Event()

        def flush() -> None:
            self._out.stop()
            with suppress(RuntimeError):  # the loop is closed: it did not wait
                loop.call_soon_threadsafe(is_done.set)

        threading.Thread(target=flush, daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await is_done.wait()


class _GivenIds(IdGenerator):
    """The ids that were drawn when the turn began."""

    given: Trace

    def generate_trace_id(self) -> int:
        return self.given.trace_id

    def generate_span_id(self) -> int:
        return self.given.span_id


class _Out(SpanProcessor, SpanExporter):
    """Counts what waits and what arrived. The SDK alone would drop the oldest, and tell nobody how many."""

    def __init__(self, count: Count) -> None:
        self._count = count
        self._exporter = OTLPSpanExporter()
        self._taken = self._done = 0  # the one written by the loop alone, the other by the exporter's thread
        self._batches = BatchSpanProcessor(
            self,
            max_queue_size=MOST_WAITING,
            schedule_delay_millis=None if "OTEL_BSP_SCHEDULE_DELAY" in os.environ else _EVERY_MS,
            max_export_batch_size=None if "OTEL_BSP_MAX_EXPORT_BATCH_SIZE" in os.environ else _BATCH,
        )

    def has_room(self) -> bool:
        """Whether one more span may wait; if not, it is counted as dropped."""
        if self._taken - self._done < MOST_WAITING:
            return True
        self._count("dropped", 1)
        return False

    def on_end(self, span: ReadableSpan) -> None:
        is_sampled = span.context is not None and span.context.trace_flags.sampled
        if is_sampled and self.has_room():
            self._taken += 1
            self._batches.on_end(span)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            self._done += len(spans)
            self._count("exported" if result is SpanExportResult.SUCCESS else "failed", len(spans))
        return result

    def stop(self) -> None:
        """Send what waits, for as long as it takes."""
        self._batches.shutdown()  # type: ignore[no-untyped-call]  # the SDK's


def _resource() -> Resource:
    named = OTELResourceDetector().detect().attributes  # what the environment says goes before what we say
    return Resource.create({"service.name": "cuebox", "service.version": version("cuebox"), **named})


def _context(ids: Trace) -> SpanContext:
    return SpanContext(ids.trace_id, ids.span_id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _nanoseconds(moment: float) -> int:
    return int(moment * 1e9)
