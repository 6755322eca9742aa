"""`cuebox probe`. As in `cli`, imports are made when they are needed."""

import re
import sys
from pathlib import Path

import click

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


class _Span(click.ParamType[float]):
    name = "time"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", str(value))
        if found is None or not float(found[1]):
            self.fail(f"{value!r} is no time; one looks like 90s, 15m or 1h", param, ctx)
        return float(found[1]) * _UNITS[found[2]]


@click.command()
@click.argument("url")
@click.option("--hold", type=_Span(), default="1m", show_default=True, help="How long to talk: 90s, 15m, 1h.")
@click.option("--every", type=_Span(), default="10s", show_default=True, help="How often the caller speaks.")
@click.option("--say", "says", multiple=True, help="What the caller says; several are said in turn.")
@click.option("--gap", type=_Span(), default="4s", show_default=True, help="The longest time without a line.")
@click.option("--json", "as_json", is_flag=True, help="Tell it as JSON, in one line.")
@click.option(
    "--prometheus",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Write gauges to FILE, for node_exporter's textfile collector: cuebox_probe_well and others.",
)
def probe(
    url: str, hold: float, every: float, says: tuple[str, ...], gap: float, *, as_json: bool, prometheus: Path | None
) -> None:
    """Place a test call at URL, hold it through whatever you do to the service, and tell what its caller noticed.

    Plays Retell's side: sends pings, dials again where a line breaks (up to four times), ends the call where the
    service closes it with a code. Start it, deploy, and wait: whether calls survive your deploys, and your proxy, is
    seen here. It asks real questions: with a real model, they cost.

    Told are the lines' close codes, the gaps between them, how often the caller was greeted, turns without an answer,
    and words that were cut off. Outages are told as they happen, on standard error. Ctrl-C ends the call early.

    Exit code 0: the caller would have noticed nothing; 1: they would, and it says what.

    \b
    Examples:
      cuebox probe ws://127.0.0.1:8080/llm-websocket
      cuebox probe wss://example.com/llm-websocket --hold 15m     hold it, and deploy meanwhile
      cuebox probe wss://example.com/llm-websocket --say "Which days are you open?" --json
      cuebox probe wss://example.com/llm-websocket --prometheus /var/lib/node_exporter/cuebox.prom
    """
    import asyncio

    from service.simulator.probe_terminal import probe_from_terminal

    told = probe_from_terminal(
        url, seconds=hold, every=every, says=says, longest_gap=gap, as_json=as_json, prometheus=prometheus
    )
    sys.exit(asyncio.run(told))
