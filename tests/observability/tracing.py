"""A service whose spans a collector takes in, and what a caller says to it."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.environment import read_settings
from service.simulator.model import StandInModel
from tests.live import PlatformLine, Service, serving, words
from tests.otlp import Got

ANSWER = "We open at nine and close at five."


@asynccontextmanager
async def traced(model: StandInModel | None = None, **more: str) -> AsyncIterator[Service]:
    """A service that sends its spans where the environment says."""
    asked = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": model.base_url} if model else {"CUEBOX_AGENT": "dummy"}
    settings = read_settings({**os.environ, "CUEBOX_RECONNECT_WINDOW": "0", **asked, **more})
    async with serving(settings=settings) as service:
        async with asyncio.timeout(10):
            while counted(service, "telemetry ready") == 0:
                await asyncio.sleep(0.01)
        yield service


def counted(service: Service, what: str) -> float:
    """How many spans; or whether the way out for them is open."""
    if what == "telemetry ready":
        return float(service.app.state.spans.is_open)
    value = service.app.state.metrics.registry.get_sample_value("cuebox_spans_total", {"result": what})
    assert value is not None
    return float(value)


async def talk(line: PlatformLine, *turns: str) -> None:
    """The agent answers all of this, and is heard."""
    said = [words(await line.greeted(), 0)]
    for turn_id, asked in enumerate(turns, 1):
        said.append(asked)
        await line.ask(turn_id, *said)
        said.append(await line.answer(turn_id))


def the(found: list[Got]) -> Got:
    (only,) = found
    return only
