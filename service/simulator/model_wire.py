"""A script becomes an answer: bytes to send, seconds to wait, and in the end a stop.

Rule 1: headers and the role delta leave at once; `first_token_after` runs from the request to the first words,
        `gap` from each chunk to the next, and whatever a fault does instead of a chunk it does when that chunk is due.
Rule 2: a fault always happens: one after more chunks than there are words comes right after the last of them (but
        who calls no tool, calls none wrongly).
"""

from collections.abc import Iterable, Iterator
from enum import Enum, auto
from itertools import chain, count, cycle, islice, repeat
from typing import assert_never

from service.simulator.model_script import (
    Cut,
    Dribble,
    Empty,
    Finish,
    Garble,
    HangAfterHeaders,
    HangAfterRole,
    HangBeforeHeaders,
    Huge,
    OnlyComments,
    Refuse,
    Repeat,
    Runaway,
    Script,
    Stall,
    WrongCalls,
    WrongType,
)
from service.simulator.model_spelling import Spelling, answered, framed, refused


class Stop(Enum):
    """How an answer ends: whole, in silence on an open connection, or with the connection."""

    FINISHED = auto()
    SILENT = auto()
    CUT = auto()


Move = bytes | float | Stop

_COMMENT = b": keep-alive\n\n"
_GARBLED = b'data: {"choices": [{"delta": {"\n\n'


def streamed(script: Script, spelling: Spelling, pauses: Iterator[float]) -> Iterable[Move]:
    """Lay out a streamed answer: a new fault has its place here, or among the chunks."""
    match script.fault:
        case HangBeforeHeaders():
            return [Stop.SILENT]
        case HangAfterHeaders():
            return [spelling.headers(), Stop.SILENT]
        case HangAfterRole():
            return [spelling.headers() + spelling.role(), Stop.SILENT]
        case OnlyComments(every):
            return chain([spelling.headers()], cycle([every, framed(_COMMENT)]))
        case Refuse() as refusal:
            return [next(pauses), refused(refusal)]
        case Dribble(every) | Repeat(every) | Runaway(every):
            pauses = chain([next(pauses)], repeat(every))
        case Stall() | Cut() | Garble() | Huge() | WrongType() | Finish() | WrongCalls() | Empty() | None:
            pass
        case _:
            assert_never(script.fault)
    beats = zip(pauses, _beats(script, spelling), strict=False)
    return chain([spelling.headers() + spelling.role()], chain.from_iterable(beats))


def _beats(script: Script, spelling: Spelling) -> Iterable[bytes | Stop]:
    words = [spelling.words(chunk) for chunk in script.chunks()]
    said = [*words, *spelling.calls()]
    end = spelling.end(len(said))
    match script.fault:
        case Empty():
            return [spelling.end(0, "stop")]
        case Stall(after):
            return [*said[:after], Stop.SILENT]
        case Cut(after):
            return [*said[:after], Stop.CUT]
        case Garble(after) | Huge(after) | WrongType(after) as fault:
            return [*said[:after], _odd(fault, spelling), *said[after:], end]
        case Dribble():
            return [*map(spelling.words, "".join(script.chunks())), *spelling.calls(), end]
        case Repeat():
            return chain(words, repeat(words[-1] if words else spelling.words("Hello, ")))
        case Runaway():
            return chain(words, (spelling.words(f" word{number}") for number in count(1)))
        case Finish(reason):
            return [*said, spelling.end(len(said), reason)]
        case _:
            return [*said, end]


def _odd(fault: Garble | Huge | WrongType, spelling: Spelling) -> bytes:
    match fault:
        case Garble():
            return framed(_GARBLED)
        case Huge(size=size):
            return spelling.words(_filler(size))
        case WrongType(of=of):
            return spelling.wrong(of)
        case _:
            assert_never(fault)


def _filler(size: int) -> str:
    return ("and so on, " * (size // 11 + 1))[:size]


def whole(script: Script, spelling: Spelling, pauses: Iterator[float]) -> Iterable[Move]:
    """Lay out an answer in one piece, which comes when the last chunk of a stream would have come."""
    chunks = script.chunks()
    first = next(pauses)
    match script.fault:
        case HangBeforeHeaders() | HangAfterHeaders() | HangAfterRole() | OnlyComments():
            return [Stop.SILENT]
        case Stall() | Repeat() | Runaway():  # an answer without an end is none in one piece
            return [Stop.SILENT]
        case Refuse() as refusal:
            return [first, refused(refusal)]
        case Dribble(every):
            return [first + every * sum(map(len, chunks)), _in_one_piece(script, spelling)]
        case Cut():
            return [first + sum(islice(pauses, len(chunks))), Stop.CUT]
        case _:
            return [first + sum(islice(pauses, len(chunks))), _in_one_piece(script, spelling)]


def _in_one_piece(script: Script, spelling: Spelling) -> bytes:
    said = "".join(script.chunks())
    match script.fault:
        case Garble():
            return answered(200, b'{"choices": [{"message": {"')
        case WrongType():
            return answered(200, b'{"choices":{"index":0}}')
        case Empty():
            return spelling.completion("", "stop")
        case Huge(size=size):
            return spelling.completion(said + _filler(size))
        case Finish(reason):
            return spelling.completion(said, reason)
        case _:
            return spelling.completion(said)
