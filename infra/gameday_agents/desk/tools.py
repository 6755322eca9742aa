"""A tool with a backend to take away."""

import asyncio

from service.agents.call import Call
from service.agents.tools import tool


@tool(effect="read")
async def look_up(call: Call, port: int) -> str:  # noqa: D417 - the call is handed in
    """Look up what the caller asks for.

    Args:
        port: Where the backend listens on this machine.

    """
    _, backend = await asyncio.open_connection("127.0.0.1", port)
    backend.write(f"GET /found HTTP/1.1\r\nHost: desk\r\ntraceparent: {call.traceparent}\r\n\r\n".encode())
    await backend.drain()
    backend.close()
    return "It is there."
