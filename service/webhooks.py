"""`POST /webhook`: what Retell tells of calls beside their lines. What Retell did not sign changes nothing."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol, assert_never

from litestar import Request, Response, post
from litestar.exceptions import InternalServerException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
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
from service.platforms.retell.webhooks import SIGNATURE_HEADER, BadSignature, Malformed, check, read, seal_of

MOST_BYTES = 4 * 2**20
"""Two hours of the densest talk make some 3 MB: a transcript is in it three times, two of them with its times."""

BODY_WITHIN = 10.0
"""Seconds; Retell itself gives up then."""

LINE_WITHIN = 10.0
"""Seconds from a call's announcement to its line."""

_REMEMBERED = 10_000
"""Webhooks remembered, so that one that is posted again, up to three times, counts once."""


class Witness(Protocol):
    """Sees each webhook, and the lines that are missed. Decides nothing, and raises nothing."""

    def heard(self, fact: Hearsay) -> None: ...


def webhook_route(keys: Sequence[str], calls: Calls, witness: Witness) -> HTTPRouteHandler:
    """The route. Any of the keys may have signed; without keys nothing is let in."""
    desk = _Desk(keys, calls, witness)

    @post("/webhook", request_max_body_size=MOST_BYTES)
    async def webhook(request: Request[Any, Any, Any]) -> Response[bytes]:
        status = await desk.take(request)
        headers = {"connection": "close"} if status == RequestEntityTooLarge.status_code else None
        return Response(b"", status_code=status, headers=headers)  # what is left of too much is not read

    return webhook


class _Desk:
    """Where webhooks are taken in."""

    def __init__(self, keys: Sequence[str], calls: Calls, witness: Witness) -> None:
        self._keys = keys
        self._calls = calls
        self._witness = witness
        self._seen: dict[tuple[str, str], None] = {}

    async def take(self, request: Request[Any, Any, Any]) -> int:
        """The status to answer with. Nothing of the body is read for a signature that cannot be right."""
        if not self._keys:
            return self._refuse(401, "bad_signature", "no_key")
        try:
            seal = seal_of(request.headers.get(SIGNATURE_HEADER), time.time())
            async with asyncio.timeout(BODY_WITHIN):
                body = await request.body()
            check(seal, body, self._keys)
            verdict = read(body)
        except BadSignature as bad:
            return self._refuse(401, "bad_signature", str(bad))
        except RequestEntityTooLarge:
            return self._refuse(413, "too_large")
        except (TimeoutError, InternalServerException):  # it is Litestar's word for a peer that left
            return self._refuse(400, "malformed", "incomplete")
        except Malformed:
            return self._refuse(400, "malformed", "unreadable")
        self._accept(verdict, body)
        return 204

    def _refuse(self, status: int, result: str, why: str | None = None) -> int:
        self._witness.heard(WebhookPosted("unknown", result, why))
        return status

    def _accept(self, verdict: Verdict | None, body: bytes) -> None:
        if verdict is None:
            self._witness.heard(WebhookPosted("other", "accepted"))
            return
        key = (verdict.event, verdict.call_id)
        is_new = key not in self._seen
        self._witness.heard(WebhookPosted(verdict.event, "accepted" if is_new else "duplicate", verdict=verdict))
        if is_new:
            self._seen[key] = None
            if len(self._seen) > _REMEMBERED:
                del self._seen[next(iter(self._seen))]
            self._act(verdict, body)

    def _act(self, verdict: Verdict, body: bytes) -> None:
        match verdict:
            case CallAnnounced():
                missed = partial(self._witness.heard, LineMissed(verdict.call_id))
                self._calls.expect(verdict.call_id, LINE_WITHIN, missed)
            case CallConcluded():
                self._calls.conclude(verdict.call_id, ending_of(body, verdict))
            case CallMeasured():
                pass  # seen, and that is all
            case _:
                assert_never(verdict)
