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


def test_pages_name_what_helps() -> None:
    assert {order.split()[0] for order in ORDERS} >= {"targets", "tools", "hedge", "drain", "watch"}
