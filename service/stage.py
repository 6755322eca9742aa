"""Plays a scenario in a world of its own, in virtual time: what is inside that world, for its steps and its judge."""

import asyncio
import logging
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import chdir, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from litestar import Litestar
from msgspec import structs
from structlog.processors import TimeStamper, add_log_level
from structlog.testing import capture_logs

from service.agents.library import SHIPPED
from service.conversation.call import TurnRecord
from service.environment import read_settings, unknown_variables, variable_of
from service.observability.watch import Part, SeenTurn
from service.settings import Settings, SettingsError
from service.simulator.line import Dial, epoch_of_loop
from service.simulator.model import StandInModel
from service.simulator.scenario.answers import Answers
from service.simulator.scenario.judging import judged
from service.simulator.scenario.player import Player
from service.simulator.scenario.reading import BrokenScenario, Mistake, read_scenario
from service.simulator.scenario.script import Model, Scenario, Webhook, Which
from service.simulator.scenario.telling import Played, played
from service.simulator.scenario.timeline import Settled, Timeline
from service.virtual.loop import Deadlock, TasksLeft, draw_anew, run
from service.virtual.process import Process
from service.virtual.watchdog import Endless, no_longer_than
from service.world import WEBHOOK_KEY, World, settings_of_world, world

_NO_AUTHORITIES = {"SSL_CERT_FILE": "", "SSL_CERT_DIR": "/nonexistent"}
"""Nothing is encrypted in a world, and to read who is trusted is half of its making."""

WARM_UP = 1.0
"""Seconds that a world has before its call: what is read and imported then differs from the first to the second."""

LONGEST = 60.0
"""Seconds of this machine for one call, which takes a tenth of one."""

UNSTEADY = "a tool or a hook draws lots, reads the clock of the machine, or keeps something from call to call"


def played_from(file: Path, *, repeat: int = 1, keeps_log: bool = False, cache: str | None = None) -> Played:
    """Read a file, play it so often, and judge it. Raises BrokenScenario, also for settings that cannot be used.

    `cache` is a folder for indexes of knowledge: with it, only the first scenario of an agent builds them.
    """
    scenario, began = read_scenario(file), time.perf_counter()
    try:
        first = _once(scenario, file, cache, keeps_log=keeps_log)
        for number in range(2, repeat + 1):
            again = _once(scenario, file, cache, keeps_log=keeps_log)
            if again.digest != first.digest:
                told = f"the call went otherwise when it was played again ({number}): {UNSTEADY}"
                first = structs.replace(again, failures=(told, *again.failures))
                break
    except SettingsError as error:
        raise BrokenScenario([Mistake(file, 1, str(error))]) from error
    return structs.replace(first, took=time.perf_counter() - began)


def attempted(
    file: Path, *, repeat: int = 1, keeps_log: bool = False, cache: str | None = None
) -> Played | BrokenScenario:
    """The same; what is wrong with the file is a result, too, so that it comes back from another process."""
    try:
        return played_from(file, repeat=repeat, keeps_log=keeps_log, cache=cache)
    except BrokenScenario as broken:
        return broken


def _once(scenario: Scenario, file: Path, cache: str | None, *, keeps_log: bool) -> Played:
    try:
        timeline = play(scenario, file, cache)
    except SettingsError:
        raise
    except (Exception, Endless) as error:  # noqa: BLE001  a world that fails is a scenario that failed
        return Played(str(file), scenario.name, (f"the world of the call failed: {_sentence(_innermost(error))}",))
    return played(file, scenario, timeline, judged(scenario, timeline), keeps_log=keeps_log)


def _sentence(error: BaseException) -> str:
    match error:
        case Endless():
            return f"{error}. Does a tool or a hook go round and round, sleep as `time.sleep` does, or ask a server?"
        case Deadlock():
            return "everybody waits for something that nobody will do. Does a tool or a hook wait without a timeout?"
        case TasksLeft():
            return f"{error}. End what a tool or a hook begins in `after_call`."
        case _:
            last = traceback.extract_tb(error.__traceback__)[-1:]
            return f"{error!r}{''.join(f', raised at {each.filename}:{each.lineno}' for each in last)}"


