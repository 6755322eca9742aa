"""What a probe tells: a person in lines as it happens, a program in JSON, Prometheus in a file of its text format."""

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import click
import msgspec

from service.simulator.line import NotConnected
from service.simulator.probe import Notes, Outage, Probe


async def probe_from_terminal(
    url: str,
    *,
    seconds: float,
    every: float,
    says: tuple[str, ...],
    longest_gap: float,
    as_json: bool,
    prometheus: Path | None,
) -> int:
    """Place the call, tell what came of it, and return the exit code: 1 for what a caller would have noticed."""
    try:
        probe = Probe(url, tell=lambda outage: click.echo(outage_line(outage), err=True))
        _stop_at_ctrl_c(probe)
        told = {"says": says} if says else {}
        notes = await probe.hold(seconds, every=every, **told)
    except NotConnected as error:
        click.echo(f"cuebox: {error}", err=True)
        notes = Notes("", ended="")
    faults = notes.faults(longest_gap)
    if prometheus is not None:
        _write(prometheus, prometheus_text(notes, is_well=not faults))
    if as_json:
        click.echo(msgspec.json.encode({**asdict(notes), "faults": faults}))
    elif notes.call_id:
        click.echo("\n".join(summary(notes, faults)))
    return 1 if faults else 0


def _stop_at_ctrl_c(probe: Probe) -> None:
    """Once: what was seen until then is told. The next one ends the command."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        probe.stop()

    with suppress(NotImplementedError, RuntimeError, ValueError):  # not in a thread, and not on every system
        loop.add_signal_handler(signal.SIGINT, stop)


def outage_line(outage: Outage) -> str:
    """A line that ended amid the call, for a person who looks on."""
    what = "nobody took the call any more" if outage.gap is None else f"the next one spoke after {outage.gap:.2f} s"
    return f"{time.strftime('%H:%M:%S')}  {outage.at:.1f} s into the call {outage.why}: {what}"


def summary(notes: Notes, faults: list[str]) -> Iterator[str]:
    """The call in lines for a person."""
    yield f"Held {notes.call_id} for {notes.seconds:.0f} s: {notes.answered} of {notes.asked} turns answered."
    if notes.waits:
        yield f"First words after {notes.median_wait:.2f} s (median), {max(notes.waits):.2f} s (longest)."
    codes = ", ".join(map(str, notes.close_codes))
    yield f"Lines closed with {codes}; longest gap {notes.longest_gap:.2f} s; words lost: {notes.words_lost}."
    yield f"Greetings heard: {notes.greetings}."
    yield from faults or ["Well: its caller would have noticed nothing."]


def prometheus_text(notes: Notes, *, is_well: bool) -> str:
    """The call as gauges, in Prometheus' text format."""
    gauges = {
        "well": ("Whether the caller of the last test call would have noticed nothing.", float(is_well)),
        "time_seconds": ("When the last test call ended, since 1970.", time.time()),
        "seconds": ("How long it was held.", notes.seconds),
        "turns_asked": ("Turns that its caller spoke.", notes.asked),
        "turns_unanswered": ("Turns that were not answered.", notes.unanswered),
        "greetings": ("Greetings that its caller heard.", notes.greetings),
        "outages": ("Lines that ended amid the call.", len(notes.outages)),
        "longest_gap_seconds": ("The longest time without a line.", notes.longest_gap),
        "words_lost": ("Words of answers that a broken line cut off.", notes.words_lost),
    }
    if notes.median_wait is not None:
        gauges["first_words_seconds"] = ("The median wait for an answer's first words.", notes.median_wait)
        gauges["first_words_max_seconds"] = ("The longest wait for an answer's first words.", max(notes.waits))
    return "".join(
        f"# HELP cuebox_probe_{name} {text}\n# TYPE cuebox_probe_{name} gauge\ncuebox_probe_{name} {round(value, 3)}\n"
        for name, (text, value) in gauges.items()
    )


def _write(file: Path, text: str) -> None:
    """At once, for whoever collects it may read at any moment."""
    draft = file.with_name(f".{file.name}.draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(file)
