"""Whatever bytes arrive, in requests and on lines: an answer or none, no fault of ours, and the next call works."""

import asyncio
import itertools
import json
import re
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.settings import Settings
from tests.live import Service, serving

HANDSHAKE = (
    (b"Host", b"127.0.0.1"),
    (b"Upgrade", b"websocket"),
    (b"Connection", b"Upgrade"),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Key", b"AAAAAAAAAAAAAAAAAAAAAA=="),
)
NAMES = st.sampled_from(
    [name for name, _ in HANDSHAKE]
    + [b"X-Forwarded-For", b"Fly-Client-IP", b"Origin", b"Cookie", b"Content-Length", b"Transfer-Encoding"]
    + [b"Sec-WebSocket-Extensions", b"Sec-WebSocket-Protocol", b"traceparent", b"Forwarded"]
) | st.from_regex(rb"\A[A-Za-z0-9!#$%&'*+.^_`|~-]{1,20}\Z")
VALUES = st.sampled_from(
    [b"", b"13", b"websocket", b"chunked", b"-1", b"99999999999999999999", b"127.0.0.1, ::1, x", b"::ffff:1.2.3.4"]
) | st.binary(max_size=60).map(lambda text: re.sub(rb"[\r\n\0]", b"", text))
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=8)
SEGMENTS = st.sampled_from(
    [b"llm-websocket", b"..", b"%2e%2e", b"%00", b"{{secret}}", b"call_1", b"dummy", b"%ff", b""]
)
PATHS = st.lists(SEGMENTS | st.from_regex(rb"\A[!-~]{1,30}\Z"), max_size=5).map(b"/".join)
QUERIES = st.sampled_from([b"", b"?", b"?/call_1", b"?token=x/call_1", b"?a=%ff&b", b"?/" * 20])
METHODS = st.sampled_from([b"GET", b"POST", b"HEAD", b"OPTIONS", b"BREW"])

