"""The ways in which a game day breaks a service, and the alert that is to name each cause."""

import asyncio
import hmac
import http.client
import json
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from infra.alerts import INFRA
from infra.gameday_service import WEBHOOK_KEY, Subject
from service.platforms.retell.webhooks import SIGNATURE_HEADER
from service.simulator.line import fresh_call_id
from service.simulator.model_script import Call, Cut, HangAfterRole, Refuse, Script

Break = Callable[[Subject], Coroutine[None, None, None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """What breaks, how, and which alert with which labels has to tell of it; `calls` are there from the start."""

    name: str
    what: str
    breaks: Break
    alert: str
    labels: Mapping[str, str] = field(default_factory=dict)
    calls: int = 12
    environ: Mapping[str, str] = field(default_factory=dict)


def model(script: Script) -> Break:
    """From now on the model answers like this."""

    async def change(subject: Subject) -> None:
        subject.model.script = script

    return change


DESK = {"CUEBOX_AGENTS_DIR": str(INFRA / "gameday_agents"), "CUEBOX_AGENT": "desk"}
"""For an agent whose tool has a backend that can be taken away."""


def looking_up(port: int) -> Script:
    """Answer with the help of the desk's tool, whose backend is to be at this port."""
    return Script(calls=(Call("look_up", json.dumps({"port": port})),))


async def take_the_backend_away(subject: Subject) -> None:
    """The model looks things up as before, and after two seconds nobody listens where the tool asks."""
    subject.model.script = looking_up(subject.port)
    await asyncio.sleep(2)
    subject.model.script = looking_up(9)


async def crash_loop(subject: Subject) -> None:
    """It crashes a second after each start."""
    while True:
        subject.kill()
        await subject.start()
        await asyncio.sleep(1)


async def block_the_loop(subject: Subject) -> None:
    """Nothing moves for longer than a second, again and again."""
    while True:
        await subject.stand_still(1.4)
        await asyncio.sleep(4)


async def flood(subject: Subject) -> None:
    """A peer sends what nobody agreed on, as fast as it can."""
    odd = [json.dumps({"interaction_type": "weather_report", "n": n}) for n in range(200)]
    while True:
        with suppress(ConnectionClosed):
            async with connect(f"{subject.url}/{fresh_call_id()}", ping_interval=None) as line:
                while True:
                    for frame in odd:
                        await line.send(frame)
                    await asyncio.sleep(0.05)


async def cut_lines(subject: Subject) -> None:
    """The network cuts lines amid the calls."""
    while True:
        async with connect(f"{subject.url}/{fresh_call_id()}", ping_interval=None) as line:
            await line.recv()
            line.transport.abort()
        await asyncio.sleep(0.5)


async def dial_wrongly(subject: Subject) -> None:
    """The platform was given an address that has a call's id in it already."""
    while True:
        with suppress(InvalidStatus):
            await connect(f"{subject.url}/{fresh_call_id()}/{fresh_call_id()}")
        await asyncio.sleep(0.2)


async def give_calls_up(subject: Subject) -> None:
    """The platform says why its calls ended."""
    while True:
        await _post(subject, "call_ended", disconnection_reason="error_llm_websocket_lost_connection")
        await asyncio.sleep(0.3)


async def begin_without_a_line(subject: Subject) -> None:
    """The platform tells of calls that do not arrive."""
    for _ in range(5):
        await _post(subject, "call_started", call_status="ongoing")


async def trace_to_nobody(subject: Subject) -> None:
    """Callers talk while no collector is there."""
    await subject.talk(12)


async def fill(subject: Subject) -> None:
    """More callers than there is room for."""
    async with AsyncExitStack() as lines:
        while True:
            with suppress(InvalidStatus):
                line = connect(f"{subject.url}/{fresh_call_id()}", ping_interval=None)
                await lines.enter_async_context(line)
            await asyncio.sleep(0.3)


async def drain_amid_calls(subject: Subject) -> None:
    """A deploy stops a machine whose calls go on."""
    subject.tell_to_end()


async def _post(subject: Subject, event: str, **call: str) -> None:
    body = json.dumps({"event": event, "call": {"call_id": fresh_call_id(), **call}}).encode()
    moment = str(int(time.time() * 1000))
    seal = f"v={moment},d={hmac.digest(WEBHOOK_KEY.encode(), body + moment.encode(), 'sha256').hex()}"

    def post() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", subject.port, timeout=5)
        connection.request("POST", "/webhook", body, {SIGNATURE_HEADER: seal})
        connection.getresponse().read()
        connection.close()

    await asyncio.to_thread(post)


FAULTS = (
    Fault("slow", "slow model", model(Script(first_token_after=2.7)), "CueboxFirstWordsBudgetFastBurn", calls=24),
    Fault("stuck", "stuck model", model(Script(fault=HangAfterRole())), "CueboxTurnFailures", {"reason": "too_slow"}),
    Fault(
        "revoked",
        "key revoked",
        model(Script(fault=Refuse(401, "invalid_api_key"))),
        "CueboxModelRejected",
        {"reason": "KeyRejected"},
    ),
    Fault(
        "quota",
        "quota gone",
        model(Script(fault=Refuse(429, "insufficient_quota"))),
        "CueboxModelRejected",
        {"reason": "QuotaExhausted"},
    ),
    Fault(
        "storm",
        "429 storm",
        model(Script(fault=Refuse(429, retry_after=2.0))),
        "CueboxTurnFailures",
        {"reason": "RateLimited"},
    ),
    Fault(
        "breaks",
        "model breaks mid-stream",
        model(Script(fault=Cut(after=3))),
        "CueboxTurnFailures",
        {"reason": "StreamBroken"},
    ),
    Fault(
        "tool-down",
        "tool down",
        take_the_backend_away,
        "CueboxToolFailing",
        {"tool": "look_up", "result": "raised"},
        environ=DESK,
    ),
    Fault("crashes", "crash loop", crash_loop, "CueboxRestarting", calls=0),
    Fault("blocked", "event loop blocked", block_the_loop, "CueboxEventLoopStalled"),
    Fault("flooded", "peer floods odd frames", flood, "CueboxAssumptionBroken", {"assumption": "A12"}),
    Fault("cut", "lines cut amid calls", cut_lines, "CueboxAbnormalCloses", {"reason": "abnormal"}),
    Fault("misdialled", "platform dials a wrong path", dial_wrongly, "CueboxCallsRefused", {"result": "refused_path"}),
    Fault(
        "given-up",
        "platform gives calls up",
        give_calls_up,
        "CueboxPlatformFailures",
        {"disconnection_reason": "error_llm_websocket_lost_connection"},
    ),
    Fault("lost", "calls that never arrive", begin_without_a_line, "CueboxPlatformFailures", calls=0),
    Fault("full", "no room for more calls", fill, "CueboxCapacity", calls=4, environ={"CUEBOX_MAX_CALLS": "8"}),
    Fault(
        "drain",
        "deploy amid long calls",
        drain_amid_calls,
        "CueboxDrainCutsCalls",
        environ={"CUEBOX_DRAIN_SECONDS": "58"},
    ),
    Fault(
        "untraced",
        "exporter down",
        trace_to_nobody,
        "CueboxSpansDropped",
        {"result": "failed"},
        calls=0,
        environ={
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",  # nobody listens there
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "CUEBOX_TRACE_SHARE": "1",
        },
    ),
)
