"""What tokens cost, by a table that an operator may replace."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from service.llm.model import Usage

TABLE = Path(__file__).with_name("prices.toml")
_MILLION = 1_000_000

_Dollars = Annotated[float, Meta(ge=0)]


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Dollars per million tokens."""

    input: _Dollars
    output: _Dollars
    cached: _Dollars | None = None
    """None when cached input costs as much as other input."""

    def of(self, usage: Usage) -> float:
        """What these tokens cost, in dollars. Reasoning is output."""
        cached = self.input if self.cached is None else self.cached
        fresh = max(0, usage.input - usage.cached)
        return (fresh * self.input + usage.cached * cached + usage.output * self.output) / _MILLION


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    models: dict[str, Price]


def read_prices(path: Path = TABLE) -> dict[str, Price]:
    """Prices by the model's name. Raises ValueError or OSError for a file that is missing or not as it should be."""
    return msgspec.toml.decode(path.read_bytes(), type=_Table).models
