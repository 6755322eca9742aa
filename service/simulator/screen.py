"""A call as its caller sees it in the terminal: lines that are final, and below them what is still being said."""

import re
from dataclasses import dataclass
from statistics import median
from typing import Literal

from msgspec import json
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from service.simulator import retell_steps as steps
from service.simulator.retell_steps import Step

WIDTH = 100
HINT = "type to speak, even while the agent does · Enter sends · /help"
ENDINGS = {
    "agent_hangup": "The agent hung up.",
    "user_hangup": "You hung up.",
    "call_transfer": "The agent handed you over.",
    "error_llm_websocket_open": "The line was lost, and nobody answered when it was dialled again.",
}
Label = Literal["agent", "you", "tool", "action", "line", "fault", "sent", "got", ""]
_STYLES = {"agent": "bold cyan", "you": "bold green", "tool": "magenta", "action": "bold yellow", "fault": "bold red"}
_WORDS = re.compile(r',"words":\[[^]]*\]')
_QUIET = {"line", "sent", "got", ""}


@dataclass(slots=True)
class _Row:
    label: Label
    text: str
    note: str = ""


class Screen:
    """Shows steps. On a terminal the turn being spoken stays open at the bottom, above what the caller types."""

    def __init__(self, console: Console, *, is_live: bool) -> None:
        self._console = console
        self._width = min(console.width, WIDTH)
        self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False)
        self._is_live = is_live
        self._open: list[_Row] = []  # the turn being spoken
        self._heard = 0
        self._waits: list[float] = []
        self._turns = self._cuts = 0
        self.faults = 0
        self.shows_frames = False
        self.typed = ""

    def start(self) -> None:
        if self._is_live:
            self._live.start()
            self.draw()

    def stop(self) -> None:
        self._live.stop()

    def draw(self) -> None:
        """Bring the open part up to date."""
        if self._live.is_started:
            prompt = Text(f"{self.typed}▌") if self.typed else Text.assemble("▌ ", (HINT, "dim"))
            self._live.update(Group(*self._rendered(), self._line("you", prompt)), refresh=True)

    def add(self, label: Label, text: str, note: str = "") -> None:
        """A line: at once, or in its place when the agent has finished."""
        row = _Row(label, _plain(text), note)
        if self._open:
            self._open.append(row)
        else:
            self._print(self._rendered([row]))

    def show(self, step: Step) -> None:
        """What a step of the call looks like."""
        if self.shows_frames:
            self._show_frame(step)
        match step:
            case steps.ChunkArrived():
                self._write(step)
            case steps.WordsHeard():
                self._heard = step.count
            case steps.SpeechFinished():
                self._finish()
            case steps.SpeechCut():
                self._heard = len(step.heard.split())
                self._cuts += step.by == "caller"
                self._finish(is_cut=True)
            case steps.TurnAsked():
                self._finish(is_cut=True)  # words that never became speech
                self._turns += 1
                if step.is_reminder:
                    self.add("line", "silence: the agent is asked to say something")
            case steps.TurnFinished() if not step.text.strip():
                self.add("line", "the agent says nothing")
            case _:
                self._show_event(step)
        self.draw()

    def _show_event(self, step: Step) -> None:
        match step:
            case steps.Configured() if not self._turns:
                wishes = {"pings": step.wants_pings, "call details": step.wants_details, "tool rows": step.wants_rows}
                asked = ", ".join(name for name, is_wanted in wishes.items() if is_wanted)
                self.add("line", f"the agent's server asks for {asked or 'nothing but the transcript'}")
            case steps.LineOpened() if step.is_again:
                self.add("line", "connected again")
            case steps.Redial():
                self.add("line", f"{step.reason}; dialling again")
            case steps.ToolCalled():
                self.add("tool", f"{step.name} {step.arguments}")
            case steps.ToolAnswered():
                mark = {True: "✓", False: "✗", None: "·"}[step.is_successful]
                self.add("tool", f"{mark} {step.content}")
            case steps.ActionTaken():
                self.add("action", _deed(step.action))
            case steps.ActionDiscarded():
                self.add("action", f"not done, you were faster: {_deed(step.action)}")
            case steps.RuleBroken():
                self.faults += 1
                self.add("fault", step.rule)
            case _:
                self._show_tuning(step)

    def _show_tuning(self, step: Step) -> None:
        match step:
            case steps.AgentTuned():
                changed = json.decode(json.encode(step.settings), type=dict[str, float])
                self.add(
                    "line", "the agent's voice is set: " + ", ".join(f"{name} {changed[name]}" for name in changed)
                )
            case steps.PageTold():
                self.add("line", f"for the web page: {step.json}")

    def _show_frame(self, step: Step) -> None:
        match step:
            case steps.SendFrame() if '"ping_pong"' not in step.text:
                self._print([self._line("sent", Text(self._cropped(step.text), "dim"))])
            case steps.FrameReceived() if '"ping_pong"' not in str(step.frame):
                self._print([self._line("got", Text(self._cropped(str(step.frame)), "dim"))])

    def _cropped(self, frame: str) -> str:
        """The beginning and the end, which is where a transcript grows; word timings left out."""
        text, room = _plain(_WORDS.sub("", frame)), self._width - 20
        return text if len(text) <= room else f"{text[: room // 2]}…{text[len(text) - room // 2 + 1 :]}"

    def summary(self, reason: str, seconds: float) -> None:
        """How it went."""
        self._finish(is_cut=True)
        waits = [round(1000 * wait) for wait in self._waits]
        first = f"first chunk {median(waits):.0f} ms (p50), {max(waits)} ms (max)" if waits else ""
        length = f"{int(seconds) // 60}:{int(seconds) % 60:02}"
        turns = _count(self._turns, "turn")
        parts = [turns, first, _count(self._cuts, "interruption"), length, _count(self.faults, "fault", "")]
        self._print([Text()])
        self.add("", ENDINGS.get(reason, f"The call failed: {reason}."))
        self.add("", " · ".join(part for part in parts if part))

    # The turn being spoken.

    def _write(self, chunk: steps.ChunkArrived) -> None:
        note = "" if chunk.waited is None else f"{1000 * chunk.waited:.0f} ms"
        if chunk.waited is not None and chunk.turn_id:
            self._waits.append(chunk.waited)
        if not self._open or self._open[-1].label != "agent":
            self._open.append(_Row("agent", ""))
        self._open[-1].text += _plain(chunk.text)
        self._open[-1].note = self._open[-1].note or note

    def _finish(self, *, is_cut: bool = False) -> None:
        rows, self._open = self._rendered(is_cut=is_cut, is_final=True), []
        self._heard = 0
        if rows:
            self._print(rows)

    def _rendered(
        self, rows: list[_Row] | None = None, *, is_cut: bool = False, is_final: bool = False
    ) -> list[RenderableType]:
        lines: list[RenderableType] = []
        heard = self._heard
        for row in self._open if rows is None else rows:
            text = Text(row.text.strip(), "dim" if row.label in _QUIET else "")
            if row.label == "agent" and (is_cut or not is_final):
                words = row.text.split()
                text = _said(words[:heard], words[heard:], is_cut=is_cut)
                heard = max(0, heard - len(words))
            lines.append(self._line(row.label, text, row.note))
        return lines

    def _line(self, label: Label, text: Text, note: str = "") -> RenderableType:
        if not self._console.is_terminal:
            return Text.assemble(f"{label:>6}  ", text, f"  ({note})" if note else "")
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.width = self._width
        grid.add_column(width=6, justify="right", style=_STYLES.get(label, "dim"))
        grid.add_column(ratio=1)
        grid.add_column(justify="right", style="dim")
        grid.add_row(label, text, note)
        return grid

    def _print(self, lines: list[RenderableType]) -> None:
        for line in lines:
            self._console.print(line, soft_wrap=not self._console.is_terminal)


def _said(heard: list[str], unheard: list[str], *, is_cut: bool) -> Text:
    parts = [Text(" ".join(heard))] if heard else []
    parts += [Text("✂", "bold red")] if is_cut else []
    parts += [Text(" ".join(unheard), "dim strike" if is_cut else "dim")] if unheard else []
    return Text(" ").join(parts)


def _deed(action: steps.Action) -> str:
    match action.name:
        case "end_call":
            return "hang up"
        case "transfer_number":
            return f"transfer to {action.value}"
        case "digit_to_press":
            return f"press {action.value}"


def _count(number: int, noun: str, none: str | None = None) -> str:
    if number == 0 and none is not None:
        return none
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _plain(text: str) -> str:
    """Nothing that a server sends may steer the terminal."""
    return "".join(char if char.isprintable() else " " for char in text)
