"""Tools that are fast, slow, broken and doubtful, and a book of orders in which everything stands that was done."""

import asyncio
import os
from pathlib import Path

from service.agents.call import Call
from service.agents.tools import ToolError, tool
from service.conversation.inbound import Inbound, InboundCall
from service.conversation.parts import VoiceSettings

UNWANTED = "+12075550666"


def _entries() -> list[str]:
    file = Path(os.environ["ORDERS_FILE"])
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def _enter(line: str) -> int:
    with Path(os.environ["ORDERS_FILE"]).open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
    return len(_entries())


@tool(effect="read")
async def in_stock(flower: str) -> str:
    """Tell how many there are.

    Args:
        flower: Which.
    """
    if flower == "orchid":
        raise ToolError("We sell no orchids. Offer roses or tulips.")
    return f"{len(flower)} bunches of {flower}"


@tool(effect="read", timeout=60, hold="I am asking our supplier.")
async def ask_supplier(seconds: float) -> str:
    """Ask the supplier, who takes his time.

    Args:
        seconds: How long.
    """
    await asyncio.sleep(seconds)
    return "on Thursday"


@tool(effect="read", timeout=2)
async def ask_weather() -> str:
    """Ask somebody who never answers."""
    await asyncio.sleep(100)
    return "never told"


@tool(effect="read")
async def count_money() -> str:
    """Do what cannot be done."""
    raise RuntimeError("a secret of the till: 4711")


@tool(effect="write")
async def order(call: Call, flower: str, bunches: int) -> str:
    """Order flowers. It takes a second.

    Args:
        flower: Which.
        bunches: How many.
    """
    done = [number for number, line in enumerate(_entries(), 1) if line.startswith(f"{call.key} ")]
    number = done[0] if done else _enter(f"{call.key} {bunches} {flower}")
    await asyncio.sleep(1)
    return f"order number {number}: {bunches} bunches of {flower}"


@tool(effect="write")
def write_card(text: str) -> str:
    """Write a card, without any key that would tell one from another.

    Args:
        text: What stands on it.
    """
    return f"card number {_enter(f'card {text}')}"


@tool(effect="read")
def read_orders() -> list[str]:
    """Read all orders that there are."""
    return [line.partition(" ")[2] for line in _entries()] or ["no order"]


@tool(effect="read")
async def sound_alarm(call: Call) -> str:
    """Cut in, whoever speaks."""
    call.say_now("Please leave the building now.")
    return "done"


@tool(effect="read")
async def listen_harder(call: Call) -> str:
    """Ask the platform for more than it takes."""
    call.tune(VoiceSettings(responsiveness=9.0, interruption_sensitivity=-3.0, reminder_after=30, reminder_limit=2))
    return "done"


@tool(effect="read")
async def show_page(call: Call, is_finite: bool) -> str:
    """Show something on the caller's page.

    Args:
        is_finite: Whether it is JSON.
    """
    call.tell_page(price=12.5 if is_finite else float("inf"))
    return "shown"


async def before_call(call: Call) -> None:
    """Who calls from abroad is looked up for long."""
    number = (call.details.from_number if call.details else "") or ""
    if number.startswith("+49"):
        await asyncio.sleep(5)
        call.variables["customer"] = "Frau Weber"


async def inbound(call: InboundCall) -> Inbound:
    """One is not wanted, one takes for ever, and all others are known by name."""
    if call.from_number == "+12075550777":
        await asyncio.sleep(60)
    if call.from_number == UNWANTED:
        return Inbound(is_rejected=True)
    return Inbound(agent_id="agent_evening", variables={"customer": "Ms. Reed"}, metadata={"visits": 3})
