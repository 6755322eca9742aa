import math
import time

from prometheus_client.openmetrics.exposition import generate_latest

from service.conversation.call import Deadlines
from service.llm import model
from service.llm.candidate import AnswerRules
from service.observability.metrics import MODEL_ERRORS, PARTS, SECONDS, Metrics
from service.platforms.retell.assumptions import BROKEN_BY
from service.platforms.retell.webhooks import REASONS
from tests.observability.seen import TARGETS


def full() -> Metrics:
    return Metrics(
        TARGETS,
        list(BROKEN_BY.values()),
        {"version": "1", "agent": "a", "folder_hash": "f", "python": "3"},
        reasons=REASONS,
        tools=("find_slots", "book", "cancel"),
    )


def test_with_two_targets_and_three_tools_there_are_fewer_than_500_series() -> None:
    assert 300 < sum(len(family.samples) for family in full().registry.collect()) < 500


def test_a_scrape_takes_less_than_20_ms() -> None:
    registry, seconds = full().registry, []
    for _ in range(9):
        began = time.perf_counter()
        generate_latest(registry)  # type: ignore[no-untyped-call]  # it has no types
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.02  # the least: whatever else the machine does is not ours


def test_all_series_are_there_from_the_start_at_nought() -> None:
    ours = [family for family in full().registry.collect() if family.name.startswith("cuebox_")]
    assert len(ours) >= 40
    for family in ours:
        for sample in family.samples:
            is_untold = family.name.endswith(("_requests_left", "_tokens_left", "_drain_seconds_left"))
            assert math.isnan(sample.value) if is_untold else sample.value == (family.name == "cuebox_build_info")


def test_every_metric_says_what_it_is_and_has_its_unit_in_its_name() -> None:
    for family in full().registry.collect():
        assert family.name.startswith(("cuebox_", "process_", "python_gc_"))
        assert family.documentation.endswith((".", "?")) or not family.name.startswith("cuebox_")
        if family.type == "histogram" and family.name not in ("cuebox_turn_heard_share", "cuebox_turn_words"):
            assert family.name.endswith("_seconds")


def test_no_label_can_hold_what_a_peer_sent() -> None:
    labels = {label for family in full().registry.collect() for sample in family.samples for label in sample.labels}
    assert labels == {
        *("prompt", "outcome", "result", "reason", "how", "line", "le"),
        *("target", "model", "cause", "error", "kind"),
        *("initiator", "direction", "type", "oddity", "assumption", "part"),
        *("version", "agent", "folder_hash", "python", "generation"),
        *("event", "disconnection_reason", "tool", "action", "limit", "verb"),
    }


def test_there_is_an_edge_at_every_deadline() -> None:
    deadlines, rules = Deadlines(), AnswerRules()
    assert {deadlines.hold_after, deadlines.give_up_after, rules.slow_after, 1.0, 2.0} <= set(SECONDS)


def test_every_leaf_of_the_models_errors_has_its_series() -> None:
    def leaves(kind: type[Exception]) -> set[str]:
        below = [each for each in kind.__subclasses__() if each.__module__ == model.__name__]  # not those of replays
        return {name for each in below for name in leaves(each)} if below else {kind.__name__}

    assert set(MODEL_ERRORS) == leaves(model.ModelError)


def test_two_services_in_one_process_have_metrics_of_their_own() -> None:
    one, other = full(), full()
    one.turns.holds.inc()
    assert other.registry.get_sample_value("cuebox_turn_holds_total") == 0


def test_each_part_has_its_series() -> None:
    assert set(full().service.failures) == set(PARTS)
