"""`cuebox check`: what is set, what is missing or odd, whether the agent answers, and what a target can do."""

import time
from asyncio import timeout
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from enum import Enum
from importlib.util import find_spec

from service.access import Access, access_of, is_loopback
from service.agents.actions import actions_of
from service.agents.agent import Agent
from service.agents.folder import Folder, files_of
from service.agents.knowledge.passages import SUFFIXES
from service.choice import Choice, choice_of
from service.conversation.call import Prompt, Turn
from service.conversation.parts import HangUp, Interjection, Part, PressDigits, Speech, Transfer
from service.conversation.transcript import Speaker, Utterance
from service.environment import unknown_variables, variable_of
from service.llm import model
from service.llm.records import AttemptRecord
from service.settings import Settings, SettingsError
from service.telemetry import prices_of

_GREETING = Turn("check", 0, 0, Prompt.GREETING)
_ANSWER = Turn("check", 1, 1, Prompt.CALLER_SPOKE, (Utterance(Speaker.CALLER, "Hello, can you hear me?"),))
_COUNT = [model.Message(model.Role.USER, "Count from one to twenty, in words, without anything else.")]
_CALL = [model.Message(model.Role.USER, "Call the tool note_number with the number 7, and say nothing.")]
_NUMBER = {"type": "object", "properties": {"number": {"type": "integer"}}}
_CLOSED = {"required": ["number"], "additionalProperties": False}
_TOOLS = model.Toolset((model.ToolSpec("note_number", "Note a number.", _NUMBER | _CLOSED),))

_NO_PRICE = "CUEBOX_MAX_CALL_DOLLARS does not hold it; add it in a table of your own (CUEBOX_PRICES)"
_REMEDIES: dict[type[Exception], str] = {
    model.KeyRejected: "the endpoint does not take the key: look at its variable, and whether it may use this model",
    model.RequestRejected: "the endpoint does not take the request: look at the model's name, its address and options",
    model.QuotaExhausted: "the account has no credit left",
    model.AnswerFiltered: "the endpoint's content filter did not take the question: look at the filter's settings",
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
    """Look at the settings, then talk to the agents. Raises SettingsError as `serve` would."""
    access = access_of(settings)
    choice = choice_of(settings)
    for sentence in [*unknown_variables(environ), *_oddities(settings, access)]:
        yield Finding(Verdict.ODD, "setting", sentence)
    for model_name in _unpriced(settings, choice):
        yield Finding(Verdict.ODD, "price", f"{model_name} has none in the table: {_NO_PRICE}")
    for name in choice.names:
        is_mute = name in choice.without_model
        yield Finding(Verdict.ODD if is_mute else Verdict.GOOD, "agent", _told_of(name, choice, settings))
        if name in choice.folders:
            for finding in _brought(choice.folders[name]):
                yield finding
        agent = choice.agent(name, _Attempts())
        yield await _tried(agent, "greeting", _GREETING, settings.turn_budget, "none: the caller speaks first")
        yield await _tried(agent, "answer", _ANSWER, settings.turn_budget, "none: the caller would hear silence")
        try:
            await agent.close()
        except Exception as error:  # noqa: BLE001 - an agent is user code, and to find its faults is what this is for
            yield _failed("end", error)


def _oddities(settings: Settings, access: Access) -> Iterator[str]:
    if not (is_loopback(settings.host) or access.allowed or access.secrets):
        yield "CUEBOX_OPEN is on, and nothing else guards it: anybody may call, at your cost."
    if settings.log_content:
        yield "CUEBOX_LOG_CONTENT is on: the log will hold what callers say."
    if not settings.webhook_keys:
        yield "RETELL_API_KEY is not set: webhooks are answered 401, and only closed lines tell that a call is over."
    if settings.is_traced and not (find_spec("opentelemetry") and find_spec("opentelemetry.sdk")):
        yield "OTEL_EXPORTER_OTLP_ENDPOINT is set, but traces need one more package: pip install 'cuebox[otel]'"


def _unpriced(settings: Settings, choice: Choice) -> list[str]:
    """The models whose spend nobody can count."""
    known = prices_of(settings)
    return sorted({model_name for _, model_name in choice.targets if model_name not in known})


def _told_of(name: str, choice: Choice, settings: Settings) -> str:
    share = choice.shares.get(name, 0.0)
    chosen = variable_of("agent") if settings.agent else "the default"
    why = chosen if share == 1 else f"{share:.0%} of the calls" if share else "only for addresses that name it"
    told = f"{name} ({why})"
    if name in choice.without_model:
        return f"{told}, without a model: none of its keys is set, so it reads answers out of its knowledge"
    asked = ", then ".join(f"{each.name} at {each.address or 'OpenAI'}" for each in choice.asked.get(name, ()))
    return told + (f", asks {asked}" if asked else "")


def _brought(folder: Folder) -> Iterator[Finding]:
    """What was found in an agent's folder: a file of another name is no mistake, and would not be missed."""
    hooks = {"inbound": folder.inbound, "before_call": folder.before_call, "after_call": folder.after_call}
    found = [*(tool.name for tool in folder.tools), *actions_of(folder.script.actions)]
    found += [name for name, hook in hooks.items() if hook] + (["knowledge"] if folder.knowledge else [])
    yield Finding(Verdict.GOOD, "brings", f"{', '.join(found) or 'its prompt alone'} (hash {folder.hash})")
    for file in files_of(folder.path / "knowledge"):
        if file.suffix.lower() not in SUFFIXES:
            yield Finding(Verdict.ODD, "knowledge", f"{file} is not read: only {', '.join(sorted(SUFFIXES))} are")


class _Attempts:
    def attempted(self, record: AttemptRecord) -> None:
        pass  # the answer tells enough

    def traceparent(self, occasion: model.Occasion) -> str | None:  # noqa: ARG002
        return None


async def target_findings(settings: Settings, name: str) -> AsyncIterator[Finding]:
    """Ask one target for a short answer. Raises SettingsError when there is none of this name."""
    endpoints = {endpoint.name: endpoint for endpoint in choice_of(settings).endpoints}
    if name not in endpoints:
        raise SettingsError(f"No target is called {name!r}; the agent has: {', '.join(endpoints) or 'none'}.")
    endpoint = endpoints.pop(name)
    yield Finding(Verdict.GOOD, "target", f"{name}: model {endpoint.model}")
    try:
        async with timeout(settings.turn_budget):
            await endpoint.warm_up()
            async for finding in _measured(endpoint):
                yield finding
        async with timeout(settings.turn_budget):
            yield await _tools_tried(endpoint)
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


async def _tools_tried(endpoint: model.Endpoint) -> Finding:
    try:
        async with aclosing(endpoint.ask(_CALL, tools=_TOOLS)) as deltas:
            calls = [delta async for delta in deltas if isinstance(delta, model.ToolCall)]
    except model.RequestRejected:
        return Finding(Verdict.ODD, "tools", "refused: only an agent without tools can use this target")
    if not calls:
        return Finding(Verdict.ODD, "tools", "none called, though told to: an agent's tools may be forgotten too")
    return Finding(Verdict.GOOD, "tools", "called as told")


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
