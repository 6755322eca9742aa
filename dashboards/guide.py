"""The page beside the dashboards: what each answers, and what each metric means and where it is drawn."""

from dashboards.panel import Board
from service.observability.metrics import Metrics
from service.platforms.retell.webhooks import REASONS

HEAD = """# Dashboards

Written by `make dashboards` from the code beside this file: change that, or `infra/slo.toml` for what is promised.
Import the JSON files into any Grafana from 11 on, or let `make observe` do it.

| Dashboard | What it answers |
|---|---|
"""
METRICS = """
## Metrics

| Metric | Labels | Meaning | Drawn on |
|---|---|---|---|
"""


def guide(boards: tuple[Board, ...]) -> str:
    """The page as Markdown."""
    drawn = {board.title.removeprefix("Cuebox: "): " ".join(_queries(board)) for board in boards}
    rows = [f"| [{board.title}]({board.uid}.json) | {board.asks} |\n" for board in boards]
    metrics = [
        f"| `{name}` | {', '.join(f'`{label}`' for label in labels)} | {text} | "
        f"{', '.join(board for board, queries in drawn.items() if name in queries)} |\n"
        for name, labels, text in _metrics()
    ]
    return HEAD + "".join(rows) + METRICS + "".join(metrics)


def _queries(board: Board) -> list[str]:
    return [query.expr for row in board.rows for panel in row.panels for query in panel.queries]


def _metrics() -> list[tuple[str, list[str], str]]:
    found = []
    for metric in Metrics([("target", "model")], ["A1"], reasons=REASONS, tools=["tool"]).registry.collect():
        labels = sorted({label for sample in metric.samples for label in sample.labels} - {"le"})
        if metric.name.startswith("cuebox_"):
            found.append((metric.name + "_total" * (metric.type == "counter"), labels, metric.documentation))
    return found
