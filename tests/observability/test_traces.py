import sys
from random import Random

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from service.conversation import events
from service.conversation.call import CallDetails, Prompt
from service.llm.model import Occasion
from service.llm.records import Cause, Result
from service.observability import traces
from service.observability.conventions import Provider
from service.observability.exporting import Exporting
from service.observability.logs import CallLog
from service.observability.traces import Span, Tracer
from service.observability.watch import Trace, Watch
from tests.conversation.play import CALL_ID, agent, caller
from tests.observability.seen import SeenPlay

HEARD = (agent("Hello."), caller("Hi."))


class Kept(SeenPlay):
    """A play, and the spans that were sent of it."""

    def __init__(self, share: float = 0, *, captures_content: bool = False, takes: bool = True) -> None:
        self.spans: list[Span] = []
        self.takes = takes
        self.tracer = Tracer(
            "front_desk",
            {"first": Provider.of("azure", "https://x.openai.azure.com/v1")},
            self.take,
            share=share,
            captures_content=captures_content,
            chance=Random(1),  # noqa: S311 - the same in each run
        )
        super().__init__(Watch([self.tracer]))

    def take(self, span: Span) -> bool:
        self.spans += [span] if self.takes else []
        return self.takes

    def turn(self, turn_id: int, *, after: float = 0.1, said: str = "Fine.") -> None:
        """A turn that is answered, and heard by the next."""
        self.asks(turn_id, *HEARD)
        self.waits(after)
        self.says(said)
        self.waits(3)

    @property
    def kept(self) -> list[int]:
        """The ids of the turns that were kept."""
        return [int(str(span.attributes["cuebox.turn.id"])) for span in self.spans if span.name.startswith("invoke")]


def test_a_turn_of_which_there_is_nothing_to_tell_is_not_kept() -> None:
    play = Kept()
    play.greets()
    play.turn(1)
    play.ends()
    assert play.kept == []


def test_a_turn_whose_first_sentence_comes_later_than_the_objective_is_kept() -> None:
    play = Kept()
    play.greets()
    play.turn(1, after=2.0)
    play.turn(2, after=2.01)
    play.ends()
    assert play.kept == [2]


def test_a_turn_that_was_asked_in_vain_for_long_is_kept() -> None:
    play = Kept()
    play.greets()
    play.asks(1, *HEARD)
    play.waits(2.5)
    play.asks(2, *HEARD)
    assert play.kept == [1]


def test_a_failed_turn_is_kept() -> None:
    play = Kept()
    play.greets()
    play.asks(1, *HEARD)
    play.fails("RateLimited")
    play.ends()
    assert play.kept == [1]


def test_the_share_of_the_others_is_kept() -> None:
    play = Kept(share=0.3)
    play.greets()
    for turn_id in range(1, 301):
        play.turn(turn_id, after=0.01)
    play.waits(-900)
    kept = len(play.kept)
    assert 90 < kept < 170  # three in ten, and what is due after ten seconds without


def test_a_quiet_service_keeps_one_in_ten_seconds_whatever_the_share() -> None:
    play = Kept(share=1e-9)
    play.greets()
    for turn_id in range(1, 11):
        play.turn(turn_id)  # 3.1 s each
    assert play.kept == [0, 4, 8]


def test_no_more_are_kept_than_a_bound_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "MOST_AT_ONCE", 5.0)
    play = Kept(share=1)
    play.greets()
    for turn_id in range(1, 40):
        play.asks(turn_id, *HEARD)
        play.fails()
        play.waits(0.01)
    assert len(play.kept) in (7, 8)  # of 40 in 0.4 s: five at once, and ten a second; one went for the line's opening
    play.waits(1)
    play.asks(40, *HEARD)
    assert play.kept[-1] == 39


def test_a_span_that_was_not_taken_is_pointed_to_by_nobody() -> None:
    play = Kept(takes=False)
    play.greets()
    play.asks(1, *HEARD)
    play.fails()
    play.takes = True
    play.asks(2, *HEARD)
    play.fails()
    play.asks(3, *HEARD)
    assert play.kept == [1, 2]
    assert [span.links for span in play.spans] == [[], []]
    assert play.tracer.trace_of_call(CALL_ID) is None


def test_the_times_are_those_of_the_wall_clock_and_the_root_ends_with_the_reply() -> None:
    play = Kept(share=1)
    play.greets()
    began = play.at
    play.waits(10)
    play.turn(1, after=0.5)
    play.waits(7)
    play.ends()
    root = play.spans[-1]
    epoch = play.spans[0].began_at
    assert (root.began_at - epoch, root.ended_at - epoch) == pytest.approx((10, 10.5))
    assert began == 100.0


