"""How well knowledge is found from what callers say: `make retrieval` (half a minute).

Two bodies of text: the receptionist's own knowledge, and what every Python brings along, its language reference and the
docstrings of its library. The questions were written by hand as they are spoken and misheard: no punctuation, fillers,
homophones, words split and joined. An answer counts when it is a passage that says it, not merely one about it.
"""

import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.retrieval_corpus import library, reference
from service.agents.knowledge import index, quoting, vocabulary, wording
from service.agents.knowledge.passages import Page, passages_of, read_pages
from service.agents.knowledge.store import Hit, Passage

HERE = Path(__file__).parent
RECEPTIONIST = HERE.parent / "service" / "agents" / "receptionist" / "knowledge"
_DEPTH = 10


@dataclass(frozen=True, slots=True)
class Question:
    """What a caller said, and which passages answer it: by id, or by what they say."""

    query: str
    passages: tuple[str, ...] = ()
    says: tuple[str, ...] = ()

    def is_answered_by(self, passage: Passage) -> bool:
        section, _, number = passage.id.rpartition("-")
        if passage.id in self.passages or (number.isdigit() and section in self.passages):
            return True
        text = _normal(f"{passage.heading} {passage.text}")
        return any(_normal(words) in text for words in self.says)


@dataclass(frozen=True, slots=True)
class Score:
    """How a body of questions went; shares are 0 to 1."""

    first: float
    in_three: float
    reciprocal: float
    seconds: tuple[float, ...]
    quoted: int
    quoted_right: float

    def latency(self) -> str:
        return f"{statistics.median(self.seconds) * 1000:.1f} / {_p99(self.seconds) * 1000:.1f} ms"


