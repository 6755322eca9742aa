"""Answers without a model: the sentence of a found passage that says what was asked, word for word, or nothing."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from service.agents.knowledge.store import Hit
from service.agents.knowledge.wording import SAME, content_words, spoken_words

CLEAR = 0.5
"""The score from which a passage may hold the answer."""
NEAR = 0.25
"""How far below the best passage's score another may hold it, too."""
AHEAD = 0.03
"""By how much a sentence that leaves a part of the question open must be worth more than those of other pages."""
_LEFT_OPEN = 0.35
"""The share of what was asked, at most, that neither the sentence nor its headings speak of."""
_HEADED = 0.6
"""What a word counts that stands in the headings only."""
_MOST_WORDS, _MOST_IN_ALL = 45, 65
_SHORT = 12
"""Words; a sentence of fewer takes the next along."""
_STEM = 6

_WISH = re.compile(
    r"\b(?:i want|i need|i(?:'d| would) like|i wanna|let me|(?:can|could|would) you|please)(?: please)?(?: to)?"
    r" (?:book|make|schedule|reschedule|cancel|move|change|order|speak|talk)\b"
    r"|\b(?:can|could|may) i (?:please )?(?:book|make|schedule|reschedule|order) (?:a|an|my|another)\b"
)
"""Somebody wants a thing done: no quotation does it."""
_MEASURES = (
    (
        re.compile(r"\b(?:how much|prices?|costs?|charges?|fees?)\b"),
        re.compile(r"[$€£]|\b(?:dollars?|euros?|pounds?|cents?|percent|free|nothing)\b", re.IGNORECASE),
        frozenset({"price", "cost", "charge", "fee"}),
    ),
    (
        re.compile(r"\bhow (?:long|often|far|soon|old)\b"),
        re.compile(r"\b(?:minutes?|hours?|days?|weeks?|months?|years?|times|once|twice|miles?)\b"),
        frozenset({"long", "often", "far", "soon", "old"}),
    ),
    (
        re.compile(
            r"\b(?:what time|how (?:late|early)|(?:open|business|office)(?:ing)? hours|when .*(?:open|close)d?)\b"
        ),
        re.compile(
            r"\b\d\d?(?:[:.]\d\d| ?[ap]\.?m\b)|\b(?:o'clock|noon|midnight|half past)\b"
            r"|\b(?:at|from|to|till|until) (?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b",
            re.IGNORECASE,
        ),
        frozenset({"hours"}),
    ),
)
"""What asks for a measure, what its answer must have, and the words that stand for it."""
_OPPOSITE = {"open": "closed", "close": "open", "closed": "open"}
"""Either says whether."""

_ABBREVIATED = re.compile(r"(?:\b(?:dr|mr|mrs|ms|st|no|e\.g|i\.e|etc|approx|a\.m|p\.m)|\b[A-Z])\.\Z", re.IGNORECASE)
_END = re.compile(r"(?<=[.!?])[\"'”’)]*\s+|(?<=[。！？])|\n\s*\n")
_BULLET = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)])\s+")
_SUFFIX = re.compile(r"(?<=\w{3})(?:ions?|ings?|ed|es|s|e|ly)\Z")


@dataclass(frozen=True, slots=True)
class _Question:
    things: tuple[set[str], ...]
    """The stems that tell each."""
    measures: tuple[re.Pattern[str], ...]
    stems: set[str]
    """Of all its words, those of its measures, too."""

    def told_by(self, stems: set[str], weights: Sequence[float]) -> float:
        return sum(weight for thing, weight in zip(self.things, weights, strict=True) if not stems.isdisjoint(thing))

    def is_measured_by(self, sentence: str) -> bool:
        return all(measure.search(sentence) for measure in self.measures)


@dataclass(frozen=True, slots=True)
class _Answer:
    page: str
    sentences: list[str]
    at: int
    told: float
    """The share of the question that the sentence itself speaks of, 0 to 1."""
    covered: float
    """The same, with its headings."""
    worth: float


def quote(question: str, hits: Sequence[Hit]) -> str | None:
    """A few sentences to be spoken as they are; None when none of them clearly is the answer."""
    asked = _understood(question.partition("\n")[0].casefold().replace("’", "'"))
    if not asked.things or not hits:
        return None
    worthy = [hit for hit in hits if hit.score >= max(CLEAR, hits[0].score - NEAR)]
    texts = [(hit, _sentences(hit.passage.text)) for hit in worthy]
    weights = _weights(asked, [_stems(sentence) for _, sentences in texts for sentence in sentences])
    answers = [answer for hit, sentences in texts for answer in _answers(asked, weights, hit, sentences)]
    if not answers:
        return None
    best = max(answers, key=lambda answer: answer.worth)
    rivals = (answer.worth for answer in answers if answer.page != best.page)
    if best.covered < 1 and best.worth - max(rivals, default=0.0) < AHEAD:
        return None
    return _read_on(best, asked, weights)


