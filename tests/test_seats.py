"""A place for each call."""

import pytest

from service.access import Refused
from service.seats import Seats


def test_a_call_has_one_place_however_many_lines_it_has() -> None:
    seats = Seats(2, ())
    with seats.taken("a"), seats.taken("a"), seats.taken("b"):
        assert len(seats) == 2
        with pytest.raises(Refused) as refused, seats.taken("c"):
            pass
        assert (refused.value.status, refused.value.result) == (503, "refused_capacity")
    assert len(seats) == 0


def test_a_place_is_kept_while_any_of_its_lines_is_there_and_given_back_whatever_happens() -> None:
    seats = Seats(1, ())
    with seats.taken("a"):
        with pytest.raises(KeyError), seats.taken("a"):
            raise KeyError
        assert not seats.has_room_for("b")
    assert seats.has_room_for("b")


def test_a_call_that_is_known_finds_a_place_and_so_many_are_known_at_most() -> None:
    known = ["a", "b", "c"]
    seats = Seats(1, known)
    with seats.taken("x"):
        assert seats.has_room_for("a")
        assert not seats.has_room_for("d")
    assert seats.has_room_for("d")
    known.append("d")
    assert not seats.has_room_for("e")