def questions(name: str) -> list[Question]:
    """Those of a file beside this one."""
    rows = map(json.loads, (HERE / "retrieval" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines())
    return [
        Question(
            row["question"] + (f"\n{row['before']}" if "before" in row else ""),
            tuple(row.get("passages", ())),
            tuple(row.get("says", ())),
        )
        for row in rows
    ]


def judge(asked: Sequence[Question], search: Callable[[str], Sequence[Hit]]) -> Score:
    """Ask them all."""
    ranks: list[int] = []
    seconds: list[float] = []
    quoted: list[bool] = []
    for question in asked:
        began = time.perf_counter()
        hits = search(question.query)
        seconds.append(time.perf_counter() - began)
        right = [question.is_answered_by(hit.passage) for hit in hits]
        ranks.append(right.index(True) if True in right else _DEPTH)
        if quotation := quoting.quote(question.query, hits[:3]):
            quoted.append(_is_of(quotation, (hit.passage for hit in hits[:3] if question.is_answered_by(hit.passage))))
    return Score(
        first=statistics.mean(rank == 0 for rank in ranks),
        in_three=statistics.mean(rank < 3 for rank in ranks),  # noqa: PLR2004
        reciprocal=statistics.mean(1 / (rank + 1) if rank < _DEPTH else 0 for rank in ranks),
        seconds=tuple(seconds),
        quoted=len(quoted),
        quoted_right=statistics.mean(quoted) if quoted else 0.0,
    )


def _is_of(quotation: str, passages: Iterable[Passage]) -> bool:
    return any(_normal(quotation[:40]) in _normal(passage.text) for passage in passages)


def searcher(pages: Sequence[Page], tables: str = index.TABLES) -> Callable[[str], Sequence[Hit]]:
    """A search over pages that stand in memory."""
    built = index.built(pages, tables)
    words = vocabulary.Vocabulary(built)
    return lambda query: index.best(built, words, query, _DEPTH)


def ablations() -> Iterator[tuple[str, Callable[[Sequence[Page], Sequence[Question]], Score]]]:
    """The design, and the design without each of its steps."""

    def shipped(pages: Sequence[Page], asked: Sequence[Question]) -> Score:
        return judge(asked, searcher(pages))

    def changed(*changes: tuple[object, str, object]) -> Callable[[Sequence[Page], Sequence[Question]], Score]:
        def run(pages: Sequence[Page], asked: Sequence[Question]) -> Score:
            with _changed(*changes):
                return shipped(pages, asked)

        return run

    plain: tuple[tuple[object, str, object], ...] = (
        (index, "passages_of", _without_headings),
        (vocabulary.Vocabulary, "_joined", lambda *_: iter(())),
        (vocabulary.Vocabulary, "_readings", lambda _, word: iter([(word, 1.0)])),
        (wording, "_MEANT", ()),
        (wording, "_EMPTY", frozenset()),
        (index, "BEST", index.BEST.replace("0.6 + 0.4 *", "1 + 0 *")),
    )

    def bare(pages: Sequence[Page], asked: Sequence[Question]) -> Score:
        with _changed(*plain):
            return judge(asked, searcher(pages, index.TABLES.replace("porter ", "")))

    yield "plain words, BM25", bare
    yield "as shipped", shipped
    yield "… without stems", lambda pages, asked: judge(asked, searcher(pages, index.TABLES.replace("porter ", "")))
    yield "… without headings", changed(plain[0])
    yield "… without joining words", changed(plain[1])
    yield "… without guessing misheard words", changed((vocabulary, "_GUESSED", 1e-9))
    yield "… without `how much` = price, teeth = tooth", changed(plain[3], (vocabulary, "SAME", {}))
    yield "… with empty words", changed(plain[4])
    yield "… without counting what is covered", changed(plain[5])
    yield "… without what was said before", changed((vocabulary, "_REFERRED_TO", 1e-9))


def main() -> None:
    """Print all figures."""
    bodies = [
        ("receptionist", read_pages(RECEPTIONIST), questions("receptionist")),
        ("Python", [*reference(), *library()], questions("questions")),
    ]
    for name, pages, asked in bodies:
        score, passages = judge(asked, searcher(pages)), len(passages_of(pages))
        print(f"\n{name}: {len(asked)} questions over {passages} passages; search p50 / p99 {score.latency()}")
        print(
            f"without a model, {score.quoted} are answered by a quotation, {score.quoted_right:.0%} of them rightly\n"
        )
        print("| | recall@1 | recall@3 | MRR |\n|---|---|---|---|")
        for step, run in ablations():
            score = run(pages, asked)
            print(f"| {step} | {score.first:.0%} | {score.in_three:.0%} | {score.reciprocal:.2f} |")
    print(f"\n{_at_size(bodies[1][1], bodies[1][2])}")


def _at_size(pages: Sequence[Page], asked: Sequence[Question]) -> str:
    """Load and search with about ten thousand passages: the same text twice, its paragraphs in another order."""
    large = [*pages, *(Page(f"again-{page.file}", _turned(page.text)) for page in pages)]
    with tempfile.TemporaryDirectory() as folder:
        gc.collect()
        timed: list[float] = []
        for _ in ("built", "from its cache"):
            store = index.Index(large, Path(folder))
            began = time.perf_counter()
            opened, words = store.open()
            timed.append(time.perf_counter() - began)
        size = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
        count = opened.execute("SELECT COUNT(*) FROM passages").fetchone()[0]
        score = judge(asked, lambda query: index.best(opened, words, query, 3))
        opened.close()
    return (
        f"{count} passages: built in {timed[0]:.2f} s, loaded from the cache in {timed[1]:.2f} s, {size:.0f} MB;"
        f" search p50 / p99 {score.latency()}"
    )


def _without_headings(pages: Sequence[Page]) -> list[Passage]:
    return [Passage(passage.id, "", passage.text) for passage in passages_of(pages)]


@contextmanager
def _changed(*changes: tuple[object, str, object]) -> Iterator[None]:
    """Try the design otherwise."""
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in changes]
    try:
        for owner, name, value in changes:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


def _turned(text: str) -> str:
    paragraphs = text.split("\n\n")
    return "\n\n".join(paragraphs[1:] + paragraphs[:1]).replace(" the ", " that ")


def _normal(text: str) -> str:
    return " ".join(text.replace("__", "").casefold().split())


def _p99(seconds: Sequence[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.99)]


if __name__ == "__main__":
    main()
