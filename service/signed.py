"""What Retell posts, let in by its signature alone."""

import asyncio
import time
from collections.abc import Callable, Container, Sequence
from typing import Any, TypeVar

from litestar import Request
from litestar.exceptions import InternalServerException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge

from service.conversation.verdict import WebhookPosted
from service.platforms.retell.webhooks import SIGNATURE_HEADER, BadSignature, Malformed, check, seal_of

MOST_BYTES = 4 * 2**20
"""Two hours of the densest talk make some 3 MB: a transcript is in it three times, two of them with its times."""

MOST_UNVERIFIED = 16 * MOST_BYTES
"""Of all the bodies together that are being read: anybody may post what looks signed, as often as they like."""

BODY_WITHIN = 10.0
"""Seconds; Retell itself gives up then."""

Read = TypeVar("Read")


class NotTaken(Exception):
    """Something was posted that is not let in. `fact` is what is told of it."""

    def __init__(self, status: int, result: str, why: str | None = None) -> None:
        super().__init__(result)
        self.status, self.fact = status, WebhookPosted("unknown", result, why)

    @property
    def headers(self) -> dict[str, str] | None:
        """What is left of too much is not read."""
        return {"connection": "close"} if self.status == RequestEntityTooLarge.status_code else None


async def signed(
    request: Request[Any, Any, Any],
    keys: Sequence[str],
    read: Callable[[bytes], Read],
    agents: Container[object],
    agent: str,
) -> tuple[bytes, Read]:
    """The body, and what it says. Nothing of it is read for a signature that cannot be right. Raises NotTaken."""
    if not keys:
        raise NotTaken(401, "bad_signature", "no_key")
    try:
        seal = seal_of(request.headers.get(SIGNATURE_HEADER), time.time())
        async with asyncio.timeout(BODY_WITHIN):
            body = await _UNVERIFIED.body(request)
        check(seal, body, keys)
        said = read(body)
    except BadSignature as bad:
        raise NotTaken(401, "bad_signature", str(bad)) from bad
    except RequestEntityTooLarge as error:
        raise NotTaken(413, "too_large") from error
    except (TimeoutError, InternalServerException) as error:  # it is Litestar's word for a peer that left
        raise NotTaken(400, "malformed", "incomplete") from error
    except Malformed as error:
        raise NotTaken(400, "malformed", "unreadable") from error
    if agent and agent not in agents:
        raise NotTaken(404, "malformed", "unknown_agent")
    return body, said


class _Unverified:
    """Bodies of which nobody knows yet who posted them."""

    def __init__(self) -> None:
        self.size = 0

    async def body(self, request: Request[Any, Any, Any]) -> bytes:
        """Raises NotTaken when there is too much of them, and what Litestar raises."""
        body = bytearray()
        try:
            async for part in request.stream():
                body += part
                self.size += len(part)
                if self.size > MOST_UNVERIFIED:
                    raise NotTaken(503, "too_large", "too_many")
            return bytes(body)
        finally:
            self.size -= len(body)


_UNVERIFIED = _Unverified()
