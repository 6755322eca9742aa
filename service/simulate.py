"""`cuebox simulate`. As in `cli`, imports are made when they are needed."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from concurrent.futures import Future

    from service.simulator.scenario.reading import BrokenScenario
    from service.simulator.scenario.telling import Played

FEW = 6
"""Scenarios that are played sooner than a second process has started."""

_Out = click.Path(dir_okay=False, writable=True, path_type=Path)


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--url", help="Play them against this service, in real time.")
@click.option("--repeat", type=click.IntRange(1), default=1, show_default=True, help="How often each is played.")
@click.option("-k", "wanted", metavar="WORDS", help="Only those with these words in their name or file.")
@click.option("--jobs", type=click.IntRange(1), help="At once.  [default: one a core; with --url 4]")
@click.option("--junit", type=_Out, help="Write the results as JUnit's XML.")
@click.option("--json", "as_json", type=_Out, help="Write the results as JSON.")
@click.option("--report", type=_Out, help="Write a page about the calls.")
@click.option("--schema", is_flag=True, help="Print the JSON schema of the files, for editors, and end.")
def simulate(
    paths: tuple[Path, ...], url: str | None, wanted: str | None, *, schema: bool, **given: Path | int | None
) -> None:
    """Play calls that are written down, and tell what did not go as expected.

    PATHS are files or folders of them. Each is played in a world of its own, in virtual time: the real service and
    agent, a stand-in for the model, and a clock that jumps. So it takes no time, and goes the same way each time.

    Exit code 0: all passed; 1: some failed, or all had to be skipped; 2: a file is broken.

    \b
    Examples:
      cuebox simulate agents/practice/scenarios
      cuebox simulate tests/scenarios -k barge --repeat 100
      cuebox simulate tests/scenarios --junit results.xml --report calls.html
      cuebox simulate tests/scenarios --url wss://example.com/llm-websocket
      cuebox simulate --schema > scenario.schema.json
    """
    try:
        from service.simulator.scenario.reading import json_schema
    except ModuleNotFoundError as error:
        if error.name not in ("yaml", "time_machine"):
            raise
        raise click.UsageError("cuebox simulate needs more packages: pip install 'cuebox[simulate]'") from error
    if schema:
        import json

        click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
        return
    sys.exit(_simulate(paths, url, wanted, **given))  # type: ignore[arg-type]  # as click's options have them


def _simulate(
    paths: Sequence[Path],
    url: str | None,
    wanted: str | None,
    *,
    repeat: int,
    jobs: int | None,
    junit: Path | None,
    as_json: Path | None,
    report: Path | None,
) -> int:
    import time

    from service.simulator.scenario import telling
    from service.simulator.scenario.reading import BrokenScenario

    try:
        files = _files_of(paths, wanted)
    except BrokenScenario as broken:
        click.echo(f"{broken}", err=True)
        return 2
    began, results, broken_ones = time.perf_counter(), [], []
    play = partial(_played_here, repeat=repeat, jobs=jobs, keeps_log=report is not None)
    for done, each in enumerate(play(files) if url is None else _played_there(files, url, repeat, jobs), 1):
        _clear_progress()
        if isinstance(each, BrokenScenario):
            broken_ones.append(each)
            click.echo(f"{each}", err=True)
        else:
            results.append(each)
            _print(telling.told(each))
        _show_progress(done, len(files))
    took = time.perf_counter() - began
    click.echo(telling.summed_up(results, took))
    for place, written in ((junit, telling.junit_of), (as_json, telling.json_of)):
        if place is not None:
            place.write_bytes(written(results, took))
    if report is not None:
        report.write_text(_page(results, took), encoding="utf-8")
    if broken_ones:
        return 2
    return 1 if any(each.failures for each in results) or all(each.skipped for each in results) else 0


def _files_of(paths: Sequence[Path], wanted: str | None) -> list[Path]:
    """The files of all paths that are meant. Raises BrokenScenario, with all that is wrong with any of them."""
    from service.simulator.scenario.reading import BrokenScenario, Mistake, read_scenario

    if not paths:
        raise click.UsageError("Say which: files, or folders of them, such as agents/practice/scenarios.")
    found, mistakes, files = [], [], []
    for path in paths:
        inside = sorted(each for kind in ("*.yaml", "*.yml") for each in path.rglob(kind)) if path.is_dir() else [path]
        if not inside:
            mistakes.append(Mistake(path, 1, "this folder has no scenario: a file that ends in .yaml"))
        found += inside
    for file in dict.fromkeys(found):
        try:
            name = read_scenario(file).name
        except BrokenScenario as broken:
            mistakes += broken.mistakes
        else:
            files += [file] if wanted is None or wanted.lower() in f"{name}\n{file.stem}".lower() else []
    if mistakes:
        raise BrokenScenario(mistakes)
    if not files:
        raise click.UsageError(f"None of the {len(found)} scenarios has {wanted!r} in its name.")
    return files


def _played_here(
    files: Sequence[Path], *, repeat: int, jobs: int | None, keeps_log: bool
) -> "Iterator[Played | BrokenScenario]":
    """In virtual time, in several processes where there are many. They come in the order of the files."""
    import os
    from tempfile import TemporaryDirectory

    from service.stage import attempted

    with TemporaryDirectory(prefix="cuebox-indexes-") as cache:
        play = partial(attempted, repeat=repeat, keeps_log=keeps_log, cache=cache)
        yield from _shared_out(play, files, jobs or os.cpu_count() or 1, is_much=len(files) * repeat >= FEW)


def _shared_out(
    play: "Callable[[Path], Played | BrokenScenario]", files: Sequence[Path], jobs: int, *, is_much: bool
) -> "Iterator[Played | BrokenScenario]":
    if jobs == 1 or not is_much:
        yield from map(play, files)
        return
    import multiprocessing
    import signal
    from concurrent.futures import ProcessPoolExecutor

    first, *others = files
    yield play(first)  # the processes made now have imported and read by then what each of them needs
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    pool = ProcessPoolExecutor(min(jobs, len(files)), context)
    mask = getattr(signal, "pthread_sigmask", lambda *_: None)  # Windows has none
    try:
        mask(signal.SIG_BLOCK, {signal.SIGINT})  # the processes inherit it: an interrupt is for this one alone
        playing = [pool.submit(play, file) for file in others]
        mask(signal.SIG_UNBLOCK, {signal.SIGINT})
        yield from map(_came_of, others, playing)
    finally:  # when it was interrupted, too: then what is being played is not waited for
        for process in [] if sys.exception() is None else multiprocessing.active_children():
            process.terminate()
        pool.shutdown(cancel_futures=True)


def _came_of(file: Path, playing: "Future[Played | BrokenScenario]") -> "Played | BrokenScenario":
    from concurrent.futures.process import BrokenProcessPool

    from service.simulator.scenario.telling import Played

    try:
        return playing.result()
    except BrokenProcessPool:
        told = f"a process died that played calls: try it alone, cuebox simulate {file}"
        return Played(str(file), file.stem.replace("-", " "), (told,))


def _played_there(
    files: Sequence[Path], url: str, repeat: int, jobs: int | None
) -> "Iterator[Played | BrokenScenario]":
    import asyncio

    from service.simulator.scenario.calling import played_over

    results = played_over(files, url, repeat=repeat, at_once=jobs or 4)

    async def following() -> "Played | BrokenScenario | None":
        return await anext(results, None)

    with asyncio.Runner() as runner:  # told one by one: in real time they take their time
        while (each := runner.run(following())) is not None:
            yield each


def _page(results: "Iterable[Played]", took: float) -> str:
    from service.reporting.html import Section, table
    from service.reporting.log_lines import facts_of
    from service.reporting.page import page

    results = sorted(results, key=lambda each: (not each.failures, each.is_passed))
    rows = [
        (each.name, "skipped" if each.skipped else "failed" if each.failures else "passed", "; ".join(each.failures))
        for each in results
    ]
    lines = [{**line, "call_id": Path(each.file).stem} for each in results for line in each.log]
    scenarios = Section("Scenarios", table("What was played", ("Scenario", "Result", "What failed"), rows))
    facts = facts_of(lines) if lines else None
    return page(facts, f"{len(results)} scenarios in {took:.1f} s", title="Scenarios", first=[scenarios])


def _print(told: str) -> None:
    for line in told.split("\n"):
        click.secho(line, fg={"✓": "green", "✗": "red"}.get(line.strip()[:1]))


def _is_watched() -> bool:
    return sys.stderr.isatty()


def _show_progress(done: int, of: int) -> None:
    if _is_watched() and done < of:
        click.echo(f"{done} of {of} …", nl=False, err=True)


def _clear_progress() -> None:
    if _is_watched():
        click.echo("\r\x1b[K", nl=False, err=True)
