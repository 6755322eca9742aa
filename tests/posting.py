"""The platform's hand in posting webhooks: its signature, and plain HTTP over a socket."""

import asyncio
import hashlib
import hmac
import json
import time
from typing import Any

KEY = "key_of_tests"


def signed(body: bytes, key: str = KEY, at: float | None = None) -> str:
    """The header over these bytes, signed at a moment, in seconds since the epoch; None is now."""
    moment = str(int((time.time() if at is None else at) * 1000))
    return f"v={moment},d={hmac.new(key.encode(), body + moment.encode(), hashlib.sha256).hexdigest()}"


def webhook(event: str, call_id: str = "call_1", **call: Any) -> bytes:
    """A body as Retell posts it."""
    return json.dumps({"event": event, "call": {"call_id": call_id, **call}}).encode()


async def post(
    address: str,
    body: bytes,
    signature: str | None,
    *,
    path: str = "/webhook",
    length: int | None = None,
    is_last: bool = False,
) -> int:
    """Post, and return the status. `length` is what is announced, where it is not the body's own.

    With `is_last` the connection has to be closed by the service, too.
    """
    host, port = address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        announced = len(body) if length is None else length
        head = f"POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {announced}\r\n"
        seal = "" if signature is None else f"x-retell-signature: {signature}\r\n"
        writer.write(f"{head}{seal}\r\n".encode() + body)
        async with asyncio.timeout(5):
            status = int((await reader.readline()).split()[1])
            if is_last:
                async with asyncio.timeout(1):
                    await reader.read()
            return status
    finally:
        writer.close()


async def tell(address: str, body: bytes, path: str = "/webhook") -> int:
    """Post what is signed as it should be."""
    return await post(address, body, signed(body), path=path)
