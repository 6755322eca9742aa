import json

import pytest

from service.conversation import commands, events
from service.conversation.call import CallDetails, Prompt
from service.conversation.events import DeadlineKind, Oddity
from service.conversation.parts import HangUp, Interjection, PageMessage, VoiceSettings
from service.conversation.transcript import ToolAnswered, ToolCalled
from service.llm.breaker import State
from service.llm.model import Usage
from service.llm.records import Cause, Result
from service.observability.call_metrics import FRAMES_IN, FRAMES_OUT
from service.observability.logs import configure_logs
from service.observability.meter import Meter
from service.observability.metrics import FIRST_CHUNK, Metrics
from service.observability.prices import Price
from service.observability.watch import Part, SeenTurn, Watch
from tests.conversation.play import CALL_ID, agent, caller
from tests.observability import seen
from tests.observability.seen import HEARD, SeenPlay

ANSWER = "We open at nine and close at five."
PRICE = Price(input=2.0, output=8.0, cached=0.5)


class Metered(SeenPlay):
    """A play whose metrics can be read. `lag` is how late the loop is said to be."""

    def __init__(self, *others: Part) -> None:
        self.lag = 0.0
        self.metrics = Metrics(seen.TARGETS, ["A6"])
        broken_by = {Oddity.REQUEST_NOT_NEWER: "A6"}
        self.meter = Meter(self.metrics, {"model of first": PRICE}, broken_by.get, lambda: self.lag)
        super().__init__(Watch([*others, self.meter], _broken))
        self.greets()

    def value(self, name: str, **labels: str) -> float:
        return seen.value(self.metrics, name, **labels)

    def first_chunks(self) -> dict[str, float]:
        """What became of the first words; the greeting's are not counted."""
        counts = {result: self.value("cuebox_turn_first_chunk_total", result=result) for result in FIRST_CHUNK}
        return {result: count for result, count in counts.items() if count}

    def heard(self, text: str) -> None:
        """The caller heard this of the answer to turn 1, and speaks again."""
        self.asks(2, *HEARD, agent(text), caller("And then?"))


@pytest.fixture
def play() -> Metered:
    return Metered()


def answered(play: Metered, after: float = 0.5) -> None:
    play.asks(1, *HEARD)
    play.waits(after)
    play.says(ANSWER)


def _broken(part: str) -> None:
    raise AssertionError(f"{part} failed, and nobody would have felt it")


# Turns.


def test_a_turn_that_was_heard_is_completed(play: Metered) -> None:
    answered(play)
    play.heard(ANSWER)
    assert play.value("cuebox_turns_total", prompt="caller_spoke", outcome="completed") == 1
    assert play.first_chunks() == {"sent": 1}
    assert play.value("cuebox_turns_heard_total", how="aligned") == 2  # the greeting, too
    assert play.value("cuebox_turn_words_sum", outcome="completed") == 9
    assert play.value("cuebox_turn_duration_seconds_sum", outcome="completed") == pytest.approx(0.5)
    assert play.value("cuebox_turn_heard_share_count") == 0


def test_a_turn_that_was_cut_off_is_interrupted_with_the_share_that_was_heard(play: Metered) -> None:
    answered(play)
    play.heard("We open at nine")
    assert play.value("cuebox_turns_total", prompt="caller_spoke", outcome="interrupted") == 1
    assert play.value("cuebox_turn_heard_share_sum") == 0.5
    assert play.value("cuebox_turn_words_count", outcome="interrupted") == 1


def test_what_cannot_be_aligned_is_unknown(play: Metered) -> None:
    answered(play)
    play.heard("quite different words that nobody here has ever said to anyone")
    assert play.value("cuebox_turns_heard_total", how="unknown") == 1
    assert play.value("cuebox_turns_heard_total", how="aligned") == 1  # the greeting


def test_a_turn_that_was_overtaken_before_its_words_has_none(play: Metered) -> None:
    play.asks(1, *HEARD)
    play.asks(2, *HEARD)
    assert play.value("cuebox_turns_total", prompt="caller_spoke", outcome="superseded") == 1
    assert play.first_chunks() == {"superseded": 1}


@pytest.mark.parametrize(
    ("raised", "reason"), [("RateLimited", "RateLimited"), ("too_slow", "too_slow"), ("KeyError", "agent_error")]
)
def test_a_turn_that_failed_has_a_reason_of_a_closed_set_and_its_apology_is_no_answer(
    play: Metered, raised: str, reason: str
) -> None:
    play.asks(1, *HEARD)
    play.waits(0.1)
    play.fails(raised)
    play.ends()
    assert play.value("cuebox_turn_failures_total", reason=reason) == 1
    assert play.first_chunks() == {"failed": 1}
    assert play.value("cuebox_turn_time_to_first_chunk_seconds_count", prompt="caller_spoke") == 0
    line = "give_up" if raised == "too_slow" else "apology"
    assert play.value("cuebox_turn_fallbacks_total", line=line) == 1
    assert play.value("cuebox_turn_duration_seconds_count", outcome="failed") == 1


