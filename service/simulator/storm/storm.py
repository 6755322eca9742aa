"""A storm: calls, lines, models and processes, and whoever judges what comes of it."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import count
from random import Random
from typing import Any, Protocol

from service.observability.watch import Watch
from service.simulator.line import Dial, Socket
from service.simulator.storm.effects import EFFECTS, Effects
from service.simulator.storm.findings import Finding, Findings
from service.simulator.storm.line import RoughLine, Watched
from service.simulator.storm.scene import Moment, Scene, told_of
from service.simulator.storm.watching import Manners, Watcher
from service.simulator.storm.weather import Change, Weather

MOST_PROCESSES = 4
LAST_WORDS = 15.0
"""Seconds that webhooks may come late, and that is taken until the end of a call is noticed everywhere."""

PATH = "/llm-websocket"


class Home(Protocol):
    """A process of the service."""

    is_dead: bool

    def kill(self) -> None: ...


class Place(Protocol):
    """Where the service runs, as far as a storm can reach it."""

    @property
    def processes(self) -> Sequence[Home]:
        """All there ever were, in the order of their start."""
        ...

    @property
    def ready(self) -> Sequence[Home]: ...

    async def start(self) -> object: ...

    def way_in(self, path: str, call_id: str) -> Dial: ...

    def home_of(self, call_id: str) -> Home | None: ...

    async def post(self, path: str, event: Mapping[str, Any]) -> int: ...

    async def drain(self, process: Any, seconds: float) -> None: ...


@dataclass(slots=True)
class Outcome:
    """What came of a storm."""

    seconds: float = 0.0
    """Of all calls together."""
    counts: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    digest: str = ""
    """Of all frames in both directions, in their order: the same when the same was played."""


class Storm:
    """One storm. Show it each process's watch before that begins, then `blow`."""

    def __init__(self, weather: Weather, manners: Manners, *, calls: int, is_own_agent: bool = True) -> None:
        """`is_own_agent` is whether the agent is the storm's own, whose tools tell what they do."""
        self.findings = Findings(asyncio.get_running_loop().time)
        self.effects = Effects(weather.seed, self.findings)
        self.findings.on_found = self._remember
        self.scenes: dict[str, Scene] = {}
        self.remembered: dict[str, list[Moment]] = {}
        """What had happened in a call when the first of its findings was made."""
        self.counts = Counter[str]()
        self._weather, self._manners = weather, manners
        self._calls, self._is_own_agent = calls, is_own_agent
        self._watchers: list[Watcher] = []
        self._digest = blake2b(digest_size=8)
        self._told: dict[str, list[Home]] = {}
        self._killed: list[Home] = []
        EFFECTS.set(self.effects)

    def look_at(self, watch: Watch) -> None:
        """Watch a process that is about to start."""
        watcher = Watcher(self.findings, self._manners)
        self._watchers.append(watcher)
        watch.show_to([*watch.parts, watcher])

    async def blow(self, place: Place) -> Outcome:
        """Play it to its end: all calls are over, and everybody was told."""
        numbers = range(self._calls)
        dial, heed = self._dialling(place), self._digest.update
        scenes = [Scene(each, self._weather, self.effects, self.findings, dial, heed=heed) for each in numbers]
        self.scenes = {scene.call_id: scene for scene in scenes}
        async with asyncio.TaskGroup() as tasks:
            playing = [tasks.create_task(self._play(scene, place, number)) for number, scene in enumerate(scenes)]
            changing = tasks.create_task(self._change(place))
            await asyncio.wait(playing)
            changing.cancel()
        return self._outcome()

    def _remember(self, finding: Finding) -> None:
        scene = self.scenes.get(finding.call_id)
        if scene is not None:
            scene.note(f"BROKEN: {finding.rule}: {finding.detail}")
            self.remembered.setdefault(finding.call_id, list(scene.moments))

    def judge(self) -> None:
        """Say what is wrong now that every call is over, and every reconnect window too."""
        for watcher in self._watchers:
            for call_id in () if watcher.is_dead else watcher.left():
                self.findings.broken("settled once", call_id, "it has not ended in its process")
        for call_id, homes in self._told.items() if self._is_own_agent else ():
            times = self.effects.times_concluded(call_id)
            if times > len(homes) or (not times and any(home not in self._killed for home in homes)):
                detail = f"after_call ran {times} times, and call_ended was posted to {len(homes)} processes"
                self.findings.broken("told once", call_id, detail)

    def _outcome(self) -> Outcome:
        counts = self.counts
        counts["calls"] = len(self.scenes)
        counts["turns"] = sum(watcher.turns for watcher in self._watchers)
        counts["frames"] = sum(scene.frames for scene in self.scenes.values())
        counts["writes"], counts["attempts to write"] = self.effects.written, self.effects.attempts
        seconds = sum(each.ended_at - each.began_at for each in self.scenes.values() if each.began_at is not None)
        return Outcome(seconds, counts, self.findings.found, self._digest.hexdigest())

    # Calls.

    def _dialling(self, place: Place) -> Callable[[str, Callable[[RoughLine], None]], Dial]:
        def of_call(call_id: str, tell: Callable[[RoughLine], None]) -> Dial:
            lines = count(1)
            open_line = place.way_in(f"{PATH}/{call_id}", call_id)

            async def dial() -> Socket:
                socket: Watched = await open_line()  # type: ignore[assignment]  # of a place for storms
                home, number = place.home_of(call_id), next(lines)
                watcher = self._watchers[[each is home for each in place.processes].index(True)]
                now = asyncio.get_running_loop().time

                def seen(frame: str, is_slow: bool) -> None:
                    watcher.wrote(call_id, number, frame, now(), is_slow=is_slow)

                line = RoughLine(socket, call_id, self._weather.chance("line", call_id, number), self.findings, seen)
                tell(line)
                self.counts["lines"] += 1
                return line

            return dial

        return of_call

    async def _play(self, scene: Scene, place: Place, number: int) -> None:
        chance = self._weather.chance("webhooks", number)
        async with asyncio.TaskGroup() as tasks:
            if chance.random() < 0.5:  # noqa: PLR2004  a share
                tasks.create_task(self._announce(scene, place, self._weather.temper(number).comes_at, chance))
            await scene.play()
        if scene.began_at is not None:
            await self._tell_of(scene, place, chance)

    async def _announce(self, scene: Scene, place: Place, comes_at: float, chance: Random) -> None:
        """The webhook of a call's beginning comes before its line, or after."""
        await asyncio.sleep(max(0.0, comes_at + chance.uniform(-12, 3)))
        if place.ready:
            await self._post(scene, place, "call_started")

    async def _tell_of(self, scene: Scene, place: Place, chance: Random) -> None:
        """Webhooks come late, in any order, twice, or not at all."""
        events = ("call_started", "call_ended", "call_ended", "call_analyzed")
        posts = [event for event in events if chance.random() < 0.7]  # noqa: PLR2004  a share
        chance.shuffle(posts)
        for event in posts:
            await asyncio.sleep(chance.expovariate(1.0))
            if not (ready := place.ready):
                continue
            if event == "call_ended" and ready[0] not in self._told.setdefault(scene.call_id, []):
                self._told[scene.call_id].append(ready[0])
            await self._post(scene, place, event)

    async def _post(self, scene: Scene, place: Place, event: str) -> None:
        scene.note(f"webhook: {event}")
        status = await place.post("/webhook", told_of(scene, event))
        if status != 204:  # noqa: PLR2004  HTTP's own
            self.findings.broken("no fault", scene.call_id, f"the webhook {event} was answered with {status}")

    # Processes.

    async def _change(self, place: Place) -> None:
        async with asyncio.TaskGroup() as draining:
            chance = self._weather.chance("processes")
            for after, change in self._weather.changes():
                await asyncio.sleep(after)
                await self._befall(change, place, chance, draining)

    async def _befall(self, change: Change, place: Place, chance: Random, draining: asyncio.TaskGroup) -> None:
        ready = list(place.ready)
        is_last = len(ready) < 2  # noqa: PLR2004
        if change == "start" and len(ready) >= MOST_PROCESSES:
            return
        if change == "start" or (is_last and chance.random() < 0.7):  # noqa: PLR2004  a share
            await place.start()
            self.counts["started"] += 1
        if change == "start" or not ready:
            return
        home, at = chance.choice(ready), list(place.processes)
        self.counts["killed" if change == "kill" else "drained"] += 1
        for scene in self.scenes.values():
            scene.note(f"weather: {change} of a process{' (its own)' if place.home_of(scene.call_id) is home else ''}")
        if change == "kill":
            self._watchers[[each is home for each in at].index(True)].is_dead = True
            self._killed.append(home)
            home.kill()
        else:
            draining.create_task(place.drain(home, chance.uniform(0, 20)))
        if is_last:
            await asyncio.sleep(chance.uniform(0, 4))
            await place.start()
            self.counts["started"] += 1