FRAMES = st.sampled_from(
    [
        b'{"interaction_type":"ping_pong","timestamp":1}',
        b'{"interaction_type":"response_required","response_id":1,"transcript":[]}',
        b'{"interaction_type":"update_only","transcript":[{"role":"user"}]}',
        b'{"interaction_type":"call_details","call":{}}',
        b'{"interaction_type":"call_details","call":{"call_id":"another","metadata":' + b"[" * 500 + b"}}",
    ]
)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A service in a thread, for examples that are plain functions."""
    started: Future[tuple[Service, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def run() -> None:
        stop = asyncio.Event()
        async with serving(settings=Settings(agent="dummy", reconnect_window=0.1)) as running:
            started.set_result((running, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    running, loop, stop = started.result(10)
    yield running
    loop.call_soon_threadsafe(stop.set)
    thread.join()


def connection(service: Service) -> socket.socket:
    host, _, port = service.address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=5)


def request(method: bytes, path: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    fields = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    return method + b" " + path + b" HTTP/1.1\r\n" + fields + b"\r\n"


def status(line: socket.socket) -> int | None:
    """Of the answer; None when the connection is closed without one."""
    told = b""
    while b"\r\n" not in told:
        if not (more := line.recv(4096)):
            return None
        told += more
    return int(told.split(b" ", 2)[1])


def answer_to(service: Service, *sent: bytes) -> int | None:
    """The status that comes after these bytes and no more."""
    with connection(service) as line, suppress(OSError):  # it may be closed by now
        for part in sent:
            line.sendall(part)
        line.shutdown(socket.SHUT_WR)
        return status(line)
    return None


def is_well(service: Service) -> bool:
    """Whether no fault of ours was counted, and a call is answered as ever."""
    with connection(service) as line:
        line.sendall(request(b"GET", b"/llm-websocket/well", [*HANDSHAKE]))
        answered = status(line) == 101
    registry = service.app.state.metrics.registry
    faults = registry.get_sample_value("cuebox_lines_closed_total", {"initiator": "us", "reason": "fault"})
    failing = registry.get_sample_value("cuebox_telemetry_failures_total", {"part": "metrics"})
    return answered and faults == failing == 0


@settings(deadline=None)
@given(path=PATHS, query=QUERIES, extra=HEADERS)
def test_any_path_is_a_call_or_refused(
    service: Service, path: bytes, query: bytes, extra: list[tuple[bytes, bytes]]
) -> None:
    safe = [(name, value) for name, value in extra if name.startswith((b"X-", b"Fly-", b"Sec-WebSocket-E", b"t", b"F"))]
    with connection(service) as line:
        line.sendall(request(b"GET", b"/" + path + query, [*HANDSHAKE, *safe]))
        assert status(line) in {101, 400, 403, 404, None}


@settings(deadline=None)
@given(method=METHODS, path=PATHS, headers=HEADERS, cut=st.integers(0, 400))
def test_any_request_is_answered_or_closed(
    service: Service, method: bytes, path: bytes, headers: list[tuple[bytes, bytes]], cut: int
) -> None:
    sent = request(method, b"/" + path, headers)
    answer = answer_to(service, sent[:cut], sent[cut:])
    assert answer is None or answer < 500
    assert is_well(service)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_survived(service: Service, sent: bytes) -> None:
    answer_to(service, sent)
    assert is_well(service)


def frame(head: int, body: bytes, mask: bytes, *, is_masked: bool = True) -> bytes:
    flag = 0x80 if is_masked else 0
    size = len(body)
    if size < 126:
        length = bytes([flag | size])
    elif size < 1 << 16:
        length = bytes([flag | 126]) + struct.pack("!H", size)
    else:
        length = bytes([flag | 127]) + struct.pack("!Q", size)
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(body)) if is_masked else body
    return bytes([head]) + length + (mask if is_masked else b"") + masked


ANY_FRAME = st.builds(
    frame,
    st.sampled_from([0x81, 0x81, 0x81, 0x01, 0x00, 0x80, 0x82, 0x89, 0x8A, 0x88]) | st.integers(0, 255),
    FRAMES | st.binary(max_size=200),
    st.binary(min_size=4, max_size=4),
    is_masked=st.sampled_from([True, True, True, False]),
)


def dialled(service: Service) -> socket.socket:
    line = connection(service)
    line.sendall(request(b"GET", b"/llm-websocket/fuzzed", [*HANDSHAKE]))
    assert status(line) == 101
    return line


@settings(deadline=None)
@given(st.lists(ANY_FRAME | st.binary(max_size=40), max_size=6), st.lists(st.integers(0, 600), max_size=4))
def test_any_frames_cut_anywhere_are_survived(service: Service, frames: list[bytes], cuts: list[int]) -> None:
    sent = b"".join(frames)
    places = sorted({0, len(sent), *(cut for cut in cuts if cut < len(sent))})
    with dialled(service) as line, suppress(OSError):  # it may have cut us off by now
        for begin, end in itertools.pairwise(places):
            line.sendall(sent[begin:end])
    assert is_well(service)


@settings(deadline=None)
@given(st.lists(st.integers(0, 300), max_size=8), st.binary(min_size=4, max_size=4), st.integers(1, 5))
def test_frames_are_answered_however_they_are_cut(service: Service, cuts: list[int], mask: bytes, pings: int) -> None:
    texts = [json.dumps({"interaction_type": "ping_pong", "timestamp": 70 + n}).encode() for n in range(pings)]
    sent = b"".join(frame(0x81, text, mask) for text in texts)
    places = sorted({0, len(sent), *(cut for cut in cuts if cut < len(sent))})
    with dialled(service) as line:
        for begin, end in itertools.pairwise(places):
            line.sendall(sent[begin:end])
        heard = b""
        while b'"timestamp":%d' % (69 + pings) not in heard:
            heard += line.recv(4096)
    assert heard.count(b"ping_pong") == pings
