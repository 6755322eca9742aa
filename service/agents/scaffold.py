"""A new agent: the receptionist in a folder of its own. The folder's name is the agent's."""

import shutil
from pathlib import Path

from service.agents.library import CODED, NAME, SHIPPED

MODEL = "receptionist"
_LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "__init__.py", "*.db*", "*.sqlite*")


class ScaffoldError(ValueError):
    """An agent that cannot be made. The message is one plain sentence."""


def make_agent(name: str, place: Path) -> Path:
    """Copy the receptionist, its tests and scenarios included, into a folder of this place. Raises ScaffoldError."""
    if not NAME.fullmatch(name) or name == MODEL or name in CODED:
        raise ScaffoldError(f"{name!r} is no name for a new agent: use 1 to 64 of A-Z a-z 0-9 _ -, as no other has it.")
    folder = place / name
    if folder.exists():
        raise ScaffoldError(f"{folder} is there already: remove it, or choose another name.")
    try:
        shutil.copytree(SHIPPED / MODEL, folder, ignore=_LEFT_OUT, copy_function=shutil.copyfile)
        for test in folder.glob(f"test_{MODEL}.py"):
            test.rename(folder / f"test_{name.replace('-', '_')}.py")  # pytest wants names that differ
    except (OSError, shutil.Error) as error:
        shutil.rmtree(folder, ignore_errors=True)  # half an agent would only be in the way
        raise ScaffoldError(f"{folder} cannot be written: {error}.") from error
    return folder
