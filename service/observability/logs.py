"""One JSON line per turn and per call, pretty on a terminal; never words of a call unless asked for.

A line is an event name and fields in the common language. Words and numbers are logged only with
`CUEBOX_LOG_CONTENT=true`, and never for a call whose storage setting forbids keeping them.
"""

import logging
import sys
import traceback
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import msgspec
import structlog

from service.conversation import commands, events
from service.conversation.call import CallRecord, TurnRecord
from service.conversation.commands import Command
from service.conversation.events import Event, Oddity
from service.conversation.transcript import Speaker, Utterance

_REMEDIES = {
    Oddity.NOT_JSON: "this WebSocket takes JSON frames with an interaction_type, as Retell sends them; if you typed "
    "this yourself: the connection works, now let Retell dial it, or try `cuebox call`",
    Oddity.FRAME_TOO_LARGE: "the transport ended the line; raise CUEBOX_MAX_FRAME_BYTES if the calls are that long",
    Oddity.TRANSCRIPT_UNREADABLE: "the request is answered from the transcript before",
}


def configure_logs(style: str, level: str) -> bool:
    """Send structlog's and the standard library's lines to standard output, as `json`, `pretty` or `auto`.

    Return whether they are for a person to read.
    """
    pretty = style == "pretty" or (style == "auto" and sys.stdout.isatty())
    shared: list[Any] = [  # structlog's own type for processors is wider than mypy can follow
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if pretty else "iso", utc=not pretty),
    ]
    last = structlog.dev.ConsoleRenderer() if pretty else structlog.processors.JSONRenderer(_json)
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=[*shared, _without_arguments], processor=last)
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    return pretty


def _json(line: Mapping[str, object], **_: object) -> str:
    first = {name: line[name] for name in ("timestamp", "level", "event") if name in line}
    return msgspec.json.encode({**first, **line}, enc_hook=str).decode()


def _without_arguments(_: object, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Name the error of a library's log record and where it was, not its words: they may quote a caller."""
    error = line.pop("exc_info", None)
    if isinstance(error, tuple) and error[1] is not None:
        line["error"], line["where"] = type(error[1]).__name__, _where(error[1])
    return line


def _where(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    return " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))


class CallLog:
    """An observer that writes lines."""

    def __init__(self, assumption_broken_by: Callable[[Oddity], str | None], *, log_content: bool = False) -> None:
        self._log = structlog.get_logger()
        self._assumption_broken_by = assumption_broken_by
        self._words: dict[str, _Words] | None = {} if log_content else None

    def saw(self, call_id: str, event: Event, answer: Sequence[Command]) -> None:
        if self._words is None and isinstance(event, events.ReplyDrafted) and len(answer) == 1:
            return  # a chunk: nothing to log, many times a second
        match event:
            case events.CallStarted() | events.CallResumed():
                self._log.info("line.opened", call_id=call_id, resumed=isinstance(event, events.CallResumed))
            case events.CallDisconnected():
                self._log.info("line.closed", call_id=call_id, close_code=event.code)
            case _:
                pass
        for command in answer:
            self._command(call_id, command)
        if self._words is not None:  # after the turn before was logged with the words before
            self._listen(self._words, call_id, event, answer)

    def _listen(self, words: "dict[str, _Words]", call_id: str, event: Event, answer: Sequence[Command]) -> None:
        if isinstance(event, events.CallStarted):
            words[call_id] = _Words(call_id)
        if call_id in words:
            words[call_id].take(event, answer)

    def failed(self, call_id: str, error: Exception) -> None:
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        self._log.error("call.fault", call_id=call_id, error=type(error).__name__, where=_where(error))

    def _command(self, call_id: str, command: Command) -> None:
        match command:
            case commands.RecordTurn():
                words = self._words.get(call_id) if self._words is not None else None
                self._log.info(
                    "turn.settled", call_id=call_id, **_turn(command.record), **(words.said() if words else {})
                )
            case commands.RecordCall():
                self._log.info("call.ended", call_id=call_id, **_call(command.record))
                if self._words is not None:
                    self._words.pop(call_id, None)
            case commands.ReportOddity():
                self._odd(call_id, command)
            case commands.DropLine():
                self._log.warning("line.dropped", call_id=call_id, reason=command.reason)
            case _:
                pass

    def _odd(self, call_id: str, command: commands.ReportOddity) -> None:
        fields = {"detail": command.detail, "remedy": _REMEDIES.get(command.oddity)}
        known = {name: value for name, value in fields.items() if value}
        self._log.warning("line.oddity", call_id=call_id, oddity=command.oddity.value, **known)
        if assumption := self._assumption_broken_by(command.oddity):
            self._log.warning(f"assumption broken: {assumption}", call_id=call_id, oddity=command.oddity.value)


class _Words:
    """What was said around a turn, kept only while the call may be kept at all."""

    def __init__(self, call_id: str) -> None:
        self._call_id = call_id
        self._caller = ""
        self._agent: list[str] = []
        self._may_store = False  # until the details tell

    def take(self, event: Event, answer: Sequence[Command]) -> None:
        if isinstance(event, events.CallDetailsReceived) and event.details.call_id == self._call_id:
            self._may_store = event.details.may_store_content
        starts = any(isinstance(command, commands.StartReply) for command in answer)
        if starts:
            self._agent = []
        if isinstance(event, events.ReplyRequested):
            rows = [row for row in event.transcript or () if isinstance(row, Utterance)]
            self._caller = rows[-1].text if rows and rows[-1].speaker is Speaker.CALLER else ""
        self._agent += [command.text for command in answer if isinstance(command, commands.Say)]

    def said(self) -> dict[str, str]:
        return {"caller_said": self._caller, "agent_said": "".join(self._agent)} if self._may_store else {}


def _turn(turn: TurnRecord) -> dict[str, object]:
    return {
        "turn_id": turn.turn_id,
        "turn_index": turn.index,
        "prompt": turn.prompt.value,
        "outcome": turn.outcome.value,
        "reason": turn.reason,
        "time_to_first_chunk": _seconds(turn.asked_at, turn.first_words_at),
        "duration": _seconds(turn.asked_at, turn.final_at),
        "words_said": turn.words_said,
        "words_heard": turn.words_heard,
        "heard_share": round(turn.heard_share, 3),
        "heard_unknown": turn.is_heard_unknown,
    }


def _call(call: CallRecord) -> dict[str, object]:
    return {
        "duration": _seconds(call.started_at, call.ended_at),
        "lines": call.lines,
        "turns": {outcome.value: count for outcome, count in call.outcomes.items()},
        "oddities": dict(call.oddities),
    }


def _seconds(start: float, end: float | None) -> float | None:
    return None if end is None else round(end - start, 4)
