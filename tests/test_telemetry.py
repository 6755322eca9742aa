import socket
from pathlib import Path

import pytest

from service.conversation.call import CallRecord
from service.conversation.commands import RecordCall
from service.conversation.events import CallEnded, CallStarted
from service.observability.flight import FlightRecorder
from service.platforms.retell.protocol import Retell
from service.settings import Settings, SettingsError
from service.telemetry import Telemetry, create_telemetry, serve_metrics


def telemetry(settings: Settings) -> Telemetry:
    return create_telemetry(settings, Retell(), {"dummy": "", "practice": "1a2b3c"}, [("spare", "llama")])


def test_without_a_port_nothing_is_measured() -> None:
    silent = telemetry(Settings(metrics_port=0))
    assert silent.metrics is None
    serve_metrics(silent.metrics, Settings(metrics_port=0))()
    silent.refused("refused_path")


def test_a_port_that_somebody_else_has_is_told_in_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(metrics_port=taken.getsockname()[1])
        with pytest.raises(SettingsError, match=r"Cannot serve metrics on 127\.0\.0\.1:\d+ \(.+\): set CUEBOX_METRICS"):
            serve_metrics(telemetry(settings).metrics, settings)


@pytest.mark.parametrize("text", [None, "[models]\nm = 1"])
def test_a_price_table_that_cannot_be_read_is_told_in_one_sentence(text: str | None, tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingsError, match=r"CUEBOX_PRICES is '.*prices\.toml', but that table cannot be read: "):
        telemetry(Settings(prices=str(file)))


def test_prices_of_ones_own_are_taken(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text("[models]\nllama = { input = 1, output = 2 }")
    assert telemetry(Settings(prices=str(tmp_path / "prices.toml"))).metrics


def test_a_part_of_telemetry_that_fails_is_counted_and_calls_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(FlightRecorder, "ended", broken)
    seen = telemetry(Settings())
    assert seen.metrics
    seen.watch.saw("call_1", CallStarted(0.0, 0.0), [])
    seen.watch.saw("call_1", CallEnded(1.0), [RecordCall(CallRecord(0.0, 1.0, 1, {}, {}))])
    assert seen.metrics.registry.get_sample_value("cuebox_telemetry_failures_total", {"part": "flight_recorder"}) == 1
    assert seen.metrics.registry.get_sample_value("cuebox_calls_open") == 0


def test_the_build_is_told() -> None:
    metrics = telemetry(Settings()).metrics
    assert metrics
    builds = next(each for each in metrics.registry.collect() if each.name == "cuebox_build_info").samples
    assert {(build.labels["agent"], build.labels["folder_hash"]) for build in builds} == {
        ("dummy", ""),
        ("practice", "1a2b3c"),
    }
