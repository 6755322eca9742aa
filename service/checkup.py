"""`cuebox check`: what is set, what is missing or odd, whether the agent answers, and what a target can do."""

import time
from asyncio import timeout
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from enum import Enum

from service.agents.agent import Agent
from service.agents.registry import WITHOUT_MODEL
from service.app import create_agent, create_endpoints, folder_of, targets_of
from service.conversation.call import Prompt, Turn
from service.conversation.parts import HangUp, Interjection, Part, PressDigits, Speech, Transfer
from service.conversation.transcript import Speaker, Utterance
from service.llm import model
from service.llm.records import AttemptRecord
from service.settings import Settings, SettingsError, unknown_variables, variable_of

_GREETING = Turn("check", 0, 0, Prompt.GREETING)
_ANSWER = Turn("check", 1, 1, Prompt.CALLER_SPOKE, (Utterance(Speaker.CALLER, "Hello, can you hear me?"),))
_COUNT = [model.Message(model.Role.USER, "Count from one to twenty, in words, without anything else.")]

_REMEDIES: dict[type[Exception], str] = {
    model.KeyRejected: "the endpoint does not take the key: look at its variable, and whether it may use this model",
    model.RequestRejected: "the endpoint does not take the request: look at the model's name, its address and options",
    model.QuotaExhausted: "the account has no credit left",
    model.RateLimited: "the endpoint takes no more requests for now: wait, or ask for a higher limit",
    model.ServerFailed: "the endpoint failed: try again, and look at the provider's status page",
    model.Unreachable: "there is no connection: look at the address and the network",
    model.StreamBroken: "the answer broke off: try again",
    model.AnswerRan: "the answer did not stop: look at the target's options, or try another model",
    model.NothingSaid: "the model answered without a word to speak: try again, or another model",
    TimeoutError: "no answer within CUEBOX_TURN_BUDGET",
}


