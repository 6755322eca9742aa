import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.agents.knowledge.passages import LARGEST_PAGE, MOST_WORDS, KnowledgeMistake, Page, passages_of, read_pages
from service.agents.knowledge.store import Passage
from service.conversation.transcript import words_of


def passages(text: str, file: str = "opening-hours.md") -> list[Passage]:
    return passages_of([Page(file, text)])


def mistake_in(folder: Path, data: bytes, name: str = "a.md") -> str:
    (folder / name).write_bytes(data)
    with pytest.raises(KnowledgeMistake) as told:
        read_pages(folder)
    return str(told.value)


def test_a_section_becomes_a_passage_with_its_path_of_headings() -> None:
    found = passages(
        "# Prices\n\nAll in dollars.\n\n## Cleaning\n\nIt costs 110.\n\n### Deep cleaning\n\nIt costs 240.\n"
    )
    assert [(p.id, p.heading, p.text) for p in found] == [
        ("opening-hours.md#prices", "Prices", "All in dollars."),
        ("opening-hours.md#cleaning", "Prices > Cleaning", "It costs 110."),
        ("opening-hours.md#deep-cleaning", "Prices > Cleaning > Deep cleaning", "It costs 240."),
    ]


def test_a_section_leaves_those_that_stood_deeper() -> None:
    found = passages("# A\n## B\n### C\nc\n## The children's D\nd\n# E\ne")
    assert [(p.id, p.heading) for p in found] == [
        ("opening-hours.md#c", "A > B > C"),
        ("opening-hours.md#the-childrens-d", "A > The children's D"),
        ("opening-hours.md#e", "E"),
    ]


def test_a_page_without_a_heading_is_called_as_its_file() -> None:
    (only,) = passages("We open at nine.", "about/opening_hours.txt")
    assert (only.id, only.heading) == ("about/opening_hours.txt#opening-hours", "opening hours")
    (only,) = passages("## ?\n\nWords.")
    assert only.id == "opening-hours.md#top"


def test_underlined_headings_are_headings_and_lines_are_not() -> None:
    found = passages("Hours\n=====\n\nNine to five.\n\nSundays\n-------\nClosed.\n\n---\n\nAlways.")
    assert [(p.heading, p.text) for p in found] == [
        ("Hours", "Nine to five."),
        ("Hours > Sundays", "Closed.\n\n---\n\nAlways."),
    ]


def test_front_matter_tells_a_title_and_keywords() -> None:
    (only,) = passages("---\ntitle: 'Fear'\nauthor: Ann\nkeywords: [scared, afraid]\n---\nWe take our time.")
    assert only == Passage("opening-hours.md#fear", "Fear", "We take our time.", "scared, afraid")
    assert passages("---\nno front matter")[0].text == "---\nno front matter"


def test_paragraphs_are_gathered_and_long_ones_are_cut_at_their_sentences() -> None:
    found = passages("\n\n".join(["one two three four five six seven eight nine ten."] * 30))
    assert [len(words_of(p.text)) for p in found] == [80, 80, 80, 60]
    assert [p.id.partition("#")[2] for p in found[:2]] == ["opening-hours", "opening-hours-2"]
    found = passages("A sentence of six words stands. " * 60)
    assert all(p.text.endswith("stands.") and len(words_of(p.text)) <= MOST_WORDS for p in found)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("word " * 50_000, id="no sentence ends"),
        pytest.param("x" * 200_000, id="one endless word"),
        pytest.param("日本語の文章です。" * 5_000, id="no spaces"),
        pytest.param("a|b\n-|-\n" + "1|2\n" * 20_000, id="a long table"),
        pytest.param("#" * 100_000 + "\n" + "> " * 50_000 + "*_`[" * 20_000, id="nothing but marks"),
    ],
)
def test_no_text_makes_a_passage_that_is_too_long(text: str) -> None:
    for passage in passages(text):
        assert len(words_of(passage.text)) <= MOST_WORDS
        assert len(passage.text) <= 2_400


