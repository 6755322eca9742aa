"""What a page says to type at three in the morning can be typed."""

import re
import shlex
from pathlib import Path

import click
import pytest

from service.ctl import ctl

RUNBOOKS = Path(__file__).parents[2] / "infra" / "runbooks"
ORDERS = sorted(
    {order for file in RUNBOOKS.glob("*.md") for order in re.findall(r"`cuebox ctl ([^`]+)`", file.read_text("utf-8"))}
)


@pytest.mark.parametrize("order", ORDERS)
def test_an_order_that_a_page_names_can_be_given(order: str) -> None:
    verb, *words = shlex.split(order)
    command = ctl.commands[verb]
    command.make_context(verb, words, parent=click.Context(ctl))


@pytest.mark.parametrize(
    ("page", "order"),
    [
        ("BreakerOpen", "targets disable NAME"),
        ("Capacity", "calls"),
        ("DrainCutsCalls", "drain --seconds 3600"),
        ("EventLoopLag", "drain"),
        ("EventLoopStalled", "drain --seconds 0"),
        ("FirstWordsBudgetFastBurn", "targets prefer NAME"),
        ("ModelRejected", "targets prefer NAME"),
        ("PongsLate", "drain --seconds 0"),
        ("SpokenFallbacks", "watch CALL"),
        ("ToolFailing", "tools disable NAME"),
        ("TurnFailures", "hedge off"),
    ],
)
def test_a_page_names_the_order_that_helps(page: str, order: str) -> None:
    text = (RUNBOOKS / f"Cuebox{page}.md").read_text(encoding="utf-8")
    assert f"`cuebox ctl {order}`" in text.partition("## What to do")[2]


@pytest.mark.parametrize("file", sorted(RUNBOOKS.glob("*.md")), ids=lambda file: file.stem)
def test_calls_are_placed_at_the_address_that_the_guide_makes(file: Path) -> None:
    """Which has a secret: without it they are refused, and would tell of a fault that is none."""
    for words in re.findall(r"`cuebox (?:call|probe)([^`]*)`", file.read_text(encoding="utf-8")):
        assert words.startswith(" wss://YOUR-ADDRESS/llm-websocket/SECRET"), words
