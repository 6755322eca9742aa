"""Write the parts of README.md that the code knows: between `<!-- name -->` and `<!-- /name -->`."""

import re
import sys
from pathlib import Path

from service.platforms.retell.assumptions import ASSUMPTIONS, CALLS_VERIFIED
from service.settings import settings_table

README = Path(__file__).parent.parent / "README.md"


def assumptions_table() -> str:
    """What we assume of Retell, as a Markdown table."""
    rows = [f"Verified against live calls: {CALLS_VERIFIED}.", "", "| | We assume | So | From |", "|---|---|---|---|"]
    rows += [f"| {a.id} | {a.sentence} | {a.what_we_do} | {a.source} |" for a in ASSUMPTIONS]
    return "\n".join(rows)


def generated(text: str) -> str:
    """The README with its generated parts as they should be. Raises ValueError when one has no place in it."""
    for name, part in (("settings", settings_table()), ("assumptions", assumptions_table())):
        pattern = re.compile(f"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)", re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"README.md has no place for {name}")
        text = pattern.sub(lambda match, part=part: f"{match[1]}{part}{match[2]}", text)  # type: ignore[misc]  # bound
    return text


if __name__ == "__main__":
    README.write_text(generated(README.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write("README.md is up to date.\n")