def test_a_turn_that_failed_after_its_first_words_had_them(play: Metered) -> None:
    play.asks(1, *HEARD)
    play.drafts("We open at ")
    play.fails("StreamBroken")
    play.ends()
    assert play.first_chunks() == {"sent": 1}
    assert play.value("cuebox_turn_fallbacks_total", line="closing_line") == 1


def test_an_agent_that_chose_to_say_nothing_is_silent(play: Metered) -> None:
    play.asks(1, *HEARD)
    play.finishes()
    play.ends()
    assert play.first_chunks() == {"silent": 1}
    assert sum(play.value("cuebox_turns_heard_total", how=how) for how in ("aligned", "unknown")) == 1  # the greeting


def test_first_words_and_sentences_are_timed_by_prompt_and_without_greetings(play: Metered) -> None:
    play.asks(1, *HEARD, prompt=Prompt.CALLER_SILENT)
    play.waits(0.95)
    play.drafts("We ")
    play.waits(1)
    play.says("open.")
    play.ends()
    first_chunk = "cuebox_turn_time_to_first_chunk_seconds"
    assert play.value(f"{first_chunk}_bucket", prompt="caller_silent", le="1.0") == 1
    assert play.value(f"{first_chunk}_bucket", prompt="caller_silent", le="0.9") == 0
    assert play.value("cuebox_turn_time_to_first_sentence_seconds_count") == 1
    assert play.value("cuebox_turn_time_to_first_sentence_seconds_sum") == pytest.approx(1.95)


def test_holds_and_gaps_are_counted(play: Metered) -> None:
    play.asks(1, *HEARD)
    play.waits(1.8)
    play.passes(DeadlineKind.PATIENCE)
    play.drafts("Yes. ")
    play.waits(3)
    play.says("Do come.")
    play.ends()
    assert play.value("cuebox_turn_holds_total") == 1
    assert play.value("cuebox_turn_audible_gap_seconds_sum") == pytest.approx(3 - 3 / 2.7)
    assert play.value("cuebox_turn_audible_gap_seconds_count") == 2


def test_replies_being_made_are_counted_until_their_end(play: Metered) -> None:
    def in_progress() -> float:
        return play.value("cuebox_turns_in_progress")

    assert in_progress() == 0
    play.asks(1, *HEARD)
    assert in_progress() == 1
    play.asks(2, *HEARD)
    assert in_progress() == 1
    play.says("Yes.")
    assert in_progress() == 0
    play.asks(3, *HEARD)
    play.ends()
    assert in_progress() == 0


class Tracing(Part):
    """Keeps every trace."""

    name = "traces"

    def settled(self, turn: SeenTurn, record: object) -> None:
        turn.exemplar = {"trace_id": f"trace-{turn.index}"}


def test_latencies_point_to_the_trace_that_is_kept() -> None:
    play = Metered(Tracing())
    play.asks(1, *HEARD)
    play.attempts(1)
    play.says("Yes.")
    play.ends()
    pointing = {
        family.name
        for family in play.metrics.registry.collect()
        for sample in family.samples
        if sample.exemplar is not None and sample.exemplar.labels == {"trace_id": "trace-1"}
    }
    assert pointing == {
        "cuebox_turn_time_to_first_chunk_seconds",
        "cuebox_turn_time_to_first_sentence_seconds",
        "cuebox_model_time_to_first_words_seconds",
    }


# The model.


def test_our_overhead_is_what_the_model_did_not_take(play: Metered) -> None:
    play.asks(1, *HEARD)
    play.waits(0.5)
    play.drafts("Yes. ")
    play.attempts(took=0.485, ago=0.495)
    play.finishes()
    play.ends()
    assert play.value("cuebox_overhead_seconds_count") == 1
    assert play.value("cuebox_overhead_seconds_sum") == pytest.approx(0.5 - 0.485)


