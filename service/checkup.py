"""`cuebox check`: what is set, what is missing or odd, and whether the agent answers."""

import time
from asyncio import timeout
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from enum import Enum

from service.agents.agent import Agent
from service.app import create_agent
from service.conversation.call import Prompt, Turn
from service.conversation.parts import HangUp, Interjection, Part, PressDigits, Speech, Transfer
from service.conversation.transcript import Speaker, Utterance
from service.llm import model
from service.settings import Settings, unknown_variables, variable_of

_GREETING = Turn("check", 0, 0, Prompt.GREETING)
_ANSWER = Turn("check", 1, 1, Prompt.CALLER_SPOKE, (Utterance(Speaker.CALLER, "Hello, can you hear me?"),))

_REMEDIES: dict[type[Exception], str] = {
    model.KeyRejected: "the endpoint does not take the key: look at OPENAI_API_KEY, and whether it may use this model",
    model.RequestRejected: "the endpoint does not take the request: look at CUEBOX_MODEL and OPENAI_BASE_URL",
    model.QuotaExhausted: "the account has no credit left",
    model.RateLimited: "the endpoint takes no more requests for now: wait, or ask for a higher limit",
    model.ServerFailed: "the endpoint failed: try again, and look at the provider's status page",
    model.Unreachable: "there is no connection: look at OPENAI_BASE_URL and the network",
    model.StreamBroken: "the answer broke off: try again",
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
    agent = create_agent(settings)
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
    where = f", model {settings.model} at {settings.openai_base_url or 'OpenAI'}" if settings.openai_api_key else ""
    return f"{agent.name} ({why}){where}"


async def _tried(agent: Agent, subject: str, turn: Turn, budget: float, silence: str) -> Finding:
    try:
        async with timeout(budget):
            await agent.warm_up()
            words, first, whole = await _words(agent, turn)
    except Exception as error:  # noqa: BLE001 - an agent is user code, and to find its faults is what this is for
        return Finding(Verdict.BAD, subject, f"{type(error).__name__}: {_REMEDIES.get(type(error), str(error))}")
    if not words:
        is_greeting = turn.prompt is Prompt.GREETING
        return Finding(Verdict.GOOD if is_greeting else Verdict.ODD, subject, silence)
    return Finding(Verdict.GOOD, subject, f"{words} (first words after {first * 1000:.0f} ms, all after {whole:.1f} s)")


async def _words(agent: Agent, turn: Turn) -> tuple[str, float, float]:
    """What the agent says, the seconds to its first words, and to its last."""
    start = time.monotonic()
    first = 0.0
    said = ""
    async with aclosing(agent.reply(turn)) as parts:
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
