"""Model text made fit to be spoken: markdown, URLs, emoji and control characters are taken out as it streams.

1. Plain text passes unchanged and at once; a word is never held because it might go on.
2. Held back is only a beginning of markup that its next character may complete, never more than `HELD_AT_MOST`.
3. What comes out does not depend on where the chunks were cut: nothing is decided before it is certain.
4. What is taken out leaves a seam: it neither glues two words together nor doubles a space.
5. Square brackets are never spoken, so that the text of a link need not wait for the link's end.
6. A link ends at white space: a missing bracket costs one word, never the rest of the answer.
"""

import re
from enum import IntEnum
from typing import NamedTuple

HELD_AT_MOST = 128


class SpeakableText:
    """The filter of one reply: feed it each chunk of model text, then flush it."""

    def __init__(self) -> None:
        self._held = ""
        self._before = "\n"  # the last character taken from the text: the start of a reply is the start of a line
        self._spoken = ""  # the last character given out
        self._seam = Seam.NONE
        self._is_at_line_start = True
        self._link: _Grammar | None = None  # set while inside a URL or a link target
        self._is_neutral = False

    def feed(self, chunk: str) -> str:
        """Return what may be spoken now."""
        if self._is_neutral and chunk and _is_plain(chunk):
            self._before = self._spoken = chunk[-1]
            return chunk
        taken, last = self._before + self._held, (self._held or self._before)[-1]
        visible = _STRAY_JOINER.sub("", last + _INVISIBLE.sub("", chunk))
        return self._advance(taken[:-1] + visible, is_final=False)

    def flush(self) -> str:
        """Return what was still held back when the text ended."""
        return self._advance(self._before + self._held, is_final=True)

    def _advance(self, text: str, *, is_final: bool) -> str:
        # text starts with one character that is already taken: the patterns look back at it
        speech: list[str] = []
        at = 1
        while at < len(text):
            grammar = self._link or (_LINE_START if self._is_at_line_start else _INLINE)
            if not is_final and grammar.unfinished.match(text, at):
                break
            token = grammar.token.match(text, at)
            kind, end = (token.lastgroup, token.end()) if token else ("say", at + 1)
            speech.append(self._take(kind, text[at:end]))
            at = end
        self._before, self._held = text[at - 1], text[at:]
        self._is_neutral = not (self._held or self._seam or self._is_at_line_start or self._link)
        return "".join(speech)

    def _take(self, kind: str | None, piece: str) -> str:
        match kind:
            case "say":
                return self._say(piece)
            case "escaped":
                return self._say(piece[1:])
            case "space":
                return self._space(piece)
            case "line":
                self._is_at_line_start = True
                return self._leave(Seam.SPACE)
            case "tail":  # the full stop of the sentence follows its last word, wherever the URL stood
                self._link, self._seam = None, Seam.CLOSED
                return self._say(piece)
            case "url":
                self._link = _URL
                return self._leave(Seam.WORDS)
            case "target":
                self._link = _TARGET
            case "closed" | "end":
                self._link = None
            case "gap":
                return self._leave(Seam.WORDS)
        return self._leave(Seam.CLOSED)  # so too a mark, a dropped or a skipped piece

    def _say(self, piece: str) -> str:
        is_between_words = piece[0] not in _CLOSING and self._spoken not in _OPENING
        needs_space = self._seam is Seam.SPACE or (self._seam is Seam.WORDS and is_between_words)
        space = " " if needs_space and self._spoken and not self._spoken.isspace() else ""
        self._seam = Seam.NONE
        self._spoken = piece[-1]
        self._is_at_line_start = False
        return space + piece

    def _space(self, piece: str) -> str:
        if self._seam or piece == "\t":
            return self._leave(Seam.SPACE)
        self._spoken = piece[-1]
        return piece

    def _leave(self, seam: "Seam") -> str:
        self._seam = max(self._seam, seam)
        return ""


class Seam(IntEnum):
    """What stands where something was taken out, the stronger the greater."""

    NONE = 0
    CLOSED = 1  # the text goes on as if nothing had been there: bo**ld**
    WORDS = 2  # a space, unless punctuation comes next: one|two, great😀!
    SPACE = 3  # white space was there


_Markup = dict[str, list[tuple[str, ...]]]


class _Grammar(NamedTuple):
    unfinished: re.Pattern[str]  # the text stops inside something that more text could complete
    token: re.Pattern[str]  # the group's name says what to do with it


def _grammar(kinds: _Markup) -> _Grammar:
    """Compile markup given as its successive parts, the earlier kind first."""
    beginnings = "|".join(_beginning(parts) for markups in kinds.values() for parts in markups if len(parts) > 1)
    tokens = (f"(?P<{kind}>{'|'.join(map(''.join, markups))})" for kind, markups in kinds.items())
    return _Grammar(re.compile(beginnings), re.compile("|".join(tokens)))


def _beginning(parts: tuple[str, ...]) -> str:
    pattern = r"\Z"
    for part in reversed(parts[:-1]):
        pattern = rf"(?:{part}{pattern}|\Z)"
    return pattern


