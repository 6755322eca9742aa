"""`cuebox report`. As in `cli`, imports are made when they are needed."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

_MANY = 4


@click.command()
@click.argument("logs", metavar="[LOG]...", type=click.Path(exists=True, dir_okay=False, allow_dash=True), nargs=-1)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, writable=True, allow_dash=True, path_type=Path),
    default="report.html",
    show_default=True,
    help="Where to write the page; - is standard output.",
)
def report(logs: tuple[str, ...], out: Path) -> None:
    """Write a page about calls, from the service's log: latencies, interruptions, slow turns, outcomes, costs.

    Without LOG, or for -, standard input is read. Lines of other programs may stand between ours, and a prefix before
    them. The page is one file that needs nothing else: open it, or send it to somebody.

    Exit code 0: written; 1: no line is about a call; 2: bad usage, or a file cannot be read or written.

    \b
    Examples:
      cuebox report cuebox.log
      cuebox report monday.log tuesday.log --out week.html
      fly logs --no-tail | cuebox report
    """
    from service.reporting.log_lines import facts_of, read_lines
    from service.reporting.page import page

    if not logs and sys.stdin.isatty():
        raise click.UsageError("Name a LOG, or pipe one in: fly logs --no-tail | cuebox report")
    sources = logs or ("-",)
    facts = facts_of(read_lines(_lines_of(sources)))
    if not facts.calls:
        click.echo(
            "cuebox: no line of this is about a call. Give the log of `cuebox serve` as JSON lines: it writes them "
            "when its output is no terminal, or with CUEBOX_LOG_FORMAT=json. CUEBOX_LOG_LEVEL must be info or debug.",
            err=True,
        )
        sys.exit(1)
    names = " and ".join("standard input" if name == "-" else Path(name).name for name in sources)
    html = page(facts, names if len(sources) < _MANY else f"{len(sources)} files")
    try:
        with click.open_file(str(out), "w", encoding="utf-8") as file:
            file.write(html)
    except OSError as error:
        raise click.UsageError(f"{out} cannot be written: {error.strerror}.") from error
    click.echo(f"Report: {out}", err=True)


def _lines_of(logs: Iterable[str]) -> Iterator[str]:
    for name in logs:
        with click.open_file(name, encoding="utf-8", errors="replace") as log:
            yield from log
