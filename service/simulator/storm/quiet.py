"""Where a storm is played: nothing is logged, and what is logged as an error is a finding."""

import gc
import logging
import ssl
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog

from service.observability import loop
from service.simulator.storm.findings import Findings


class Faults:
    """Tells the findings, once there are some, what the service logged as an error and what the loop was told of."""

    findings: Findings | None = None

    def in_loop(self, _loop: object, context: dict[str, Any]) -> None:
        """As `set_exception_handler` wants it."""
        self._tell(f"{context['message']}: {context.get('exception')!r}")

    def in_log(self, _logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """As structlog wants a processor."""
        self._tell(f"logged: {dict(line)}")
        raise structlog.DropEvent

    def _tell(self, what: str) -> None:
        if self.findings is not None:
            self.findings.broken("no fault", "", what)


@contextmanager
def quietly() -> Iterator[Faults]:
    """Log nothing meanwhile. What was imported and frozen for the processes of a storm is let go at the end.

    Nothing is encrypted in a storm's world, so all that start in it share what they read of certificates: a tenth of
    the time. Another tenth is that nobody looks for stalls of a loop that has none.
    """
    read_certificates, certificates = ssl.create_default_context, ssl.create_default_context()
    ssl.create_default_context = lambda *_, **__: certificates
    looks_every, loop.EVERY = loop.EVERY, 60.0
    faults, before, logger = Faults(), structlog.get_config(), logging.getLogger("service")
    level = logger.level
    structlog.configure(
        processors=[faults.in_log],
        wrapper_class=structlog.make_filtering_bound_logger("error"),
        cache_logger_on_first_use=False,
    )
    logger.setLevel(logging.ERROR)  # an agent's own failures are wanted here
    try:
        yield faults
    finally:
        ssl.create_default_context, loop.EVERY = read_certificates, looks_every
        structlog.configure(**before)
        logger.setLevel(level)
        for name in [name for name in sys.modules if name.startswith("cuebox_agent_")]:
            del sys.modules[name]
        gc.unfreeze()
        gc.collect()
