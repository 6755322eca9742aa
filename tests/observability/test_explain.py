import json
import re
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from service.cli import main
from service.conversation.events import DeadlineKind
from service.llm.records import Cause, Result
from service.observability.explain import CallUnknown, explain
from service.observability.flight import FlightRecorder
from service.observability.logs import CallLog, configure_logs
from service.observability.watch import Watch
from tests.conversation.play import CALL_ID, agent, caller
from tests.observability.seen import SeenPlay

HEARD = (agent("Hello."), caller("Hi."))


def told(lines: list[str], call_id: str = CALL_ID, width: int = 140) -> str:
    console = Console(file=StringIO(), width=width)
    console.print(explain(lines, call_id))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def line(event: str, seconds: float = 0, **fields: Any) -> str:
    moment = f"2026-11-23T10:00:{seconds:09.6f}Z"
    return json.dumps({"timestamp": moment, "level": "info", "event": event, "call_id": CALL_ID, **fields})


SETTLED: dict[str, Any] = {"turn_id": 1, "turn_index": 1, "prompt": "caller_spoke", "outcome": "completed"}


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines of a call with a failed turn, as the service writes them."""
    configure_logs("json", "info")
    play = SeenPlay(Watch([CallLog(lambda _: None), FlightRecorder()]))
    play.greets()
    play.asks(1, *HEARD)
    play.waits(1.8)
    play.passes(DeadlineKind.PATIENCE)
    play.attempts(result=Result.FAILED, error="RateLimited", took=None)
    play.attempts(cause=Cause.RETRY, result=Result.FAILED, error="ServerFailed", took=None)
    play.fails("ServerFailed")
    play.leaves(1000)
    play.ends()
    sys.stdout.flush()
    return capsys.readouterr().out.splitlines()


def test_a_failed_turn_reads_as_it_went(log: list[str]) -> None:
    text = told(log)
    assert text.startswith("Call call_1 · 1.80 s · turns: 1 completed, 1 failed\n")
    for words in (
        "line.opened",
        "turn 1, caller spoke: failed (ServerFailed)",
        "no words of an answer · all said after 1.80 s",
        "a hold line was spoken",
        "ended with the line: apology",
        "model.attempt, turn_index 1, target first, cause first, result failed, error RateLimited",
        "cause retry, result failed, error ServerFailed",
        "flight recorder: turn failed",
        "1.800 ← final words of 1, 63 letters",
        "line.closed, close_code 1000",
    ):
        assert words in text


def test_a_turn_stands_where_it_was_asked_and_not_where_it_was_settled() -> None:
    text = told([line("line.opened"), line("line.oddity", 5), line("turn.settled", 9, **SETTLED, settled_after=7.0)])
    assert [row.split()[0] for row in text.splitlines()[1:] if row[0] != " "] == ["0:00.0", "0:02.0", "0:05.0"]


def test_what_went_well_is_told_in_numbers() -> None:
    fields: dict[str, Any] = {
        "time_to_first_chunk": 0.31,
        "time_to_first_sentence": 0.4,
        "duration": 1.2,
        "words_said": 8,
        "words_heard": 8,
        "audible_gap": 0.9,
        "target": "spare",
        "model_time_to_first_words": 0.3,
        "trace_id": "4bf9",
        "traced": True,
        "agent_said": "Fine.",
        "caller_said": "How?",
    }
    text = told([line("turn.settled", **SETTLED, **fields)])
    for words in (
        "first words after 0.31 s · first sentence after 0.40 s · all said after 1.20 s · 8 of 8 words heard",
        "the caller heard nothing for 0.9 s in mid-answer",
        "spare spoke after 0.30 s",
        "trace 4bf9",
        "caller: How?",
        "agent: Fine.",
    ):
        assert words in text


def test_prefixes_of_a_log_collector_and_lines_of_others_are_passed_over() -> None:
    prefix = "2026-11-23T10:00:00Z app[148e445b] fra [info]"
    lines = [
        f"{prefix}{line('line.opened', 0)}",
        "nonsense {",
        '{"event": ' + "[" * 100_000,
        "[1]",
        '{"event": 3}',
        f"web-1 {{env=live}} | {line('line.closed', 2)}",
        "",
    ]
    lines.append(json.dumps({"message": line("line.dropped", 3), "event": {"provider": "app"}}))
    text = told(lines)
    assert text.count("\n") == 4
    assert "0:02.0 line.closed" in text


def test_a_line_that_is_not_as_ours_are_is_shown_as_it_stands() -> None:
    text = told([line("turn.settled", outcome=3, turn_id="x"), line("call.flight", frames=[[1]]), line("call.ended")])
    assert "turn.settled, outcome 3, turn_id x" in text
    assert "call.flight" in text


def test_a_narrow_terminal_loses_nothing() -> None:
    reason = "x" * 60
    text = told([line("turn.settled", **SETTLED, reason=reason)], width=30)
    assert max(len(row) for row in text.splitlines()) <= 30
    assert re.sub(r"\s", "", text).count("x") == 60


def test_a_terminal_is_told_nothing_to_obey() -> None:
    text = told([line("line.oddity", detail="\x1b[31mred\x07 [bold]not[/bold]")])
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[bold]not[/bold]" in text


def test_a_call_that_no_line_is_about_is_told_with_those_that_are() -> None:
    with pytest.raises(CallUnknown) as unknown:
        explain([line("line.opened")], "call_2")
    assert unknown.value.others == [CALL_ID]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["timestamp", "turn_index", "turns", "frames", "settled_after", "outcome", "duration", "level"])


@given(
    st.sampled_from(["turn.settled", "call.flight", "call.ended", "model.attempt", "x"]), st.dictionaries(NAMES, JSON)
)
def test_no_line_breaks_the_timeline(event: str, fields: dict[str, Any]) -> None:
    text = json.dumps({**SETTLED, "why": "", "frames": [], "turns": {}, **fields, "event": event, "call_id": CALL_ID})
    assert "call_1" in told([text, text])


def test_the_command_reads_a_file_or_standard_input(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(line("line.opened") + "\n")
    runner = CliRunner()
    by_file = runner.invoke(main, ["explain", CALL_ID, "--log", str(tmp_path / "log")])
    by_pipe = runner.invoke(main, ["explain", CALL_ID], input=line("line.opened"))
    unknown = runner.invoke(main, ["explain", "call_2"], input=line("line.opened"))
    assert by_file.exit_code == by_pipe.exit_code == 0
    assert by_file.output == by_pipe.output
    assert "0:00.0 line.opened" in by_file.output
    assert (unknown.exit_code, unknown.output) == (
        1,
        "cuebox: no line of this log is about the call call_2. It knows call_1.\n",
    )
