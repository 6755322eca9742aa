"""Plots: round ticks, curves that show the tail, and SVG that a browser can read."""

from xml.etree import ElementTree as ET

import pytest

from service.reporting.plots import (
    histogram,
    line_plot,
    percentile_curve,
    percentile_plot,
    round_ticks,
    thinned,
    time_plot,
)


def read(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314  our own


@pytest.mark.parametrize(
    ("most", "ticks"),
    [
        (0, [0, 1]),
        (1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (4.9, [0, 1, 2, 3, 4, 5]),
        (53, [0, 20, 40, 60]),
        (0.031, [0, 0.01, 0.02, 0.03, 0.04]),
    ],
)
def test_ticks_are_round_and_reach_just_beyond(most: float, ticks: list[float]) -> None:
    assert round_ticks(most) == ticks


def test_a_percentile_curve_goes_from_the_median_to_the_greatest() -> None:
    curve = percentile_curve([float(value) for value in range(1, 10_001)])
    assert curve[0] == pytest.approx((0.301, 5001), abs=0.001)
    assert curve[-1][1] == 10_000
    assert curve == sorted(curve)
    assert len(curve) == 5000
    assert percentile_curve([3.0]) == [pytest.approx((0.301, 3.0), abs=0.001)]


def test_what_is_thinned_keeps_its_peaks() -> None:
    curve = [(x / 10, 100.0) for x in range(5000)]
    curve[1234] = (123.4, 1.0)
    assert (123.4, 1.0) in thinned(curve), "up is less"
    assert len(thinned(curve)) == 501
    assert thinned(curve[:1]) == curve[:1]


def test_a_plot_has_its_title_its_names_and_a_line_for_each_set() -> None:
    plot = read(percentile_plot("Waiting <ms>", "ms", {"first": [1.0, 2.0, 3.0], "model": [1.0], "none": []}))
    texts = [text.text for text in plot.iter("text")]
    assert texts[0] == "Waiting <ms>"
    assert {"first", "model"} < set(texts)
    assert [line.get("class") for line in plot.iter("polyline")] == ["c0"]


def test_points_stay_inside_the_plot() -> None:
    (line,) = read(time_plot("t", "ms", {"a": [(0.0, 0.0), (30.0, 53.0)]})).iter("polyline")
    places = [(float(x), float(y)) for x, y in (point.split(",") for point in line.get("points", "").split())]
    assert all(56 <= x <= 624 and 56 <= y <= 256 for x, y in places)
    assert places[0][1] == 256


def test_a_single_point_is_a_dot_among_lines() -> None:
    curves = {"best": [(0.0, 2.0), (0.1, 1.0)], "measured": [(0.05, 1.6)]}
    plot = read(line_plot("Extra requests", "s", curves, [(0.0, "0 %"), (0.1, "10 %")]))
    assert [line.get("class") for line in plot.iter("polyline")] == ["c0"]
    assert [(dot.get("class"), dot.get("cx")) for dot in plot.iter("circle")] == [("c1", "340.0")]


def test_a_plot_of_nothing_is_still_a_plot() -> None:
    assert list(read(time_plot("t", "ms", {})).iter("text"))
    assert not list(read(percentile_plot("t", "ms", {"a": []})).iter("polyline"))


def heights(plot: ET.Element) -> list[float]:
    return [float(bar.get("height", "")) for bar in plot.iter("rect")]


def test_a_histogram_has_a_bar_for_each_size_and_a_mark_for_each_name() -> None:
    plot = read(histogram("Waiting <s>", "s", [0.1, 0.12, 0.9], {"p50": 0.12, "p99": 0.9}, bars=10))
    assert heights(plot) == [200, 100]
    assert plot.get("aria-label") == "Waiting <s>. p50 0.12 s; p99 0.9 s"
    texts = [(text.text, text.get("text-anchor")) for text in plot.iter("text")]
    assert ("p50 0.12 s", "start") in texts
    assert ("p99 0.9 s", "end") in texts, "or it would leave the plot"


def test_a_histogram_ends_with_its_last_mark_and_its_last_bar_has_the_rest() -> None:
    plot = read(histogram("t", "s", [0.1, 0.95, 5.0, 60.0], {"p50": 0.95}, bars=10))
    assert len(heights(plot)) == 2
    assert heights(plot)[0] * 3 == pytest.approx(heights(plot)[1], rel=0.01)
    assert [text.text for text in plot.iter("text") if text.text in {"more", "1 s"}] == ["more"]


def test_a_histogram_of_nothing_and_of_zeros_is_still_a_plot() -> None:
    assert heights(read(histogram("t", "s", [], {}))) == []
    assert heights(read(histogram("t", "s", [0.0, 0.0], {"p50": 0.0}))) == [200]