def _innermost(error: BaseException) -> BaseException:
    return _innermost(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def play(scenario: Scenario, file: Path, cache: str | None = None) -> Timeline:
    """Play it in virtual time. Raises SettingsError for what it sets, and whatever the world fails with.

    Tools work in an empty folder, which is gone afterwards: no call of a scenario writes where calls of callers do.
    """
    file = file.resolve()
    agent = agent_of(scenario, file)
    with tempfile.TemporaryDirectory(prefix="cuebox-") as folder:
        own = {name: value.replace("{folder}", folder) for name, value in scenario.environment.items()}
        with chdir(folder), _environment({**_NO_AUTHORITIES, **own}), _log() as log:
            settings = settings_of(scenario, agent)
            settings = structs.replace(settings, cache_dir=settings.cache_dir or cache)
            starts = scenario.now - timedelta(seconds=WARM_UP)
            with no_longer_than(LONGEST):
                timeline = run(_in_a_world(scenario, settings), starts=starts, seed=scenario.seed)
    timeline.log, timeline.is_inside_known = log, True
    return timeline


def settings_of(scenario: Scenario, agent: Mapping[str, str]) -> Settings:
    """The settings of the world that a scenario is played in, with variables that choose its agent.

    Raises SettingsError.
    """
    given = {
        name: str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else value
        for name, value in scenario.settings.items()
    }
    known = {variable_of(field) for field in Settings.__struct_fields__}
    for sentence in (*unknown_variables(given), *(f"{name} is not a setting." for name in given if name not in known)):
        raise SettingsError(f"{sentence} What tools read stands under `environment`.")
    asked = read_settings({**agent, **given})
    calm = settings_of_world(asked, has_model=scenario.model != "none")
    return structs.replace(calm, path_secret=asked.path_secret, allowed_ips=asked.allowed_ips)


def agent_of(scenario: Scenario, file: Path) -> dict[str, str]:
    """The variables that choose a scenario's agent. An agent's own scenarios lie in its folder."""
    around = file.resolve().parent
    folder = (around / scenario.agent).resolve() if scenario.agent else around.parent
    is_meant = bool(scenario.agent) or around.name == "scenarios"
    if is_meant and any((folder / name).is_file() for name in ("agent.toml", "prompt.md")):
        elsewhere = {} if folder.parent == SHIPPED else {"CUEBOX_AGENTS_DIR": str(folder.parent)}
        return {"CUEBOX_AGENT": folder.name, **elsewhere}
    return {**_own_agents(), **({"CUEBOX_AGENT": scenario.agent} if scenario.agent else {})}


def _own_agents() -> dict[str, str]:
    place = os.environ.get("CUEBOX_AGENTS_DIR")
    return {"CUEBOX_AGENTS_DIR": str(Path(place).resolve())} if place else {}


@contextmanager
def _environment(own: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class _Kept(logging.Handler):
    """Other libraries' lines, as ours are."""

    def __init__(self, lines: list[MutableMapping[str, Any]]) -> None:
        super().__init__(logging.WARNING)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat()
        self._lines.append({"timestamp": moment, "level": record.levelname.lower(), "event": record.getMessage()})


@contextmanager
def _log() -> Iterator[list[Any]]:
    """The lines that are logged meanwhile, which go nowhere else."""
    with capture_logs([add_log_level, TimeStamper(fmt="iso", utc=True)]) as lines:
        handler = _Kept(lines)
        logging.getLogger().addHandler(handler)
        try:
            yield lines
        finally:
            logging.getLogger().removeHandler(handler)


async def _in_a_world(scenario: Scenario, settings: Settings) -> Timeline:
    answers = None if scenario.model == "none" else Answers(scenario.model)
    witness = _Witness(scenario.call_id)
    model = StandInModel(answers, seed=scenario.seed)

    def show(app: Litestar) -> None:
        app.state.watch.show_to([*app.state.watch.parts, witness])

    async with world(settings, model, processes=scenario.processes, on_app=show) as made, asyncio.TaskGroup() as tasks:
        await asyncio.sleep(WARM_UP)
        draw_anew(scenario.seed)
        player = Player(scenario, _way_in(scenario, settings, made), _Inside(made, tasks), epoch=epoch_of_loop())
        witness.tell = player.note
        await player.play()
    player.timeline.requests = player.since_it_began(model.requests)
    return player.timeline


def _way_in(scenario: Scenario, settings: Settings, made: World) -> Callable[[str], Dial]:
    secret = f"/{settings.path_secret.partition(',')[0].strip()}" if settings.path_secret else ""
    path = scenario.path or f"/llm-websocket{secret}/{{call_id}}"
    return lambda call_id: made.way_in(path.replace("{call_id}", call_id), call_id, scenario.headers)


class _Witness(Part):
    """Tells how the turns of a call were settled."""

    name = "scenario"

    def __init__(self, call_id: str) -> None:
        self.tell: Callable[[Settled], None] = lambda _: None
        self._call_id = call_id

    def settled(self, turn: SeenTurn, record: TurnRecord) -> None:
        if turn.call_id == self._call_id:
            self.tell(Settled(record.turn_id, record.outcome.value, record.reason))


class _Inside:
    """The world, for the steps of a scenario."""

    def __init__(self, made: World, tasks: asyncio.TaskGroup) -> None:
        self._world, self._tasks = made, tasks

    def change_model(self, model: Model) -> None:
        self._world.model.script = Answers(model)

    def kill(self, which: Which, call_id: str) -> None:
        self._process(which, call_id).kill()

    def drain(self, which: Which, call_id: str, seconds: float) -> None:
        self._tasks.create_task(self._world.drain(self._process(which, call_id), seconds))

    async def start(self, count: int) -> None:
        for _ in range(count):
            await self._world.start()

    async def post(self, webhook: Webhook, call: dict[str, Any]) -> tuple[int, bytes]:
        if not self._world.ready:
            raise LookupError("no process takes webhooks now")
        key = "another_key" if webhook.badly_signed else WEBHOOK_KEY
        is_inbound = webhook.webhook == "call_inbound"
        event = {"event": webhook.webhook, "call_inbound" if is_inbound else "call": call}
        return await self._world.ask("/webhook/inbound" if is_inbound else "/webhook", event, key=key)

    def _process(self, which: Which, call_id: str) -> Process:
        home = self._world.home_of(call_id)
        if which == "home" and home is not None and not home.is_dead:
            return home
        others = [process for process in self._world.processes if process is not home and not process.is_dead]
        if which == "other" and others:
            return others[0]
        raise LookupError(f"there is no such process: {which}")
