"""`cuebox ctl`: look at a running process, and change things without a restart."""

import json
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import click

from service.environment import read_settings
from service.settings import Settings, SettingsError

_PATIENCE = 15.0
"""How long an answer may take, seconds; what is watched has all the time in the world."""

Line = dict[str, Any]


def control_path(settings: Settings) -> Path | None:
    """Where a process with these settings takes orders; None for nowhere."""
    if settings.control_socket == "off":
        return None
    place = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return Path(settings.control_socket or Path(place, f"cuebox-{settings.port}.sock"))


def _ask(path: Path, order: Line) -> Iterator[Line]:
    """Raises OSError."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(None if order["verb"] == "watch" else _PATIENCE)
        line.connect(str(path))
        line.sendall(json.dumps(order).encode() + b"\n")
        with line.makefile("rb") as answer:
            yield from map(json.loads, answer)


@click.group()
@click.option("--socket", "path", type=click.Path(path_type=Path), help="Instead of CUEBOX_CONTROL_SOCKET.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines, as they come.")
@click.pass_context
def ctl(context: click.Context, path: Path | None, *, as_json: bool) -> None:
    """Look at the process on this machine, and change things without a restart.

    A change holds at once, for calls under way too, in this process alone, and until it ends: what is to stay belongs
    into the settings or the agent's files. Each is logged (control.changed), counted, and marked on the dashboards.

    Exit code 0: done; 1: refused, and why, or nobody answers; 2: bad usage.

    \b
    Examples:
      cuebox ctl calls
      cuebox ctl targets disable gpt-4.1
      cuebox ctl tools disable book_appointment
      cuebox ctl log-level debug
      fly ssh console -C '/opt/cuebox/bin/cuebox ctl calls'
    """
    if path is None:
        try:
            path = control_path(read_settings(os.environ))
        except SettingsError as error:
            raise click.UsageError(str(error)) from error
    if path is None:
        raise click.UsageError("CUEBOX_CONTROL_SOCKET is off.")
    context.obj = path, as_json


def _tell(context: click.Context, verb: str, do: str | None = None, name: str = "", **more: object) -> None:
    path, as_json = context.obj
    rows, first_at = [], 0.0
    try:
        for line in _ask(path, {"verb": verb, "do": do or "", "name": name, **more}):
            if "refused" in line:
                _fail(line["refused"])
            elif as_json:
                click.echo(json.dumps(line))
            elif "before" in line:
                click.echo(f"{verb}: {line['after']} (before: {line['before']}). It ends with this process.")
            elif verb == "watch":
                at, what = line.pop("at", first_at), line.pop("what")
                first_at = first_at or at
                click.echo(f"{at - first_at:8.3f}  {what:8}" + " ".join(f"{key}={line[key]}" for key in line))
            else:
                rows.append(line)
    except (OSError, ValueError) as error:
        _fail(
            f"no service answers at {path} ({getattr(error, 'strerror', None) or error}). Is it this machine, and this "
            "user? PORT and CUEBOX_CONTROL_SOCKET say where, as they do for `cuebox serve`."
        )
    if rows:
        _print(rows)


def _print(rows: list[Line]) -> None:
    """As a table."""
    for row in rows:
        if "since" in row:
            row["since"] = datetime.fromtimestamp(row["since"], UTC).strftime("%H:%M:%SZ")
    table = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def _fail(why: str) -> NoReturn:
    click.echo(f"cuebox: {why}", err=True)
    sys.exit(1)


@ctl.command()
@click.pass_context
def calls(context: click.Context) -> None:
    """Which calls there are, and what each does now: drafting, a tool, idle."""
    _tell(context, "calls")


@ctl.command()
@click.argument("call_id", metavar="CALL")
@click.pass_context
def watch(context: click.Context, call_id: str) -> None:
    """What happens in a call, as it does, without a word of it. Ctrl-C ends it; so does the call's end.

    Where too much happened to be shown, it says how much is lost.
    """
    try:
        _tell(context, "watch", name=call_id)
    except KeyboardInterrupt:
        click.echo()


@ctl.command()
@click.argument("do", type=click.Choice(["prefer", "disable", "enable"]), required=False)
@click.argument("name", default="")
@click.pass_context
def targets(context: click.Context, do: str | None, name: str) -> None:
    """Which models are asked, in their order; or change that.

    \b
    prefer NAME   ask it first, while it is well; without NAME, the order is the configured one again
    disable NAME  never ask it; its answers under way go on, and an agent's last one stays
    enable NAME   ask it again
    """
    _tell(context, "targets", do, name)


@ctl.command()
@click.argument("do", type=click.Choice(["disable", "enable"]), required=False)
@click.argument("name", default="")
@click.pass_context
def tools(context: click.Context, do: str | None, name: str) -> None:
    """Which tools and actions agents have; or switch one off: their model is told so when it calls it.

    \b
    disable NAME  carry out no more calls of it; those under way go on
    enable NAME   carry them out again
    """
    _tell(context, "tools", do, name)


@ctl.command()
@click.argument("how", type=click.Choice(["on", "off"]))
@click.pass_context
def hedge(context: click.Context, how: str) -> None:
    """Whether a slow first attempt gets a second one beside it. `on` is as configured."""
    _tell(context, "hedge", how)


@ctl.command()
@click.option(
    "--seconds", type=click.FloatRange(0, 7200), help="How long calls may go on; CUEBOX_DRAIN_SECONDS unless."
)
@click.pass_context
def drain(context: click.Context, seconds: float | None) -> None:
    """Take no new calls, and end the process when the last call has ended. Once more: so long from now."""
    _tell(context, "drain", seconds=seconds)


@ctl.command("log-level")
@click.argument("level", metavar="LEVEL")
@click.pass_context
def log_level(context: click.Context, level: str) -> None:
    """Log LEVEL and what is above it: debug, info, warning or error."""
    _tell(context, "log-level", name=level)
