"""Agents' folders, written for a test."""

from pathlib import Path

import pytest

from service.agents.folder import read_folder
from service.agents.mistakes import FolderMistake

TOOL = '''"""Tools."""

from service.agents.tools import tool


@tool(effect="read")
async def opening_hours(day: str) -> str:
    """Tell when we are open.

    Args:
        day: A weekday.
    """
    return "nine to five"
'''


def written(folder: Path, **files: str | bytes) -> Path:
    """A folder with these files. `_` is a dot in their names, and `__` a slash: `agent_toml`, `knowledge__hours_md`."""
    for name, text in {"agent_toml": "", "prompt_md": "You answer calls.", **files}.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def mistakes_of(folder: Path) -> list[str]:
    """What is wrong with a folder, its own path left out."""
    with pytest.raises(FolderMistake) as refused:
        read_folder(folder)
    assert f"The agent '{folder.name}' cannot be read" in str(refused.value)
    return [
        str(mistake).replace(f"{folder.resolve()}/", "").replace(f"{folder}/", "") for mistake in refused.value.mistakes
    ]
