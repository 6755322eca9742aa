"""The composition root: the only module that knows every other."""

import asyncio
import gc
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog
from litestar import Litestar
from litestar.datastructures import State

from service.agents.agent import Agent
from service.agents.folder import Folder, read_folder
from service.agents.registry import FOLDERS, WITH_MODEL, WITHOUT_MODEL
from service.calls import Calls
from service.conversation.call import Policy
from service.endpoint import line_endpoint
from service.health import Readiness, health_routes
from service.llm.dependable import DependableModel
from service.llm.model import Endpoint
from service.llm.openai_chat import OpenAIChat
from service.llm.records import AttemptWitness
from service.llm.targets import Target, TargetError, key_of, overridden
from service.observability.conventions import Provider
from service.platforms.retell.protocol import Retell
from service.session import Session
from service.settings import Settings, SettingsError
from service.telemetry import Telemetry, create_telemetry
from service.webhooks import webhook_route


class _LeanLitestar(Litestar):
    """Litestar without the plugins for pydantic and attrs: no call needs them, and they cost a fifth of the start."""

    @staticmethod
    def _get_default_plugins(plugins: list[object]) -> list[object]:  # type: ignore[override]  # its type is not public
        return plugins


def create_app(settings: Settings, agent: Agent | None = None) -> Litestar:
    """Build the service, for the agent that the settings choose unless one is given. Raises SettingsError."""
    retell = Retell(
        settings.retell_auto_reconnect, settings.retell_call_details, settings.retell_transcript_with_tool_calls
    )
    name = _name_of_agent(settings) if agent is None else agent.name
    endpoints = [] if agent is not None else create_endpoints(settings)
    targets = [(each.name, each.model) for each in endpoints]
    providers = {each.name: Provider.of(each.provider, each.address) for each in endpoints}
    telemetry = create_telemetry(settings, retell, name, FOLDERS / name, targets, providers=providers)
    agent = agent or _agent_of(settings, endpoints, telemetry.watch)
    policy = Policy(
        details_expected=retell.tells_call_details,
        greeting_wait=settings.greeting_wait,
        turn_budget=settings.turn_budget,
        lines=agent.lines,
        deadlines=agent.deadlines,
        rescue=agent.rescue,
    )
    calls = Calls(lambda call_id: Session(call_id, agent, policy, telemetry.watch), settings.reconnect_window)
    platforms = {"llm-websocket": retell}
    readiness = Readiness()

    lines = line_endpoint(platforms, calls, telemetry.watch.failed, telemetry.refused)
    return _LeanLitestar(
        [
            lines,
            webhook_route(settings.webhook_keys, calls, telemetry.watch),
            *health_routes(readiness, agent.name, list(platforms)),
        ],
        lifespan=[partial(_lifespan, readiness, telemetry, agent, calls)],
        middleware=[] if telemetry.spans is None else [telemetry.spans.around],
        openapi_config=None,
        logging_config=None,
        state=State({"agent_name": agent.name, "calls": calls, "metrics": telemetry.metrics, "spans": telemetry.spans}),
    )


@asynccontextmanager
async def _lifespan(
    readiness: Readiness, telemetry: Telemetry, agent: Agent, calls: Calls, _: Litestar
) -> AsyncIterator[None]:
    telemetry.loop.start()
    async with asyncio.TaskGroup() as tasks:
        starting = [tasks.create_task(_warm_up(agent))]
        if telemetry.spans is not None:
            starting.append(tasks.create_task(telemetry.spans.open()))
        readiness.is_ready = True
        yield
        readiness.is_ready = False
        for task in starting:
            task.cancel()
    calls.end_all()
    await agent.close()
    telemetry.loop.stop()
    if telemetry.spans is not None:
        await telemetry.spans.close()


def create_agent(settings: Settings, witness: AttemptWitness) -> Agent:
    """The agent that the settings choose. Raises SettingsError."""
    return _agent_of(settings, create_endpoints(settings), witness)


def _agent_of(settings: Settings, endpoints: Sequence[Endpoint], witness: AttemptWitness) -> Agent:
    zone, name = _zone_of(settings), _name_of_agent(settings)
    if name in WITHOUT_MODEL:
        return WITHOUT_MODEL[name]()
    folder = folder_of(name)
    model = DependableModel(endpoints, folder.script.model, witness)
    return WITH_MODEL[name](folder, model, lambda: datetime.now(zone))


def create_endpoints(settings: Settings) -> list[OpenAIChat]:
    """The models that the chosen agent asks, in order. Raises SettingsError."""
    name = _name_of_agent(settings)
    keys = {**settings.other_keys, "OPENAI_API_KEY": settings.openai_api_key or ""}
    try:
        targets = [] if name in WITHOUT_MODEL else targets_of(folder_of(name), settings)
        return [OpenAIChat(target, key_of(target, keys)) for target in targets]
    except TargetError as error:
        raise SettingsError(f"The agent '{name}' cannot ask its model: {error}") from error


def _name_of_agent(settings: Settings) -> str:
    return settings.agent or ("receptionist" if settings.openai_api_key else "dummy")


def folder_of(name: str) -> Folder:
    """The files of an agent that asks a model. Raises SettingsError."""
    if name not in WITH_MODEL:
        known = ", ".join(sorted({*WITH_MODEL, *WITHOUT_MODEL}))
        raise SettingsError(f"CUEBOX_AGENT is {name!r}, but the agents here are: {known}.")
    try:
        return read_folder(FOLDERS / name)
    except (ValueError, OSError) as error:  # a file of the agent's folder is missing or not as it should be
        raise SettingsError(f"The agent '{name}' cannot be read: {error}") from error


def targets_of(folder: Folder, settings: Settings) -> list[Target]:
    """The models it asks, in order. Raises SettingsError and TargetError."""
    base_url = settings.openai_base_url
    if base_url is not None and not re.match(r"https?://[^/\s]+", base_url):
        raise SettingsError(
            f"OPENAI_BASE_URL is {base_url!r}, but must be an address such as http://127.0.0.1:8000/v1."
        )
    return overridden(folder.script.targets, settings.model, base_url)


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