@pytest.mark.parametrize("others", ["hedged", "calls a tool", "spoke before"])
def test_where_another_attempt_or_the_agent_had_a_share_the_overhead_is_not_known(play: Metered, others: str) -> None:
    play.asks(1, *HEARD)
    play.waits(0.5)
    play.drafts("Yes. ")
    play.waits(0.5)
    if others == "hedged":
        play.attempts(result=Result.LOST, took=None)
    play.attempts(
        took=0.9 if others == "spoke before" else 0.1,
        ago=0.9,
        finish_reason="tool_calls" if "tool" in others else "stop",
    )
    play.finishes()
    play.ends()
    assert play.value("cuebox_overhead_seconds_count") == 0


def test_a_cancelled_attempt_is_timed_from_the_newer_request(play: Metered) -> None:
    play.asks(1, *HEARD)
    play.waits(0.5)
    play.drafts("We open at ")
    play.heard("We open")
    play.waits(0.02)
    play.attempts(1, result=Result.CANCELLED, took=0.45, ago=0.5)
    assert play.value("cuebox_cancel_to_silence_seconds_sum") == pytest.approx(0.02)
    assert play.value("cuebox_overhead_seconds_count") == 1  # known now: the attempt is over
    assert play.value("cuebox_model_time_to_first_words_seconds_count", target="first", model="model of first") == 1


def test_an_attempt_that_ends_with_its_line_or_before_its_turns_settlement_is_no_cancellation(play: Metered) -> None:
    play.asks(1, *HEARD)
    play.attempts(1, result=Result.CANCELLED)
    play.leaves()
    play.attempts(1, result=Result.CANCELLED)
    assert play.value("cuebox_cancel_to_silence_seconds_count") == 0


def test_attempts_and_their_errors_are_counted_by_target(play: Metered) -> None:
    play.attempts(1, result=Result.FAILED, error="RateLimited", took=None)
    play.attempts(1, result=Result.FAILED, error="KeyError", took=None)
    play.attempts(1, target="second", cause=Cause.FAILOVER)
    attempts = "cuebox_model_attempts_total"
    assert play.value(attempts, target="first", model="model of first", cause="first", result="failed") == 2
    assert play.value(attempts, target="second", model="model of second", cause="failover", result="answered") == 1
    assert play.value("cuebox_model_errors_total", target="first", error="RateLimited") == 1
    assert play.value("cuebox_model_errors_total", target="first", error="other") == 1
    words = "cuebox_model_time_to_first_words_seconds"
    assert play.value(f"{words}_sum", target="second", model="model of second") == pytest.approx(0.3)
    assert play.value(f"{words}_count", target="first", model="model of first") == 0


def test_a_target_that_is_not_configured_makes_no_series(play: Metered) -> None:
    before = len(list(play.metrics.registry.collect()))
    play.asks(1, *HEARD)
    play.attempts(1, target="an agent's own")
    play.ends()
    assert len(list(play.metrics.registry.collect())) == before
    assert play.metrics.registry.get_sample_value("cuebox_model_breaker_state", {"target": "an agent's own"}) is None


@pytest.mark.parametrize(
    ("result", "took", "won", "lost"),
    [
        pytest.param(Result.ANSWERED, 0.1, 1, 0, id="spoke-first"),
        pytest.param(Result.CANCELLED, 0.1, 1, 0, id="spoke-first-and-was-overtaken"),
        pytest.param(Result.FAILED, 0.1, 1, 0, id="spoke-first-and-broke-off"),
        pytest.param(Result.LOST, 0.1, 0, 1, id="spoke-second"),
        pytest.param(Result.LOST, None, 0, 1, id="was-slower"),
        pytest.param(Result.FAILED, None, 0, 1, id="failed"),
        pytest.param(Result.CANCELLED, None, 0, 0, id="was-overtaken"),
    ],
)
def test_a_hedge_is_won_by_who_spoke_first(
    play: Metered, result: Result, took: float | None, won: int, lost: int
) -> None:
    play.attempts(1, cause=Cause.HEDGE, result=result, took=took)
    play.attempts(1, cause=Cause.FAILOVER, result=Result.LOST)
    assert play.value("cuebox_model_hedges_total", target="first", result="won") == won
    assert play.value("cuebox_model_hedges_total", target="first", result="lost") == lost


def test_what_hedging_costs_is_the_input_of_the_attempt_that_lost(play: Metered) -> None:
    play.asks(1, *HEARD)
    play.attempts(1, target="second", cause=Cause.HEDGE, result=Result.LOST, took=None)
    play.attempts(1, usage=Usage(input=900, output=20))
    play.waits(5)
    play.attempts(1, usage=Usage(input=100))  # after a tool: that loser was not its
    assert play.value("cuebox_model_hedge_tokens_total", target="second") == 900
    assert play.value("cuebox_model_hedge_tokens_total", target="first") == 0


