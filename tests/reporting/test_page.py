"""The page as its reader meets it."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.reporting.facts import Facts
from service.reporting.html import Section, dollars, lasted, moment, percent, plural, seconds
from service.reporting.log_lines import facts_of
from service.reporting.page import page
from tests.reporting.told import facts, line, turn

EVIL = "<script>alert(1)</script>\"'&\u202e"
SECTIONS = [
    "At a glance",
    "How long callers waited",
    "Interruptions, and what came before",
    "The slowest turns",
    "Models and tools",
    "What it cost",
    "What went wrong",
]


class Reader(HTMLParser):
    """Reads a page as a screen reader would, and fails on tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag != "script"
        assert not {"src", "onclick", "onload"} & dict(attrs).keys()
        if tag not in {"meta", "br", "col"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data.replace("\N{NO-BREAK SPACE}", " "))

    def __str__(self) -> str:
        return "|".join(self.words)


def read(told: Facts | None, **more: Any) -> str:
    return str(Reader(page(told, "a.log", **more)))


def test_a_page_has_its_sections_and_says_what_it_was_made_from() -> None:
    words = read(facts(turn(agent="desk"), turn(2, at=70, agent="desk")))
    assert re.findall("|".join(SECTIONS), words) == SECTIONS * 2, "in the table of contents and as headings"
    assert "23 November 2026, 10:00:10 to 10:01:10 UTC. 1 call of desk. Made from a.log." in words


def test_a_range_of_days_names_both() -> None:
    late = {**turn(2), "timestamp": "2026-11-25T00:00:00Z"}
    assert "23 November 2026, 10:00:10 to 25 November 2026, 00:00:00 UTC." in read(facts(turn(), late))


def test_a_page_needs_nothing_from_elsewhere() -> None:
    html = page(facts(turn()), "a.log")
    assert not re.search(r"<script|<link|https?:|@import|url\(", html)
    assert "prefers-color-scheme: dark" in html
    assert 'name="viewport"' in html


def test_the_callers_sections_stand_first_and_without_facts_alone() -> None:
    own = Section("Invariants & more", "<p>All held.</p>")
    words = read(facts(turn()), title="A storm", first=[own])
    assert words.index("Invariants & more") < words.index("At a glance")
    alone = read(None, title="A storm", first=[own])
    assert "A storm" in alone
    assert "Made from a.log." in alone
    assert "At a glance" not in alone


def test_sections_without_data_say_so_in_a_sentence() -> None:
    words = read(facts(line("line.opened")))
    for sentence in (
        "No answer was said to a caller here.",
        "No answer had words, so nothing was measured.",
        "No answer was heard here.",
        "Nobody waited for an answer here.",
        "No model was asked.",
        "No tool was called.",
        "No turn tells its tokens",
        "No turn failed, and nothing was warned of.",
    ):
        assert sentence in words
    assert "Made from a.log." in read(facts())


def test_whatever_comes_from_data_is_escaped() -> None:
    names: dict[str, Any] = {
        "call_id": EVIL,
        "prompt": EVIL,
        "outcome": EVIL,
        "reason": EVIL,
        "agent": EVIL,
        "knowledge": EVIL,
    }
    more: dict[str, Any] = {
        "fallback": EVIL,
        "action": EVIL,
        "trace_id": EVIL,
        "traced": True,
        "caller_said": EVIL,
        "agent_said": EVIL,
    }
    work: dict[str, Any] = {
        "tools": [[EVIL, EVIL, 1, 1]],
        "model_attempts": [[EVIL, EVIL, EVIL, 0, 1, 2]],
        "tokens": {},
        "cost": 0.1,
    }
    cut: dict[str, Any] = {"outcome": "interrupted", "words_heard": 0}
    lines = [turn(**{**names, **more, **work}), turn(2, **{**names, **more, **cut}), turn(3, **{**names, **more})]
    failed = turn(4, **{**names, "outcome": "failed"})
    warned = line(EVIL, level="warning") | {"level": "warning", "reason": EVIL}
    ended = line("webhook.accepted", 1, EVIL, webhook="call_ended", reason=EVIL)
    html = page(facts(*lines, failed, warned, ended), EVIL, title=EVIL)
    Reader(html)
    assert "<script>" not in html


JSON = st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.lists(st.integers(), max_size=3)
NAMES = ["timestamp", "settled_after", "outcome", "duration", "time_to_first_chunk", "tools", "model_attempts", "cost"]
FIELDS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from([*NAMES, "words_heard", "words_said", "tokens", "held_after", "reason"]), JSON
)


@given(st.lists(FIELDS, max_size=4))
def test_no_line_breaks_the_page(told: list[dict[str, Any]]) -> None:
    Reader(page(facts_of([turn(at, **fields) for at, fields in enumerate(told)]), "a.log"))


def test_half_a_character_is_not_written() -> None:
    page(facts_of([turn(agent_said="\ud800", outcome="interrupted")]), "a.log").encode()


# What the sections tell.


def test_the_glance_tells_waits_outcomes_and_costs() -> None:
    answers = [turn(n, n, time_to_first_chunk=n / 100, time_to_first_sentence=n / 50, cost=0.01) for n in range(1, 101)]
    ended = line("call.ended", 100, duration=61.0, turns={})
    words = read(facts(*answers, turn(0, prompt="greeting", time_to_first_chunk=9.0), ended))
    assert (
        "Half of the answers began within 1.00 s of the caller's last word; one in twenty took longer than 1.90 s."
        in words
    )
    assert "|First words|0.50 s|p95 0.95 s|p99 0.99 s|" in words
    assert "|Calls|1|1 min 01 s each|" in words
    assert "|Turns|101|101.0 a call|" in words
    assert "|Cost|$1.00|$1.00 a call|" in words
    assert "|completed|101|100 %|heard to its end|" in words
    assert "|first sentence|100|1.00 s|1.90 s|1.98 s|2.00 s|" in words