def _understood(question: str) -> _Question:
    if _WISH.search(question):
        return _Question((), (), set())
    measures = [(tells, words) for asks, tells, words in _MEASURES if asks.search(question)]
    measured: set[str] = set().union(*(words for _, words in measures))
    content = content_words(question)
    words = tuple(word for word in content if word not in measured)
    things = tuple(_stems(" ".join((word, *SAME.get(word, ()), _OPPOSITE.get(word, "")))) for word in words)
    return _Question(things, tuple(tells for tells, _ in measures), _stems(" ".join(content)).union(*things))


def _weights(asked: _Question, sentences: Sequence[set[str]]) -> list[float]:
    """What each thing counts, all together 1: the more, the fewer sentences speak of it."""
    having = [sum(not stems.isdisjoint(thing) for stems in sentences) for thing in asked.things]
    rarities = [math.log(1 + len(sentences) / (count or 0.5)) for count in having]
    return [rarity / (sum(rarities) or 1) for rarity in rarities]


def _answers(asked: _Question, weights: Sequence[float], hit: Hit, sentences: list[str]) -> Iterator[_Answer]:
    headings = hit.passage.heading.split(" > ")
    headed = _stems(hit.passage.heading)
    bonus = 0.5 * hit.score + 0.3 * _focus(headings[-1], asked) + 0.25 * _focus(headings[0], asked)
    for at, sentence in enumerate(sentences):
        if not _is_speakable(sentence) or not asked.is_measured_by(sentence):
            continue
        stems = _stems(sentence)
        told, covered = asked.told_by(stems, weights), asked.told_by(stems | headed, weights)
        if covered < 1 - _LEFT_OPEN:
            continue
        worth = told + _HEADED * (covered - told) + bonus - 0.02 * at - 0.003 * len(stems)
        yield _Answer(hit.passage.id.partition("#")[0], sentences, at, told, round(covered, 6), worth)


def _focus(heading: str, asked: _Question) -> float:
    """The share of a heading that was asked."""
    stems = _stems(" ".join(content_words(heading)))
    return len(stems & asked.stems) / len(stems) if stems else 0.0


def _read_on(answer: _Answer, asked: _Question, weights: Sequence[float]) -> str:
    """The sentence, and those behind it that belong to it: it is short, or they tell as much."""
    text = answer.sentences[answer.at]
    for sentence in answer.sentences[answer.at + 1 :]:
        words = len(spoken_words(text))
        if not _is_speakable(sentence) or words + len(spoken_words(sentence)) > _MOST_IN_ALL:
            break
        tells_as_much = asked.told_by(_stems(sentence), weights) >= answer.told > 0 and asked.is_measured_by(sentence)
        if words >= _SHORT and not tells_as_much:
            break
        text = f"{text} {sentence}"
    return text


def _sentences(text: str) -> list[str]:
    """Sentences and list items, each with an end that can be heard."""
    found: list[str] = []
    for paragraph in re.split(r"\n\s*\n|\n(?=\s*(?:[-*+•]|\d{1,3}[.)])\s)|(?<=[:;.!?])\n", text):
        begun = ""
        for piece in _END.split(_BULLET.sub("", paragraph)):
            begun = f"{begun} {' '.join(piece.split())}".strip()
            if begun and not _ABBREVIATED.search(begun):
                found.append(begun)
                begun = ""
        if begun:
            found.append(begun)
    return [sentence if sentence[-1] in ".!?。！？" else f"{sentence.rstrip(':;,')}." for sentence in found]


def _is_speakable(sentence: str) -> bool:
    """Words, not code: of a length that can be followed by ear."""
    words = len(spoken_words(sentence))
    odd = sum(not (letter.isalnum() or letter.isspace() or letter in ".,;:!?'\"’“”()-–/$€£%&") for letter in sentence)
    return 2 < words <= _MOST_WORDS and odd * 20 <= len(sentence)  # noqa: PLR2004


def _stems(text: str) -> set[str]:
    return {_stem(word) for word in spoken_words(text)}


def _stem(word: str) -> str:
    """Roughly: this only chooses among the sentences of passages that were found."""
    return _SUFFIX.sub("", _SUFFIX.sub("", word))[:_STEM]
