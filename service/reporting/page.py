"""The page: one file that needs nothing from elsewhere, for a newcomer to read."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from service.reporting.facts import Facts
from service.reporting.html import Section, plural
from service.reporting.interruptions import interruptions
from service.reporting.sections import costs, headline, machinery, troubles, waiting
from service.reporting.slow_turns import slowest

STYLE = Path(__file__).with_name("page.css")
_PARTS = (headline, waiting, interruptions, slowest, machinery, costs, troubles)


def page(facts: Facts | None, made_from: str, *, title: str = "How calls went", first: Sequence[Section] = ()) -> str:
    """The whole of it. `first` are the caller's own sections; without facts there are no others."""
    sections = [*first, *(part(facts) for part in _PARTS if facts is not None)]
    names = [re.sub(r"\W+", "-", section.title.lower()).strip("-") for section in sections]
    links = "".join(
        f'<a href="#{escape(name)}">{escape(section.title)}</a>' for name, section in zip(names, sections, strict=True)
    )
    parts = "".join(
        f'<section id="{escape(name)}"><h2>{escape(section.title)}</h2>{section.html}</section>'
        for name, section in zip(names, sections, strict=True)
    )
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)} · Cuebox</title><style>{STYLE.read_text(encoding='utf-8')}</style></head><body>"
        f"<header><p>Cuebox report</p><h1>{escape(title)}</h1><p>{escape(_about(facts, made_from))}</p></header>"
        f'<nav aria-label="Sections">{links}</nav><main>{parts}</main></body></html>\n'
    )
    return html.encode(errors="replace").decode()  # half a character, as JSON can spell it, is no text


def _about(facts: Facts | None, made_from: str) -> str:
    if facts is None or not facts.calls:
        return f"Made from {made_from}."
    agents = ", ".join(sorted({call.agent for call in facts.calls if call.agent}))
    answered = f" of {agents}" if agents else ""
    return f"{_range(facts)}{plural(len(facts.calls), 'call')}{answered}. Made from {made_from}."


def _range(facts: Facts) -> str:
    if not facts.ended:
        return ""
    began, ended = (datetime.fromtimestamp(at, UTC) for at in (facts.began, facts.ended))
    until = f"{ended:%H:%M:%S}" if began.date() == ended.date() else f"{ended:%d %B %Y, %H:%M:%S}"
    return f"{began:%d %B %Y, %H:%M:%S} to {until} UTC. "
