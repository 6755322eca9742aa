"""What the agent of a storm can do: a write that must happen once, slow and failing reads, and all asides."""
# ruff: noqa: D413, D417, INP001  an agent's tools, as users write them

import asyncio
from typing import Literal

from service.agents.call import Call
from service.agents.tools import ToolError, tool
from service.conversation.call import Ending
from service.conversation.parts import VoiceSettings
from service.simulator.storm.effects import EFFECTS, Refused

HOME = object()  # this file is imported anew by each process: it tells them apart


@tool(effect="write", timeout=4, hold="I am writing it down.")
async def note(call: Call, item: int) -> str:
    """Write an item down.

    Args:
        item: Its number.
    """
    try:
        return await EFFECTS.get().write(call.key, call.id, item, HOME)
    except Refused as refused:
        raise ToolError(str(refused)) from refused


@tool(effect="read", timeout=6, hold="I am looking it up.")
async def look_up(seconds: float) -> str:
    """Look something up.

    Args:
        seconds: How long it takes.
    """
    await asyncio.sleep(seconds)
    return "It is fine, and will stay so."


@tool(effect="read")
def count(word: str) -> int:
    """Count the letters of a word.

    Args:
        word: The word.
    """
    return len(word)


@tool(effect="read", timeout=3)
async def fail(how: Literal["refuse", "raise", "hang"]) -> str:
    """Fail.

    Args:
        how: In which way.
    """
    match how:
        case "refuse":
            raise ToolError("No.")
        case "raise":
            raise RuntimeError(how)
        case "hang":
            await asyncio.sleep(60)
    return how


@tool(effect="read")
async def announce(call: Call) -> str:
    """Say something at once, whoever speaks."""
    call.say_now("Attention please, a storm is coming up.", is_uninterruptible=len(call.id) % 2 == 0)
    return "It was said."


@tool(effect="read")
async def tune(call: Call) -> str:
    """Listen otherwise, and tell the page."""
    call.tune(VoiceSettings(responsiveness=0.5, reminder_after=6))
    call.tell_page(is_tuned=True)
    return "It is done."


async def before_call(call: Call) -> None:
    """Know something about the caller, later than the first turn wants it."""
    await asyncio.sleep(len(call.id) % 3 / 4)
    call.variables["caller_name"] = "somebody"


async def after_call(call: Call, ending: Ending) -> None:  # noqa: ARG001
    """Count that it came."""
    EFFECTS.get().concluded(call.id, HOME)
