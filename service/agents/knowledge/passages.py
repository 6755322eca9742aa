"""Pages of Markdown and plain text, and the passages they are cut into."""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from service.agents.knowledge.store import Passage
from service.conversation.transcript import words_of

SUFFIXES = frozenset({".md", ".markdown", ".txt"})
LARGEST_PAGE = 4_000_000
"""Bytes."""
MOST_PAGES = 10_000
LEAST_WORDS, MOST_WORDS = 80, 120
_LONGEST_WORD = 16
"""Characters; what is longer is no word, and counts as several."""

_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#*)?[ \t]*\Z")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*\Z")
_TABLE_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*\Z")
_APOSTROPHE = re.compile(r"['’]")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_MARKUP = (
    (re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*(?:[ \t]+\"[^\"]*\")?\)"), r"\1"),
    (re.compile(r"(?<!\w)(\*\*|__|\*|_|`)(?=\S)([^*_`\n]+)(?<=\S)\1(?!\w)"), r"\2"),
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n")


class KnowledgeMistake(ValueError):
    """A page that cannot be read. Its text names file and line, and what to do."""

    def __init__(self, file: str, line: int, problem: str) -> None:
        super().__init__(f"{file}:{line}: {problem}")
        self.file, self.line, self.problem = file, line, problem


@dataclass(frozen=True, slots=True)
class Page:
    """One file of knowledge. `file` is its path inside the folder."""

    file: str
    text: str


def read_pages(folder: Path) -> list[Page]:
    """All pages of a folder and of those inside it; none when there is no such folder.

    Only `.md`, `.markdown` and `.txt` count, and nothing hidden. Linked files are read, linked folders are not.
    Raises KnowledgeMistake.
    """
    files = [
        (path.relative_to(folder), path)
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and (path.is_file() or not path.exists())
    ]
    files = sorted(entry for entry in files if not any(part.startswith(".") for part in entry[0].parts))
    if len(files) > MOST_PAGES:
        raise KnowledgeMistake(folder.name, 1, f"{len(files)} pages are too many (at most {MOST_PAGES}): join some")
    return [Page(file.as_posix(), _text_of(file.as_posix(), path)) for file, path in files]


def passages_of(pages: Iterable[Page]) -> list[Passage]:
    """Cut pages into passages of 80 to 120 words where their paragraphs allow it, never across a heading."""
    passages: list[Passage] = []
    for page in pages:
        names: set[str] = set()
        title, keywords, text = _front_matter(page)
        for headings, blocks in _sections(title, text):
            slug = "-".join(words_of(_APOSTROPHE.sub("", headings[-1])))[:60] or "top"
            for body in _bodies(blocks):
                numbered = (f"{page.file}#{slug}-{number}" for number in count(2))
                name = next(name for name in chain((f"{page.file}#{slug}",), numbered) if name not in names)
                names.add(name)
                passages.append(Passage(name, " > ".join(headings), body, keywords))
    return passages


def _text_of(file: str, path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_PAGE:
            raise KnowledgeMistake(file, 1, f"more than {LARGEST_PAGE // 1_000_000} MB: split it into several pages")
        data = path.read_bytes()
    except OSError as error:
        raise KnowledgeMistake(file, 1, f"cannot be read ({error.strerror}): mend or remove it") from error
    encoding = next((name for bom, name in _BOMS if data.startswith(bom)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise KnowledgeMistake(file, line, f"byte 0x{data[error.start]:02x} is not UTF-8: save it as UTF-8") from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if control := _CONTROL.search(text):
        line = text.count("\n", 0, control.start()) + 1
        raise KnowledgeMistake(file, line, "a control character: it is not text; export it as text or remove it")
    if fence := _open_fence(text.split("\n")):
        raise KnowledgeMistake(file, fence, "this code fence is never closed: end it with the same marks on a line")
    return text


def _open_fence(lines: list[str]) -> int:
    """The line of a fence that hides the rest of the page, or 0."""
    opened, mark = 0, ""
    for number, line in enumerate(lines, 1):
        opened, mark = (number, _fence(line, mark)) if not mark else (opened, _fence(line, mark))
    return opened if mark else 0


def _fence(line: str, mark: str) -> str:
    """The fence that is open after this line, given the one before it."""
    found = _FENCE.match(line)
    if not found:
        return mark
    if not mark:
        return found[1]
    closes = found[1].startswith(mark) and not line[found.end() :].strip()
    return "" if closes else mark


def _front_matter(page: Page) -> tuple[str, str, str]:
    """Title, keywords and the rest of a page. A page without a title is called as its file."""
    title, keywords, text = Path(page.file).stem.replace("-", " ").replace("_", " "), "", page.text
    if found := _FRONT_MATTER.match(text):
        text = text[found.end() :]
        for line in found[1].split("\n"):
            name, _, value = line.partition(":")
            if name.strip() == "title" and value.strip():
                title = value.strip(" \t\"'")
            elif name.strip() == "keywords":
                keywords = value.strip(" \t[]")
    return title, keywords, text


def _sections(title: str, text: str) -> Iterator[tuple[list[str], list[str]]]:
    """The sections of a page: the headings above each, and its blocks."""
    headings, levels = [title], [0]
    lines: list[str] = []
    mark = ""
    for line in _COMMENT.sub("", text).split("\n"):
        before, mark = mark, _fence(line, mark)
        if before or mark:
            lines.append(line)
            continue
        level, heading = 0, ""
        if found := _HEADING.match(line):
            level, heading = len(found[1]), found[2] or ""
        elif (found := _UNDERLINE.match(line)) and lines and lines[-1].strip() and "|" not in lines[-1]:
            level, heading = (1 if found[1][0] == "=" else 2), lines.pop().strip()
        if not level:
            lines.append(line)
            continue
        yield headings, _blocks(lines)
        lines = []
        while len(levels) > 1 and levels[-1] >= level:
            headings, levels = headings[:-1], levels[:-1]
        if level == 1:  # the page's own title takes the place of its file's name
            headings, levels = [], []
        headings, levels = [*headings, _plain(heading)], [*levels, level]
    yield headings, _blocks(lines)


def _blocks(lines: list[str]) -> list[str]:
    """Paragraphs, lists, fences, and tables whose rows each say what their cells are."""
    blocks: list[list[str]] = [[]]
    mark = ""
    for line in lines:
        before, mark = mark, _fence(line, mark)
        if mark or before:
            if mark and before:
                blocks[-1].append(line.rstrip())
        elif not line.strip():
            blocks.append([])
        else:
            blocks[-1].append(_plain(line.rstrip()))
    return ["\n".join(_rows(block)) for block in blocks if block]


def _plain(line: str) -> str:
    for pattern, text in _MARKUP:
        line = pattern.sub(text, line)
    return line


def _rows(block: list[str]) -> list[str]:
    if len(block) < 3 or "|" not in block[0] or not _TABLE_RULE.match(block[1]):  # noqa: PLR2004
        return block
    head, _, *rows = (_cells(line) for line in block)
    return [
        "; ".join(f"{name}: {cell}" if name else cell for name, cell in zip(head, row, strict=False) if cell)
        for row in rows
    ]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _bodies(blocks: list[str]) -> Iterator[str]:
    """Gather blocks up to the most words, and begin anew at one that stands well alone."""
    gathered, count = "", 0
    for piece, words, glue in _pieces(blocks):
        if gathered and (count + words > MOST_WORDS or (glue == "\n\n" and count >= LEAST_WORDS)):
            yield gathered
            gathered, count = "", 0
        gathered = f"{gathered}{glue}{piece}" if gathered else piece
        count += words
    if gathered:
        yield gathered


def _pieces(blocks: list[str]) -> Iterator[tuple[str, int, str]]:
    """Blocks, and sentences of those that are too long, with what joins them to the piece before."""
    for block in blocks:
        words = _count(block)
        if words <= MOST_WORDS:
            yield block, words, "\n\n"
            continue
        glue = "\n\n"
        for sentence in filter(str.strip, _SENTENCE_END.split(block)):
            for part in _cut(sentence):
                yield part, _count(part), glue
                glue = "\n" if "\n" in block else " "


def _count(text: str) -> int:
    return max(len(words_of(text)), len(text) // _LONGEST_WORD)


def _cut(sentence: str) -> Iterator[str]:
    """A sentence that is too long, in pieces."""
    if _count(sentence) <= MOST_WORDS:
        yield sentence
        return
    most = MOST_WORDS  # characters, none of which is more than a word
    while sentence:
        end = sentence.rfind(" ", 1, most) if len(sentence) > most else len(sentence)
        end = end if end > 0 else most
        yield sentence[:end].strip()
        sentence = sentence[end:].strip()
