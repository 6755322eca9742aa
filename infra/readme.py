"""Write the parts of README.md and infra/README.md that the code knows: those between `<!-- name -->` marks."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from infra.alerts import groups
from infra.slo import read
from service.environment import settings_table
from service.platforms.retell.assumptions import ASSUMPTIONS, CALLS_VERIFIED

README = Path(__file__).parent.parent / "README.md"
OPERATING = Path(__file__).parent / "README.md"


def assumptions_table() -> str:
    """What we assume of Retell, as a Markdown table."""
    rows = [f"Verified against live calls: {CALLS_VERIFIED}.", "", "| | We assume | So | From |", "|---|---|---|---|"]
    rows += [f"| {a.id} | {a.sentence} | {a.what_we_do} | {a.source} |" for a in ASSUMPTIONS]
    return "\n".join(rows)


def alerts_table() -> str:
    """The alerts with the first sentence of their pages, as a Markdown table."""
    rows = ["| Alert | | What it means |", "|---|---|---|"]
    for alert in (alert for alerts in groups(read()).values() for alert in alerts):
        page = (OPERATING.parent / "runbooks" / f"{alert.name}.md").read_text(encoding="utf-8")
        (meaning,) = re.findall(r"## Meaning\n\n(.+?\.)(?:\s|$)", page)
        rows.append(f"| [{alert.name}](runbooks/{alert.name}.md) | {alert.severity} | {meaning} |")
    return "\n".join(rows)


def parts_of(readme: Path) -> dict[str, str]:
    """The generated parts of one of the two."""
    if readme == OPERATING:
        return {"alerts": alerts_table()}
    return {"settings": settings_table(), "assumptions": assumptions_table()}


def generated(text: str, parts: Mapping[str, str] | None = None) -> str:
    """README.md, or a text with other parts, as it should be. Raises ValueError when a part has no place in it."""
    for name, part in (parts_of(README) if parts is None else parts).items():
        pattern = re.compile(f"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)", re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"README.md has no place for {name}")
        text = pattern.sub(lambda match, part=part: f"{match[1]}{part}{match[2]}", text)  # type: ignore[misc]  # bound
    return text


if __name__ == "__main__":
    for file in (README, OPERATING):
        file.write_text(generated(file.read_text(encoding="utf-8"), parts_of(file)), encoding="utf-8")
    sys.stdout.write("README.md and infra/README.md are up to date.\n")
