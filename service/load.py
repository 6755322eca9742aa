"""`cuebox load`. As in `cli`, imports are made when they are needed."""

import sys
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("url", required=False)
@click.option("--calls", type=click.IntRange(1), default=20, show_default=True, help="How many calls at once.")
@click.option("--seconds", type=click.FloatRange(1), default=30.0, show_default=True, help="How long they talk.")
@click.option(
    "--frames",
    type=click.Choice(["real", "tiny"]),
    default="real",
    show_default=True,
    help="real: whole transcripts with word timings three times a second, pings; tiny: three small frames a turn.",
)
@click.option(
    "--turn-every", type=click.FloatRange(0.1), help="Seconds between a call's turns.  [default: 15; tiny: 1]"
)
@click.option("--barge-in", type=click.FloatRange(0, 1), help="Share of answers cut off.  [default: 0.1; tiny: 0]")
@click.option(
    "--at-minute",
    "minutes",
    type=click.FloatRange(0, 240),
    multiple=True,
    default=[0],
    help="Minutes the calls have lasted; repeat for more runs.",
)
@click.option("--first-token", default="0.05", show_default=True, help="Seconds, or such as lognormal:0.55,1.2.")
@click.option("--gap", default="0.01", show_default=True, help="Seconds between the model's chunks, likewise.")
@click.option("--chunks", type=click.IntRange(1), default=20, show_default=True, help="Chunks of an answer.")
@click.option("--fault", "faults", multiple=True, help="What the model does wrong, such as 4%hang_after_role.")
@click.option("--find-knee", "knee", is_flag=True, help="Raise --calls until added p99 is over 50 ms, or errors come.")
@click.option("--pid", type=click.IntRange(1), help="With URL: the server's process here, for its CPU and memory.")
@click.option("--model", help="With URL: the stand-in model behind it, as http://127.0.0.1:9000, for its own times.")
@click.option("--json", "as_json", is_flag=True, help="Print figures as JSON.")
@click.option(
    "--report", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="Write a page with plots."
)
def load(url: str | None, pid: int | None, model: str | None, **given: Any) -> None:
    """Play many calls at once, and measure what the service adds to its model.

    Without URL, a fresh service and a stand-in model are started for each run; --first-token, --gap, --chunks and
    --fault are the model's. With URL, that service is called, whatever its model does.

    Exit code 0: fine; 1: errors in the run, or it was aborted; 2: bad usage, or nothing to connect to.

    \b
    Examples:
      cuebox load                                      20 calls, as the platform makes them
      cuebox load --calls 100 --frames tiny            one turn a second each
      cuebox load --at-minute 1 --at-minute 30 --report out.html
      cuebox load --first-token lognormal:0.55,1.2 --fault 4%hang_after_role
      cuebox load --find-knee --frames tiny            how many calls one core can hold
      cuebox load ws://127.0.0.1:8080/llm-websocket --pid 4711
    """
    try:
        from service.simulator.load_host import Host
        from service.simulator.load_terminal import run_load
    except ModuleNotFoundError as error:
        if error.name != "picows":
            raise
        raise click.UsageError("cuebox load needs one more package: pip install 'cuebox[load]'") from error
    if url is None and (pid or model):
        raise click.UsageError("--pid and --model tell what stands behind URL, so they need one.")
    if url and given["knee"] and not model:
        raise click.UsageError("With URL, --find-knee needs --model, to tell what the service adds.")
    sys.exit(run_load(Host(url, pid, model) if url else None, **given))
