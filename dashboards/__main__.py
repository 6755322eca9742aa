"""Write the dashboards' JSON, and a page about them, beside this file: `.venv/bin/python -m dashboards`."""

from collections.abc import Iterator
from pathlib import Path

from dashboards.agents import agents
from dashboards.calls import calls
from dashboards.grafana import drawn
from dashboards.guide import guide
from dashboards.interruptions import interruptions
from dashboards.latency import latency
from dashboards.model import model
from dashboards.overview import overview
from dashboards.panel import Board
from infra.slo import Slo, read

FOLDER = Path(__file__).parent


def boards(slo: Slo) -> tuple[Board, ...]:
    """All dashboards, in the order to read them."""
    return (overview(slo), latency(slo), interruptions(slo), model(slo), agents(slo), calls(slo))


def files(slo: Slo) -> Iterator[tuple[Path, str]]:
    """Each file that is written, and what it has to say."""
    yield FOLDER / "README.md", guide(boards(slo))
    for board in boards(slo):
        yield FOLDER / f"{board.uid}.json", drawn(board)


if __name__ == "__main__":
    for file, text in files(read()):
        file.write_text(text, encoding="utf-8")