def test_tokens_are_counted_and_priced(play: Metered) -> None:
    play.attempts(9, usage=Usage(input=1000, cached=600, output=50, reasoning=10))
    tokens = {"target": "first", "model": "model of first"}
    counted = [
        play.value("cuebox_model_tokens_total", **tokens, kind=kind)
        for kind in ("input", "input_cached", "output", "reasoning")
    ]
    assert counted == [1000, 600, 50, 10]
    cost = play.value("cuebox_model_cost_dollars_total", **tokens)
    assert cost == pytest.approx((400 * 2 + 600 * 0.5 + 50 * 8) / 1e6)


def test_a_model_without_a_price_costs_nothing_and_the_log_says_so_once(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", "info")
    play = Metered()
    for _ in range(3):
        play.attempts(1, target="second", usage=Usage(input=1000))
    assert play.value("cuebox_model_cost_dollars_total", target="second", model="model of second") == 0
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (line["event"], line["model"]) == ("prices.unknown", "model of second")


def test_an_endpoint_that_counts_below_zero_breaks_no_counter(play: Metered) -> None:
    play.attempts(1, usage=Usage(input=-5, cached=10, output=-1))
    tokens = {"target": "first", "model": "model of first"}
    assert play.value("cuebox_model_tokens_total", **tokens, kind="output") == 0
    assert play.value("cuebox_model_cost_dollars_total", **tokens) == 0


def test_limits_and_breakers_are_as_last_told(play: Metered) -> None:
    assert play.value("cuebox_model_requests_left", target="first") != play.value(
        "cuebox_model_requests_left", target="first"
    )  # NaN: nobody told
    play.attempts(1, left=7, breaker=State.OPEN)
    play.attempts(1)
    assert play.value("cuebox_model_requests_left", target="first") == 7
    assert play.value("cuebox_model_tokens_left", target="first") == 7
    play.attempts(1, breaker=State.OPEN)
    assert play.value("cuebox_model_breaker_state", target="first") == 2
    play.attempts(1, breaker=State.HALF_OPEN)
    assert play.value("cuebox_model_breaker_state", target="first") == 1
    assert play.value("cuebox_model_breaker_state", target="second") == 0


# Calls and lines.


@pytest.mark.parametrize(
    ("code", "how"),
    [
        (1000, ("platform", "normal")),
        (1001, ("platform", "going_away")),
        (1002, ("platform", "protocol")),
        (1007, ("us", "protocol")),
        (1009, ("us", "too_large")),
        (4321, ("platform", "abnormal")),
        (None, ("platform", "abnormal")),
    ],
)
def test_a_line_that_ends_is_counted_by_its_code(play: Metered, code: int | None, how: tuple[str, str]) -> None:
    assert play.value("cuebox_calls_open") == 1
    play.leaves(code)
    assert play.value("cuebox_lines_closed_total", initiator=how[0], reason=how[1]) == 1
    assert play.value("cuebox_calls_open") == 0


def test_a_line_that_we_cut_is_counted_as_ours(play: Metered) -> None:
    play.shown(events.DeadlinePassed(play.at, DeadlineKind.LINE), [commands.DropLine("silent")])
    play.leaves(None)
    play.resumes()
    play.leaves(None, by_fault=True)
    play.resumes()
    play.watch.failed(CALL_ID, ValueError())
    play.leaves(None)
    play.resumes()
    play.leaves(None)
    closed = "cuebox_lines_closed_total"
    assert play.value(closed, initiator="us", reason="silent") == 1
    assert play.value(closed, initiator="us", reason="fault") == 2
    assert play.value(closed, initiator="platform", reason="abnormal") == 1
    assert play.value("cuebox_call_reconnects_total") == 3


def test_a_line_that_we_cut_so_that_another_process_takes_the_call_is_no_fault(play: Metered) -> None:
    play.shown(events.CallDisconnected(play.at, None, is_let_go=True), [])
    assert play.value("cuebox_lines_closed_total", initiator="us", reason="let_go") == 1
    assert play.value("cuebox_lines_closed_total", initiator="platform", reason="abnormal") == 0


def test_a_line_that_another_replaces_is_no_other_call(play: Metered) -> None:
    play.resumes()
    assert play.value("cuebox_lines_closed_total", initiator="us", reason="replaced") == 1
    assert play.value("cuebox_calls_open") == 1
    assert play.value("cuebox_calls_total", result="accepted") == 1


def test_a_call_lasts_from_its_first_line_to_the_end_of_its_last(play: Metered) -> None:
    play.waits(30)
    play.leaves()
    play.waits(60)
    play.ends()
    assert play.value("cuebox_call_duration_seconds_sum") == 30


def test_a_call_whose_end_is_never_seen_is_not_open_for_ever(play: Metered) -> None:
    play.asks(1, *HEARD)
    play.shown(events.CallStarted(play.at, 1.0))
    assert play.value("cuebox_calls_open") == 1
    assert play.value("cuebox_turns_in_progress") == 0
    assert play.value("cuebox_call_duration_seconds_count") == 0


def test_a_call_that_another_process_began_is_not_known_and_counts_nothing() -> None:
    play = Metered()
    play.watch.saw("unknown", events.CallResumed(1.0), [commands.DropLine("silent")])
    play.watch.saw("unknown", events.CallDisconnected(1.0, 1000), [])
    play.watch.failed("unknown", ValueError())
    assert play.value("cuebox_calls_open") == 1


def test_a_caller_who_leaves_before_the_first_words_has_abandoned_the_call(play: Metered) -> None:
    play.asks(1, *HEARD)
    play.leaves()
    assert play.value("cuebox_calls_abandoned_total") == 0  # the line may come back
    play.ends()
    assert play.value("cuebox_calls_abandoned_total") == 1
    assert play.first_chunks() == {"disconnected": 1}


@pytest.mark.parametrize("case", ["comes back", "our fault", "heard words", "nothing asked"])
def test_others_have_not(play: Metered, case: str) -> None:
    if case != "nothing asked":
        play.asks(1, *HEARD)
    if case == "heard words":
        play.drafts("Yes.")
    play.leaves(None, by_fault=case == "our fault")
    if case == "comes back":
        play.resumes()
        play.leaves()
    play.ends()
    assert play.value("cuebox_calls_abandoned_total") == 0


def test_a_call_that_is_not_taken_is_counted(play: Metered) -> None:
    play.meter.refused("refused_path")
    assert play.value("cuebox_calls_total", result="refused_path") == 1


# Frames.


def test_every_frame_is_counted_once_by_what_it_is(play: Metered) -> None:
    def frames(direction: str, kinds: tuple[str, ...]) -> dict[str, float]:
        return {kind: play.value("cuebox_frames_total", direction=direction, type=kind) for kind in kinds}

    play.pings()
    play.tells()
    play.hears(*HEARD)
    play.happens(events.OddityNoticed(play.at, Oddity.NOT_JSON))
    play.happens(events.OddityNoticed(play.at, Oddity.TRANSCRIPT_UNREADABLE))  # its request follows
    play.asks_unreadably(1)
    for part in (ToolCalled("t", "f", "{}"), ToolAnswered("t", "1"), VoiceSettings(), PageMessage("{}")):
        play.drafts(part)
    for word in ("One ", "two ", "three."):
        play.drafts(word)
    play.drafts(Interjection("Wait.", action=HangUp("Bye.")))
    assert frames("in", FRAMES_IN) == {"ping": 1, "details": 1, "transcript": 1, "request": 1, "odd": 1}
    greeting, answer = 2, 3
    assert frames("out", FRAMES_OUT) == {
        "pong": 1,
        "words": greeting + answer,
        "interjection": 1,
        "tool_call": 1,
        "tool_result": 1,
        "voice": 1,
        "page": 1,
    }


def test_details_of_a_call_make_no_series(play: Metered) -> None:
    before = sum(len(family.samples) for family in play.metrics.registry.collect())
    play.happens(events.CallDetailsReceived(play.at, CallDetails(CALL_ID, from_number="+4930123456")))
    play.happens(events.OddityNoticed(play.at, Oddity.UNKNOWN_TYPE, "made_up_by_the_peer"))
    assert sum(len(family.samples) for family in play.metrics.registry.collect()) == before


def test_an_oddity_and_the_assumption_it_breaks_are_counted_once_a_call(play: Metered) -> None:
    play.asks(3, *HEARD)
    play.asks(2, *HEARD)
    play.asks(1, *HEARD)
    assert play.value("cuebox_oddities_total", oddity="request_not_newer") == 1
    assert play.value("cuebox_assumptions_broken_total", assumption="A6") == 1
    play.happens(events.OddityNoticed(play.at, Oddity.NOT_JSON))
    assert play.value("cuebox_oddities_total", oddity="not_json") == 1


@pytest.mark.parametrize(("lag", "late"), [(0.0, 0), (2.0, 0), (2.5, 1)])
def test_a_ping_that_a_stall_of_ours_held_up_is_late(play: Metered, lag: float, late: int) -> None:
    play.lag = lag
    play.pings()
    assert play.value("cuebox_pongs_late_total") == late
    assert play.value("cuebox_pong_delay_seconds_sum") == lag
