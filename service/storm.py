"""`cuebox storm`. As in `cli`, imports are made when they are needed."""

import gc
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from litestar import Litestar

    from service.settings import Settings
    from service.simulator.storm.episodes import Episode, Plan
    from service.simulator.storm.quiet import Faults
    from service.simulator.storm.watching import Manners


_SETTLED = 5.0
"""Seconds until a process has warmed up."""
_FORGOTTEN = 650.0
"""Seconds until a process has forgotten every call, of whose end it was never told."""
_LONGEST = 300.0
"""Seconds of this machine that an episode may take: more than ten times what one does."""

_STAY = 70.0
"""About how long a call is, in seconds."""


def play(plan: "Plan", number: int) -> "Episode":
    """Play one episode, the same each time. Raises SettingsError."""
    from collections import Counter
    from datetime import UTC, datetime

    from service.simulator.storm.episodes import Episode
    from service.simulator.storm.findings import Finding
    from service.simulator.storm.quiet import quietly
    from service.simulator.storm.scene import EPOCH
    from service.virtual.loop import Deadlock, TasksLeft, run
    from service.virtual.watchdog import Endless, no_longer_than

    began, before = time.process_time(), _sessions()
    try:
        with quietly() as faults, no_longer_than(_LONGEST):
            played = run(_blow(plan, number, faults), starts=datetime.fromtimestamp(EPOCH, UTC), seed=number)
    except (Endless, Deadlock, TasksLeft) as error:
        stuck = Finding("goes on", "", 0.0, f"{type(error).__name__}: {error}")
        return Episode(number, 0.0, Counter(), "", [stuck])
    if (left := _sessions() - before) > 0 and not played.counts["killed"]:  # a killed process lets go of nothing
        played.findings.append(Finding("bounded", "", 0.0, f"the world is gone, and {left} of its calls are not"))
    played.cpu_seconds = time.process_time() - began
    return played


def _sessions() -> int:
    """How many calls are in this process's memory."""
    from service.session import Session

    return sum(type(each) is Session for each in gc.get_objects())


async def _blow(plan: "Plan", number: int, faults: "Faults") -> "Episode":
    import asyncio

    from service.simulator.model import StandInModel
    from service.simulator.storm.census import Held, going_on, left_over
    from service.simulator.storm.episodes import OWN_AGENT, Episode
    from service.simulator.storm.model import Answers
    from service.simulator.storm.storm import Storm
    from service.simulator.storm.timeline import drawn
    from service.simulator.storm.weather import Weather
    from service.world import world

    weather = Weather(f"{plan.seed}:{number}", 60 * plan.minutes / plan.calls)
    settings = _settings(plan, weather.climate.settings)
    calls = max(1, round(60 * plan.minutes / _STAY))
    storm = Storm(weather, _manners(settings), calls=calls, is_own_agent=plan.agent == OWN_AGENT)
    faults.findings = storm.findings
    asyncio.get_running_loop().set_exception_handler(faults.in_loop)
    held, model = Held(), StandInModel(Answers(weather).script, seed=number, remembered=0)

    def on_app(app: "Litestar") -> None:
        storm.look_at(app.state.watch)
        held.before(app.state.dict().values())

    async with world(settings, model, processes=weather.climate.processes, on_app=on_app) as place:
        await asyncio.sleep(_SETTLED)
        idle, ready = going_on(), len(place.ready)
        outcome = await storm.blow(place)
        await asyncio.sleep(_FORGOTTEN)
        storm.judge()
        for what in left_over(idle, going_on(), processes=(ready, len(place.ready))):
            storm.findings.broken("bounded", "", what)
        for home, process in enumerate(place.processes):
            for what in () if process.is_dead else held.after(home, process.app.state.dict().values()):
                storm.findings.broken("bounded", "", f"process {home}: {what}")
    timelines = {call_id: drawn(moments) for call_id, moments in storm.remembered.items()}
    return Episode(number, outcome.seconds / 60, outcome.counts, outcome.digest, outcome.findings, timelines)


def _settings(plan: "Plan", drawn: dict[str, Any]) -> "Settings":
    from msgspec.structs import replace

    from service.environment import read_settings
    from service.settings import Settings
    from service.simulator.storm.episodes import OWN_AGENT
    from service.world import settings_of_world

    own = Settings(agents_dir=str(Path(__file__).parent / "simulator" / "storm" / "agents"))
    base = own if plan.agent == OWN_AGENT else read_settings(os.environ)
    alone = replace(base, agent=plan.agent, idle_exit_seconds=0.0, otlp_endpoint=None, record_dir=None)
    return replace(settings_of_world(alone), **drawn)


