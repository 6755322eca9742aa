"""What a caller hears of markdown, URLs and emoji, however the text was cut."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from service.llm.speakable import HELD_AT_MOST, SpeakableText


def spoken(*chunks: str) -> str:
    text = SpeakableText()
    return "".join([text.feed(chunk) for chunk in chunks]) + text.flush()


def cases(**pairs: tuple[str, str]) -> pytest.MarkDecorator:
    params = [pytest.param(*pair, id=name.replace("_", " ")) for name, pair in pairs.items()]
    return pytest.mark.parametrize(("written", "heard"), params)


def check(written: str, heard: str) -> None:
    assert spoken(written) == heard
    assert spoken(*written) == heard


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('  Hello there, it\'s 9 - 5: "well-known" (yes)!', id="sentence"),
        pytest.param("a snake_case name, john_doe@example.com", id="underscore in a word"),
        pytest.param(" 2 * 3 is 6, and 2*3 too", id="product"),
        pytest.param("5 < 6 > 4, a<b, <john@example.com>", id="comparison"),
        pytest.param("<b and c, <a b=c", id="tag that never ends"),
        pytest.param("#1 in C# and C++", id="number sign"),
        pytest.param("-5 degrees, +1 555, --verbose", id="sign at a line's start"),
        pytest.param("20° 5€ © ™ & % $ → café", id="symbols"),
        pytest.param("日本語。 مرحبا नमस्ते", id="scripts"),
        pytest.param("क्\u200dष می\u200cخواهم", id="joiners that are spelling"),  # noqa: RUF001
        pytest.param("example.com and http or www or What the", id="bare domain"),
        pytest.param("~5 and/or C:\\dir 24/7 = ==", id="single marks"),
        pytest.param("1. one 2) two", id="numbered list"),
        pytest.param("####### seven", id="no heading"),
        pytest.param("", id="nothing"),
    ],
)
def test_plain_text_passes_unchanged(text: str) -> None:
    check(text, text)


@cases(
    bold=("**b** and __b__, bo**l**d", "b and b, bold"),
    italic=("*it* _it_ ***both***", "it it both"),
    sloppy_bold=("so ** b ** it", "so b it"),
    blank=("a ____ b", "a b"),
    code=("run `code` now", "run code now"),
    fence=("```python\nprint\n```\nDone", "print Done"),
    fence_without_language=("```\nprint\n```", "print"),
    fence_that_is_none=("```print```", "print"),
    strike=("~~no~~ yes ~~~x", "no yes x"),
    heading=("# One\ntwo\n### Three", "One two Three"),
    underlined_heading=("One\n=====\ntwo", "One two"),
    bullets=("- one\n* two\n  + three\n• four", "one two three four"),
    nested_marks=("> - **one**\n>> # two", "one two"),
    numbers=("1. **one**\n2) two", "1. one 2) two"),
    tasks=("- [ ] one\n- [x] two", "one two"),
    rules=("one\n\n---\n\ntwo\n***\n-----\n* * *\nthree", "one two three"),
    table=("| a | b |\n|---|:-:|\n| c|-5 |", "a b c -5 "),
    pipes=("a|b|$5|.", "a b $5."),
    link=('see [the site](https://x.y/a_(b)?c=1.), [it](u "its title")!', "see the site, it!"),
    link_in_a_word=("pre[fix](u)es a[0]", "pre fixes a 0"),
    image=("![alt](u.png) Wow![alt](u)", "alt Wow! alt"),
    link_that_never_ends=("[x](https://never. ends here", "x. ends here"),
    link_whose_title_never_ends=('[x](u "never ends', 'x "never ends'),
    escapes=("\\*not\\* 2 \\* 3 \\\nend\\", "*not* 2 * 3 end\\"),
    tags=('a<br>b <b>c</b>. <img src="x.png" /> d<br/>e', "a b c. d e"),
)
def test_markdown_is_not_spoken(written: str, heard: str) -> None:
    check(written, heard)


@cases(
    any_case=("see HTTPS://X.y/z_a?b=1 or Www.x.y now", "see or now"),
    full_stop=("Look:\nhttps://x.y/a.b. Now", "Look:. Now"),
    space_already_out=("see https://x.y... Now", "see ... Now"),
    brackets=("(https://x.y/a_(b)) and (www.x.y/(a), c", "() and (, c"),
    bold=("**https://x.y.**", "."),
    autolink=("at <https://x.y/z> or <www.x.y>", "at or "),
    as_link_text=("[https://x.y](https://x.y)!", "!"),
    other_scheme=("ftp://x.y is old", "ftp: is old"),
    many_points=("www.x" + "." * 20 + "y z", "z"),
    no_spaces=("请看https://x.y。谢谢", "请看。谢谢"),
    inside_a_word=("xhttp yhttps://secret", "xhttp yhttps:"),
)
def test_a_url_is_not_spoken(written: str, heard: str) -> None:
    check(written, heard)


@cases(
    faces=("hi 😀👍🏽 there", "hi there"),
    glued=("hi😀there, great😀!", "hi there, great!"),
    family=("the 👨‍👩‍👧 came", "the came"),
    flags=("🇩🇪 and 🏴󠁧󠁢󠁥󠁮󠁧󠁿 won", "and won"),
    keycaps=("1️⃣ one", "1 one"),
    heart=("❤️ you ✅", "you "),
)
def test_emoji_are_not_spoken(written: str, heard: str) -> None:
    check(written, heard)


@cases(
    line_breaks=("\n\n one\r\n\ttwo \n three\u2028four\n", "one two three four"),
    controls=("a\x00b\x1b c\x9f", "ab c"),
    invisible=("\ufeffa\u200bb\u200e \u202ec\u00ad", "ab c"),
    stray_joiner=("a\u200db \u200cc ک\u200c\u200cی", "ab c ک\u200cی"),
    surrogates=("a\ud83d b\udc00", "a b"),
    citation=("so\ue200 it is", "so it is"),
)
def test_control_characters_are_not_spoken(written: str, heard: str) -> None:
    check(written, heard)


@pytest.mark.parametrize("word", ["Hello", " there", "!", " it's", " 5", "-", ":", " oh", " show", " ("])
def test_a_word_is_spoken_at_once(word: str) -> None:
    text = SpeakableText()
    text.feed("So")
    assert text.feed(word) == word


@pytest.mark.parametrize(
    ("written", "held"),
    [
        pytest.param("go h", "h", id="perhaps a URL"),
        pytest.param("go ](", "", id="link target"),
        pytest.param("a]", "]", id="perhaps a link"),
        pytest.param("-", "-", id="perhaps a bullet"),
        pytest.param("a <b", "<b", id="perhaps a tag"),
    ],
)
def test_only_the_beginning_of_markup_is_held(written: str, held: str) -> None:
    text = SpeakableText()
    text.feed(written)
    assert text._held == held


INVISIBLE = "\x00\u200b\u200c\u200d\u202e\u20e3\ufe0f\ud83d"
FORBIDDEN = re.compile("[\0-\x1f\x7f-\x9f\u200b\u2028\u202e\u20e3\ufe0f\ud800-\udfff\U0001f000-\U0001faff❤]|secret")
URLS = [" https://secret", "(HTTP://secret.x", ";www.secret", "x://secret", "[a](secret", " <https://secret"]
MARKS = [*"*_`~#-+></|[)!\\=", "](", "<b", "|--", ' "', "```py", "[x]"]
WORDS = [*"ahtpw5éकم日。.,: \t\n\r\u2028", "http", "www."]
nasty_texts = st.lists(st.sampled_from([*URLS, *MARKS, *WORDS, *INVISIBLE, *"😀🇩🏽❤"])).map("".join)


@given(nasty_texts, st.data())
def test_what_is_spoken_does_not_depend_on_the_cuts(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    chunks = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert spoken(*chunks) == spoken(*text) == spoken(text)


@given(nasty_texts)
def test_nothing_forbidden_is_spoken(text: str) -> None:
    heard = spoken(text)
    assert FORBIDDEN.search(heard) is None
    assert heard.encode().decode() == heard
    assert "  " in re.sub(f"[{INVISIBLE}]", "", text) or "  " not in heard


@given(st.lists(st.text("aehtpwTW059é日 .,?!;:'\"()-&%$€#+=>")))
def test_plain_text_is_spoken_as_it_is_and_a_finished_word_at_once(chunks: list[str]) -> None:
    assume("www." not in "".join(chunks).lower())
    text = SpeakableText()
    heard = text.feed("So")
    for chunk in chunks:
        heard += text.feed(chunk)
        assert chunk[-1:] not in {" ", "."} or text._held == ""
    assert heard + text.flush() == "So" + "".join(chunks)


HOSTILE = ["[", "<", "<a ", "<a b=c", "](", '](x "', "](x   ", "https://aaaa", "www.a(", "https://a.", "http", "```py "]
HOSTILE += [*"h*~`|-#\\!😀\n\u200d", " *", "a_", "| ", "|-", " !", "<" + "a" * 200]


@pytest.mark.parametrize("unit", HOSTILE)
def test_what_is_held_stays_bounded(unit: str) -> None:
    text = SpeakableText()
    for character in unit * 500:
        text.feed(character)
        assert len(text._held) < HELD_AT_MOST


@given(st.lists(st.tuples(st.sampled_from([*URLS, *MARKS, *WORDS]), st.integers(1, 150)), max_size=6))
def test_no_markup_at_all_can_make_it_hold_more(runs: list[tuple[str, int]]) -> None:
    text = SpeakableText()
    for character in "".join(unit * times for unit, times in runs):
        text.feed(character)
        assert len(text._held) < HELD_AT_MOST