# Invisible: controls but white space, soft hyphen, zero width, bidi, keycap, surrogates, private use, selectors, tags.
_NEVER_SEEN = (
    r"\0-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    r"\u20e3\ud800-\uf8ff\ufe00-\ufe0f\ufeff\ufff9-\ufffc\U000e0000-\U000e0fff"
)
_INVISIBLE = re.compile(f"[{_NEVER_SEEN}]")
# Between Arabic and Indic letters the joiners are spelling; elsewhere they only tie emoji together.
_STRAY_JOINER = re.compile(r"(?<=[^\u0600-\u1fff])[\u200c\u200d]")
_EMOJI = (
    r"\u2139\u2194-\u21aa\u231a-\u23ff\u24c2\u25a0-\u2775\u2794-\u27bf\u2b00-\u2bff\u3030\u303d\u3297\u3299"
    r"\U0001f000-\U0001faff"
)
_BREAK = r"\n\v\f\r\x85\u2028\u2029"
_CLOSING = frozenset(".,!?;:)\u2026\u060c\u061b\u061f\u0964\u3001\u3002\uff01\uff09\uff0c\uff1a\uff1b\uff1f")
_OPENING = frozenset("([{¿¡")

_HTTP = ("[hH]", "[tT]", "[tT]", "[pP]", "[sS]?", ":", "/", "/")
_WWW = ("[wW]", "[wW]", "[wW]", r"\.")
_LATIN = r"0-9A-Za-z\xc0-\u024f"
_WORD_START = f"(?<![{_LATIN}])"
_URLS = [(_WORD_START + _HTTP[0], *_HTTP[1:]), (_WORD_START + _WWW[0], *_WWW[1:]), ("<", *_HTTP), ("<", *_WWW)]
_TAGS = [
    ("<", "/?", "[A-Za-z]", "[A-Za-z0-9]{0,9}", " ?", "/?", ">"),
    ("<", "[A-Za-z]", "[A-Za-z0-9]{0,9}", " ", "[A-Za-z-]{1,12}", "=", rf"[^<>{_BREAK}]{{0,90}}", ">"),
]
_TEXT: _Markup = {
    "url": [*_URLS, ("(?<=:)/", "/")],  # the last is what is left of any other scheme
    "target": [(r"\]", r"\(")],
    "gap": [
        *_TAGS,
        (r"(?<!\S)!", r"\["),  # only at a word's start: the exclamation mark of a sentence does not wait
        (r"\[",),
        (r"\|", "[ \t]{0,3}", ":?", "-{1,60}", ":?", "[ \t]{0,3}", rf"(?=[|{_BREAK}]|\Z)"),
        (r"\|",),
        (f"[{_EMOJI}]+",),
    ],
    "escaped": [(r"\\", r"[\\`*_~{}\[\]()<>#+.!|-]")],
    "say": [
        (r"(?<=\s)\*", "(?=[ \t])"),  # a product: 2 * 3, 2*3
        (r"(?<=\d)\*{1,2}", r"(?=\d)"),
        (r"(?<=[^\W_])_{1,2}", r"(?=[^\W_])"),  # a name: snake_case
        (f"[{_LATIN}]+",),
    ],
    "drop": [
        ("`", "`", "`", r"[\w+#.-]{1,20}", "[ \t]{0,2}", f"(?=[{_BREAK}])"),  # a fence and its language
        ("~", "~"),
        (r"\\", f"(?=[{_BREAK}])"),
        (r"(?<=~)~|[*_`\]]",),
    ],
    "line": [(f"[{_BREAK}]+",)],
    "space": [(r" +|\t",)],
}
_INLINE = _grammar(_TEXT)
# The numbers of a list stay: "one." tells the order, and the caller may answer "the second".
_LINE_MARKS: list[tuple[str, ...]] = [
    ("#{1,6}", r"(?=\s)"),
    (r"\[", "[ xX]", r"\]", r"(?=\s)"),  # a task's box, behind its bullet
    (r"[-*+\u2022]", r"(?=\s|\Z)"),
    (">", r"(?=[\s>])"),
    ("-", "-", "-"),
    ("=", "=", "="),
    ("(?<=[-=])[-=]",),  # the rest of a rule
]
_LINE_START = _grammar({"mark": _LINE_MARKS, **_TEXT})

# Scripts written without spaces end a URL too: better to read out its last part than to lose the sentence behind it.
_LINK_END = r"""\s<>"`|*\[\]\u201c\u201d\u3000-\ud7a3\uff00-\uffef"""
_POINTS = r".,!?;:'\u2019\u2026"
_LINK: _Markup = {
    "tail": [(f"[{_POINTS}]{{1,8}}", rf"(?=[{_LINK_END})]|\Z)")],
    "skip": [
        (f"[^{_LINK_END}{_POINTS}()]+",),
        (r"\(", f"[^{_LINK_END}()]{{0,60}}", r"\)"),
        (rf"[({_POINTS}]",),
    ],
}
_URL = _grammar({**_LINK, "end": [(">?",)]})
_TARGET_ENDS: list[tuple[str, ...]] = [
    (f"[{_POINTS}]{{0,8}}", "[ \t]{0,3}", r"\)"),
    ("[ \t]{1,3}", '"', f'[^"{_BREAK}]{{0,90}}', '"', r"\)"),
]
_TARGET = _grammar({"closed": _TARGET_ENDS, **_LINK, "end": [("",)]})

# The one look on the hot path: nothing in the chunk, nor at its end, could begin a token.
_CARELESS = rf"[^{_NEVER_SEEN}\u200c\u200d{_EMOJI}{_BREAK}\t<\[\]!|\\*_~`/hHwW]*+"
_URL_AHEAD = rf"{''.join(_HTTP[:4])}|{''.join(_WWW[:3])}|(?:[hH][tT]{{0,2}}|[wW]{{1,2}})\Z"
_is_plain = re.compile(rf"{_CARELESS}(?:(?:(?<=[{_LATIN}])|(?!{_URL_AHEAD}))[hHwW]{_CARELESS})*+").fullmatch