def _manners(settings: "Settings") -> "Manners":
    from service.choice import choice_of
    from service.settings import SettingsError
    from service.simulator.storm.watching import Manners

    folder = choice_of(settings).folders.get(settings.agent or "")
    if folder is None:
        raise SettingsError(f"A storm calls one agent that is made of a folder, and {settings.agent!r} is none.")
    script = folder.script
    languages = (script.lines, *script.lines.by_language.values())
    return Manners(
        script.deadlines,
        settings.turn_budget,
        frozenset(line for lines in languages for line in lines.hold),
        frozenset(tool.hold for tool in folder.tools if tool.hold),
        None if folder.rescue is None else folder.rescue.transfer,
    )


# Many episodes.


class _Seed(click.ParamType[tuple[int, int | None]]):
    name = "seed"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int | None]:
        found = re.fullmatch(r"(\d{1,18})(?::(\d{1,9}))?", str(value))
        if found is None:
            self.fail(f"{value!r} is no seed; one is a number such as 7, or 7:12 for one episode of it", param, ctx)
        return int(found[1]), None if found[2] is None else int(found[2])


def _played(plan: "Plan", minutes: float, jobs: int) -> "Iterator[Episode]":
    """Episodes as they are done, until there are so many call-minutes."""
    if jobs == 1:
        number, done = 0, 0.0
        while done < minutes:
            yield (episode := play(plan, number))
            number, done = number + 1, done + max(episode.minutes, 1.0)
        return
    import multiprocessing
    from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=25) as pool:
        number, done = 0, 0.0
        running: set[Future[Episode]] = set()
        while running or done < minutes:
            while len(running) < jobs and done + plan.minutes * len(running) < minutes:
                running.add(pool.submit(play, plan, number))
                number += 1
            over, running = wait(running, return_when=FIRST_COMPLETED)
            for each in over:
                done += max(each.result().minutes, 1.0)
                yield each.result()


@click.command()
@click.option(
    "--seed", type=_Seed(), metavar="N[:EPISODE]", help="What all is drawn from.  [default: another each time]"
)
@click.option(
    "--minutes", type=click.FloatRange(min=1), default=1000.0, show_default=True, help="Virtual call-minutes."
)
@click.option("--calls", type=click.IntRange(1, 500), default=10, show_default=True, help="At once, about.")
@click.option("--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes, one for each core.")
@click.option("--report", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="Write a page.")
@click.option("--agent", default="storm", help="One of your agents, instead of the one that is made for storms.")
def storm(seed: tuple[int, int | None] | None, minutes: float, jobs: int, report: Path | None, **given: Any) -> None:
    """Play calls in which everything goes wrong that can, and check the service's rules on every frame.

    Callers talk, barge in, press keys, are misunderstood and hang up; models fail in every way there is; lines break,
    stall and carry rubbish; processes are killed, drained and started; webhooks come late and twice. All of it is drawn
    from the seed, and played in virtual time, in episodes of some hundred call-minutes.

    A broken rule is told with a timeline of its call, and with the command that plays it again, the same to the byte.

    Exit code 0: no rule was broken; 1: one was, and it says which; 2: bad usage, or a setting cannot be used.

    \b
    Examples:
      cuebox storm --seed 7 --minutes 3000         what a pipeline would do
      cuebox storm --minutes 1000000 --jobs 2      a night's
      cuebox storm --seed 7:12                     one episode of it again
    """
    import random

    from service.settings import SettingsError
    from service.simulator.storm.episodes import EPISODE, Plan, Sum

    number, episode = seed or (random.SystemRandom().randrange(10**6), None)
    plan = Plan(number, min(minutes, EPISODE), **given)
    told, seen = Sum(plan), set[str]()
    try:
        for each in [play(plan, episode)] if episode is not None else _played(plan, minutes, jobs):
            told.add(each)
            for finding in each.findings:
                if finding.rule not in seen:  # the others are in the report
                    click.echo("\n".join(told.told(finding, each)))
                seen.add(finding.rule)
            if sys.stderr.isatty() or told.is_time_to_tell:
                click.echo(f"\r{told}  ", err=True, nl=not sys.stderr.isatty())
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    except ModuleNotFoundError as error:
        if error.name != "time_machine":
            raise
        raise click.UsageError("cuebox storm needs one more package: pip install 'cuebox[simulate]'") from error
    click.echo(f"\nseed {number}: {told}\n{told.counted}")
    if report is not None:
        report.write_text(told.page(), encoding="utf-8")
    sys.exit(1 if told.broken else 0)
