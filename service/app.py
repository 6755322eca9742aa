"""The composition root: the only module that knows every other."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from litestar import Litestar
from litestar.config.app import AppConfig
from litestar.datastructures import State
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler, WebsocketRouteHandler
from litestar.types import Scope
from msgspec import structs

from service.access import access_of, is_loopback
from service.agents.agent import Agent
from service.agents.library import Library
from service.agents.mistakes import FolderMistake
from service.calls import Calls
from service.choice import Choice, choice_of, choice_of_one
from service.control import Control
from service.conversation.call import Policy
from service.conversation.inbound import Inbound, InboundCall
from service.drain import Drain
from service.endpoint import Door, line_endpoint
from service.health import Readiness, health_routes
from service.inbound import inbound_route
from service.line import Onlooker
from service.observability.conventions import Provider
from service.observability.faults import where
from service.observability.onlooking import Roster
from service.orders import Orders
from service.platforms.retell.protocol import Retell
from service.recording.wiring import recorder_of
from service.seats import Seats
from service.session import Session
from service.settings import Settings
from service.telemetry import Telemetry, create_telemetry
from service.webhooks import webhook_route

if TYPE_CHECKING:
    from service.recording.recorder import Recorder


class _LeanLitestar(Litestar):
    """Litestar without the plugins for pydantic and attrs: no call needs them, and they cost a fifth of the start."""

    @staticmethod
    def _get_default_plugins(plugins: list[object]) -> list[object]:  # type: ignore[override]  # its type is not public
        return plugins

    @staticmethod
    def _patch_opentelemetry_middleware(config: AppConfig) -> AppConfig:
        """Ours is no plugin of its, and to look for one imports OpenTelemetry."""
        return config


class _Desk:
    """Hands calls to agents: the endpoint's Desk."""

    def __init__(self, settings: Settings, retell: Retell, library: Library, telemetry: Telemetry) -> None:
        self._settings, self._retell, self._library, self._telemetry = settings, retell, library, telemetry

    def __contains__(self, agent: object) -> bool:
        return agent in self._library

    @property
    def names(self) -> Sequence[str]:
        return self._library.names

    async def refresh(self) -> None:
        await self._library.refresh()

    async def decide(self, call: InboundCall, agent: str = "") -> Inbound:
        await self._library.refresh()
        return await self._library.decide(call, agent)

    def busy_line(self, call_id: str, agent: str = "") -> str:
        return self._library.pick(call_id, agent).agent.lines.busy

    def open_session(self, call_id: str, agent: str = "") -> Session:
        taker = self._library.pick(call_id, agent)
        self._telemetry.watch.took(call_id, taker.agent.name, taker.hash)
        return self._session(call_id, taker.agent)

    def session_of(self, call_id: str, agent: str = "") -> Session:
        """Of a call that was another process's, and is over: it is told to the agent, and to nobody else."""
        return self._session(call_id, self._library.pick(call_id, agent).agent)

    def _session(self, call_id: str, agent: Agent) -> Session:
        policy = Policy(
            details_expected=self._retell.tells_call_details,
            greeting_wait=self._settings.greeting_wait,
            turn_budget=self._settings.turn_budget,
            lines=agent.lines,
            deadlines=agent.deadlines,
            rescue=agent.rescue,
        )
        return Session(call_id, agent, policy, self._telemetry.watch)


