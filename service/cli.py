"""`cuebox`: parse, call, print. Each command imports what it needs, so that `serve` starts fast."""

import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, TextIO

import click

from service.connect import connect
from service.ctl import control_path, ctl
from service.environment import read_settings, unknown_variables
from service.load import load
from service.probe import probe
from service.replay import replay
from service.report import report
from service.settings import SettingsError
from service.simulate import simulate
from service.storm import storm

_EXIT_SETTINGS = 2
_WITHOUT_MODEL = (
    "No model is attached, because no key is set (OPENAI_API_KEY, or what its agent.toml names).\n"
    "So it reads out what its knowledge says to a plain question, and can do nothing else."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cuebox", prog_name="cuebox")
def main() -> None:
    """Cuebox answers the calls of a voice platform with your own agent.

    \b
    Examples:
      cuebox serve                          answer calls on http://127.0.0.1:8080
      cuebox call                           be the caller, in this terminal
      cuebox call wss://example.com/llm-websocket
      cuebox check                          is everything set up?
      cuebox new practice                   make an agent of your own
      cuebox simulate tests/scenarios       play calls that are written down
      cuebox storm --minutes 1000           play calls in which everything goes wrong
      cuebox probe wss://example.com/llm-websocket --hold 15m
      cuebox replay recordings              what changed since these calls?
      cuebox report cuebox.log              how did calls go? a page that tells
      cuebox ctl calls                      who is on the line here, and more
      cuebox connect --url https://example.com --agent-id agent_1a2b3c
    """


main.add_command(connect)
main.add_command(ctl)
main.add_command(load)
main.add_command(probe)
main.add_command(simulate)
main.add_command(storm)
main.add_command(replay)
main.add_command(report)


@main.command()
def serve() -> None:
    """Answer calls. Everything is set by environment variables; README lists them.

    \b
    Examples:
      cuebox serve
      PORT=9000 CUEBOX_AGENT=dummy cuebox serve
      OPENAI_API_KEY=… CUEBOX_MODEL=gpt-4.1-mini cuebox serve
    """
    import structlog

    from service.app import create_app
    from service.observability.logs import configure_logs
    from service.server import address_of, bind, serve_until_signal, server_of
    from service.telemetry import serve_metrics

    try:
        settings = read_settings(os.environ)
        is_for_people = configure_logs(settings.log_format, settings.log_level)
        log = structlog.get_logger()
        for sentence in unknown_variables(os.environ):
            log.warning("setting.unknown", detail=sentence)
        app = create_app(settings, control_at=control_path(settings))
        listener = bind(settings)
        serve_metrics(app.state.metrics, settings)
    except SettingsError as error:
        _refuse(error)
    address = address_of(listener)

    def on_ready() -> None:
        if is_for_people:
            path = "llm-websocket/YOUR_SECRET" if settings.path_secret else "llm-websocket"
            state = app.state
            _welcome(state.agents, f"{address}/{path}", state.without_model, has_playground=state.has_playground)
        log.info("service.ready", agent=",".join(app.state.agents), address=address)
        for name in app.state.without_model:
            log.warning("agent.without_model", agent=name, detail="no key is set: it reads out what its knowledge says")

    serve_until_signal(server_of(app, settings, on_ready), listener)
    log.info("service.stopped")


def _welcome(agents: Sequence[str], path: str, without_model: Sequence[str], *, has_playground: bool) -> None:
    base = f"http://{path.partition('/')[0]}"
    if has_playground:
        click.echo(f"\nTalk to your agent in a browser:  {base}/playground")
    click.echo(f"\nCuebox answers calls with {' and '.join(map(repr, agents))}.")
    if without_model:
        click.echo(_WITHOUT_MODEL)
    click.echo(f"  look   {base}/")
    click.echo(f"  talk   {sys.argv[0]} call ws://{path}\n")


@main.command()
@click.argument("url", required=False)
@click.option("--call-id", help="Call id to use: 1 to 128 of A-Z a-z 0-9 _ - (default: a random one).")
def call(url: str | None, call_id: str | None) -> None:
    """Be the caller, in this terminal: type to speak, also while the agent speaks.

    Plays Retell's side of a call at URL. Without one, a service with your settings is started for this call alone.
    Piped input works too: each line is said when the agent has finished.

    Exit code 0: the call ended well; 1: no connection; 2: a setting cannot be used; 3: the service broke the protocol.

    \b
    Examples:
      cuebox call
      cuebox call ws://127.0.0.1:8080/llm-websocket
      cuebox call wss://example.com/llm-websocket --call-id test_1
      echo 'What are your hours?' | cuebox call
    """
    import asyncio

    from service.simulator.terminal import call_from_terminal

    if call_id is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,128}", call_id):
        raise click.BadParameter("a call id is 1 to 128 of A-Z a-z 0-9 _ -", param_hint="--call-id")
    if url is not None:
        sys.exit(asyncio.run(call_from_terminal(url, call_id=call_id)))

    async def call_own_service() -> int:
        from msgspec import structs

        from service.app import create_app
        from service.observability.logs import configure_logs
        from service.server import running

        settings = structs.replace(read_settings(os.environ), host="127.0.0.1", path_secret=None, allowed_ips=None)
        configure_logs("json", "error")  # the screen is the call's
        app = create_app(settings)
        if app.state.without_model:
            click.echo(_WITHOUT_MODEL)
        async with running(app, settings) as address:
            return await call_from_terminal(f"ws://{address}/llm-websocket", call_id=call_id)

    try:
        sys.exit(asyncio.run(call_own_service()))
    except SettingsError as error:
        _refuse(error)


