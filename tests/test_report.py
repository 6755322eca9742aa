"""`cuebox report` as its user meets it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.cli import main
from tests.reporting.told import turn

LOG = f"starting\napp[1] {json.dumps(turn(agent='desk'), separators=(',', ':'))}\n"


def run(*words: str, log: str | bytes = "") -> Result:
    return CliRunner().invoke(main, ["report", *words], input=log)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_log_becomes_a_page(place: Path) -> None:
    (place / "a.log").write_text(LOG)
    result = run("a.log")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "Report: report.html\n")
    assert "1 call of desk. Made from a.log." in (place / "report.html").read_text()


def test_several_logs_make_one_page(place: Path) -> None:
    for name in "abcd":
        (place / name).write_text(LOG.replace("call_1", f"call_{name}"))
    assert run("a", "b", "--out", "two.html").exit_code == 0
    assert run("a", "b", "c", "d", "--out", "four.html").exit_code == 0
    assert "2 calls of desk. Made from a and b." in (place / "two.html").read_text()
    assert "4 calls of desk. Made from 4 files." in (place / "four.html").read_text()


@pytest.mark.parametrize("words", [(), ("-",)])
def test_standard_input_will_do_whatever_its_bytes_are(place: Path, words: tuple[str, ...]) -> None:
    result = run(*words, "--out", "-", log=b"\xff\n" + LOG.encode())
    assert result.exit_code == 0
    assert result.stdout.startswith("<!doctype html>")
    assert "Made from standard input." in result.stdout
    assert list(place.iterdir()) == []


def test_a_log_without_calls_is_exit_code_1_and_says_what_to_do(place: Path) -> None:
    result = run(log='2026-11-23 [info] turn.settled call_id=call_1\n{"event": "service.ready"}\n')
    assert result.exit_code == 1
    assert "no line of this is about a call" in result.stderr
    assert "CUEBOX_LOG_FORMAT=json" in result.stderr
    assert list(place.iterdir()) == [], "what was there before is not lost"


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("words", "sentence"),
    [(["none.log"], "none.log"), (["--out", "no/such/place.html"], "no/such/place.html cannot be written")],
)
def test_what_cannot_be_read_or_written_is_exit_code_2(words: list[str], sentence: str) -> None:
    result = run(*words, log=LOG)
    assert result.exit_code == 2
    assert sentence in result.stderr


@pytest.mark.usefixtures("place")
def test_nobody_is_left_waiting_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)
    result = run()
    assert result.exit_code == 2
    assert "Name a LOG, or pipe one in" in result.stderr


def test_help_teaches_with_examples() -> None:
    assert "Examples:\n    cuebox report cuebox.log" in run("--help").stdout