def test_what_happened_in_a_turn_stands_in_its_order() -> None:
    play = Kept()
    play.greets()
    play.asks(1, *HEARD)
    play.waits(1.9)
    play.passes(events.DeadlineKind.PATIENCE)
    play.attempts(cause=Cause.FIRST, result=Result.FAILED, error="Unreachable", ago=1.9, took=None)
    play.waits(0.5)
    play.attempts(cause=Cause.FAILOVER, ago=0.4)
    play.says("Here it is, at last.")
    play.waits(1)
    play.asks(2, *HEARD, agent("Here it"), caller("No."))
    root, *chats = play.spans[1:]
    assert [name for name, _, _ in root.happenings] == [
        "cuebox.hold_line",
        "cuebox.failover",
        "cuebox.first_chunk",
        "cuebox.interruption",
    ]
    assert [chat.attributes.get("error.type") for chat in chats] == ["Unreachable", None]
    assert {chat.parent for chat in chats} == {root.ids}
    assert (root.attributes["gen_ai.provider.name"], chats[0].attributes["server.address"]) == (
        "azure.ai.openai",
        "x.openai.azure.com",
    )


def test_each_request_of_a_turn_has_ids_of_its_own_in_the_turn_s_trace() -> None:
    play = Kept(share=1)
    play.greets()
    play.asks(1, *HEARD)
    headers = [play.watch.traceparent(Occasion(CALL_ID, 1)) for _ in range(2)]
    first, second = (Trace.of(header or "") for header in headers)
    assert first.trace_id == second.trace_id
    assert first.span_id != second.span_id
    assert play.watch.traceparent(Occasion(CALL_ID, 9)) is None
    assert Watch([]).traceparent(Occasion(CALL_ID, 1)) is None


def test_a_call_that_comes_back_has_another_opening_and_its_turns_point_to_that() -> None:
    play = Kept(share=1)
    play.greets()
    play.disconnects()
    play.resumes()
    play.turn(1)
    play.ends()
    first, second = [span for span in play.spans if span.name.startswith("GET")]
    assert play.spans[-1].links == [(second.ids, "handshake")]
    assert first.ids.trace_id != second.ids.trace_id


def test_lines_carry_the_ids_of_their_traces_and_say_whether_those_are_kept() -> None:
    with structlog.testing.capture_logs() as lines:
        play = Kept()
        play.watch = Watch([play.tracer, CallLog(lambda _: None, trace_of_call=play.tracer.trace_of_call)])
        play.greets()
        play.asks(1, *HEARD)
        play.fails()
        play.ends()
    greeting, failed = [line for line in lines if line["event"] == "turn.settled"]
    opening, root = play.spans
    assert not greeting["traced"]
    assert (failed["trace_id"], failed["traced"]) == (root.ids.hex, True)
    assert (lines[-1]["event"], lines[-1]["trace_id"]) == ("call.ended", opening.ids.hex)


def test_nothing_is_kept_in_memory_of_a_call_that_ended() -> None:
    play = Kept(share=1, captures_content=True)
    play.greets()
    play.turn(1)
    assert play.tracer.trace_of_call(CALL_ID) == play.spans[0].ids.hex
    play.ends()
    late = play.attempts(2)
    play.watch.saw("call_2", events.CallResumed(play.at), [])
    assert late.occasion.call_id == CALL_ID
    assert play.tracer._calls == {}
    assert play.tracer._words is not None
    assert play.tracer._words._calls == {}


WORDS = st.text("абвгдежз", min_size=6)


@given(WORDS, WORDS, st.booleans(), st.booleans())
def test_no_word_is_in_any_span_unless_asked_for_and_allowed(
    heard: str, said: str, captures: bool, may_store: bool
) -> None:
    play = Kept(share=1, captures_content=captures)
    play.greets()
    play.happens(events.CallDetailsReceived(play.at, CallDetails(CALL_ID, may_store_content=may_store)))
    play.asks(1, agent("Hello."), caller(heard))
    play.says(said)
    play.waits(1)
    play.asks(2, agent("Hello."), caller(heard), agent(said), caller("Yes."), prompt=Prompt.CALLER_SPOKE)
    play.fails(said[:0] or "Boom")
    play.ends()
    told = str(play.spans)
    assert (said in told, heard in told) == ((True, True) if captures and may_store else (False, False))


def test_the_place_of_a_target_is_told_as_far_as_its_address_tells_it() -> None:
    places = [Provider.of("openai", address) for address in (None, "http://[::1]:8000/v1", "http://h/v1", "http://h:x")]
    assert [(place.host, place.port) for place in places] == [
        ("api.openai.com", 443),
        ("::1", 8000),
        ("h", 80),
        ("h", None),
    ]


async def test_without_the_extra_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "service.observability.spans", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.context", None)
    counted: list[tuple[str, int]] = []
    with structlog.testing.capture_logs() as lines:
        spans = Exporting(lambda *count: counted.append(count))
        await spans.open()
    assert [line["remedy"] for line in lines] == ["opentelemetry.context is missing: pip install 'cuebox[otel]'"]
    assert not spans.is_open
    opening = Kept()
    opening.greets()
    assert not spans.send(opening.spans[0])
    assert counted == [("dropped", 1)]
    await spans.close()


async def test_a_variable_that_the_sdk_cannot_read_costs_the_traces_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many")
    with structlog.testing.capture_logs() as lines:
        spans = Exporting(lambda *_: None)
        await spans.open()
    assert not spans.is_open
    assert lines[0]["event"] == "traces.unavailable"
