"""`cuebox`: parse, call, print. Each command imports what it needs, so that `serve` starts fast."""

import os
import sys
from typing import NoReturn

import click

from service.settings import Settings, SettingsError, read_settings, unknown_variables

_EXIT_SETTINGS = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cuebox", prog_name="cuebox")
def main() -> None:
    r"""Cuebox answers the calls of a voice platform with your own agent.

    \b
    Examples:
      cuebox serve                          answer calls on http://127.0.0.1:8080
      cuebox call                           be the caller, in this terminal
      cuebox call wss://example.com/llm-websocket
      cuebox check                          is everything set up?
    """


@main.command()
def serve() -> None:
    r"""Answer calls. Everything is set by environment variables; README lists them.

    \b
    Examples:
      cuebox serve
      PORT=9000 CUEBOX_AGENT=dummy cuebox serve
      OPENAI_API_KEY=… CUEBOX_MODEL=gpt-4.1-mini cuebox serve
    """
    from service.observability.logs import configure_logs

    settings = _settings()
    configure_logs(settings.log_format, settings.log_level)
    try:
        _run(settings)
    except SettingsError as error:
        _refuse(error)


def _run(settings: Settings) -> None:
    import structlog

    from service.app import create_app
    from service.server import bind, server_of

    log = structlog.get_logger()
    for warning in unknown_variables(os.environ):
        log.warning("setting.unknown", detail=warning)
    app = create_app(settings)
    listener = bind(settings)
    host, port = listener.getsockname()[:2]

    def on_ready() -> None:
        shown = f"[{host}]" if ":" in host else host
        log.info(
            "service.ready",
            agent=app.state.agent_name,
            open=f"http://{shown}:{port}/",
            talk=f"cuebox call ws://{shown}:{port}/llm-websocket",
        )

    server_of(app, settings, on_ready).run(sockets=[listener])
    log.info("service.stopped")


@main.command()
def check() -> None:
    r"""Look at the settings and talk to the agent, without a call.

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
        async for finding in findings(_settings(), os.environ):
            console.print(f"{signs[finding.verdict]} [bold]{finding.subject:9}[/]", end=" ")
            console.print(finding.text, markup=False)
            is_well = is_well and finding.verdict is not Verdict.BAD
        return is_well

    try:
        sys.exit(0 if asyncio.run(show()) else 1)
    except SettingsError as error:
        _refuse(error)


def _settings() -> Settings:
    try:
        return read_settings(os.environ)
    except SettingsError as error:
        _refuse(error)


def _refuse(error: SettingsError) -> NoReturn:
    click.echo(f"cuebox: {error}", err=True)
    sys.exit(_EXIT_SETTINGS)
