"""The calls of tools, from what a call's line is shown to metrics, spans and lines."""

import json

import pytest

from service.conversation import events
from service.conversation.call import CallDetails
from service.conversation.parts import KnowledgeSought, Lookup
from service.conversation.transcript import ToolAnswered, ToolCalled
from service.llm.model import Occasion
from service.observability import watch as watching
from service.observability.logs import configure_logs
from service.observability.tools import RESULTS, UNKNOWN
from service.observability.traces import Tracer
from service.observability.watch import Trace
from tests.conversation.play import CALL_ID
from tests.observability.seen import HEARD, value
from tests.observability.working import SECRET, Working


def logged() -> Working:
    """A play that writes lines to where standard output goes by now."""
    configure_logs("json", "info")
    return Working()


@pytest.fixture
def play() -> Working:
    return logged()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def booked(play: Working, *, after: float = 0.5) -> None:
    play.asks(1, *HEARD)
    play.calls()
    play.waits(after)
    play.answers_tool()
    play.says("It is booked.")


def test_a_tools_call_is_counted_and_timed_once_it_is_answered(play: Working) -> None:
    play.asks(1, *HEARD)
    play.calls()
    assert sum(play.counted(result) for result in RESULTS) == 0
    play.waits(0.5)
    play.answers_tool()
    assert play.counted("ok") == 1
    assert value(play.metrics, "cuebox_tool_duration_seconds_sum", tool="book") == pytest.approx(0.5)
    play.answers_tool()  # a second answer to it is nobody's
    assert play.counted("ok") == 1


@pytest.mark.parametrize("fault", ["refused", "timeout", "raised", "arguments", "unreadable", "cancelled"])
def test_a_fault_of_a_tool_is_its_result(play: Working, fault: str) -> None:
    play.asks(1, *HEARD)
    play.calls()
    play.answers_tool(fault=fault)
    assert play.counted(fault) == 1


def test_a_fault_without_a_name_here_is_unknown(play: Working) -> None:
    play.asks(1, *HEARD)
    for number, answer in enumerate((ToolAnswered("t0", "", False), ToolAnswered("t1", "", False, "sabotage"))):
        play.calls(id=f"t{number}")
        play.drafts(answer)
    assert play.counted("unknown") == 2


def test_a_tool_that_a_model_made_up_has_no_series_span_or_line_of_that_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    play = logged()
    play.asks(1, *HEARD)
    play.calls("call the police for Ada Lovelace")
    play.answers_tool(fault="unknown")
    play.says("I cannot.")
    play.ends()
    assert play.counted(UNKNOWN, tool=UNKNOWN) == 1
    (span,) = play.tool_spans()
    assert span.name == "execute_tool unknown"
    text = capsys.readouterr().out
    assert '"unknown"' in text
    assert "Ada" not in text + str(play.spans)


def test_an_action_that_is_refused_is_a_refused_tool(play: Working) -> None:
    play.asks(1, *HEARD)
    play.calls("end_call")
    play.answers_tool(fault="refused")
    assert play.counted("refused", tool="end_call") == 1


def test_a_tool_that_broke_has_a_line_with_the_class_of_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    play = logged()
    play.asks(1, *HEARD)
    for number, fault in enumerate(("raised", "refused")):
        play.calls(id=f"t{number}")
        play.answers_tool(f"t{number}", fault=fault)
    (failed,) = [line for line in lines(capsys) if line["event"] == "tool.failed"]
    assert (failed["tool"], failed["result"], failed["error"]) == ("book", "raised", "OSError")
    assert (failed["level"], failed["turn_index"]) == ("warning", 1)


def test_two_tools_at_once_are_told_apart(play: Working) -> None:
    play.asks(1, *HEARD)
    play.calls("book", "t1")
    play.calls("find", "t2")
    play.waits(0.1)
    play.answers_tool("t2", fault="timeout")
    play.waits(0.1)
    play.answers_tool("t1")
    assert (play.counted("ok"), play.counted("timeout", tool="find")) == (1, 1)
    assert value(play.metrics, "cuebox_tool_duration_seconds_sum", tool="book") == pytest.approx(0.2)


def test_a_tool_has_a_span_in_its_turns_trace_without_what_it_was_told(play: Working) -> None:
    booked(play)
    play.ends()
    root = next(span for span in play.spans if span.attributes.get("cuebox.turn.id") == 1)
    (span,) = play.tool_spans()
    assert (span.name, span.kind, span.parent) == ("execute_tool book", "INTERNAL", root.ids)
    assert span.ended_at - span.began_at == pytest.approx(0.5)
    assert span.attributes == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "book",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "t1",
        "gen_ai.conversation.id": CALL_ID,
        "cuebox.tool.result": "ok",
    }
    assert "Ada" not in str(play.spans)
    assert (root.name, root.attributes["gen_ai.agent.version"]) == ("invoke_agent dentist", "0123456789ab")


