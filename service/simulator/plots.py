"""Plots as inline SVG, coloured by the page that they stand in: curve i has the class `c{i}`."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 640, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, WIDTH - 16, 44, HEIGHT - 36

Point = tuple[float, float]
Curves = Mapping[str, Sequence[Point]]


def percentile_plot(title: str, unit: str, sets: Mapping[str, Sequence[float]]) -> str:
    """How many of each set's values are at most so large; the last percents have as much room as the first half."""
    curves = {name: percentile_curve(values) for name, values in sets.items() if values}
    most = max((x for curve in curves.values() for x, _ in curve), default=1.0)
    percents = (50, 90, 99, 99.9, 99.99)
    return line_plot(title, unit, curves, [(_nines(p), f"{p:g} %") for p in percents if _nines(p) <= most + 0.01])


def time_plot(title: str, unit: str, curves: Curves) -> str:
    """Values over the seconds of a run."""
    last = max((x for curve in curves.values() for x, _ in curve), default=1.0)
    return line_plot(title, unit, curves, [(x, f"{x:g} s") for x in round_ticks(last) if x <= last])


def percentile_curve(values: Sequence[float]) -> list[Point]:
    """Each value from the median on, against the nines of its percentile."""
    n = len(values)
    return [(_nines(100 * (rank + 0.5) / n), value) for rank, value in enumerate(sorted(values)) if rank >= n // 2]


def _nines(percentile: float) -> float:
    return -math.log10(1 - percentile / 100)


def round_ticks(most: float) -> list[float]:
    """Up to six round numbers from 0 to just about the greatest value."""
    if most <= 0:
        return [0.0, 1.0]
    size = 10 ** math.floor(math.log10(most / 5))
    step = next(factor * size for factor in (1, 2, 5, 10) if most / (factor * size) <= 5)  # noqa: PLR2004
    return [round(step * i, 10) for i in range(math.ceil(most / step) + 1)]


def line_plot(title: str, unit: str, curves: Curves, x_ticks: Sequence[tuple[float, str]]) -> str:
    """Values over anything; a curve of a single point is a dot."""
    y_ticks = round_ticks(max((y for curve in curves.values() for _, y in curve), default=0.0))
    xs = [x for curve in curves.values() for x, _ in curve] + [x for x, _ in x_ticks]
    low, high = min(xs, default=0.0), max(xs, default=1.0)

    def across(x: float) -> float:
        return round(_LEFT + (x - low) / ((high - low) or 1) * (_RIGHT - _LEFT), 1)

    def up(y: float) -> float:
        return round(_BOTTOM - y / y_ticks[-1] * (_BOTTOM - _TOP), 1)

    def drawn() -> Iterator[str]:
        yield _text("title", 0, 16, title, "start") + _text("tick", _LEFT - 8, _TOP - 12, unit)
        for y in y_ticks:
            yield f'<line x1="{_LEFT}" x2="{_RIGHT}" y1="{up(y)}" y2="{up(y)}"/>'
            yield _text("tick", _LEFT - 8, up(y) + 4, f"{y:g}")
        yield from (_text("tick", across(x), HEIGHT - 14, label, "middle") for x, label in x_ticks)
        for i, (name, curve) in enumerate(curves.items()):
            points = thinned((across(x), up(y)) for x, y in curve)
            if len(points) == 1:
                yield f'<circle class="c{i}" cx="{points[0][0]}" cy="{points[0][1]}" r="2"/>'
            else:
                yield f'<polyline class="c{i}" points="{" ".join(f"{x},{y}" for x, y in points)}"/>'
            yield _text(f"name c{i}", _RIGHT - 150 * (len(curves) - 1 - i), 16, name)

    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(drawn())}</svg>'


def _text(kind: str, x: float, y: float, text: str, anchor: str = "end") -> str:
    return f'<text class="{kind}" text-anchor="{anchor}" x="{x}" y="{y}">{escape(text)}</text>'


def thinned(points: Iterable[Point]) -> list[Point]:
    """As many as a page can show: of each step across the highest, which is what one looks for."""
    highest_last = sorted(points, key=lambda point: -point[1])  # up is less, in an SVG
    return sorted({round(point[0]): point for point in highest_last}.values())