def test_a_table_says_in_each_row_what_its_cells_are() -> None:
    (only,) = passages("| Treatment | Price |  |\n|---|---:|---|\n| Cleaning | **$110** | x |\n| Crown | |\n")
    assert only.text == "Treatment: Cleaning; Price: $110; x\nTreatment: Crown"


def test_markup_is_taken_off_and_code_is_kept() -> None:
    (only,) = passages(
        "See **our** [prices](https://x.org 'p') and `now`.<!-- secret\n# -->\n```sh\n# not a heading\n```\n"
    )
    assert only.text == "See our [prices](https://x.org 'p') and now.\n# not a heading"
    assert (
        passages('[prices](https://x.org "p") ![a map](m.png) snake_case_word')[0].text
        == "prices a map snake_case_word"
    )


def test_empty_pages_have_no_passages() -> None:
    assert [passages(text) for text in ("", "\n\n", "# Only a heading", "<!-- note -->")] == [[], [], [], []]


def test_sections_of_one_name_are_told_apart() -> None:
    found = passages("## B\n1\n## B\n2\n## B 2\n3\n## B\n4")
    assert [p.id.partition("#")[2] for p in found] == ["b", "b-2", "b-2-2", "b-3"]


@given(st.text(max_size=300))
def test_any_text_is_cut_and_ids_never_repeat(text: str) -> None:
    found = passages(text)
    assert len({p.id for p in found}) == len(found)
    assert all(p.text.strip() for p in found)


def test_pages_are_text_in_a_folder_and_those_inside_it_and_nothing_hidden(tmp_path: Path) -> None:
    for name in ("b.md", "a.TXT", "deep/c.markdown", ".hidden.md", ".git/d.md", "logo.png", "notes.pdf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert [page.file for page in read_pages(tmp_path)] == ["a.TXT", "b.md", "deep/c.markdown"]
    assert read_pages(tmp_path / "missing") == []


def test_linked_files_are_read_and_linked_folders_are_not(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "prices.md").write_text("Prices.")
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "prices.md").symlink_to(tmp_path / "shared" / "prices.md")
    (tmp_path / "pages" / "loop").symlink_to(tmp_path / "pages", target_is_directory=True)
    assert read_pages(tmp_path / "pages") == [Page("prices.md", "Prices.")]
    (tmp_path / "pages" / "gone.md").symlink_to(tmp_path / "nowhere")
    with pytest.raises(KnowledgeMistake, match=r"gone\.md:1: cannot be read \(No such file"):
        read_pages(tmp_path / "pages")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_marked_encodings_and_foreign_line_ends_are_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.md").write_bytes("Café\r\n\rop".encode(encoding))
    assert read_pages(tmp_path) == [Page("a.md", "Café\n\nop")]


def test_what_is_not_text_is_told_with_its_line_and_a_remedy(tmp_path: Path) -> None:
    assert mistake_in(tmp_path, b"ok\nCaf\xe9") == "a.md:2: byte 0xe9 is not UTF-8: save it as UTF-8"
    assert mistake_in(tmp_path, b"a\n\nb\x00c").startswith("a.md:3: a control character: it is not text")
    assert mistake_in(tmp_path, b"a\n```\nb").startswith("a.md:2: this code fence is never closed")
    assert mistake_in(tmp_path, b"x" * (LARGEST_PAGE + 1)).startswith("a.md:1: more than 4 MB: split it")


def test_a_fence_is_closed_by_its_own_marks_alone(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("````\n```\n~~~\n```` x\n````\n# After\nwords")
    assert passages_of(read_pages(tmp_path))[-1].heading == "After"


def test_too_many_pages_are_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.agents.knowledge.passages.MOST_PAGES", 1)
    (tmp_path / "a.md").touch()
    assert "too many" in mistake_in(tmp_path, b"", "b.md")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root reads everything")
def test_a_page_that_may_not_be_read_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "a.md").touch(mode=0o000)
    with pytest.raises(KnowledgeMistake, match="Permission denied"):
        read_pages(tmp_path)