def create_app(
    settings: Settings, agent: Agent | None = None, control_at: Path | None = None, choice: Choice | None = None
) -> Litestar:
    """Build the service, for the agents that the settings choose unless one or a choice is given. Raises SettingsError.

    `control_at` is where it takes an operator's orders.
    """
    retell = Retell(
        settings.retell_auto_reconnect, settings.retell_call_details, settings.retell_transcript_with_tool_calls
    )
    choice = choice or (choice_of(settings) if agent is None else choice_of_one(agent))
    recorder = recorder_of(settings, choice.asked_by)
    choice = choice if recorder is None else choice.heard_by(recorder.listening)
    for name in choice.overriding:
        structlog.get_logger().info("agent.overrides_shipped", agent=name)
    telemetry = _telemetry(settings, retell, choice, recorder)
    library = choice.library(telemetry.watch, partial(_on_change, telemetry), telemetry.watch.traceparent_of_tool)
    desk = _Desk(settings, retell, library, telemetry)
    calls = Calls(
        desk.session_of, settings.reconnect_window, are_ends_told=bool(settings.webhook_keys), on_untold=_on_untold
    )
    telemetry.guard.dismiss = calls.dismiss
    readiness = Readiness()
    drain = Drain(calls, settings.drain_seconds, settings.idle_exit_seconds)
    _show(drain, telemetry)
    orders = Orders(library, calls, Roster(), choice.switches, drain)
    onlooker = (lambda _: None) if recorder is None else recorder.line
    routes = _routes(settings, retell, calls, desk, drain, readiness=readiness, telemetry=telemetry, onlooker=onlooker)
    return _LeanLitestar(
        [*routes, *_playground(settings, choice)],
        lifespan=[
            *([] if recorder is None else [recorder.running]),
            partial(_lifespan, readiness, telemetry, library, calls),
            *([] if control_at is None else [partial(_control, control_at, telemetry, orders)]),
        ],
        middleware=[] if telemetry.spans is None else [telemetry.spans.around],
        after_exception=[partial(_unanswered, telemetry)],
        openapi_config=None,
        logging_config=None,
        state=State({"calls": calls, "drain": drain, "agents": library.names} | _told(settings, choice, telemetry)),
    )


def _told(settings: Settings, choice: Choice, telemetry: Telemetry) -> dict[str, object]:
    """What those who start it may ask of the app."""
    seen = {"metrics": telemetry.metrics, "spans": telemetry.spans, "watch": telemetry.watch}
    return {**seen, "without_model": choice.without_model, "has_playground": _has_playground(settings)}


def _telemetry(settings: Settings, retell: Retell, choice: Choice, recorder: "Recorder | None") -> Telemetry:
    providers = {each.name: Provider.of(each.provider, each.address) for each in choice.endpoints}
    made = create_telemetry(settings, retell, choice.hashes, choice.targets, tools=choice.tools, providers=providers)
    if recorder is not None:
        made.watch.show_to([*made.watch.parts, recorder])
    return made


def _show(drain: Drain, telemetry: Telemetry) -> None:
    if telemetry.metrics is not None:
        telemetry.metrics.service.draining.set_function(lambda: not drain.is_open)
        telemetry.metrics.service.drain_left.set_function(lambda: drain.seconds_left)


def _routes(
    settings: Settings,
    retell: Retell,
    calls: Calls,
    desk: _Desk,
    drain: Drain,
    *,
    readiness: Readiness,
    telemetry: Telemetry,
    onlooker: Callable[[str], Onlooker | None],
) -> list[WebsocketRouteHandler | HTTPRouteHandler]:
    access, watch, keys = access_of(settings), telemetry.watch, settings.webhook_keys
    platforms = {"llm-websocket": retell}
    door = Door(
        access,
        Seats(settings.max_calls, calls),
        lambda call_id: drain.is_open or call_id in calls,  # one that is here may go on, on another line too
        tells_busy=settings.when_full == "busy",
        frames_per_second=settings.max_frames_per_second,
        on_refusal=telemetry.refused,
        onlooker=onlooker,
    )
    names = desk.names if is_loopback(settings.host) else []  # a stranger need not know them
    secret = "/<your secret>" if access.secrets else ""
    return [
        line_endpoint(platforms, calls, desk, door, watch.failed),
        webhook_route(keys, calls, desk, watch),
        inbound_route(keys, desk, watch),
        *health_routes(
            lambda: readiness.is_ready and drain.is_open and not telemetry.loop.is_overloaded,
            names,
            [f"{base}{secret}" for base in platforms],
            has_playground=_has_playground(settings),
        ),
    ]


