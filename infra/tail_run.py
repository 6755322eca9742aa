"""The real engine against the real stand-in model, on real sockets and in real time, with hedging and without."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

from service.llm.candidate import Rules
from service.llm.dependable import DependableModel
from service.llm.model import Message, Occasion, Role
from service.llm.openai_chat import OpenAIChat
from service.llm.records import AttemptRecord
from service.llm.targets import Target

_ASKED = [Message(Role.SYSTEM, "You are on the phone. Be brief."), Message(Role.USER, "Are you open today?")]
_CHUNKS = "3"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is asked with each set of rules, which has so many engines of its own, as so many processes would."""

    turns: int
    """Those that count."""
    rate: float
    """Turns a second of each set of rules, at moments that no answer changes."""
    engines: int = 4
    warm_up: int = 200
    """Turns of each engine that come first and are not counted: the hedger knows too little, or only quick answers."""
    seed: int = 1

    @property
    def asked(self) -> int:
        """All turns of one set of rules."""
        return self.turns + self.engines * self.warm_up


@dataclass(slots=True)
class Sample:
    """What the turns of one set of rules saw."""

    waits: list[float] = field(default_factory=list)
    """Seconds from the moment a turn was due to its first words."""
    requests: int = 0

    @property
    def extra(self) -> float:
        """Requests beyond one a turn, as a share of the turns."""
        return self.requests / len(self.waits) - 1

    def attempted(self, record: AttemptRecord) -> None:
        self.requests += record.occasion.turn_index >= 0

    def traceparent(self, occasion: Occasion) -> str | None:  # noqa: ARG002
        return None


async def measure(
    first_token: str, rules: Mapping[str, Rules], plan: Plan, on_turn: Callable[[], None]
) -> dict[str, Sample]:
    """Ask a model of such first-token times under each set of rules, side by side. Raises what a turn raises."""
    samples = {name: Sample() for name in rules}
    async with AsyncExitStack() as open_now:
        base_url = await open_now.enter_async_context(_stand_in(first_token, plan.seed))
        engines: list[tuple[DependableModel, Sample]] = []
        for name, its_rules in rules.items():
            for _ in range(plan.engines):
                endpoint = OpenAIChat(Target("stand-in", base_url=base_url), "none")
                engine = DependableModel([endpoint], its_rules, samples[name])
                open_now.push_async_callback(engine.close)
                await engine.warm_up()
                engines.append((engine, samples[name]))
        async with asyncio.TaskGroup() as tasks:
            for number, (engine, sample) in enumerate(engines):
                chance = random.Random(f"{plan.seed}:{number}")  # noqa: S311  wanted: the same again
                tasks.create_task(_ask_often(engine, sample, plan, chance, on_turn))
    return samples


async def _ask_often(
    engine: DependableModel, sample: Sample, plan: Plan, chance: random.Random, on_turn: Callable[[], None]
) -> None:
    now = asyncio.get_running_loop().time
    due = now()
    async with asyncio.TaskGroup() as turns:
        for index in range(-plan.warm_up, plan.turns // plan.engines):
            due += chance.expovariate(plan.rate / plan.engines)
            await asyncio.sleep(due - now())
            turns.create_task(_ask(engine, sample, due, index, on_turn))


async def _ask(engine: DependableModel, sample: Sample, due: float, index: int, on_turn: Callable[[], None]) -> None:
    answer = engine.stream(_ASKED, Occasion("tail", index))
    await anext(answer)
    if index >= 0:
        sample.waits.append(asyncio.get_running_loop().time() - due)
    async for _ in answer:
        pass
    on_turn()


@asynccontextmanager
async def _stand_in(first_token: str, seed: int) -> AsyncIterator[str]:
    """The stand-in in a process of its own; yields its base URL."""
    words = ["--port", "0", "--chunks", _CHUNKS, "--first-token", first_token, "--seed", str(seed)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service.simulator.model", *words, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None  # noqa: S101  it is a pipe
    try:
        base_url = (await process.stdout.readline()).decode().strip()
        if not base_url:
            raise RuntimeError("the stand-in model did not start")
        yield base_url
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
