import logging
import threading
from collections.abc import Iterator

import pytest
import structlog

from tests.otlp import Collector, collector


@pytest.fixture(autouse=True)
def _fresh_logs() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    logging.basicConfig(handlers=[logging.NullHandler()], force=True)


@pytest.fixture(autouse=True)
def _exporters_end() -> Iterator[None]:
    """An exporter that is not through yet goes on in its thread, and would draw chance in the middle of other tests."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("Otel"):
            thread.join(5)


@pytest.fixture
def tempo(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collector() as got:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", got.endpoint)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        monkeypatch.setenv("CUEBOX_TRACE_SHARE", "1")
        yield got
