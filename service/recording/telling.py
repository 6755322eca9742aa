"""What changed between a recording and now, for people and for programs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from service.recording.comparing import TurnCompared, TurnPlayed, words_compared
from service.recording.reading import Recording

_SIGNS = {"same": ("{}", ""), "gone": ("[-{}-]", "red"), "new": ("{{+{}+}}", "green")}
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
_LONGEST = 70


@dataclass(frozen=True, slots=True)
class Replay:
    """One recording that was played again."""

    file: Path
    then: Recording
    now: Recording
    turns: Sequence[TurnCompared]
    notes: Sequence[str] = field(default=())
    """What could not be played as it was."""

    @property
    def changed(self) -> int:
        """How many turns are not as they were."""
        return sum(bool(turn.changes) for turn in self.turns)


def tell(replay: Replay, console: Console) -> None:
    """Print it."""
    then, now = replay.then.began, replay.now.began
    _print(console, Text(f"{replay.file}: {then.call_id}, {then.started_at:.16}", "bold"))
    version = (
        "the same files" if then.folder_hash == now.folder_hash else f"{then.folder_hash} then, {now.folder_hash} now"
    )
    agent = then.agent if then.agent == now.agent else f"{then.agent} then, {now.agent} now"
    _print(console, Text(f"agent {agent} ({version})"))
    for number, turn in enumerate(replay.turns):
        _tell_turn(number, turn, console)
    for note in replay.notes:
        _print(console, Text(f"note: {note}", "yellow"))
    changed = f"{replay.changed} of {len(replay.turns)} turns changed" if replay.changed else "nothing changed"
    _print(console, Text(f"{changed}.\n", "bold red" if replay.changed else "bold green"))


def _tell_turn(number: int, turn: TurnCompared, console: Console) -> None:
    shown = turn.then or turn.now
    caller = shown.caller or shown.prompt if shown is not None else ""
    caller = caller if len(caller) <= _LONGEST else f"{caller[: _LONGEST - 1]}…"
    sign, style = ("~", "yellow") if turn.changes else ("=", "green")
    words, took = (
        " → ".join(_milliseconds(each, which) for each in (turn.then, turn.now)) + " ms"
        for which in ("words_after", "took")
    )
    line = Text(f"{sign} {number:2}  ", style)
    line.append(f"words {words:>14}, done {took:>16}  ", "dim").append(caller, "default")
    _print(console, line)
    for change in turn.changes:
        line = Text(f"      {change.what:9} ")
        if change.what == "words":
            for what, words in words_compared(change.then, change.now):
                spelt, style = _SIGNS[what]
                line.append(spelt.format(words) + " ", style)
        else:
            line.append(change.then, "red").append(" → ").append(change.now, "green")
        _print(console, line)


def _print(console: Console, text: Text) -> None:
    text.plain = _CONTROL.sub("�", text.plain)  # a caller's words shall not steer a terminal
    console.print(text, soft_wrap=True)


def _milliseconds(turn: TurnPlayed | None, which: str) -> str:
    seconds = None if turn is None else getattr(turn, which)
    return "–" if seconds is None else f"{seconds * 1000:.0f}"


def as_json(replay: Replay) -> dict[str, Any]:
    """The same, for a program. Moments are seconds since the call began."""
    then, now = replay.then.began, replay.now.began
    return {
        "file": str(replay.file),
        "call_id": then.call_id,
        "agent": {"then": then.agent, "now": now.agent},
        "folder_hash": {"then": then.folder_hash, "now": now.folder_hash},
        "changed": replay.changed,
        "turns": replay.turns,
        "notes": list(replay.notes),
    }
