"""What an operator can look at and change in a running process. A change ends with the process."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta, Struct

from service.agents.library import Library
from service.agents.prompted import PromptedAgent
from service.calls import Calls
from service.drain import Drain
from service.llm.candidate import Candidate
from service.llm.dependable import DependableModel
from service.llm.switches import Switches
from service.observability.logs import LEVELS, log_level, set_log_level
from service.observability.onlooking import Line, Roster


class Order(Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked for. `name` is a target's, a tool's, a call's id, or a level."""

    verb: Literal["calls", "watch", "targets", "hedge", "tools", "drain", "log-level"]
    do: Literal["", "prefer", "disable", "enable", "on", "off"] = ""
    name: Annotated[str, Meta(max_length=200)] = ""
    seconds: Annotated[float, Meta(ge=0, le=7200)] | None = None


class Refused(Exception):
    """An order that cannot be carried out. The message says what there is instead."""


@dataclass(frozen=True, slots=True)
class Orders:
    """Carries them out."""

    library: Library
    calls: Calls
    roster: Roster
    switches: Switches
    drain: Drain

    def carry_out(self, order: Order) -> Iterator[Line]:
        """Yields what there is to tell. Raises Refused, and then nothing is changed."""
        match order.verb, order.do:
            case "calls", "":
                yield from self._calls()
            case "targets", "":
                yield from self._targets()
            case "tools", "":
                yield from ({"tool": name, "disabled": name in self.switches.tools_off} for name in self._tool_names())
            case _:
                before = self._state(order.verb)
                self._apply(order)
                yield {"verb": order.verb, "before": before, "after": self._state(order.verb)}

    def _state(self, verb: str) -> str:
        switches = self.switches
        match verb:
            case "targets":
                return f"{switches.preferred or 'as configured'} first, {_disabled(switches.targets_off)}"
            case "tools":
                return _disabled(switches.tools_off)
            case "hedge":
                return "on" if switches.may_hedge else "off"
            case "drain":
                return "taking calls" if self.drain.is_open else f"{self.drain.seconds_left:.0f} s left"
            case _:
                return log_level()

    def _apply(self, order: Order) -> None:
        switches = self.switches
        match order.verb, order.do:
            case "targets", "prefer":
                _check_known("target", order.name, ["", *self._target_names()])
                if order.name in switches.targets_off:
                    raise Refused(f"The target {order.name!r} is disabled: enable it first.")
                switches.preferred = order.name
            case "targets", "disable" | "enable":
                _check_known("target", order.name, self._target_names())
                if order.do == "disable":
                    self._check_not_last(order.name)
                _switch(switches.targets_off, order)
            case "tools", "disable" | "enable":
                _check_known("tool", order.name, self._tool_names())
                _switch(switches.tools_off, order)
            case "hedge", "on" | "off":
                switches.may_hedge = order.do == "on"
            case "log-level", "":
                _check_known("level", order.name, LEVELS)
                set_log_level(order.name)
            case "drain", "":
                self.drain.begin(order.seconds)
            case _:
                raise Refused(f"There is no order '{order.verb} {order.do}'.")

    def _calls(self) -> Iterator[Line]:
        for call_id, call in list(self.roster.calls.items()):
            is_open, is_answering = self.calls.state_of(call_id)
            does = f"tool {call.tool}" if call.tool else "drafting" if is_answering else "idle"
            about = {"agent": call.agent, "since": round(call.since, 3), "turns": call.turns}
            yield {"call_id": call_id, **about, "line": "open" if is_open else "closed", "does": does}

    def _targets(self) -> Iterator[Line]:
        at = asyncio.get_running_loop().time()
        for agent, targets in self._targets_of_agents():
            for rank, target in enumerate(targets, start=1):
                state = {"disabled": target.is_disabled, "breaker": target.breaker.state(at).value}
                yield {"agent": agent, "rank": rank, "target": target.name, "model": target.endpoint.model, **state}

    def _targets_of_agents(self) -> list[tuple[str, Sequence[Candidate]]]:
        models = [(agent.name, agent.model) for agent in self._prompted()]
        return [(name, model.targets) for name, model in models if isinstance(model, DependableModel)]

    def _target_names(self) -> list[str]:
        return list(dict.fromkeys(target.name for _, targets in self._targets_of_agents() for target in targets))

    def _tool_names(self) -> list[str]:
        able = [agent.abilities for agent in self._prompted()]
        return sorted({name for abilities in able for name in (*abilities.tools, *abilities.actions)})

    def _prompted(self) -> list[PromptedAgent]:
        """The agents as they are now."""
        agents = {agent.name: agent for agent in self.library.agents}
        return [agent for agent in agents.values() if isinstance(agent, PromptedAgent)]

    def _check_not_last(self, name: str) -> None:
        for agent, targets in self._targets_of_agents():
            names = {target.name for target in targets}
            if names - self.switches.targets_off == {name}:
                others = ", ".join(sorted(names - {name}))
                hint = f"enable another first: {others}" if others else "it has no other"
                raise Refused(f"The target {name!r} is the last that the agent {agent!r} may ask; {hint}.")


def _switch(off: set[str], order: Order) -> None:
    if order.do == "disable":
        off.add(order.name)
    else:
        off.discard(order.name)


def _disabled(off: set[str]) -> str:
    return f"{', '.join(sorted(off))} disabled" if off else "all enabled"


def _check_known(kind: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise Refused(f"There is no {kind} {name!r}. There are: {', '.join(filter(None, known)) or 'none'}.")
