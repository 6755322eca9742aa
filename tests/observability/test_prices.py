from pathlib import Path

import pytest

from service.llm.model import Usage
from service.observability.prices import Price, read_prices


def test_the_table_that_is_shipped_can_be_read() -> None:
    prices = read_prices()
    assert prices["gpt-4.1"] == Price(input=2.0, output=8.0, cached=0.5)
    assert all(price.input <= price.output for price in prices.values())
    assert all(price.cached is None or price.cached < price.input for price in prices.values())


def test_cached_input_without_a_price_costs_as_much_as_other_input() -> None:
    assert Price(input=1, output=2).of(Usage(input=1_000_000, cached=500_000, output=500_000)) == 2


@pytest.mark.parametrize(
    "text",
    ["[models]\nm = { input = -1, output = 1 }", "[models]\nm = { input = nan, output = 1 }", "[models]\nm = 1", "[x"],
)
def test_a_table_that_is_not_as_it_should_be_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(text)
    with pytest.raises(ValueError, match=r".+"):
        read_prices(tmp_path / "prices.toml")
