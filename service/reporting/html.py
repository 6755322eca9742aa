"""Pieces of a page. Whatever comes from data is escaped here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

from service.reporting.facts import TurnFacts


class Safe(str):
    """HTML of our own making: the only text that a piece takes as it stands."""

    __slots__ = ()


_NARROW = "\N{NO-BREAK SPACE}"
"""Between a number and its unit."""

Cell = str | float | None
"""Text is escaped unless it is Safe; None is a dash."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page. `html` stands as it is: who makes one escapes what comes from data."""

    title: str
    html: str


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Safe:
    """Its first column names the row; those of numbers stand to the right, and those with nothing in them nowhere."""
    cells = [[_cell(value) for value in row] for row in rows]
    if not cells:
        return Safe()
    named = zip(head, zip(*cells, strict=True), strict=True)
    columns = [(name, column) for number, (name, column) in enumerate(named) if not number or {*column} - _EMPTY]
    kinds = [' class="n"' if all(map(_is_number, column)) else "" for _, column in columns]
    top = "".join(f'<th scope="col"{kind}>{escape(name)}</th>' for (name, _), kind in zip(columns, kinds, strict=True))
    body = "".join(
        f'<tr><th scope="row"{kinds[0]}>{first}</th>'
        + "".join(f"<td{kind}>{value}</td>" for value, kind in zip(rest, kinds[1:], strict=True))
        + "</tr>"
        for first, *rest in zip(*(column for _, column in columns), strict=True)
    )
    return Safe(
        f'<div class="wide" tabindex="0" role="group" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


_EMPTY = {"–", ""}


def _cell(value: Cell) -> str:
    if value is None:
        return "–"
    if isinstance(value, Safe):
        return value
    return f"{value:,.5g}" if isinstance(value, float) else escape(str(value))


def _is_number(cell: str) -> bool:
    return cell[:1] in "0123456789$–" and len(cell) < 14  # noqa: PLR2004 - a time or a share, no sentence


def paragraph(text: str, kind: str = "") -> Safe:
    """A sentence or two."""
    return Safe(f'<p class="{kind}">{text if isinstance(text, Safe) else escape(text)}</p>')


def bdi(text: str) -> Safe:
    """Words of others, which may run from right to left."""
    return Safe(f"<bdi>{escape(text)}</bdi>")


def seconds(value: float | None) -> str:
    """A time, as precisely as it matters."""
    if value is None:
        return "–"
    if value < 0.1:  # noqa: PLR2004
        return f"{1000 * value:.0f}{_NARROW}ms"
    return f"{value:.2f}{_NARROW}s" if value < 10 else f"{value:.1f}{_NARROW}s"  # noqa: PLR2004


def lasted(value: float | None) -> str:
    """A time of minutes."""
    if value is None:
        return "–"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes}{_NARROW}min {rest:02}{_NARROW}s" if minutes else f"{rest}{_NARROW}s"


def dollars(value: float | None) -> str:
    """An amount, cents and their fractions where it is small."""
    if value is None:
        return "–"
    if value >= 1 or value == 0:
        return f"${value:,.2f}"
    return f"${value:.3f}" if value >= 0.01 else f"${value:#.2g}" if value >= _MIL else f"below ${_MIL}"  # noqa: PLR2004


_MIL = 0.0001


def percent(share: float) -> str:
    """A share of 0 to 1."""
    shown = 100 * share
    digits = 0 if shown >= 10 or abs(shown - round(shown)) < 0.05 else 1  # noqa: PLR2004
    return f"{shown:.{digits}f}{_NARROW}%"


def moment(at: float) -> str:
    """A time of day, in UTC; a dash where none is known."""
    return f"{datetime.fromtimestamp(at, UTC):%d %b, %H:%M:%S}" if at else "–"


def plural(count: int, noun: str) -> str:
    """So many of it."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def which(turn: TurnFacts) -> Safe:
    """Where a turn is found: its call, its number there, when."""
    return Safe(f'<span class="id">{bdi(turn.call_id)}</span> turn {turn.turn_id} · {moment(turn.asked_at)}')
