import asyncio
import os
import sqlite3
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.agents.knowledge import index as index_module
from service.agents.knowledge.index import Index, best, built
from service.agents.knowledge.passages import Page
from service.agents.knowledge.store import Hit
from service.agents.knowledge.vocabulary import Vocabulary

PAGES = (
    Page("hours.md", "# Opening hours\n\n## Weekends\n\nOn Sunday all of our locations are closed."),
    Page(
        "prices.md",
        "# Prices\n\n## Cleaning\n\nA cleaning costs 110 dollars.\n\n## Root canals\n\nIt costs 900 dollars.",
    ),
    Page("team.md", "# Team\n\nThe hygienist is Maria. You need not write. Call about a toothache at once."),
    Page("fear.md", "---\nkeywords: scared, frightened\n---\n# Nerves\n\nWe take our time with everybody."),
)
BUILT = built(PAGES)


def found(query: str) -> Sequence[Hit]:
    return best(BUILT, Vocabulary(BUILT), query, 3)


def first(query: str) -> str:
    return found(query)[0].passage.id


@pytest.mark.parametrize(
    ("query", "passage"),
    [
        pytest.param("are you open on sundays", "hours.md#weekends", id="another form of the word"),
        pytest.param("um so like what does cleaning cost", "prices.md#cleaning", id="fillers"),
        pytest.param("how much is a root can all", "prices.md#root-canals", id="a word in two"),
        pytest.param("who is the hygenist", "team.md#team", id="a misspelt word"),
        pytest.param("may i rite", "team.md#team", id="a word of the same sound"),
        pytest.param("i have a tooth ache", "team.md#team", id="a word apart"),
        pytest.param("i am so frightened", "fear.md#nerves", id="a keyword that the page does not show"),
        pytest.param("what does it cost\nA cleaning is half an hour.", "prices.md#cleaning", id="said before"),
    ],
)
def test_speech_finds_what_was_meant(query: str, passage: str) -> None:
    assert first(query) == passage


def test_a_score_is_the_clearer_the_more_of_the_question_is_covered() -> None:
    clear, vague, faint = (
        found(q)[0].score for q in ("cleaning costs", "cleaning parking", "cleaning parking ferry bus")
    )
    assert 1 > clear > vague > faint > 0


def test_what_is_not_known_is_not_found() -> None:
    assert [list(found(query)) for query in ("", "\n", "xylophone zymurgy", "ok thank you")] == [[], [], [], []]


def test_the_same_text_twice_is_found_once() -> None:
    index = built([Page("a.md", "We have a parking lot."), Page("b.md", "We have a parking lot.")])
    assert len(best(index, Vocabulary(index), "parking", 3)) == 1


def test_one_passage_is_enough_to_search() -> None:
    index = built([Page("a.md", "We have a parking lot.")])
    assert best(index, Vocabulary(index), "is there parking", 3)[0].score > 0.3


@pytest.mark.parametrize(
    "query", ['") OR 1 --', "text:cleaning", "cleaning*", "NEAR(a b)", "a AND NOT b", "^x", '"', "\x00"]
)
def test_the_language_of_the_index_means_nothing_in_a_query(query: str) -> None:
    assert all(hit.passage.id.endswith("#cleaning") for hit in found(query))


@given(st.text(max_size=200))
def test_no_query_raises(query: str) -> None:
    assert all(0 <= hit.score <= 1 for hit in found(query))


def test_common_words_yield_to_telling_ones_when_there_is_much_to_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "_MOST_ROWS", 1)
    assert [hit.passage.id for hit in found("does cleaning cost dollars")] == ["prices.md#cleaning"]


async def test_it_searches_in_a_thread_of_its_own() -> None:
    seen: set[int] = set()
    store = Index(PAGES)
    search = store._search
    store._search = lambda query, limit: seen.add(threading.get_ident()) or search(query, limit)  # type: ignore[method-assign,func-returns-value]
    hits = await asyncio.gather(*(store.search("sunday") for _ in range(9)))
    await store.close()
    assert all(found[0].passage.id == "hours.md#weekends" for found in hits)
    assert len(seen) == 1
    assert threading.get_ident() not in seen


async def test_it_is_released_without_ever_being_used() -> None:
    await Index(PAGES).close()


async def test_a_cached_index_is_loaded_and_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Index(PAGES, tmp_path)
    await store.warm_up()
    await store.close()
    monkeypatch.setattr(index_module, "built", None)
    again = Index(PAGES, tmp_path)
    assert (await again.search("sunday"))[0].passage.id == "hours.md#weekends"
    await again.close()
    with pytest.raises(TypeError):  # other text is another index
        Index(PAGES[:1], tmp_path).open()


def spoilt(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "cut off":
        path.write_bytes(data[: len(data) // 2])
    elif how == "overwritten":
        path.write_bytes(data[:100] + os.urandom(len(data) - 100))
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "another database":
        path.unlink()
        sqlite3.connect(path).executescript("CREATE TABLE t (x); PRAGMA user_version = 99;")
    else:
        path.unlink()
        path.mkdir()


@pytest.mark.parametrize("how", ["cut off", "overwritten", "empty", "another database", "a folder"])
def test_a_broken_cache_is_built_anew(tmp_path: Path, how: str) -> None:
    Index(PAGES, tmp_path).open()[0].close()
    (path,) = tmp_path.iterdir()
    spoilt(path, how)
    for _ in range(2):
        index, words = Index(PAGES, tmp_path).open()
        assert best(index, words, "sunday", 3)
        index.close()
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert best(*Index(PAGES, tmp_path / "file" / "cache").open(), "sunday", 3)


def test_the_oldest_caches_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "_CACHES_KEPT", 2)
    for count in range(1, 5):
        Index(PAGES[:count], tmp_path).open()[0].close()
    assert len(list(tmp_path.iterdir())) == 2


def build_in(folder: str) -> int:
    return len(best(*Index(PAGES, Path(folder)).open(), "sunday", 3))


def test_several_processes_may_build_at_once(tmp_path: Path) -> None:
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as processes:
        assert list(processes.map(build_in, [str(tmp_path)] * 6)) == [1] * 6
    assert len(list(tmp_path.iterdir())) == 1
