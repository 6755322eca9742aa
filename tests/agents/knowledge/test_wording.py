import pytest

from service.agents.knowledge.wording import MOST_WORDS, content_words, sound_of, spoken_words


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Um, so, what do you, you know, charge?", ["charge"]),
        ("how much is it", ["price"]),
        ("What's the dentist’s name", ["dentist", "name"]),
        ("cleaning and CLEANING", ["cleaning"]),
        ("yes please, that sounds good", ["sounds"]),
        ("Haben Sie am Sonntag auf?", ["haben", "sie", "sonntag", "auf"]),
        ("x" * 50, []),
    ],
)
def test_only_words_that_ask_for_something_count(said: str, words: list[str]) -> None:
    assert content_words(said) == words


@pytest.mark.parametrize(
    "said", ["yes", "OK, thank you.", "hm", "uh-huh", "No.", "right, of course", "hello", "", "?!"]
)
def test_some_turns_ask_for_nothing(said: str) -> None:
    assert content_words(said) == []


def test_of_a_long_speech_the_end_counts() -> None:
    assert content_words(" ".join(f"word{n}" for n in range(100))) == [f"word{n}" for n in range(80, 100)]
    assert MOST_WORDS == 20


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("filling", "feeling"),
        ("knight", "night"),
        ("phase", "face"),
        ("semaphore", "semafour"),
        ("plaque", "plack"),
        ("hygienist", "hygenist"),
    ],
)
def test_words_that_sound_alike_have_one_key(one: str, other: str) -> None:
    assert sound_of(one) == sound_of(other)


def test_words_that_sound_different_have_not() -> None:
    assert len({sound_of(word) for word in ("crown", "bridge", "filling", "implant", "denture", "parking")}) == 6


def test_words_of_other_scripts_have_no_sound_and_are_words() -> None:
    assert sound_of("日本") == ""
    assert spoken_words("日本 Привет") == ["日", "本", "привет"]
