"""`cuebox storm`, whole: a storm as a pipeline plays it, the same to the byte each time, and bugs that were planted."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service import storm
from service.agents.ledger import Wish
from service.cli import main
from service.conversation.commands import Say
from service.conversation.reply import OpenTurn
from service.outbox import Outbox
from service.session import Session
from service.simulator.storm.episodes import Plan
from service.storm import play

SEED = 7
MINUTES = 150
JOBS = min(2, os.cpu_count() or 1)


def cuebox(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["storm", *arguments])


def test_a_storm_breaks_no_rule() -> None:
    told = cuebox("--seed", str(SEED), "--minutes", str(MINUTES), "--jobs", str(JOBS))
    assert told.exit_code == 0, told.output
    assert "no findings" in told.stdout


def test_an_episode_that_never_ends_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    async def again_and_again(*_: object) -> None:
        while True:
            await asyncio.sleep(0)

    monkeypatch.setattr(storm, "_blow", again_and_again)
    monkeypatch.setattr(storm, "_LONGEST", 0.2)
    (finding,) = play(Plan(SEED, minutes=8), 3).findings
    assert finding.rule == "goes on"
    assert "was not over after 0.2 s" in finding.detail


def test_an_episode_is_the_same_each_time() -> None:
    plan = Plan(SEED, minutes=8)
    first, again, other = play(plan, 3), play(plan, 3), play(plan, 4)
    assert (first.digest, first.counts, first.minutes) == (again.digest, again.counts, again.minutes)
    assert first.digest != other.digest


def test_an_episode_is_the_same_in_every_process() -> None:
    code = f"""
from service.simulator.storm.episodes import Plan
from service.storm import play
print(play(Plan({SEED}, minutes=8), 3).digest)"""
    here = play(Plan(SEED, minutes=8), 3).digest
    for hash_seed in ("0", "4711"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert told.stdout.strip() == here


def forgets_to_drop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outbox, "drop_words", lambda _outbox, _turn_id: None)


def stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    end = OpenTurn._final

    def ends_and_goes_on(turn: OpenTurn, text: str, at: float) -> Say:
        say = end(turn, text, at)
        turn.is_drafting = True
        return say

    monkeypatch.setattr(OpenTurn, "_final", ends_and_goes_on)


def forgets_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wish, "is_done", property(lambda _wish: False))


def keeps_its_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Session] = []
    end = Session.end

    def ends_and_stays(session: Session) -> None:
        kept.append(session)
        end(session)

    monkeypatch.setattr(Session, "end", ends_and_stays)


@pytest.mark.parametrize(
    ("plant", "rule"),
    [
        pytest.param(forgets_to_drop, "no stale words", id="a stale frame"),
        pytest.param(stays_open, "one final", id="a double final"),
        pytest.param(forgets_what_is_done, "effects once", id="a tool run twice"),
        pytest.param(keeps_its_calls, "bounded", id="calls that are kept where nobody looks"),
    ],
)
def test_a_planted_bug_is_found_within_a_minute(
    plant: object, rule: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(plant)
    plant(monkeypatch)
    began = time.process_time()
    found = next(
        finding
        for number in range(1000)
        for finding in play(Plan(8, minutes=30), number).findings
        if finding.rule == rule
    )
    took = time.process_time() - began
    with capsys.disabled():
        print(f"\n{rule}: found after {took:.1f} s of CPU: {finding_of(found)}")  # noqa: T201  asked for
    assert took < 60


def finding_of(found: object) -> str:
    return str(getattr(found, "detail", found))[:120]


def test_a_broken_rule_is_told_with_its_timeline_and_the_way_to_see_it_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stays_open(monkeypatch)
    page = tmp_path / "storm.html"
    told = cuebox("--seed", "1:0", "--minutes", "5", "--report", str(page))
    assert told.exit_code == 1
    assert "BROKEN  one final: A turn that was asked ends in exactly one final frame" in told.stdout
    assert "← TurnFinished turn_id=0" in told.stdout
    assert "again: cuebox storm --seed 1:0 --calls 10 --minutes 5" in told.stdout
    assert "a frame after its final frame" in page.read_text(encoding="utf-8")


def test_another_agent_may_be_called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("APPOINTMENTS_FILE", str(tmp_path / "appointments.db"))
    told = cuebox("--seed", "1:1", "--minutes", "10", "--agent", "receptionist")
    assert told.exit_code == 0, told.output


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        pytest.param(["--seed", "x"], "'x' is no seed", id="no seed"),
        pytest.param(["--minutes", "0"], "--minutes", id="no time"),
        pytest.param(["--agent", "nobody"], "the agents here are", id="no agent"),
        pytest.param(["--agent", "dummy"], "one agent that is made of a folder", id="an agent without one"),
    ],
)
def test_bad_usage_is_told(arguments: list[str], why: str) -> None:
    told = cuebox(*arguments)
    assert told.exit_code == 2
    assert why in told.output
