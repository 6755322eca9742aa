"""One JSON line per turn and per call, pretty on a terminal; never words of a call unless asked for.

A line is an event name and fields in the common language. Words and numbers are logged only with
`CUEBOX_LOG_CONTENT=true`, and never for a call whose storage setting forbids keeping them.
"""

import logging
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import msgspec
import structlog

from service.conversation import commands, events
from service.conversation.call import CallRecord, TurnRecord
from service.conversation.commands import Command
from service.conversation.events import Event, Oddity
from service.conversation.verdict import Hearsay, LineMissed, WebhookPosted
from service.llm.records import AttemptRecord, Cause
from service.observability.faults import innermost, where
from service.observability.prices import Price
from service.observability.settled import moments_of, of_turn, seconds
from service.observability.tools import BROKEN, SeenTool, told
from service.observability.watch import Part, SeenTurn, ServedBy
from service.observability.words import Words

REFUSALS_EVERY = 60.0
"""Seconds between two lines of one kind of refused webhook: anybody may post as many as they like."""

_REMEDIES = {
    Oddity.NOT_JSON: "this WebSocket takes JSON frames with an interaction_type, as Retell sends them; if you typed "
    "this yourself: the connection works, now let Retell dial it, or try `cuebox call`",
    Oddity.FRAME_TOO_LARGE: "the transport ended the line; raise CUEBOX_MAX_FRAME_BYTES if the calls are that long",
    Oddity.TRANSCRIPT_UNREADABLE: "the request is answered from the transcript before",
}


LEVELS = ("debug", "info", "warning", "error")


class _Logger(structlog.BoundLoggerBase):
    """One whose methods are those of the level that is set."""

    level = ""


def set_log_level(level: str) -> None:
    """Log this and what is above it, one of LEVELS, from now on: loggers that are there already, too."""
    _Logger.level = level
    for name, method in vars(structlog.make_filtering_bound_logger(level)).items():
        if not name.startswith("__"):
            setattr(_Logger, name, method)


def log_level() -> str:
    """The least level logged."""
    return _Logger.level


def configure_logs(style: str, level: str) -> bool:
    """Send structlog's and the standard library's lines to standard output, as `json`, `pretty` or `auto`.

    Return whether they are for a person to read.
    """
    pretty = style == "pretty" or (style == "auto" and sys.stdout.isatty())
    set_log_level(level)
    shared: list[Any] = [  # structlog's own type for processors is wider than mypy can follow
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if pretty else "iso", utc=not pretty),
    ]
    last = structlog.dev.ConsoleRenderer() if pretty else structlog.processors.JSONRenderer(_json)
    structlog.configure(
        processors=[*shared, last] if pretty else [_json_line],
        wrapper_class=_Logger,
        logger_factory=structlog.PrintLoggerFactory() if pretty else structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=[*shared, _without_arguments], processor=last)
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # its warnings are strangers' broken requests
    return pretty


_encode = msgspec.json.Encoder(enc_hook=str).encode


def _json_line(_: object, level: str, line: MutableMapping[str, Any]) -> bytes:
    """The whole of a line at once: there is one for each turn, and a chain of processors costs more than the words."""
    now = datetime.now(UTC).isoformat(timespec="microseconds").removesuffix("+00:00")
    return _encode({"timestamp": f"{now}Z", "level": level, "event": "", **line})


def _json(line: Mapping[str, object], **_: object) -> str:
    """The same of another library's line."""
    first = {name: line[name] for name in ("timestamp", "level", "event") if name in line}
    return _encode({**first, **line}).decode()