class Verdict(Enum):
    """How good a finding is."""

    GOOD = "good"
    ODD = "odd"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the check."""

    verdict: Verdict
    subject: str
    text: str


async def findings(settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[Finding]:
    """Look at the settings, then talk to the agent. Raises SettingsError as `serve` would."""
    agent = create_agent(settings, _Attempts())
    for sentence in unknown_variables(environ):
        yield Finding(Verdict.ODD, "setting", sentence)
    if settings.log_content:
        yield Finding(Verdict.ODD, "setting", "CUEBOX_LOG_CONTENT is on: the log will hold what callers say.")
    yield Finding(Verdict.GOOD, "agent", _choice_of(settings, agent))
    try:
        yield await _tried(agent, "greeting", _GREETING, settings.turn_budget, "none: the caller speaks first")
        yield await _tried(agent, "answer", _ANSWER, settings.turn_budget, "none: the caller would hear silence")
    finally:
        await agent.close()


def _choice_of(settings: Settings, agent: Agent) -> str:
    why = (
        variable_of("agent")
        if settings.agent
        else "OPENAI_API_KEY is " + ("set" if settings.openai_api_key else "not set")
    )
    targets = [] if agent.name in WITHOUT_MODEL else targets_of(folder_of(agent.name), settings)
    asked = ", then ".join(f"{target.label} at {target.address or 'OpenAI'}" for target in targets)
    return f"{agent.name} ({why})" + (f", asks {asked}" if asked else "")


class _Attempts:
    def attempted(self, record: AttemptRecord) -> None:
        pass  # the answer tells enough

    def traceparent(self, occasion: model.Occasion) -> str | None:  # noqa: ARG002
        return None


async def target_findings(settings: Settings, name: str) -> AsyncIterator[Finding]:
    """Ask one target for a short answer. Raises SettingsError when there is none of this name."""
    endpoints = {endpoint.name: endpoint for endpoint in create_endpoints(settings)}
    if name not in endpoints:
        raise SettingsError(f"No target is called {name!r}; the agent has: {', '.join(endpoints) or 'none'}.")
    endpoint = endpoints.pop(name)
    yield Finding(Verdict.GOOD, "target", f"{name}: model {endpoint.model}")
    try:
        async with timeout(settings.turn_budget):
            await endpoint.warm_up()
            async for finding in _measured(endpoint):
                yield finding
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what was looked for
        yield _failed("answer", error)
    finally:
        await endpoint.close()


async def _measured(endpoint: model.Endpoint) -> AsyncIterator[Finding]:
    begun, ended = model.AnswerBegun(), model.AnswerEnded("")
    moments, start = [], time.monotonic()
    async with aclosing(endpoint.ask(_COUNT)) as deltas:
        async for delta in deltas:
            match delta:
                case str():
                    moments.append(time.monotonic() - start)
                case model.AnswerBegun():
                    begun = delta
                case model.AnswerEnded():
                    ended = delta
                case _:
                    pass
    if not moments:
        raise model.NothingSaid
    usage, spread = ended.usage, moments[-1] - moments[0]
    pieces = usage.output if usage else len(moments)
    speed = f"{(pieces - 1) / spread:.0f} tokens/s" if spread > 0.01 and pieces > 1 else "all in one piece"  # noqa: PLR2004
    yield Finding(Verdict.GOOD, "answer", f"first token after {moments[0] * 1000:.0f} ms, {speed}")
    counts = (
        f"{usage.input} in ({usage.cached} cached), {usage.output} out ({usage.reasoning} thought)" if usage else ""
    )
    yield Finding(_told(usage), "tokens", counts or "not counted: metrics will not know what a turn costs")
    yield Finding(_told(begun.request_id), "request", begun.request_id or "has no id that support could ask for")
    left = f"{begun.requests_left} requests, {begun.tokens_left} tokens" if begun.requests_left is not None else None
    yield Finding(_told(left), "limit", f"{left} left" if left else "what is left is not told")


def _counts(usage: model.Usage) -> str:
    return f"{usage.input} in ({usage.cached} of them cached), {usage.output} out ({usage.reasoning} of them thought)"


def _told(what: object) -> Verdict:
    return Verdict.ODD if what is None else Verdict.GOOD


def _failed(subject: str, error: Exception) -> Finding:
    while isinstance(error, ExceptionGroup):  # of several targets; the first is asked first
        error = error.exceptions[0]
    return Finding(Verdict.BAD, subject, f"{type(error).__name__}: {_REMEDIES.get(type(error), str(error))}")


async def _tried(agent: Agent, subject: str, turn: Turn, budget: float, silence: str) -> Finding:
    try:
        async with timeout(budget):
            await agent.warm_up()
            words, first, whole = await _words(agent, turn)
    except Exception as error:  # noqa: BLE001 - an agent is user code, and to find its faults is what this is for
        return _failed(subject, error)
    if not words:
        is_greeting = turn.prompt is Prompt.GREETING
        return Finding(Verdict.GOOD if is_greeting else Verdict.ODD, subject, silence)
    return Finding(Verdict.GOOD, subject, f"{words} (first words after {first * 1000:.0f} ms, all after {whole:.1f} s)")


async def _words(agent: Agent, turn: Turn) -> tuple[str, float, float]:
    """What the agent says, the seconds to its first words, and to its last."""
    start = time.monotonic()
    first = 0.0
    said = ""
    async with aclosing(agent.take(turn.call_id, lambda _: None).reply(turn)) as parts:
        async for part in parts:
            words = _spoken(part)
            first = first or (time.monotonic() - start if words.strip() else 0.0)
            said += words
    return said.strip(), first, time.monotonic() - start


def _spoken(part: Part) -> str:
    match part:
        case Speech() | Interjection():
            return part.text
        case HangUp() | Transfer() | PressDigits():
            return part.words
        case _:
            return ""
