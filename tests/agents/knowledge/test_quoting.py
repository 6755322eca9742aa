import pytest

from service.agents.knowledge.quoting import CLEAR, quote
from service.agents.knowledge.store import Hit, Passage

PARKING = "The garage on Quay Lane is near. Parking there costs two dollars an hour. Dr. Okafor comes by bus."


def hit(text: str, score: float = 0.9, heading: str = "Parking") -> Hit:
    return Hit(Passage("a.md#a", heading, text), score)


def test_the_sentence_that_says_what_was_asked_is_read_out() -> None:
    assert quote("what does parking cost", [hit(PARKING)]) == (
        "Parking there costs two dollars an hour. Dr. Okafor comes by bus."
    )


def test_a_title_or_an_hour_does_not_end_a_sentence() -> None:
    assert quote(
        "who is okafor", [hit("See Dr. Okafor at 9 a.m. on Monday, and nobody else at all before noon or so.")]
    ) == ("See Dr. Okafor at 9 a.m. on Monday, and nobody else at all before noon or so.")


def test_a_list_item_or_a_row_is_a_sentence_that_ends() -> None:
    text = "Prices:\n- Cleaning costs 110 dollars\n- A crown costs 900 dollars\n- An X-ray costs 50 dollars"
    assert quote("how much is a crown", [hit(text)]) == "A crown costs 900 dollars. An X-ray costs 50 dollars."


def test_nothing_is_read_out_that_is_not_clear() -> None:
    assert quote("parking", []) is None
    assert quote("parking", [hit(PARKING, CLEAR - 0.01)]) is None
    assert quote("how much is it", [hit(PARKING)]) is None


def other(text: str, heading: str, score: float = 0.9) -> Hit:
    return Hit(Passage("b.md#b", heading, text), score)


def test_pages_that_each_tell_a_part_leave_it_open() -> None:
    asked, rivals = "is the parking garage free of smoke", [hit("The parking garage is free.", 0.9, "Cars")]
    assert quote(asked, rivals) == "The parking garage is free."
    assert quote(asked, [*rivals, other("The parking garage is clean.", "Cars")]) is None


def test_of_two_that_tell_all_the_one_whose_section_is_about_it_is_read_out() -> None:
    crown, repair = "A crown costs 900 dollars and lasts ten years in most mouths.", "A broken crown costs 90 dollars."
    hits = [other(repair, "Repairs > Glue", 0.82), hit(crown, 0.8, "Prices > Crowns")]
    assert quote("what does a crown cost", hits) == crown


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ("how much is parking", "Parking costs two dollars."),
        ("how long can the car be parked", "Cars are parked for three hours at most."),
        ("what time does the parking close", "The parking closes at 9 PM."),
        ("when is the parking open", "The parking is open from six to nine."),
    ],
)
def test_a_question_for_a_measure_is_answered_with_one(question: str, says: str) -> None:
    other_sentence = "Parking your car, or leaving it parked when it is open or closed, is easy."
    assert (quote(question, [hit(f"{other_sentence}\n\n{says}")]) or "").startswith(says)
    assert quote(question, [hit(other_sentence)]) is None


def test_whether_something_is_open_is_answered_by_when_it_is_closed() -> None:
    closed = "On Sunday the garage is closed, and so is the gate on the other side."
    assert quote("is the garage open on sundays", [hit(closed, heading="Garage")]) == closed


@pytest.mark.parametrize(
    "wish", ["i want to book parking", "could you please cancel my parking", "can i make a booking for parking"]
)
def test_a_wish_is_not_answered_with_a_fact(wish: str) -> None:
    assert quote(wish, [hit("You book parking, cancel parking, and make a booking for it here.")]) is None


def test_sentences_that_tell_as_much_are_read_on() -> None:
    gates = "The north gate is open from 9 AM on all days but Sundays and some holidays. "
    more = "The south gate is open from 8 AM on all days but Sundays and some holidays, too."
    assert quote("what time do the gates open", [hit(f"{gates}{more}", heading="Gates")]) == f"{gates}{more}"
    assert quote("what time do the gates open", [hit(f"{gates}It is blue.", heading="Gates")]) == gates.strip()


def test_a_passage_that_says_little_of_what_was_asked_is_not_read_out() -> None:
    assert quote("whitening trays ferry bicycle", [hit(PARKING)]) is None


def test_what_was_said_before_is_no_part_of_the_question() -> None:
    assert quote("parking\nwhitening trays ferry bicycle", [hit(PARKING)]) is not None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("def parking(self, **kwargs) -> {'a': [1]}: return __x__[0] == {}", id="code"),
        pytest.param("parking " * 60, id="too long to follow"),
        pytest.param("Parking.", id="a word"),
        pytest.param("", id="nothing"),
    ],
)
def test_what_cannot_be_followed_by_ear_is_not_read_out(text: str) -> None:
    assert quote("parking", [hit(text)]) is None


def test_two_sentences_are_read_only_if_both_are_short() -> None:
    long = "Twelve words are enough for a sentence that stands alone, as parking does here."
    assert quote("parking", [hit(f"{long} Next.")]) == long
    assert quote("parking", [hit(f"Parking is free. {'word ' * 60}.")]) == "Parking is free."
