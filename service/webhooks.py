"""`POST /webhook`: what Retell tells of calls beside their lines. What Retell did not sign changes nothing."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol, assert_never

from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler

from service.calls import Calls
from service.conversation.verdict import (
    CallAnnounced,
    CallConcluded,
    CallMeasured,
    Hearsay,
    LineMissed,
    Verdict,
    WebhookPosted,
)
from service.platforms.retell.endings import ending_of
from service.platforms.retell.webhooks import read
from service.session import Session
from service.signed import MOST_BYTES, NotTaken, signed

LINE_WITHIN = 10.0
"""Seconds from a call's announcement to its line."""

_REMEMBERED = 10_000
"""Webhooks remembered, so that one that is posted again, up to three times, counts once."""


class Witness(Protocol):
    """Sees each webhook, and the lines that are missed. Decides nothing, and raises nothing."""

    def heard(self, fact: Hearsay) -> None: ...


class Agents(Protocol):
    """Knows the agents."""

    def __contains__(self, agent: object) -> bool: ...

    def session_of(self, call_id: str, agent: str = "") -> Session:
        """Of a call that was another process's: of the agent, or of whoever the call falls to."""
        ...


def webhook_route(keys: Sequence[str], calls: Calls, agents: Agents, witness: Witness) -> HTTPRouteHandler:
    """The route. Any of the keys may have signed; without keys nothing is let in.

    Its last segment may name the agent, as the address of a call does.
    """
    desk = _Desk(keys, calls, agents, witness)

    @post(["/webhook", "/webhook/{agent:str}"], request_max_body_size=MOST_BYTES)
    async def webhook(request: Request[Any, Any, Any]) -> Response[bytes]:
        try:
            await desk.take(request, request.path_params.get("agent", ""))
        except NotTaken as refused:
            witness.heard(refused.fact)
            return Response(b"", status_code=refused.status, headers=refused.headers)
        return Response(b"", status_code=204)

    return webhook


class _Desk:
    """Where webhooks are taken in."""

    def __init__(self, keys: Sequence[str], calls: Calls, agents: Agents, witness: Witness) -> None:
        self._keys = keys
        self._calls = calls
        self._agents = agents
        self._witness = witness
        self._seen: dict[tuple[str, str], None] = {}

    async def take(self, request: Request[Any, Any, Any], agent: str) -> None:
        """Act on what is posted, once. Raises NotTaken."""
        body, verdict = await signed(request, self._keys, read, self._agents, agent)
        self._accept(verdict, body, agent)

    def _accept(self, verdict: Verdict | None, body: bytes, agent: str) -> None:
        if verdict is None:
            self._witness.heard(WebhookPosted("other", "accepted"))
            return
        key = (verdict.event, verdict.call_id)
        is_new = key not in self._seen
        if is_new:
            self._act(verdict, body, agent)
            self._seen[key] = None  # only now: one that failed is posted again, and then it counts
            if len(self._seen) > _REMEMBERED:
                del self._seen[next(iter(self._seen))]
        self._witness.heard(WebhookPosted(verdict.event, "accepted" if is_new else "duplicate", verdict=verdict))

    def _act(self, verdict: Verdict, body: bytes, agent: str) -> None:
        match verdict:
            case CallAnnounced():
                missed = partial(self._witness.heard, LineMissed(verdict.call_id))
                self._calls.expect(verdict.call_id, LINE_WITHIN, missed)
            case CallConcluded():
                of_agent = partial(self._agents.session_of, agent=agent)
                self._calls.conclude(verdict.call_id, ending_of(body, verdict), of_agent)
            case CallMeasured():
                pass  # seen, and that is all
            case _:
                assert_never(verdict)
