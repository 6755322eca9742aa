"""One caller of a storm: talks, barges in, stays silent, presses keys, is misunderstood, and hangs up in mid-word."""

import asyncio
from collections.abc import Callable
from random import Random

from service.simulator import retell_steps as steps
from service.simulator.line import SimulatedLine
from service.simulator.retell import RetellCall
from service.simulator.retell_steps import Step
from service.simulator.storm.weather import Temper

_WISHES = (
    "please note item {item}",
    "please note item {item}",
    "when do you open",
    "look up the wind for me",
    "it will fail I think",
    "announce it to everybody",
    "tune it please",
    "count the letters",
    "what does a visit cost",
    "tell me more about it all please I have the whole day and nothing else to do",
    "press one please",
    "mm",
)
_LAST_WISHES = ("goodbye then", "transfer me please")


class Caller:
    """`live` is the whole call, and `see` wants to be shown each of its steps."""

    def __init__(self, call: RetellCall, line: SimulatedLine, chance: Random, temper: Temper) -> None:
        self._call, self._line, self._chance, self._temper = call, line, chance, temper
        self._words_heard = self._items = 0
        self._news = asyncio.Event()

    def see(self, step: Step) -> None:
        match step:
            case steps.WordsHeard():
                self._words_heard = step.count
            case steps.SpeechFinished() | steps.SpeechCut() | steps.TurnAsked():
                self._words_heard = 0
            case steps.CallEnded():
                pass
            case _:
                return
        self._news.set()

    async def live(self) -> None:
        """Do one thing after the other, until it is enough."""
        until = self._line.now() + self._temper.stays
        doings, weights = tuple(self._temper.likes), tuple(self._temper.likes.values())
        while not self._call.ended and self._line.now() < until:
            await asyncio.sleep(min(self._chance.expovariate(1 / self._temper.patience), 10.0))
            if not self._call.ended:
                await self._do(self._chance.choices(doings, weights)[0])
        self._tell(self._call.hang_up)

    async def _do(self, doing: str) -> None:
        match doing:
            case "talk":
                await self._until(lambda: self._call.is_listening, 8.0)
                self._tell(self._call.caller_speaks, self._wish())
                await asyncio.sleep(self._chance.uniform(0.2, 4.0))
            case "barge_in":
                words = self._chance.randint(1, 8)
                await self._until(lambda: self._words_heard >= words, 6.0)
                self._tell(self._call.caller_types, "wait")
                await asyncio.sleep(self._chance.uniform(0.0, 0.6))
                self._tell(self._call.caller_says, f"wait {self._wish()}")
            case "eager":
                await self._be_eager()
            case "wait":
                await asyncio.sleep(self._chance.uniform(5.0, 25.0))
            case "press":
                self._tell(self._call.press, self._chance.choice(("1", "42#", "*", "0")))
            case "type":
                self._tell(self._call.caller_types, self._wish())
            case "mumble":
                self._tell(self._call.caller_says, "")

    async def _be_eager(self) -> None:
        """The platform takes pauses for ends, asks, and asks again."""
        said, wish = "", self._wish().split()
        while wish and not self._call.ended:
            taken = self._chance.randint(1, len(wish))
            said, wish = f"{said} {' '.join(wish[:taken])}".strip(), wish[taken:]
            self._tell(self._call.caller_types, said)
            self._tell(self._call.caller_says, said)
            await asyncio.sleep(self._chance.choice((0.0, 0.05, 0.3, 0.8, 2.0)))

    def _wish(self) -> str:
        if self._chance.random() < 0.03:  # noqa: PLR2004  a share
            return self._chance.choice(_LAST_WISHES)
        wish = self._chance.choice(_WISHES)
        self._items += "{item}" in wish
        return wish.format(item=self._items)

    def _tell(self, verb: Callable[..., list[Step]], *about: str) -> None:
        if not self._call.ended:
            self._line.carry_out(verb(*about, self._line.now()))

    async def _until(self, is_so: Callable[[], bool], seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not (is_so() or self._call.ended):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass
