"""Answers without a model: the sentence of the best passage that says what was asked, word for word, or nothing."""

import re
from collections.abc import Iterable, Sequence

from service.agents.knowledge.store import Hit
from service.agents.knowledge.wording import SAME, content_words, spoken_words

CLEAR = 0.6
"""The score from which a passage is taken for the answer."""
AHEAD = 0.03
"""By how much, unless the second best is of the same section."""
_MOST_WORDS = 45
_SHORT = 12
"""Words; a sentence of fewer takes the next along."""
_STEM = 4

_ABBREVIATED = re.compile(r"(?:\b(?:dr|mr|mrs|ms|st|no|e\.g|i\.e|etc|approx|a\.m|p\.m)|\b[A-Z])\.\Z", re.IGNORECASE)
_END = re.compile(r"(?<=[.!?])[\"'”’)]*\s+|(?<=[。！？])|\n\s*\n")
_BULLET = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)])\s+")


def quote(question: str, hits: Sequence[Hit]) -> str | None:
    """One or two sentences to be spoken as they are; None when no passage is clearly the answer."""
    if not hits or hits[0].score < CLEAR or not _is_ahead(hits):
        return None
    asked = [_stems(" ".join((word, *SAME.get(word, ())))) for word in content_words(question.partition("\n")[0])]
    passage = hits[0].passage
    sentences = _sentences(passage.text)
    speakable = [at for at, sentence in enumerate(sentences) if _is_speakable(sentence)]
    best = max(speakable, key=lambda at: (_told(asked, sentences[at]), -at), default=None)
    if best is None or _told(asked, f"{passage.heading} {sentences[best]}") * 2 < len(asked):
        return None
    words = len(spoken_words(sentences[best]))
    if words < _SHORT and best + 1 in speakable and words + len(spoken_words(sentences[best + 1])) <= _MOST_WORDS:
        return f"{sentences[best]} {sentences[best + 1]}"
    return sentences[best]


def _told(asked: Iterable[set[str]], text: str) -> int:
    """How many of the things asked a text speaks of."""
    stems = _stems(text)
    return sum(not stems.isdisjoint(words) for words in asked)


def _is_ahead(hits: Sequence[Hit]) -> bool:
    first, *others = hits
    rivals = [hit.score for hit in others if hit.passage.heading != first.passage.heading]
    return not rivals or first.score - max(rivals) >= AHEAD


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
    """Words of one beginning count as one: this only chooses among the sentences of a passage that was found."""
    return word[: max(_STEM, len(word) - 3)]
