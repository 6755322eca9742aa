"""`POST /webhook/inbound`: a caller hears it ring, and the agent may decide what becomes of the call."""

import asyncio
from typing import Any, Protocol

import structlog
from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler

from service.conversation.inbound import Inbound, InboundCall
from service.conversation.verdict import Hearsay, WebhookPosted
from service.platforms.retell.webhooks import INBOUND, answer_of, read_inbound
from service.signed import MOST_BYTES, NotTaken, signed

DECIDED_WITHIN = 2.0
"""Seconds. The platform waits for 10, but the caller hears it ring."""


class Agents(Protocol):
    """Knows the agents."""

    def __contains__(self, agent: object) -> bool: ...

    async def decide(self, call: InboundCall, agent: str = "") -> Inbound:
        """What the agent, or whoever most calls fall to, says of a call."""
        ...


class Witness(Protocol):
    """Sees each webhook. Decides nothing, and raises nothing."""

    def heard(self, fact: Hearsay) -> None: ...


def inbound_route(keys: tuple[str, ...], agents: Agents, witness: Witness) -> HTTPRouteHandler:
    """The route. Its last segment may name the agent. Where nothing is decided, the call is put through."""

    @post(["/webhook/inbound", "/webhook/inbound/{agent:str}"], request_max_body_size=MOST_BYTES)
    async def inbound(request: Request[Any, Any, Any]) -> Response[bytes]:
        agent = request.path_params.get("agent", "")
        try:
            _, call = await signed(request, keys, read_inbound, agents, agent)
        except NotTaken as refused:
            witness.heard(refused.fact)
            return Response(b"", status_code=refused.status, headers=refused.headers)
        if call is None:
            witness.heard(WebhookPosted("other", "accepted"))
            return Response(b"", status_code=204)
        result, decided = await _decided(agents, call, agent)
        witness.heard(WebhookPosted(INBOUND, result))
        return Response(answer_of(decided), status_code=200, media_type="application/json")

    return inbound


async def _decided(agents: Agents, call: InboundCall, agent: str) -> tuple[str, Inbound]:
    try:
        async with asyncio.timeout(DECIDED_WITHIN):
            decided = await agents.decide(call, agent)
    except BaseException as error:  # the agent is user code: whatever it raises is the end of its say alone
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        structlog.get_logger().warning("agent.inbound_failed", error=type(error).__name__)
        return "undecided", Inbound()
    return "rejected" if decided.is_rejected else "accepted", decided