@main.command()
@click.option("--target", metavar="NAME", help="Measure this target of the agent instead: one short answer.")
def check(target: str | None) -> None:
    """Look at the settings and talk to the agent, without a call.

    A target is named as in the agent's agent.toml: by its name, or its model's where it has none.

    What is wrong with an agent's files is told with file, line and remedy, all of it.

    Exit code 0: all is well or merely odd; 1: no answer; 2: a setting or an agent's files cannot be used.

    \b
    Examples:
      cuebox check
      OPENAI_API_KEY=… CUEBOX_MODEL=gpt-4.1-mini cuebox check
      cuebox check --target gpt-4.1
    """
    import asyncio

    from rich.console import Console

    from service.checkup import Verdict, findings, target_findings

    console = Console(highlight=False)
    signs = {Verdict.GOOD: "[green]✓[/]", Verdict.ODD: "[yellow]?[/]", Verdict.BAD: "[red]✗[/]"}

    async def show() -> bool:
        is_well, settings = True, read_settings(os.environ)
        found = findings(settings, os.environ) if target is None else target_findings(settings, target)
        async for finding in found:
            console.print(f"{signs[finding.verdict]} [bold]{finding.subject:9}[/]", end=" ")
            console.print(finding.text, markup=False, soft_wrap=True)
            is_well = is_well and finding.verdict is not Verdict.BAD
        return is_well

    try:
        sys.exit(0 if asyncio.run(show()) else 1)
    except SettingsError as error:
        _refuse(error)


@main.command()
@click.argument("name")
@click.option(
    "--dir",
    "place",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="CUEBOX_AGENTS_DIR",
    default="agents",
    show_default=True,
    help="Where your agents are; CUEBOX_AGENTS_DIR, if it is set.",
)
def new(name: str, place: Path) -> None:
    """Make an agent of your own: the receptionist, to be changed. Exit code 2: NAME cannot be used.

    \b
    Examples:
      cuebox new practice
    """
    from service.agents.scaffold import ScaffoldError, make_agent

    try:
        folder = make_agent(name, place)
    except ScaffoldError as error:
        raise click.BadParameter(str(error), param_hint="NAME") from error
    click.echo(f"Made {folder}. What comes next:")
    click.echo("  1. Write down what your business knows, in prompt.md, knowledge/, agent.toml and tools.py there")
    click.echo(f"  2. export CUEBOX_AGENTS_DIR={shlex.quote(str(place))} CUEBOX_AGENT={name} CUEBOX_DEV=true")
    click.echo(f"  3. Look at it, then talk to it:  {sys.argv[0]} check && {sys.argv[0]} call")
    click.echo(f"  4. Run its own tests:  {shlex.quote(sys.executable)} -m pytest {shlex.quote(str(folder))}")
    click.echo(f"  5. Play its first calls:  {sys.argv[0]} simulate {shlex.quote(str(folder / 'scenarios'))}")


@main.command()
@click.argument("call_id")
@click.option("--log", type=click.File(errors="replace"), default="-", help="JSON lines; standard input unless given.")
def explain(call_id: str, log: TextIO) -> None:
    """Tell what the logs know of one call, as a timeline.

    Lines of other programs may stand between ours, and a prefix before them.

    Exit code 0: told; 1: no line is about this call.

    \b
    Examples:
      cuebox explain call_a1b2 --log cuebox.log
      fly logs --no-tail | cuebox explain call_a1b2
    """
    from rich.console import Console

    from service.observability.explain import CallUnknown
    from service.observability.explain import explain as timeline

    try:
        Console(highlight=False).print(timeline(log, call_id))
    except CallUnknown as unknown:
        known = f" It knows {', '.join(unknown.others[-5:])}." if unknown.others else ""
        click.echo(f"cuebox: no line of this log is about the call {call_id}.{known}", err=True)
        sys.exit(1)


def _refuse(error: SettingsError) -> NoReturn:
    click.echo(f"cuebox: {error}", err=True)
    sys.exit(_EXIT_SETTINGS)