def _has_playground(settings: Settings) -> bool:
    return settings.dev and is_loopback(settings.host)


def _playground(settings: Settings, choice: Choice) -> list[WebsocketRouteHandler | HTTPRouteHandler]:
    if not _has_playground(settings):
        return []
    from service.playground.routes import playground_routes  # noqa: PLC0415 - nobody else pays for it
    from service.playground.visit import Stage  # noqa: PLC0415

    access = access_of(settings)
    way_in = "/".join(("/llm-websocket", *(secret.decode() for secret in access.secrets[:1])))
    peer = str(access.allowed[0].network_address) if access.allowed else "127.0.0.1"
    return playground_routes(Stage(choice.names, choice.without_model, way_in, peer, partial(_with_stand_in, settings)))


def _with_stand_in(settings: Settings, address: str) -> Litestar:
    """The same service, but every model of its agents is the one at this address."""
    calm = structs.replace(settings, metrics_port=0, otlp_endpoint=None, record_dir=None)
    return create_app(calm, choice=choice_of(calm).asking(address))


@asynccontextmanager
async def _lifespan(
    readiness: Readiness, telemetry: Telemetry, library: Library, calls: Calls, _: Litestar
) -> AsyncIterator[None]:
    telemetry.loop.start()
    async with asyncio.TaskGroup() as tasks:
        starting = [tasks.create_task(_warm_up(list(library.agents)))]
        if telemetry.spans is not None:
            starting.append(tasks.create_task(telemetry.spans.open()))
        readiness.is_ready = True
        yield
        readiness.is_ready = False
        for task in starting:
            task.cancel()
    calls.end_all()
    await asyncio.gather(*map(_close, library.agents))
    telemetry.loop.stop()
    if telemetry.spans is not None:
        await telemetry.spans.close()


@asynccontextmanager
async def _control(path: Path, telemetry: Telemetry, orders: Orders, _: Litestar) -> AsyncIterator[None]:
    watch, metrics = telemetry.watch, telemetry.metrics
    watch.show_to([*watch.parts, orders.roster])
    on_change = None if metrics is None else (lambda verb: metrics.service.changes[verb].inc())
    async with Control(orders, watch, on_change).open(path):
        yield


async def _unanswered(telemetry: Telemetry, error: Exception, scope: Scope) -> None:
    """What nobody answered: an address that is no line's, or a fault of ours, of which Litestar says nothing."""
    if not isinstance(error, HTTPException):
        structlog.get_logger().error("http.failed", error=type(error).__name__, where=where(error))
    elif scope["type"] == ScopeType.WEBSOCKET:
        telemetry.refused("refused_path")


async def _warm_up(agents: list[Agent]) -> None:
    for agent in agents:
        try:
            await agent.warm_up()
        except Exception as error:  # noqa: BLE001 - the agent is user code, and the first turn will try again
            structlog.get_logger().warning("agent.warm_up_failed", agent=agent.name, error=type(error).__name__)
    gc.freeze()  # what start has made stays: the collector need not look at it again, in the middle of a turn


async def _close(agent: Agent) -> None:
    try:
        await agent.close()
    except Exception as error:  # noqa: BLE001 - the agent is user code, and what else is open is closed all the same
        structlog.get_logger().warning("agent.close_failed", agent=agent.name, error=type(error).__name__)


def _on_untold(call_id: str) -> None:
    structlog.get_logger().info("call.end_untold", call_id=call_id)


def _on_change(telemetry: Telemetry, hashes: Mapping[str, str], name: str, mistake: FolderMistake | None) -> None:
    log = structlog.get_logger()
    if mistake is not None:
        log.error("agent.not_reloaded", agent=name, mistakes=[str(each) for each in mistake.mistakes])
        return
    log.info("agent.reloaded", agent=name, folder_hash=hashes[name])
    if telemetry.metrics is not None:
        telemetry.metrics.service.runs(hashes)
