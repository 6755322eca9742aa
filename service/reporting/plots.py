"""Plots as inline SVG, coloured by the page that they stand in: curve i has the class `c{i}`."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from itertools import islice

WIDTH, HEIGHT = 640, 292
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, WIDTH - 16, 56, HEIGHT - 36

Point = tuple[float, float]
Curves = Mapping[str, Sequence[Point]]
Ticks = Sequence[tuple[float, str]]


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


def line_plot(title: str, unit: str, curves: Curves, x_ticks: Ticks) -> str:
    """Values over anything; a curve of a single point is a dot."""
    y_ticks = round_ticks(max((y for curve in curves.values() for _, y in curve), default=0.0))
    xs = [x for curve in curves.values() for x, _ in curve] + [x for x, _ in x_ticks]
    across = _scale(min(xs, default=0.0), max(xs, default=1.0), _LEFT, _RIGHT)
    up = _scale(0.0, y_ticks[-1], _BOTTOM, _TOP)

    def drawn() -> Iterator[str]:
        yield from _frame(title, unit, [(up(y), f"{y:g}") for y in y_ticks], [(across(x), name) for x, name in x_ticks])
        for i, (name, curve) in enumerate(curves.items()):
            points = thinned((across(x), up(y)) for x, y in curve)
            if len(points) == 1:
                yield f'<circle class="c{i}" cx="{points[0][0]}" cy="{points[0][1]}" r="2"/>'
            else:
                yield f'<polyline class="c{i}" points="{" ".join(f"{x},{y}" for x, y in points)}"/>'
            before = sum(11 * len(other) + 14 for other in islice(curves, i))
            yield _text(f"name c{i}", _LEFT + before, _TOP - 16, name, "start")

    return _svg(title, drawn())


def histogram(title: str, unit: str, values: Sequence[float], marks: Mapping[str, float], bars: int = 40) -> str:
    """How many values are how large. The axis ends with the last of the marks: the last bar has all that is beyond."""
    x_ticks = round_ticks(1.05 * max(marks.values(), default=max(values, default=0.0)))
    width = x_ticks[-1] / bars
    counts = [0] * bars
    for value in values:
        counts[min(bars - 1, int(value / width))] += 1
    y_ticks = [tick for tick in round_ticks(max(counts)) if tick == int(tick)]
    across, up = _scale(0.0, x_ticks[-1], _LEFT, _RIGHT), _scale(0.0, y_ticks[-1], _BOTTOM, _TOP)

    def drawn() -> Iterator[str]:
        x_names = [(across(x), f"{x:g} {unit}") for x in x_ticks]
        if max(values, default=0.0) > x_ticks[-1]:
            x_names[-1] = x_names[-1][0], "more"
        yield from _frame(title, "turns", [(up(y), f"{y:g}") for y in y_ticks], x_names)
        for i, count in enumerate(counts):
            left, top, wide = across(i * width), up(count), across(width) - _LEFT
            yield f'<rect x="{left}" y="{top}" width="{wide - 1:.1f}" height="{_BOTTOM - top:.1f}"/>' if count else ""
        for i, (name, value) in enumerate(marks.items()):
            x, is_late = across(value), value > 0.7 * x_ticks[-1]
            yield f'<line class="mark" x1="{x}" x2="{x}" y1="{_TOP}" y2="{_BOTTOM}"/>'
            aside, anchor = (-6, "end") if is_late else (6, "start")
            yield _text("mark", x + aside, _TOP + 14 + 24 * i, f"{name} {value:.3g} {unit}", anchor)

    told = "; ".join(f"{name} {value:.3g} {unit}" for name, value in marks.items())
    return _svg(f"{title}. {told}", drawn())


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: round(start + (value - low) / ((high - low) or 1) * (end - start), 1)


def _frame(title: str, unit: str, y_ticks: Ticks, x_ticks: Ticks) -> Iterator[str]:
    yield _text("title", 0, 18, title, "start") + _text("tick", _LEFT - 8, _TOP - 16, unit)
    for y, name in y_ticks:
        yield f'<line x1="{_LEFT}" x2="{_RIGHT}" y1="{y}" y2="{y}"/>' + _text("tick", _LEFT - 8, y + 4, name)
    yield from (_text("tick", x, HEIGHT - 14, name, "middle") for x, name in x_ticks)


def _svg(label: str, drawn: Iterable[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{"".join(drawn)}</svg>'


def _text(kind: str, x: float, y: float, text: str, anchor: str = "end") -> str:
    return f'<text class="{kind}" text-anchor="{anchor}" x="{x:g}" y="{y:g}">{escape(text)}</text>'


def thinned(points: Iterable[Point]) -> list[Point]:
    """As many as a page can show: of each step across the highest, which is what one looks for."""
    highest_last = sorted(points, key=lambda point: -point[1])  # up is less, in an SVG
    return sorted({round(point[0]): point for point in highest_last}.values())
