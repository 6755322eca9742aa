"""`cuebox`: parse, call, print. Each command imports what it needs, so that `serve` starts fast."""

import os
import re
import sys
from typing import NoReturn

import click

from service.settings import SettingsError, read_settings, unknown_variables

_EXIT_SETTINGS = 2


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
    """


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

    try:
        settings = read_settings(os.environ)
        is_for_people = configure_logs(settings.log_format, settings.log_level)
        log = structlog.get_logger()
        for sentence in unknown_variables(os.environ):
            log.warning("setting.unknown", detail=sentence)
        app = create_app(settings)
        listener = bind(settings)
    except SettingsError as error:
        _refuse(error)
    address = address_of(listener)

    def on_ready() -> None:
        if is_for_people:
            _welcome(app.state.agent_name, address, has_key=settings.openai_api_key is not None)
        log.info("service.ready", agent=app.state.agent_name, address=address)

    serve_until_signal(server_of(app, settings, on_ready), listener)
    log.info("service.stopped")


def _welcome(agent_name: str, address: str, *, has_key: bool) -> None:
    click.echo(f"\nCuebox answers calls with the agent '{agent_name}'.")
    if not has_key:
        click.echo("No OPENAI_API_KEY is set, so it says the same to everything. With a key, a model answers.")
    click.echo(f"  look   http://{address}/")
    click.echo(f"  talk   {sys.argv[0]} call ws://{address}/llm-websocket\n")


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
        from service.app import create_app
        from service.observability.logs import configure_logs
        from service.server import running

        settings = read_settings(os.environ)
        configure_logs("json", "error")  # the screen is the call's
        async with running(create_app(settings), settings) as address:
            return await call_from_terminal(f"ws://{address}/llm-websocket", call_id=call_id)

    try:
        sys.exit(asyncio.run(call_own_service()))
    except SettingsError as error:
        _refuse(error)


@main.command()
def check() -> None:
    """Look at the settings and talk to the agent, without a call.

    Exit code 0: all is well or merely odd; 1: the agent does not answer; 2: a setting cannot be used.

    \b
    Examples:
      cuebox check
      OPENAI_API_KEY=… CUEBOX_MODEL=gpt-4.1-mini cuebox check
    """
    import asyncio

    from rich.console import Console

    from service.checkup import Verdict, findings

    console = Console(highlight=False)
    signs = {Verdict.GOOD: "[green]✓[/]", Verdict.ODD: "[yellow]?[/]", Verdict.BAD: "[red]✗[/]"}

    async def show() -> bool:
        is_well = True
        async for finding in findings(read_settings(os.environ), os.environ):
            console.print(f"{signs[finding.verdict]} [bold]{finding.subject:9}[/]", end=" ")
            console.print(finding.text, markup=False)
            is_well = is_well and finding.verdict is not Verdict.BAD
        return is_well

    try:
        sys.exit(0 if asyncio.run(show()) else 1)
    except SettingsError as error:
        _refuse(error)


def _refuse(error: SettingsError) -> NoReturn:
    click.echo(f"cuebox: {error}", err=True)
    sys.exit(_EXIT_SETTINGS)
