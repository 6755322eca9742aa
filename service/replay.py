"""`cuebox replay`. As in `cli`, imports are made when they are needed."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from litestar import Litestar

    from service.choice import Choice
    from service.recording.answers import RecordedModel, RecordedTools
    from service.recording.lines import FrameIn, Happening
    from service.recording.reading import Recording
    from service.recording.telling import Replay
    from service.settings import Settings
    from service.virtual.process import Connection, Process

_LARGEST = 2**20
"""Bytes of a binary frame that is played: nothing of it is known but its size."""


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="FILE…")
@click.option("--agent", metavar="NAME", help="Let this agent answer, instead of the one that did.")
@click.option(
    "--model",
    type=click.Choice(["recorded", "live"]),
    default="recorded",
    show_default=True,
    help="recorded: as it answered then, in no time; live: the agent's own model, as long as the call was.",
)
@click.option(
    "--tools",
    type=click.Choice(["recorded", "live"]),
    default="recorded",
    show_default=True,
    help="recorded: the results of then; live: run them and the hooks. Mind what they write, and where.",
)
@click.option(
    "--json",
    "as_json",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Write what changed to FILE, too.",
)
def replay(files: Sequence[Path], *, agent: str | None, model: str, tools: str, as_json: Path | None) -> None:
    """Play recorded calls again, with the agent as it is now, and tell what changed, turn by turn.

    The platform's frames come at the moments at which they came. The model answers each question of a turn as it did
    then, at its pace and with its faults; to one question more the recording has no answer, and the turn fails. Tools
    have the results of then, by name and arguments; nothing of the agent's own code runs. A FILE may be a folder.

    Recordings are made with CUEBOX_RECORD_DIR. Settings are read from the environment, as `cuebox serve` does.

    Exit code 0: nothing changed; 1: something did; 2: a recording or a setting cannot be used.

    \b
    Examples:
      cuebox replay recordings/20260302T090000-call_1.jsonl
      cuebox replay recordings --json changes.json         every call that is there
      cuebox replay recordings --agent practice
      cuebox replay recordings/20260302T090000-call_1.jsonl --model live
    """
    from msgspec import json
    from rich.console import Console
    from structlog.testing import capture_logs

    from service.observability.logs import configure_logs
    from service.recording import telling
    from service.recording.reading import BrokenRecording, read_recording
    from service.settings import SettingsError

    configure_logs("json", "info")
    console, replays = Console(highlight=False), []
    play = partial(played_again, agent=agent, is_live=model == "live", runs_tools=tools == "live")
    try:
        with capture_logs():
            for file in _all_of(files):
                replays.append(play(file, read_recording(file)))
                telling.tell(replays[-1], console)
        if as_json is not None:
            as_json.write_bytes(json.format(json.encode([telling.as_json(each) for each in replays])) + b"\n")
    except (BrokenRecording, SettingsError, OSError) as error:
        click.echo(f"cuebox: {error}", err=True)
        sys.exit(2)
    sys.exit(1 if any(each.changed for each in replays) else 0)


def _all_of(files: Sequence[Path]) -> list[Path]:
    found = [each for file in files for each in (sorted(file.glob("*.jsonl")) if file.is_dir() else [file])]
    if not found:
        raise OSError(f"there is no recording in {files[0]}. Recordings are files *.jsonl.")
    return found


def played_again(
    file: Path, then: "Recording", agent: str | None, *, is_live: bool = False, runs_tools: bool = False
) -> "Replay":
    """Play it. Raises SettingsError for an agent or settings that cannot be used."""
    from tempfile import TemporaryDirectory

    from msgspec import structs

    from service.app import create_app
    from service.choice import choice_of
    from service.recording.answers import RecordedModel, RecordedTools
    from service.recording.comparing import compared
    from service.recording.reading import read_recording
    from service.recording.telling import Replay

    with TemporaryDirectory(prefix="cuebox-replay-") as place:
        settings = _settings(then, agent or then.began.agent, place, is_live=is_live)
        model, tools = RecordedModel(then, "recorded"), RecordedTools(then)
        choice = _answered(choice_of(settings), None if is_live else model, None if runs_tools else tools)

        async def play() -> None:
            app = create_app(structs.replace(settings, dev=False), choice=choice)
            await _Player(app, then, is_live).play(tools.begins)

        _run(play(), then, is_live=is_live)
        made = list(Path(place).glob("*.jsonl"))
        if not made:
            raise OSError(f"{file}: the call cannot be compared: its details do not stand in the recording.")
        now = read_recording(made[0])
    notes = [*then.notes, *([] if is_live else _of_files(then, now)), *_notes(model, tools)]
    return Replay(file, then, now, compared(then, now), notes)


def _of_files(then: "Recording", now: "Recording") -> Iterator[str]:
    if then.began.folder_hash != now.began.folder_hash:
        yield "the agent's files changed, but its model answered as it did then; --model live asks it anew."


def _settings(then: "Recording", agent: str, place: str, *, is_live: bool) -> "Settings":
    from msgspec import structs

    from service.environment import read_settings
    from service.recording.lines import WISHES
    from service.world import settings_of_world

    wishes: dict[str, Any] = {name: wish for name, wish in then.began.wishes.items() if name in WISHES}
    kept = {"record_dir": place, "record_numbers": not then.began.is_redacted}
    bounds = {"record_max_mb": 1e6, "record_days": 1e5, "caller_calls_per_hour": 0, "caller_turns_per_hour": 0}
    changes: dict[str, Any] = {**wishes, **kept, **bounds, "agent": agent, "otlp_endpoint": None}
    settings = structs.replace(read_settings(os.environ), **changes)
    if not is_live:
        settings = settings_of_world(settings, has_model=bool(then.began.targets))
    open_doors: dict[str, Any] = {"metrics_port": 0, "path_secret": None, "allowed_ips": None, "retell_api_key": None}
    return structs.replace(settings, host="127.0.0.1", **open_doors)


def _answered(choice: "Choice", model: "RecordedModel | None", tools: "RecordedTools | None") -> "Choice":
    """The same agents, to which these answer."""
    from service.llm.switches import Switches

    choice = replace(choice, is_followed=False)
    if tools is not None:
        choice = replace(choice, folders={name: tools.of(folder) for name, folder in choice.folders.items()})
    if model is not None:
        one_each = {name: endpoints[:1] for name, endpoints in choice.asked.items()}
        choice = replace(choice, asked=one_each, between=lambda _: model, switches=Switches(may_hedge=False))
    return choice


def _run(play: Coroutine[Any, Any, None], then: "Recording", *, is_live: bool) -> None:
    if is_live:
        asyncio.run(play)
        return
    from service.virtual.loop import run

    try:
        run(play, starts=then.started_at, seed=1)
    except ModuleNotFoundError as error:
        play.close()
        raise click.UsageError("cuebox replay needs one more package: pip install 'cuebox[simulate]'") from error


def _notes(model: "RecordedModel", tools: "RecordedTools") -> Iterator[str]:
    for turn, number in model.unanswered.items():
        yield f"turn {turn} asked its model {number} times more than then: the recording has no answer to that."
    for turn, number in model.unasked.items():
        yield f"turn {turn} asked its model {number} times less than then."
    for name in sorted(set(tools.unanswered)):
        yield f"the tool {name} was called with arguments that the recording has no result of. It was not run."


@dataclass(slots=True)
class _Player:
    """Plays the platform's side of one recording."""

    app: "Litestar"
    recording: "Recording"
    is_live: bool
    lines: "dict[int, Connection]" = field(default_factory=dict)
    refusal: str = ""

    async def play(self, began: Callable[[float], None]) -> None:
        """To its end. `began` is told the moment at which the call begins. Raises OSError when it is refused."""
        from service.virtual.process import Process

        async with Process(self.app) as process, asyncio.TaskGroup() as reading:
            now = asyncio.get_running_loop().time
            began(start := now())
            for entry in self.recording.entries:
                if (step := self._step(entry, process, reading)) is not None:
                    await asyncio.sleep(start + entry.at - now())
                    await step()
            for line in self.lines.values():
                line.abort()
        if self.refusal:
            raise OSError(f"The call was not taken: {self.refusal}")

    def _step(
        self, entry: "Happening", process: "Process", reading: asyncio.TaskGroup
    ) -> Callable[[], Coroutine[Any, Any, None]] | None:
        """What the platform did; None for what we did."""
        from service.recording import lines

        match entry:
            case lines.LineOpened():
                return partial(self._open, entry.line, process, reading)
            case lines.FrameIn():
                return partial(self._send, entry)
            case lines.LineClosed():
                return partial(self._close, entry.line, entry.code)
            case lines.CallOver() if not self.is_live:
                return partial(asyncio.sleep, 0)
            case _:
                return None

    async def _open(self, line: int, process: "Process", reading: asyncio.TaskGroup) -> None:
        from service.virtual.process import Refused

        try:
            connection = await process.dial(f"/llm-websocket/{self.recording.began.call_id}")
        except Refused as refused:
            self.refusal = str(refused)
            return
        self.lines[line] = connection
        reading.create_task(_read(connection))

    async def _send(self, entry: "FrameIn") -> None:
        from msgspec import json

        if (connection := self.lines.get(entry.line)) is None:
            return
        if entry.size:
            await connection.send(b"\xff" * min(entry.size, _LARGEST))
        else:
            frame = entry.frame
            await connection.send(frame if isinstance(frame, str) else json.encode(frame).decode())

    async def _close(self, line: int, code: int | None) -> None:
        if (connection := self.lines.get(line)) is None:
            return
        if code is None:
            connection.abort()
        else:
            await connection.close(code)


async def _read(connection: "Connection") -> None:
    async for _ in connection:  # the service waits for a platform that does not read
        pass
