"""What the receptionist knows, says and books is one and the same."""

import re

import pytest

from service.agents.folder import read_folder
from service.agents.library import SHIPPED
from service.agents.receptionist.appointments import HOURS, ROTA, Dentist, Location

FOLDER = SHIPPED / "receptionist"
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
PAGES = {file.name: " ".join(file.read_text(encoding="utf-8").split()) for file in (FOLDER / "knowledge").iterdir()}


def days_in(text: str) -> tuple[int, ...]:
    """Of `from Monday to Thursday`, or `Monday, Wednesday and Friday`."""
    found = [DAYS.index(day) for day in re.findall(r"[A-Z]\w+day", text)]
    return tuple(range(found[0], found[1] + 1)) if " to " in text else tuple(found)


def hour(number: str, half: str) -> int:
    return int(number) % 12 + (12 if half == "PM" else 0)


def test_there_are_thirty_pages_that_can_be_read_in_a_minute_or_two() -> None:
    assert len(PAGES) >= 30
    assert all(200 < len(page.split()) < 420 for page in PAGES.values())


@pytest.mark.parametrize("dentist", ROTA)
def test_the_dentists_are_where_their_page_says(dentist: Dentist) -> None:
    location, days = ROTA[dentist]
    found = re.search(rf"## Doctor \w+ {dentist} .*?sees patients at {location} (.*?)\.", PAGES["dentists.md"])
    assert found
    assert days_in(found[1]) == days


@pytest.mark.parametrize("location", HOURS)
def test_the_hours_are_those_of_the_page(location: Location) -> None:
    found = re.search(rf"{location} is open ([^.]*)\.", PAGES["opening-hours.md"])
    assert found
    hours: dict[int, tuple[int, int]] = {}
    for days, opens, a, closes, b in re.findall(r"(\w+day(?: to \w+day)?) from (\d+) (.M) to (\d+) (.M)", found[1]):
        hours.update(dict.fromkeys(days_in(days), (hour(opens, a), hour(closes, b))))
    assert hours == HOURS[location]
    page = PAGES[f"{location.lower().replace(' ', '-')}.md"]
    assert {f"{closes - 12} PM" for _, closes in HOURS[location].values()} <= set(re.findall(r"\d+ PM", page))


def test_a_price_is_told_the_same_on_each_page() -> None:
    for price, words in {"85": "check-up for an adult costs", "110": "cleaning by the hygienist costs"}.items():
        told = [found for page in PAGES.values() for found in re.findall(rf"{words} (\d+) dollars", page)]
        assert set(told) == {price}


def test_the_numbers_that_are_called_are_fictional() -> None:
    numbers = read_folder(FOLDER).script.actions.transfer_call
    assert numbers
    assert all(re.fullmatch(r"\+1\d{3}55501\d\d", number) for number in numbers.numbers.values())


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES.keys())
def test_pages_can_be_read_out(page: str) -> None:
    assert not re.search(r"[$%&*_|<>\[\]{}]|https?:|(?<!#) - ", page)
