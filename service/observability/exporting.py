"""The way out for spans: shut until OpenTelemetry is imported, in a thread, for it takes longer than to get ready."""

import asyncio
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog

from service.observability.traces import Span

if TYPE_CHECKING:
    from service.observability.spans import SpanSender


class Exporting:
    """Takes spans from the start, and loses those that come before it is open."""

    def __init__(self, count: Callable[[str, int], None]) -> None:
        """`count` is told of spans `exported`, `failed` and `dropped`, from any thread."""
        self._count = count
        self._sender: SpanSender | None = None

    @property
    def is_open(self) -> bool:
        return self._sender is not None

    def send(self, span: Span) -> bool:
        """Whether the span was taken."""
        if self._sender is None:
            self._count("dropped", 1)
            return False
        return self._sender.send(span)

    async def open(self) -> None:
        """Import what it takes. Whatever is wrong there is told of in a line, and calls go on without traces."""
        try:
            spans = await asyncio.to_thread(importlib.import_module, "service.observability.spans")
            self._sender = await asyncio.to_thread(spans.SpanSender, self._count)
        except ModuleNotFoundError as error:
            self._unavailable(error, f"{error.name} is missing: pip install 'cuebox[otel]'")
        except Exception as error:  # noqa: BLE001 - a variable of the SDK's that it cannot read
            self._unavailable(error, f"look at the OTEL_* variables: {error}")

    def _unavailable(self, error: Exception, remedy: str) -> None:
        structlog.get_logger().warning("traces.unavailable", error=type(error).__name__, remedy=remedy)

    def around(self, app: Any) -> Any:  # ASGI applications, whose types nobody agrees on
        """An application whose HTTP requests have spans, too, once it is open. Calls pass it by."""
        watched: Any = None

        async def watch(scope: Any, receive: Any, send: Any) -> None:
            nonlocal watched
            if scope["type"] != "http" or self._sender is None:
                await app(scope, receive, send)
                return
            watched = watched or self._sender.around(app)
            await watched(scope, receive, send)

        return watch

    async def close(self) -> None:
        """Send what waits, but not for long."""
        if self._sender is not None:
            await self._sender.close()