def test_a_failed_tools_span_is_an_error(play: Working) -> None:
    play.asks(1, *HEARD)
    play.calls()
    play.answers_tool(fault="timeout")
    play.says("It does not answer.")
    play.ends()
    assert play.tool_spans()[0].attributes["error.type"] == "timeout"


@pytest.mark.parametrize(("may_store", "shown"), [(True, True), (False, False)])
def test_a_span_tells_what_a_tool_was_told_only_where_that_may_be_kept(may_store: bool, shown: bool) -> None:
    play = Working(captures_content=True)
    details = CallDetails(CALL_ID, may_store_content=may_store)
    play.happens(events.CallDetailsReceived(play.at, details))
    booked(play)
    play.ends()
    (span,) = play.tool_spans()
    assert (span.attributes.get("gen_ai.tool.call.arguments") == SECRET) is shown
    assert (span.attributes.get("gen_ai.tool.call.result") == "booked for Ada") is shown


@pytest.mark.parametrize(("fault", "kept"), [("raised", [1]), ("refused", [])])
def test_a_turn_whose_tool_broke_is_kept(fault: str, kept: list[int]) -> None:
    play = Working(share=0)
    play.asks(1, *HEARD)
    play.calls()
    play.answers_tool(fault=fault)
    play.says("Fine.")
    play.ends()
    assert [span.attributes["cuebox.turn.id"] for span in play.spans if span.name.startswith("invoke")] == kept


def test_what_a_tool_asks_of_others_goes_on_below_its_span(play: Working) -> None:
    play.asks(1, *HEARD)
    play.calls()
    header = play.watch.traceparent_of_tool(Occasion(CALL_ID, 1), "t1")
    play.answers_tool()
    play.says("It is booked.")
    play.ends()
    assert header is not None
    assert play.tool_spans()[0].ids == Trace.of(header)
    assert play.watch.traceparent_of_tool(Occasion(CALL_ID, 1), "t1") is None


def test_a_tool_that_outlives_its_turn_is_told_of_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    play = logged()
    play.asks(1, *HEARD)
    play.calls()
    play.asks(2, *HEARD)
    assert play.tool_spans() == []
    play.waits(2)
    play.answers_tool(is_aside=True)
    play.says("It is booked.")
    play.ends()
    (span,) = play.tool_spans()
    root = next(each for each in play.spans if each.attributes.get("cuebox.turn.id") == 1)
    assert span.parent == root.ids
    told = lines(capsys)
    (turn,) = [line for line in told if line["event"] == "turn.settled" and line["turn_id"] == 1]
    (late,) = [line for line in told if line["event"] == "tool.outlived_turn"]
    assert turn["tools"] == [["book", "running", None, 0]]
    assert (late["turn_id"], late["tools"]) == (1, [["book", "ok", 2000, 0]])


def test_a_tool_that_nobody_answered_ends_with_its_call(play: Working) -> None:
    play.asks(1, *HEARD)
    play.calls()
    play.ends()
    assert play.counted("unknown") == 1
    assert value(play.metrics, "cuebox_tool_duration_seconds_count", tool="book") == 0
    assert len(play.tool_spans()) == 1
    play.answers_tool(is_aside=True)  # after the call's end
    assert play.counted("ok") == 0


def test_a_span_of_a_turn_that_is_not_kept_is_not_sent_either(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Working()
    monkeypatch.setattr(Tracer, "_keeps", lambda *_: False)
    play.asks(1, *HEARD)
    play.calls()
    play.asks(2, *HEARD)
    play.answers_tool(is_aside=True)
    assert play.tool_spans() == []


def test_how_many_tools_run_at_once_is_bounded(play: Working, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MOST_ATTEMPTS", 3)
    play.asks(1, *HEARD)
    for number in range(5):
        play.calls(id=f"t{number}")
    play.ends()
    assert play.counted("unknown") == 3
    assert len(play.tool_spans()) == 3


def test_a_tool_called_for_a_turn_that_is_over_is_nobodys(play: Working) -> None:
    play.asks(1, *HEARD)
    play.asks(2, *HEARD)
    play.drafts(ToolCalled("t1", "book", "{}"), index=1)
    play.drafts(KnowledgeSought(Lookup.FOUND), index=1)
    play.ends()
    assert play.tool_spans() == []
    assert value(play.metrics, "cuebox_knowledge_searches_total", result="found") == 0
