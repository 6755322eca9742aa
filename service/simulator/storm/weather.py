"""What is drawn for a storm, all of it from one seed: how the world is, and what happens in it when."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

_FIRST_TOKENS = ("lognormal:0.4,1.2", "lognormal:0.8,2.5", "10%uniform:2,9+lognormal:0.5,1.6", "0", "3")
_GAPS = ("0.01", "0", "5%uniform:0.5,10+0.03", "0.4")
Change = Literal["kill", "drain", "start"]
Trouble = Literal["drop", "vanish", "stall", "slow", "rubbish"]


@dataclass(frozen=True, slots=True)
class Climate:
    """How one world is. Times are seconds, shares 0 to 1."""

    processes: int
    first_token: str
    gap: str
    faults: float
    """The share of the model's answers with a fault."""
    trouble_every: float
    """The mean time from one trouble of a line to its next."""
    change_every: float
    """The mean time from one change of the processes to the next."""
    settings: dict[str, Any]
    """What the operator set, by the names of the settings."""


@dataclass(frozen=True, slots=True)
class Temper:
    """How one caller is."""

    comes_at: float
    stays: float
    """Seconds, unless something ends the call before."""
    patience: float
    """The mean time in which something occurs to them, in seconds."""
    likes: dict[str, int]
    """What they do, and how often."""


class Weather:
    """One storm's. Whoever draws something has a chance of their own, so nobody's draws move another's."""

    def __init__(self, seed: str, seconds: float) -> None:
        """`seconds` is how long calls come for."""
        self.seed, self._seconds = seed, seconds
        chance = self.chance("climate")
        is_calm = chance.random() < 0.3  # noqa: PLR2004  a share
        self.climate = Climate(
            processes=chance.choice((1, 2, 2, 3)),
            first_token=chance.choice(_FIRST_TOKENS),
            gap=chance.choice(_GAPS),
            faults=0.0 if is_calm else chance.choice((0.03, 0.15, 0.5)),
            trouble_every=chance.choice((120.0, 1000.0)) if is_calm else chance.choice((15.0, 40.0, 100.0)),
            change_every=1e9 if is_calm else chance.choice((45.0, 120.0, 400.0)),
            settings=_settings(chance),
        )

    def chance(self, *about: object) -> Random:
        """Chance for this and nothing else: the same in each run."""
        return Random("/".join(map(str, (self.seed, *about))))  # noqa: S311  no secret

    def temper(self, number: int) -> Temper:
        """Of the caller of this number."""
        chance = self.chance("temper", number)
        doings = ("talk", "barge_in", "eager", "wait", "press", "type", "mumble")
        return Temper(
            comes_at=chance.uniform(0, self._seconds),
            stays=chance.choice((chance.uniform(0.1, 10), chance.uniform(20, 120), chance.uniform(60, 300))),
            patience=chance.choice((0.3, 1.5, 4.0, 8.0)),
            likes={doing: chance.choice((0, 1, 1, 4)) for doing in doings} | {"talk": 3},
        )

    def troubles(self, number: int) -> Iterator[tuple[float, Trouble]]:
        """What happens to the lines of this call: after so many seconds each."""
        chance, every = self.chance("trouble", number), self.climate.trouble_every
        kinds: tuple[Trouble, ...] = ("drop", "vanish", "stall", "slow", "rubbish", "rubbish")
        while True:
            yield chance.expovariate(1 / every), chance.choice(kinds)

    def changes(self) -> Iterator[tuple[float, Change]]:
        """What happens to the processes: after so many seconds each."""
        chance, every = self.chance("changes"), self.climate.change_every
        kinds: tuple[Change, ...] = ("kill", "kill", "drain", "start")
        while True:
            yield chance.expovariate(1 / every), chance.choice(kinds)


def _settings(chance: Random) -> dict[str, Any]:
    """Mostly as they are unless they are set."""

    def rarely(otherwise: object, usual: object) -> Any:
        return otherwise if chance.random() < 0.12 else usual  # noqa: PLR2004  a share

    return {
        "turn_budget": rarely(9.0, 25.0),
        "reconnect_window": rarely(4.0, 30.0),
        "greeting_wait": rarely(0.1, 0.3),
        "max_calls": rarely(6, 1000),
        "when_full": rarely("busy", "refuse"),
        "max_turns": rarely(5, 2000),
        "max_call_seconds": rarely(40.0, 7200.0),
        "caller_calls_per_hour": rarely(2, 0),
        "max_frames_per_second": rarely(5, 100),
        "retell_auto_reconnect": rarely(False, True),
        "retell_call_details": rarely(False, True),
        "retell_transcript_with_tool_calls": rarely(False, True),
        "metrics_port": rarely(1, 0),
    }
