"""The composition root: the only module that knows every other."""

import asyncio
import gc
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog
from litestar import Litestar
from litestar.datastructures import State

from service.agents.agent import Agent
from service.agents.registry import WITH_MODEL, WITHOUT_MODEL
from service.calls import Calls
from service.conversation.call import Policy
from service.endpoint import line_endpoint
from service.health import Readiness, health_routes
from service.llm.model import Target
from service.llm.openai_chat import OpenAIChat
from service.observability.logs import CallLog
from service.platforms.retell.protocol import Retell
from service.session import Session
from service.settings import Settings, SettingsError


class _LeanLitestar(Litestar):
    """Litestar without the plugins for pydantic and attrs: no call needs them, and they cost a fifth of the start."""

    @staticmethod
    def _get_default_plugins(plugins: list[object]) -> list[object]:  # type: ignore[override]  # its type is not public
        return plugins


def create_app(settings: Settings, agent: Agent | None = None) -> Litestar:
    """Build the service, for the agent that the settings choose unless one is given. Raises SettingsError."""
    agent = agent or create_agent(settings)
    retell = Retell(
        settings.retell_auto_reconnect, settings.retell_call_details, settings.retell_transcript_with_tool_calls
    )
    log = CallLog(retell.assumption_broken_by, log_content=settings.log_content)
    policy = Policy(
        details_expected=retell.tells_call_details,
        greeting_wait=settings.greeting_wait,
        turn_budget=settings.turn_budget,
        lines=agent.lines,
        deadlines=agent.deadlines,
    )
    calls = Calls(lambda call_id: Session(call_id, agent, policy, log), settings.reconnect_window)
    platforms = {"llm-websocket": retell}
    readiness = Readiness()

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            warming = tasks.create_task(_warm_up(agent))
            readiness.is_ready = True
            yield
            readiness.is_ready = False
            warming.cancel()
        calls.end_all()
        await agent.close()

    return _LeanLitestar(
        [line_endpoint(platforms, calls, log.failed), *health_routes(readiness, agent.name, list(platforms))],
        lifespan=[lifespan],
        openapi_config=None,
        logging_config=None,
        state=State({"agent_name": agent.name, "calls": calls}),
    )


def create_agent(settings: Settings) -> Agent:
    """The agent that the settings choose. Raises SettingsError."""
    zone, base_url = _zone_of(settings), settings.openai_base_url
    if base_url is not None and not re.match(r"https?://[^/\s]+", base_url):
        raise SettingsError(
            f"OPENAI_BASE_URL is {base_url!r}, but must be an address such as http://127.0.0.1:8000/v1."
        )
    name = settings.agent or ("receptionist" if settings.openai_api_key else "dummy")
    if name in WITHOUT_MODEL:
        return WITHOUT_MODEL[name]()
    if name not in WITH_MODEL:
        known = ", ".join(sorted({*WITH_MODEL, *WITHOUT_MODEL}))
        raise SettingsError(f"CUEBOX_AGENT is {name!r}, but the agents here are: {known}.")
    if settings.openai_api_key is None:
        raise SettingsError(
            f"The agent '{name}' needs a model: set OPENAI_API_KEY (any word for an endpoint that wants none, with "
            "OPENAI_BASE_URL), or CUEBOX_AGENT=dummy to go without."
        )
    target = Target(settings.model, settings.openai_api_key, base_url)
    try:
        return WITH_MODEL[name](OpenAIChat(target), lambda: datetime.now(zone))
    except (ValueError, OSError) as error:  # a file of the agent's folder is missing or not as it should be
        raise SettingsError(f"The agent '{name}' cannot be read: {error}") from error


def _zone_of(settings: Settings) -> ZoneInfo:
    try:
        return ZoneInfo(settings.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SettingsError(
            f"CUEBOX_TIMEZONE is {settings.timezone!r}, which is no zone; use a name such as Europe/Berlin."
        ) from error


async def _warm_up(agent: Agent) -> None:
    try:
        await agent.warm_up()
    except Exception as error:  # noqa: BLE001 - the agent is user code, and the first turn will try again
        structlog.get_logger().warning("agent.warm_up_failed", agent=agent.name, error=type(error).__name__)
    gc.freeze()  # what start has made stays: the collector need not look at it again, in the middle of a turn