def test_an_outcome_that_nobody_knows_is_shown_as_it_stands() -> None:
    assert "|completed|1|50 %|heard to its end|odd|1|50 %|" in read(facts(turn(outcome="odd"), turn(2)))


def test_what_a_newer_request_made_void_kept_nobody_waiting() -> None:
    void = turn(1, outcome="superseded", time_to_first_chunk=None, time_to_first_sentence=None, duration=None)
    assert "Nobody waited for an answer here." in read(facts(void))


def test_the_slowest_turns_come_first_with_what_they_waited_for() -> None:
    spent: dict[str, Any] = {"model_attempts": [["gpt", "first", "answered", 0, 2000, 4000]]}
    slow = turn(1, time_to_first_sentence=3.0, **spent, tokens={"input": 10, "output": 5}, cost=0.002)
    failed = turn(
        2, outcome="failed", reason="too_slow", time_to_first_chunk=None, time_to_first_sentence=None, duration=4.5
    )
    acted = turn(
        3, knowledge="found", passages=1, knowledge_waited=0.1, action="hang_up", rescued=True, audible_gap=0.9
    )
    words = read(facts(slow, failed, acted))
    assert words.index("caller spoke: failed, too slow") < words.index("caller spoke: completed · mostly the model")
    assert "The 3 turns for which callers waited longest" in words
    assert "Of what they waited, 100 % went to the model, 0 % to tools and 0 % to all else." in words
    assert "10 tokens in, 5 out · $0.0020" in words
    assert (
        "knowledge: found, 1 passage · waited 0.10 s for it · action: hang up, to rescue the caller · "
        "silent for 0.90 s in mid-answer" in words
    )
    assert "The one turn for which" in read(facts(slow))


def test_only_twenty_are_shown_and_three_of_them_opened() -> None:
    html = page(facts(*(turn(n) for n in range(30))), "a.log")
    assert (html.count("<details"), html.count("<details open")) == (20, 3)


def test_models_and_tools_have_a_row_each() -> None:
    attempts = [["gpt", "first", "lost", 0, None, 900], ["gpt", "hedge", "answered", 500, 800, 1000]]
    tools = [["book", "ok", 100, 10], ["book", "refused", 200, 10], ["book", "timeout", 8000, 10], ["find", "running"]]
    words = read(facts(turn(model_attempts=attempts, tools=tools)))
    assert "|gpt|2|1|0|1|0|1|0.30 s|0.30 s|0.30 s|" in words
    assert "|book|3|1|1|1 timeout|0.20 s|8.00 s|8.00 s|" in words
    assert "|find|1|0|0|1 running|–|–|–|" in words


def test_costs_are_told_by_call_and_minute_with_the_dearest_first() -> None:
    used: dict[str, int] = {"input": 1000, "cached": 250, "output": 50}
    words = read(
        facts(
            turn(1, call_id="cheap", cost=0.01, tokens=used),
            turn(2, call_id="cheap", tokens=used),
            turn(1, call_id="dear", cost=0.05, tokens=used),
            line("call.ended", 20, "dear", duration=60.0, turns={}),
            line("webhook.accepted", 21, "dear", webhook="call_ended", reason="caller_hung_up"),
        )
    )
    assert (
        "$0.060 for 2 calls: $0.030 a call, $0.060 a minute. 3,000 tokens read (25 % of them from the cache)" in words
    )
    assert "150 written, in 3 turns. 1 turn without a price left out." in words
    assert "|call|cost|lasted|turns|its end, by the platform|dear|$0.050|1 min 00 s|1|caller hung up|" in words
    assert "|cheap|$0.010|–|2|–|" in words


def test_without_prices_there_are_tokens_alone() -> None:
    words = read(facts(turn(tokens={"output": 5})))
    assert (
        "The models have no price in the table (CUEBOX_PRICES), so there are only tokens. 0 tokens read and 5" in words
    )


def test_what_went_wrong_is_counted() -> None:
    failed: dict[str, Any] = {"outcome": "failed", "reason": "RateLimited"}
    warned = {**line("line.oddity"), "level": "warning", "oddity": "not_json"}
    words = read(facts(turn(1, **failed), turn(2, **failed), warned))
    assert "|RateLimited|2|" in words
    assert "|line.oddity|not_json|1|" in words


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (seconds(None), "–"),
        (seconds(0.0123), "12 ms"),
        (seconds(9.99), "9.99 s"),
        (seconds(12.34), "12.3 s"),
        (lasted(None), "–"),
        (lasted(59.6), "1 min 00 s"),
        (lasted(30), "30 s"),
        (dollars(None), "–"),
        (dollars(0), "$0.00"),
        (dollars(1234.5), "$1,234.50"),
        (dollars(0.0123), "$0.012"),
        (dollars(0.00123), "$0.0012"),
        (dollars(0.00001), "below $0.0001"),
        (percent(0.5), "50 %"),
        (percent(0.045), "4.5 %"),
        (percent(0.0001), "0 %"),
        (moment(0), "–"),
        (moment(1), "01 Jan, 00:00:01"),
        (plural(1, "call"), "1 call"),
        (plural(1000, "call"), "1,000 calls"),
    ],
)
def test_numbers_are_as_precise_as_it_matters(shown: str, text: str) -> None:
    assert shown.replace("\N{NO-BREAK SPACE}", " ") == text
