"""What is wrong in an agent's files: where, what, and what to do about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_BYTES = 4
"""Of a character, at the most."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong in a file."""

    file: Path
    line: int | None
    """Counted from 1; None where the whole file is meant, or none is there."""
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        place = str(self.file) if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.what}" + (f" ({self.remedy})" if self.remedy else "")


class FolderMistake(ValueError):
    """An agent's folder that cannot be used. The message tells all its mistakes, one a line."""

    def __init__(self, name: str, mistakes: Sequence[Mistake]) -> None:
        super().__init__(f"The agent '{name}' cannot be read:\n" + "\n".join(f"  {mistake}" for mistake in mistakes))
        self.mistakes = tuple(mistakes)


def text_of(file: Path, most: int, mistakes: list[Mistake]) -> str | None:
    """A file's text, of `most` characters at most; None when something is wrong, which is added to the mistakes."""
    try:
        with file.open("rb") as opened:
            text = opened.read(_BYTES * most + 1).decode("utf-8-sig")  # of a recording that lies there, not all of it
    except FileNotFoundError:
        mistakes.append(Mistake(file, None, "the file is missing", "every agent has one; it may be empty"))
    except OSError as error:
        mistakes.append(Mistake(file, None, f"it cannot be read: {error.strerror or type(error).__name__}"))
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        mistakes.append(Mistake(file, line, "this is not UTF-8", "save the file as UTF-8"))
    else:
        if len(text) <= most:
            return text
        mistakes.append(Mistake(file, None, f"it has more than {most} characters", "make it shorter"))
    return None
