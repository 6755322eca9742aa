"""What a call may come to, by the guard that looks on."""

import pytest

from service.conversation import events
from service.conversation.call import CallDetails, Prompt
from service.limits import HOUR, MOST_CALLERS, Guard, Limits
from service.llm.model import Occasion, Usage
from service.llm.records import AttemptRecord, Cause, Result
from service.observability.prices import Price

CALL, NUMBER = "call_1", "+4930123456"
PRICES = {"m": Price(input=1.0, output=10.0)}


class Watched:
    """A guard, what it told, and whom it dismissed."""

    def __init__(self, **limits: float) -> None:
        self.reached: list[tuple[str, str]] = []
        self.dismissed: list[tuple[str, str]] = []
        self.guard = Guard(Limits(**limits), PRICES, lambda *what: self.reached.append(what))  # type: ignore[arg-type]
        self.guard.dismiss = lambda *what: self.dismissed.append(what)

    def begins(self, call_id: str = CALL, at: float = 0.0, **details: object) -> None:
        self.guard.saw(call_id, events.CallStarted(at, at), ())
        self.introduces(call_id, at, **details)

    def introduces(self, call_id: str = CALL, at: float = 0.0, **details: object) -> None:
        self.guard.saw(call_id, events.CallDetailsReceived(at, CallDetails(call_id, **details)), ())  # type: ignore[arg-type]

    def asks(self, call_id: str = CALL, at: float = 0.0) -> None:
        self.guard.saw(call_id, events.ReplyRequested(at, 1, Prompt.CALLER_SPOKE, None), ())

    def spends(self, dollars: float, model: str = "m", call_id: str = CALL) -> None:
        self.attempts(Result.ANSWERED, Usage(input=int(dollars * 1_000_000), output=0), model, call_id)

    def attempts(self, result: Result, usage: Usage | None = None, model: str = "m", call_id: str = CALL) -> None:
        times = (0.0, 0.1, 0.2)
        attempt = AttemptRecord(Occasion(call_id, 1), "t", model, Cause.FIRST, result, *times, usage=usage)
        self.guard.attempted(attempt, None)


def test_within_its_limits_a_call_is_left_alone() -> None:
    watched = Watched(turns=2, seconds=60, dollars=1, caller_calls=1, caller_turns=2)
    watched.begins(from_number=NUMBER)
    watched.asks()
    watched.asks(at=60)
    watched.spends(1.0)
    assert watched.reached == watched.dismissed == []


def test_one_turn_too_many_ends_the_call_and_what_is_asked_then_is_answered_alike() -> None:
    watched = Watched(turns=2)
    watched.begins(variables={"language": "de"})
    for _ in range(4):
        watched.asks()
    assert watched.reached == [(CALL, "turns")]
    assert watched.dismissed == [(CALL, "de"), (CALL, "de")]
    watched.guard.saw(CALL, events.CallResumed(1.0), ())
    watched.guard.saw(CALL, events.Pinged(1.0, 1), ())
    assert len(watched.dismissed) == 3


def test_a_call_that_lasts_too_long_is_ended_whatever_happens_then() -> None:
    watched = Watched(seconds=60)
    watched.begins()
    watched.guard.saw(CALL, events.Pinged(60.1, 1), ())
    assert watched.reached == [(CALL, "length")]


def test_a_call_whose_models_cost_too_much_is_ended_once() -> None:
    watched = Watched(dollars=1)
    watched.begins()
    for _ in range(5):
        watched.spends(0.3)
    assert watched.reached == [(CALL, "spend")]
    assert watched.dismissed == [(CALL, "")]


def test_what_has_no_price_and_what_no_call_asked_for_costs_nothing() -> None:
    watched = Watched(dollars=1)
    watched.begins()
    watched.spends(9, model="unheard of")
    watched.spends(9, call_id="another")
    assert watched.reached == []


@pytest.mark.parametrize("result", [Result.CANCELLED, Result.LOST])
def test_an_attempt_that_was_cut_off_costs_as_much_as_the_one_before_it(result: Result) -> None:
    watched = Watched(dollars=1)
    watched.begins()
    watched.attempts(result)
    watched.spends(0.4)
    watched.attempts(result)
    assert watched.reached == []
    watched.attempts(result)
    assert watched.reached == [(CALL, "spend")]


