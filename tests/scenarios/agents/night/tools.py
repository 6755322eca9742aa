"""Hooks and a tool that fail in three ways."""

import asyncio

from service.agents.call import Call
from service.agents.tools import tool
from service.conversation.call import Ending
from service.conversation.inbound import Inbound, InboundCall


async def before_call(call: Call) -> None:
    """Fail at once."""
    raise LookupError(call.id)


async def after_call(call: Call, ending: Ending) -> None:
    """Fail when nobody listens any more."""
    raise LookupError(call.id, ending.reason)


async def inbound(call: InboundCall) -> Inbound:
    """Fail, so that the call is put through as it is."""
    raise LookupError(call.from_number)


@tool(effect="read")
async def give_up() -> str:
    """Stop as nobody should."""
    raise asyncio.CancelledError
