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
    assert quote("parking", [hit(PARKING, 0.8), hit("Elsewhere.", 0.79, "Buses")]) is None


def test_a_rival_of_the_same_section_is_none() -> None:
    assert quote("parking", [hit(PARKING, 0.8), hit("More on it.", 0.79)]) is not None


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