def test_an_attempt_that_failed_costs_nothing() -> None:
    watched = Watched(dollars=1)
    watched.begins()
    watched.spends(0.6)
    for _ in range(5):
        watched.attempts(Result.FAILED)
    assert watched.reached == []


def test_a_caller_who_calls_too_often_within_the_hour_is_told_so() -> None:
    watched = Watched(caller_calls=2)
    for number, call_id in enumerate(("a", "b", "c")):
        watched.begins(call_id, at=number * 60.0, from_number=NUMBER)
    assert watched.reached == [("c", "caller_calls")]
    watched.begins("d", at=HOUR, from_number=NUMBER)
    assert len(watched.reached) == 1


def test_the_same_number_is_the_same_caller_however_it_is_written() -> None:
    watched = Watched(caller_calls=1)
    watched.begins("a", from_number=NUMBER)
    watched.begins("b", from_number=NUMBER.removeprefix("+"))
    assert watched.reached == [("b", "caller_calls")]


def test_a_call_that_dials_again_is_the_same_call() -> None:
    watched = Watched(caller_calls=1)
    watched.begins(from_number=NUMBER)
    watched.guard.saw(CALL, events.CallResumed(1.0), ())
    watched.introduces(from_number=NUMBER)
    assert watched.reached == []


@pytest.mark.parametrize(
    "details",
    [
        {"from_number": "anonymous"},
        {"from_number": None},
        {"from_number": "sip:someone@example.com"},
        {"from_number": f"{NUMBER};x"},
        {"from_number": NUMBER, "direction": "outbound"},
    ],
)
def test_nobody_is_counted_whose_number_is_hidden_or_who_was_called(details: dict[str, object]) -> None:
    watched = Watched(caller_calls=1, caller_turns=1)
    for call_id in ("a", "b", "c"):
        watched.begins(call_id, 0.0, **details)
        watched.asks(call_id)
    assert watched.reached == []


def test_the_turns_of_all_calls_of_a_caller_add_up() -> None:
    watched = Watched(caller_turns=3)
    watched.begins("a", from_number=NUMBER)
    watched.asks("a")
    watched.asks("a")
    watched.begins("b", from_number=NUMBER)
    watched.asks("b")
    watched.begins("c", from_number="+4930999999")
    watched.asks("c")
    assert watched.reached == []
    watched.asks("b")
    assert watched.reached == [("b", "caller_turns")]


def test_the_details_of_another_call_are_nobodys() -> None:
    watched = Watched(caller_calls=1)
    watched.begins("a", from_number=NUMBER)
    watched.guard.saw("b", events.CallStarted(0.0, 0.0), ())
    watched.guard.saw("b", events.CallDetailsReceived(0.0, CallDetails("x", from_number=NUMBER)), ())
    assert watched.reached == []


def test_numbers_are_not_kept_nor_more_callers_than_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_CALLERS == 10_000
    monkeypatch.setattr("service.limits.MOST_CALLERS", 2)
    watched = Watched(caller_calls=1)
    for digit in "1234":
        watched.begins(digit, from_number=NUMBER + digit)
    assert len(watched.guard._callers) == 2
    assert NUMBER not in repr(watched.guard.__dict__)
    watched.begins("again", from_number=f"{NUMBER}1")  # it was forgotten
    assert watched.reached == []


def test_a_caller_whose_hour_began_anew_is_not_the_first_to_be_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.limits.MOST_CALLERS", 3)
    watched = Watched(caller_calls=1)
    for number, at in (("1", 0.0), ("2", 1.0), ("1", HOUR), ("3", HOUR), ("4", HOUR)):
        watched.begins(f"{number} at {at}", at, from_number=NUMBER + number)
    watched.begins("again", HOUR, from_number=f"{NUMBER}1")
    assert watched.reached == [("again", "caller_calls")]


def test_a_model_that_counts_less_than_nothing_gives_nothing_back() -> None:
    watched = Watched(dollars=1)
    watched.begins()
    watched.attempts(Result.ANSWERED, Usage(input=0, output=-1_000_000))
    watched.spends(1.1)
    assert watched.reached == [(CALL, "spend")]


def test_of_a_call_that_ended_nothing_is_left() -> None:
    watched = Watched(turns=1)
    watched.begins()
    watched.guard.ended(CALL, None)
    watched.guard.ended(CALL, None)
    watched.asks()
    watched.asks()
    assert watched.reached == []
