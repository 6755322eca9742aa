"""infra/README.md: what it leads to is there, and what it says to type exists."""

import re
from pathlib import Path

import pytest
from click import Command, Group

from infra.readme import OPERATING, README, generated, parts_of
from service.cli import main
from service.environment import unknown_variables

TEXT = OPERATING.read_text(encoding="utf-8")


def test_the_guide_is_current() -> None:
    assert generated(TEXT, parts_of(OPERATING)) == TEXT, "run make readme"


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)[^):]*\)", TEXT))))
def test_links_lead_somewhere(link: str) -> None:
    assert (OPERATING.parent / link).exists()


def test_files_of_this_folder_that_are_named_are_here() -> None:
    named = {path.rstrip(".") for path in re.findall(r"infra/[\w./*-]+", TEXT)}
    assert named
    assert [path for path in named if not list(Path(OPERATING.parents[1]).glob(path))] == []


def test_variables_are_settings() -> None:
    named = dict.fromkeys(re.findall(r"\bCUEBOX_[A-Z_]+\b", TEXT), "")
    assert named
    assert list(unknown_variables(named)) == []


def test_the_capacity_table_has_the_figures_that_were_measured() -> None:
    measured, (calls,) = README.read_text(encoding="utf-8"), re.findall(r"\| Calls \| (\d+) ", TEXT)
    per_minute = dict(re.findall(r"\| CPU a call-minute, in minute (\d+) \|.*\| (\d+) ms \|", measured))
    ten, thirty = (int(per_minute[minute]) for minute in ("10", "30"))
    held = re.findall(r"one core: (\d+) calls in their 10th minute, (\d+) in their 30th", TEXT)[0]
    assert [int(each) for each in held] == pytest.approx([60_000 / ten, 60_000 / thirty], rel=0.02)
    assert f"| {ten} and {thirty} ms a call and minute" in TEXT
    assert f"{round(int(calls) * thirty / 600)} % of a core in minute 30" in TEXT
    (knee,) = re.findall(r"\| Calls with one turn a second \|.*, (\d+) a core", measured)
    assert f"or {knee} that ask once a second" in TEXT
    (idle,) = re.findall(r"\| Memory of an idle call \|.*\| (\d+) kB", measured)
    assert f"{idle} kB an idle call" in TEXT


def test_commands_and_their_options_exist() -> None:
    code = "\n".join("".join(pair) for pair in re.findall(r"```sh\n(.*?)```|`([^`\n]+)`", TEXT, re.DOTALL))
    uses = re.findall(r"cuebox (?!/)([a-z]+\b[^\n;|&]*)", code)
    assert {"connect", "probe", "explain", "load", "ctl"} <= {use.split()[0] for use in uses}
    for use in uses:
        command, words = command_of(use.split())
        options = {option for each in command.params for option in each.opts}
        for word in words:
            assert not word.startswith("--") or word.strip("\"'") in options, f"cuebox {use}"


def command_of(words: list[str]) -> tuple[Command, list[str]]:
    """The command that they call, and what is said to it."""
    command: Command = main
    while isinstance(command, Group):
        assert words[0] in command.commands, f"cuebox … {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    return command, words
