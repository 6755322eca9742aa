"""A collector: takes spans over OTLP/HTTP as Tempo or any other does, and remembers them."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status


@dataclass(frozen=True)
class Got:
    """A span as it came in."""

    wire: WireSpan
    resource: dict[str, Any]

    @property
    def name(self) -> str:
        return self.wire.name

    @property
    def trace_id(self) -> str:
        return self.wire.trace_id.hex()

    @property
    def span_id(self) -> str:
        return self.wire.span_id.hex()

    @property
    def parent_id(self) -> str:
        return self.wire.parent_span_id.hex()

    @property
    def attributes(self) -> dict[str, Any]:
        return values(self.wire.attributes)

    @property
    def events(self) -> list[str]:
        return [event.name for event in self.wire.events]

    @property
    def links(self) -> list[tuple[str, str]]:
        """The spans it points to, and why."""
        return [(link.span_id.hex(), values(link.attributes)["cuebox.link.kind"]) for link in self.wire.links]

    @property
    def is_error(self) -> bool:
        return self.wire.status.code == Status.STATUS_CODE_ERROR

    @property
    def seconds(self) -> float:
        return (self.wire.end_time_unix_nano - self.wire.start_time_unix_nano) / 1e9


class Collector:
    """What arrived. `status` is what it answers; `delay` is how long it takes for that, in seconds."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.status, self.delay = 200, 0.0
        self.endpoint = ""

    @property
    def spans(self) -> list[Got]:
        return [
            Got(span, values(each.resource.attributes))
            for body in list(self.bodies)
            for each in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in each.scope_spans
            for span in scope.spans
        ]

    def named(self, start: str) -> list[Got]:
        return [span for span in self.spans if span.name.startswith(start)]

    async def until(self, is_there: Callable[["Collector"], object], within: float = 5.0) -> None:
        async with asyncio.timeout(within):
            while not is_there(self):
                await asyncio.sleep(0.01)


def values(attributes: Any) -> dict[str, Any]:  # a repeated KeyValue of protobuf's
    """Attributes as Python's values."""
    return {each.key: _value(each.value) for each in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [_value(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, kind)


@contextmanager
def collector() -> Iterator[Collector]:
    """One that listens on a free port."""
    got = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(got.delay)
            if got.status == 200 and self.path == "/v1/traces":
                got.headers.append({name.lower(): value for name, value in self.headers.items()})
                got.bodies.append(body)
            self.send_response(got.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    got.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
