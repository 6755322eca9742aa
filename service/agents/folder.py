"""An agent's folder: what it says without a model (`agent.toml`), which models it asks, and its `prompt.md`."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from service.conversation.call import Deadlines, SpokenLines
from service.llm.candidate import Rules
from service.llm.targets import Target


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in `agent.toml`. Everything may be left out."""

    greeting: str = ""
    lines: SpokenLines = SpokenLines()
    deadlines: Deadlines = Deadlines()
    targets: tuple[Target, ...] = ()
    model: Rules = Rules()


@dataclass(frozen=True, slots=True)
class Folder:
    """An agent's files, read."""

    script: Script
    prompt: str


def read_folder(path: Path) -> Folder:
    """Raise ValueError or OSError for a file that is missing or not as it should be."""
    script = msgspec.toml.decode((path / "agent.toml").read_bytes(), type=Script)
    return Folder(script, (path / "prompt.md").read_text(encoding="utf-8"))
