"""What the models say in a storm: mostly what the caller's words ask for, and now and then anything."""

import json
import re
from itertools import pairwise
from random import Random

from service.simulator.model_script import (
    FAULTS,
    Call,
    Cut,
    Fault,
    Finish,
    Garble,
    Huge,
    Refuse,
    Script,
    Stall,
    WrongCalls,
    WrongType,
)
from service.simulator.model_spelling import ChatRequest
from service.simulator.model_times import times
from service.simulator.storm.weather import Weather

_SENTENCES = (
    "We open at nine.",
    "The wind comes from the west today, and it will turn to the north before the evening.",
    "Yes.",
    "I see, and what else can I do for you?",
    "There are three things to know: the time, the place, and the price of it, which is eight dollars",
    "Certainly, that is what we are here for, every day of the week!",
)
_ITEM = re.compile(r"item (\d+)")


class Answers:
    """One storm's: `script` is for the stand-in model."""

    def __init__(self, weather: Weather) -> None:
        self._chance = weather.chance("model")
        self._climate = weather.climate
        self._first, self._gap = times(weather.climate.first_token), times(weather.climate.gap)

    def script(self, chat: ChatRequest) -> Script:
        """The next answer."""
        chance = self._chance
        calls = () if chat.brings_tool_result and chance.random() < 0.8 else self._calls(chat)  # noqa: PLR2004  a share
        return Script(
            text=_text(chance),
            first_token_after=self._first,
            gap=self._gap,
            fault=_fault(chance) if chance.random() < self._climate.faults else None,
            calls=calls,
            lead_in=chance.choice(("", "", "Let me see.", "I will do that", " ")),
        )

    def _calls(self, chat: ChatRequest) -> tuple[Call, ...]:
        chance, said = self._chance, chat.last_user_text
        items = _ITEM.findall(said)
        calls: list[Call] = []
        if items and chance.random() < 0.9:  # noqa: PLR2004  a share
            calls = [_call("note", item=int(items[-1]))] * chance.choice((1, 1, 1, 2))
        for word in ("look up", "fail", "announce", "tune", "count", "goodbye", "transfer", "press"):
            if word in said[-80:] and chance.random() < 0.6:  # noqa: PLR2004  a share
                calls.append(_of(word, chance))
        if chance.random() < 0.03:  # noqa: PLR2004  a share
            calls.append(
                chance.choice((Call("unknown"), Call("note", "{"), Call("note", '{"item":"x"}'), Call("count")))
            )
        return tuple(calls)


def _of(word: str, chance: Random) -> Call:
    match word:
        case "look up":
            return _call("look_up", seconds=round(chance.expovariate(0.5), 2))
        case "fail":
            return _call("fail", how=chance.choice(("refuse", "raise", "hang")))
        case "count":
            return _call("count", word="storm")
        case "goodbye":
            return _call("end_call", message=chance.choice(("", "Goodbye, and stay dry.")))
        case "transfer":
            return _call("transfer_call", to="front desk", message="I put you through.")
        case "press":
            return _call("press_digits", digits="12#", message=chance.choice(("", "I press one and two.")))
        case _:
            return Call(word)


def _call(name: str, **arguments: object) -> Call:
    return Call(name, json.dumps(arguments))


def _text(chance: Random) -> tuple[str, ...]:
    """A few sentences in a few chunks, cut anywhere."""
    text = " ".join(chance.choices(_SENTENCES, k=chance.choice((1, 1, 2, 3))))
    cuts = sorted({0, len(text), *(chance.randrange(len(text)) for _ in range(chance.choice((0, 1, 3, 6))))})
    return tuple(text[start:end] for start, end in pairwise(cuts))


def _fault(chance: Random) -> Fault:
    kind = chance.choice(tuple(FAULTS.values()))
    if kind is Refuse:
        return Refuse(chance.choice((400, 401, 404, 408, 429, 500, 503)), retry_after=chance.choice((None, 0.0, 2.0)))
    if kind is Huge:
        return Huge(chance.randrange(3), size=chance.choice((300, 3_000, 30_000)))
    if kind in (Stall, Cut, Garble):
        return kind(chance.randrange(5))
    if kind is WrongType:
        return WrongType(chance.randrange(3), of=chance.choice(("content", "delta", "choices", "event")))
    if kind is WrongCalls:
        return WrongCalls(chance.choice(("zero", "missing")), chance.choice(("first", "every")))
    if kind is Finish:
        return Finish(chance.choice(("length", "content_filter", "model_wandered_off")))
    return kind()  # type: ignore[call-arg]  # the others need nothing