def _without_arguments(_: object, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Name the error of a library's log record and where it was, not its words: they may quote a caller."""
    error = line.pop("exc_info", None)
    if isinstance(error, tuple) and error[1] is not None:
        line["error"], line["where"] = type(error[1]).__name__, where(error[1])
    return line


class CallLog(Part):
    """The part of telemetry that writes lines."""

    name = "logs"

    def __init__(
        self,
        assumption_broken_by: Callable[[Oddity], str | None],
        *,
        log_content: bool = False,
        trace_of_call: Callable[[str], str | None] = lambda _: None,
        prices: Mapping[str, Price] = MappingProxyType({}),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = structlog.get_logger()
        self._assumption_broken_by = assumption_broken_by
        self._words = Words() if log_content else None
        self.hears_chunks = log_content
        self._trace_of_call = trace_of_call
        self._prices = prices
        self._clock = clock
        self._refused: dict[str, tuple[float, int]] = {}
        self._agents: dict[str, dict[str, object]] = {}

    def took(self, call_id: str, served_by: ServedBy) -> None:
        if served_by.agent:
            self._agents[call_id] = {"agent": served_by.agent, "folder_hash": served_by.folder_hash}

    def saw(self, call_id: str, event: Event, answer: Sequence[Command]) -> None:
        match event:
            case events.CallStarted() | events.CallResumed():
                self._log.info("line.opened", call_id=call_id, resumed=isinstance(event, events.CallResumed))
            case events.CallDisconnected():
                self._log.info("line.closed", call_id=call_id, close_code=event.code)
            case _:
                pass
        for command in answer:
            self._command(call_id, command)
        if self._words is not None:
            self._words.saw(call_id, event, answer)

    def settled(self, turn: SeenTurn, record: TurnRecord) -> None:
        said = {} if self._words is None else self._words.said(turn.call_id)
        trace = {} if turn.trace is None else {"trace_id": turn.trace.hex, "traced": turn.exemplar is not None}
        agent = self._agents.get(turn.call_id, {})
        about = {**agent, **trace, **of_turn(turn, record, self._prices), **said}
        self._log.info("turn.settled", call_id=turn.call_id, **about)

    def used(self, tool: SeenTool, turn: SeenTurn) -> None:
        """One that failed, or outlived its turn: the turn's line has all others."""
        if tool.result in BROKEN:
            error = None if tool.answer is None else tool.answer.error
            about = {"turn_index": turn.index, "tool": tool.name, "result": tool.result, "error": error}
            self._log.warning("tool.failed", call_id=turn.call_id, **about)
        if turn.record is not None:
            about = {"turn_id": turn.turn_id, "turn_index": turn.index, "tools": told([tool], turn.record.asked_at)}
            self._log.info("tool.outlived_turn", call_id=turn.call_id, **about)

    def ended(self, call_id: str, record: CallRecord | None) -> None:
        agent = self._agents.pop(call_id, {})
        if record is not None:
            trace_id = self._trace_of_call(call_id)
            trace = {} if trace_id is None else {"trace_id": trace_id}
            self._log.info("call.ended", call_id=call_id, **agent, **trace, **_call(record))
        if self._words is not None:
            self._words.ended(call_id)

    def failed(self, call_id: str, error: Exception) -> None:
        self._log.error("call.fault", call_id=call_id, error=type(innermost(error)).__name__, where=where(error))

    def heard(self, fact: Hearsay) -> None:
        match fact:
            case LineMissed():
                self._log.warning("line.missed", call_id=fact.call_id)
            case WebhookPosted(event="call_inbound"):
                self._log.info("call.inbound", result=fact.result)
            case WebhookPosted(verdict=None, result="accepted"):
                pass  # of no concern
            case WebhookPosted(verdict=None):
                self._refuse(fact)
            case WebhookPosted():
                known = asdict(fact.verdict) if fact.verdict is not None else {}
                self._log.info("webhook.accepted", webhook=fact.event, duplicate=fact.result == "duplicate", **known)

    def _refuse(self, fact: WebhookPosted) -> None:
        """`times` are all of this kind since the line before."""
        kind = fact.why or fact.result
        now, (told_at, times) = self._clock(), self._refused.get(kind, (-REFUSALS_EVERY, 0))
        is_due = now - told_at >= REFUSALS_EVERY
        self._refused[kind] = (now, 0) if is_due else (told_at, times + 1)
        if is_due:
            self._log.warning("webhook.refused", result=fact.result, why=fact.why, times=times + 1)

    def attempted(self, record: AttemptRecord, turn: SeenTurn | None) -> None:
        """An attempt at an answer is over: told when it failed, was not its turn's first, or was stopped amid words.

        `late` is what the turn's line has of the others: when it began, spoke first and ended.
        """
        asked_at = None if turn is None or turn.record is None else turn.record.asked_at
        was_heard = asked_at is not None and record.first_words_at is not None
        if record.cause is Cause.FIRST and record.error is None and not was_heard:
            return
        fields = {
            "target": record.target,
            "cause": record.cause.value,
            "result": record.result.value,
            "error": record.error,
            "request_id": record.request_id,
            "breaker": record.breaker.value,
            **({} if asked_at is None else {"late": moments_of(record, asked_at)}),
        }
        tell = self._log.info if record.error is None else self._log.warning
        about = record.occasion
        tell("model.attempt", call_id=about.call_id, turn_index=about.turn_index, **fields)

    def _command(self, call_id: str, command: Command) -> None:
        match command:
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


def _call(call: CallRecord) -> dict[str, object]:
    return {
        "duration": seconds(call.started_at, call.ended_at),
        "lines": call.lines,
        "turns": {outcome.value: count for outcome, count in call.outcomes.items()},
        "oddities": dict(call.oddities),
    }
