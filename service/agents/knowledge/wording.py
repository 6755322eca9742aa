"""Which words of what a caller said are worth searching for, and how they sound."""

import re

from service.conversation.transcript import words_of

MOST_WORDS = 20
"""Of one search: of a long speech its end is searched for."""
_LONGEST_WORD = 40
_FILLERS = re.compile(
    r"\b(?:you know|i (?:mean|think|guess)|(?:kind|sort) of|i(?: was)? wonder(?:ing)?|of course|by the way)\b"
)
_EMPTY_WORDS = """
    a an the this that these those there here it its it's i i'm im i'd i've ive i'll you your you're you've we we're
    our us he she they they're them their me my mine of in on at to for from by with about into as and or but if
    then so than is are was were be been being am do does did doing done don't dont doesn't doesnt didn't didnt
    isn't isnt aren't have has had having can could can't cant cannot couldn't will would won't shall should may
    might must let let's lets what what's whats which who who's whos whom whose when when's where where's wheres why
    how how's hows um uhm uh er erm hm hmm mm mhm uhhuh ah aha oh eh huh yeah yes yep yup no nope nah not ok okay k
    right sure fine great good perfect alright well like just really actually basically maybe also too very please
    thanks thank cheers still anyone anybody someone somebody know want wanna gonna need tell say said get got give
    go ahead exactly correct hello hi hey bye goodbye sorry pardon guys folks much there's any some come coming
"""
_EMPTY = frozenset(_EMPTY_WORDS.split())

_SAME_WORDS = """
    tooth teeth, child children kid kids, person people, man men, woman women, foot feet, mom mother, dad father,
    price cost dollars, hours open
"""
_GROUPS = [group.split() for group in _SAME_WORDS.split(",")]
SAME = {word: tuple(other for other in group if other != word) for group in _GROUPS for word in group}
"""Words for one thing, of which speech and page often have different ones, and no stemmer knows."""

_MEANT = (
    (re.compile(r"\b(?:how much|what do you charge)\b"), "price"),
    (re.compile(r"\b(?:what time|how late)\b"), "hours"),
)


def content_words(text: str) -> list[str]:
    """The words that carry what is asked, in their order, each once. None for `yes`, `ok, thank you` or `hm`."""
    text = _FILLERS.sub(" ", text.casefold())
    for phrase, meant in _MEANT:
        text = phrase.sub(meant, text)
    words = (_bare(word) for word in words_of(text))
    telling = (word for word in words if carries_content(word) and len(word) <= _LONGEST_WORD)
    return list(dict.fromkeys(telling))[-MOST_WORDS:]


def spoken_words(text: str) -> list[str]:
    """All words of a text, as the index spells them."""
    return [_bare(word) for word in words_of(text)]


def carries_content(word: str) -> bool:
    """Whether somebody who says it asks for something."""
    return word not in _EMPTY


def sound_of(word: str) -> str:
    """A key that English words share when they sound alike, such as `right` and `write`; often short, or empty."""
    for pattern, sound in _SOUNDS:
        word = pattern.sub(sound, word)
    return word


def _bare(word: str) -> str:
    return word.replace("’", "'").removesuffix("'s") if word not in _EMPTY else word


_SOUNDS = tuple(
    (re.compile(pattern), sound)
    for pattern, sound in (
        (r"[^a-z]", ""),
        (r"^(?:kn|gn|pn)", "n"),
        (r"^wr", "r"),
        (r"^(?:ps|x)", "s"),
        (r"mb$", "m"),
        (r"ph", "f"),
        (r"t?ch|sh|[ts]i(?=[oa])", "x"),  # an x of the word itself is k and s: the same to a tired ear
        (r"dge|dj|g(?=[eiy])", "j"),
        (r"gh", ""),
        (r"c(?=[eiy])", "s"),
        (r"[cq]k?", "k"),
        (r"z", "s"),
        (r"v", "f"),
        (r"(?<!^)[aeiouyhw]+", ""),
        (r"^[aeiouyhw]+", "a"),
        (r"(.)\1+", r"\1"),
    )
)
