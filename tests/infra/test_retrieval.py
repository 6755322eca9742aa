from infra.retrieval import RECEPTIONIST, Question, judge, questions, searcher
from infra.retrieval_corpus import library, reference
from service.agents.knowledge.passages import Page, passages_of, read_pages
from service.agents.knowledge.store import Passage

NAMED = frozenset(
    {"shutil", "heapq", "random", "threading", "queue", "asyncio.tasks", "json", "statistics", "textwrap"}
)


def test_callers_find_what_the_receptionist_knows() -> None:
    score = judge(questions("receptionist"), searcher(read_pages(RECEPTIONIST)))
    assert score.in_three >= 0.8
    assert score.first >= 0.6
    assert score.quoted_right >= 0.8


def test_callers_find_what_the_manual_of_python_says() -> None:
    pages = [*reference(), *library(NAMED)]
    passages = passages_of(pages)
    asked = [each for each in questions("questions") if any(map(each.is_answered_by, passages))]
    assert len(asked) >= 100
    assert judge(asked, searcher(pages)).in_three >= 0.65


def test_every_question_has_an_answer_that_it_could_find() -> None:
    passages = passages_of(read_pages(RECEPTIONIST))
    assert [each.query for each in questions("receptionist") if not any(map(each.is_answered_by, passages))] == []


def test_a_search_that_finds_nothing_scores_nothing() -> None:
    score = judge(questions("receptionist")[:3], lambda _: [])
    assert (score.first, score.in_three, score.reciprocal, score.quoted) == (0, 0, 0, 0)


def test_a_passage_answers_by_its_section_or_its_words() -> None:
    assert Question("q", passages=("a.md#b",)).is_answered_by(Passage("a.md#b-2", "", ""))
    assert not Question("q", passages=("a.md#b",)).is_answered_by(Passage("a.md#b-c", "", ""))
    assert Question("q", says=("Two  words",)).is_answered_by(Passage("x", "", "here are two\nwords"))


def test_the_reference_becomes_pages_with_headings() -> None:
    page = next(page for page in reference() if page.file == "lambda.md")
    assert isinstance(page, Page)
    assert page.text.startswith("# Lambdas\n")
