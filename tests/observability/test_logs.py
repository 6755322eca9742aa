import json
import logging

import pytest

from service.conversation import events
from service.conversation.call import CallDetails, Policy, Prompt
from service.conversation.commands import DropLine
from service.conversation.events import Event, Oddity, OddityNoticed
from service.conversation.parts import Speech
from service.observability.logs import CallLog, configure_logs
from service.observability.watch import Watch
from service.platforms.retell.protocol import Retell
from tests.conversation.play import CALL_ID, Play, agent, caller

SECRET = "my card number is 4111"


def played(log: CallLog, details: CallDetails | None = None) -> None:
    """A call of two turns, shown to the log as a session shows it."""
    play = Play(Policy())
    happening: list[Event] = [
        events.CallStarted(play.at, 1.7e9),
        events.CallDetailsReceived(play.at, details or CallDetails(CALL_ID, from_number="+4930123456")),
        events.ReplyDrafted(play.at, 0, Speech("Hello.")),
        events.ReplyFinished(play.at, 0),
        events.ReplyRequested(play.at, 1, Prompt.CALLER_SPOKE, (caller(SECRET),)),
        events.ReplyDrafted(play.at + 0.5, 1, Speech("I heard you.")),
        events.ReplyFinished(play.at + 1, 1),
        OddityNoticed(play.at, Oddity.REQUEST_NOT_NEWER),
        OddityNoticed(play.at, Oddity.REQUEST_NOT_NEWER),
        OddityNoticed(play.at, Oddity.NOT_JSON, "DecodeError"),
        events.TranscriptUpdated(play.at + 2, (caller(SECRET), agent("I heard you."))),
        events.CallDisconnected(play.at + 3, 1000),
        events.CallResumed(play.at + 4),
        events.CallEnded(play.at + 5),
    ]
    watch = Watch([log])
    for event in happening:
        watch.saw(CALL_ID, event, play.happens(event))


def lines_of(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_one_line_a_turn_and_a_call_without_words_or_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", "info")
    played(CallLog(Retell().assumption_broken_by))
    text = capsys.readouterr().out
    assert SECRET not in text
    assert "+4930" not in text
    lines = lines_of(text)
    assert [line["event"] for line in lines] == [
        "line.opened",
        "turn.settled",
        "line.oddity",
        "assumption broken: A6",
        "line.oddity",
        "line.closed",
        "line.opened",
        "turn.settled",
        "call.ended",
    ]
    turn = lines[-2]
    assert list(turn)[:4] == ["timestamp", "level", "event", "call_id"]
    assert (turn["outcome"], turn["time_to_first_chunk"], turn["duration"]) == ("completed", 0.5, 1.0)
    assert (lines[-1]["turns"], lines[-1]["lines"]) == ({"superseded": 1, "completed": 1}, 2)
    assert lines[4]["remedy"]


def test_words_are_logged_only_where_they_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", "info")
    played(CallLog(Retell().assumption_broken_by, log_content=True))
    turns = [line for line in lines_of(capsys.readouterr().out) if line["event"] == "turn.settled"]
    assert [(turn["caller_said"], turn["agent_said"]) for turn in turns] == [("", "Hello."), (SECRET, "I heard you.")]


def test_words_of_a_call_whose_details_never_came_are_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", "info")
    played(CallLog(Retell().assumption_broken_by, log_content=True), CallDetails("of another call"))
    assert SECRET not in capsys.readouterr().out


def test_words_of_a_call_that_may_not_be_kept_are_never_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", "info")
    played(CallLog(Retell().assumption_broken_by, log_content=True), CallDetails(CALL_ID, may_store_content=False))
    assert SECRET not in capsys.readouterr().out


def test_a_dropped_line_and_a_fault_are_told_without_words(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", "info")
    log = CallLog(Retell().assumption_broken_by)
    log.saw(CALL_ID, events.Pinged(1.0, 1), [DropLine("silent")])
    try:
        raise ExceptionGroup("x", [ValueError(SECRET)])
    except ExceptionGroup as group:
        log.failed(CALL_ID, group)
    dropped, fault = lines_of(capsys.readouterr().out)
    assert (dropped["event"], dropped["reason"]) == ("line.dropped", "silent")
    assert (fault["event"], fault["error"]) == ("call.fault", "ValueError")


def test_a_library_s_error_is_named_and_not_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", "info")
    try:
        raise ValueError(SECRET)
    except ValueError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application\n")
    logging.getLogger("uvicorn.error").info("path and query")
    (line,) = lines_of(capsys.readouterr().out)
    assert line["error"] == "ValueError"
    assert "test_a_library" in str(line["where"])
    assert SECRET not in str(line)


def test_a_terminal_gets_readable_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("pretty", "info")
    played(CallLog(Retell().assumption_broken_by))
    assert "turn.settled" in capsys.readouterr().out


def test_less_is_logged_at_a_higher_level(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("auto", "error")
    played(CallLog(Retell().assumption_broken_by))
    assert capsys.readouterr().out == ""
