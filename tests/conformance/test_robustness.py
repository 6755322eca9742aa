"""Cases 59, 60 and 68: nothing that a peer sends ends its call, another call or the process."""

import asyncio
import json
import time
from collections.abc import MutableMapping
from typing import Any

from structlog.testing import capture_logs
from websockets.frames import Frame, Opcode

from service.conversation.call import SpokenLines
from service.settings import Settings
from tests.conformance.agents import failing, saying
from tests.live import PlatformLine, serving

Logs = list[MutableMapping[str, Any]]
ODD_FRAMES: list[tuple[str | bytes, str]] = [
    ("", "not_json"),
    ("Hello", "not_json"),
    ("{", "not_json"),
    ('{"interaction_type": "ping_pong", "timestamp": 1}}', "not_json"),
    ('{"interaction_type": "ping_pong", "timestamp": NaN}', "not_json"),
    ("\ufeff{}", "not_json"),
    ("null", "malformed_frame"),
    ("7", "malformed_frame"),
    ('"ping_pong"', "malformed_frame"),
    ("[]", "malformed_frame"),
    ('[{"interaction_type": "ping_pong", "timestamp": 1}]', "malformed_frame"),
    ("{}", "malformed_frame"),
    ('{"interaction_type": null}', "malformed_frame"),
    ('{"interaction_type": 5}', "malformed_frame"),
    ('{"interaction_type": ["ping_pong"]}', "malformed_frame"),
    ('{"response_type": "response", "response_id": 1}', "malformed_frame"),
    ('{"interaction_type": "clear"}', "unknown_type"),
    ('{"interaction_type": "PING_PONG", "timestamp": 1}', "unknown_type"),
    ('{"interaction_type": "ping_pong"}', "malformed_frame"),
    ('{"interaction_type": "ping_pong", "timestamp": "one"}', "malformed_frame"),
    ('{"interaction_type": "ping_pong", "timestamp": 1.5}', "malformed_frame"),
    ('{"interaction_type": "ping_pong", "timestamp": 9223372036854775808}', "malformed_frame"),
    ('{"interaction_type": "ping_pong", "timestamp": ' + "9" * 5000 + "}", "malformed_frame"),
    ('{"interaction_type": "ping_pong", "timestamp": true}', "malformed_frame"),
    ('{"interaction_type": "response_required", "transcript": []}', "malformed_frame"),
    ('{"interaction_type": "response_required", "response_id": "one", "transcript": []}', "malformed_frame"),
    ('{"interaction_type": "response_required", "response_id": 1.5, "transcript": []}', "malformed_frame"),
    ('{"interaction_type": "response_required", "response_id": null, "transcript": []}', "malformed_frame"),
    ('{"interaction_type": "reminder_required", "response_id": 1e400, "transcript": []}', "malformed_frame"),
    ('{"interaction_type": "update_only", "transcript": 5}', "transcript_unreadable"),
    ('{"interaction_type": "call_details"}', "malformed_frame"),
    ('{"interaction_type": "update_only", "transcript": "\\ud83d"}', "transcript_unreadable"),
    ("[" * 100_000, "malformed_frame"),
    ("[" * 100_000 + "]" * 100_000, "malformed_frame"),
    ('{"a":' * 100_000 + "1" + "}" * 100_000, "malformed_frame"),
    ('{"interaction_type":"update_only","transcript":' + "[" * 100_000 + "]" * 100_000 + "}", "malformed_frame"),
    (b"", "binary_frame"),
    (b'{"interaction_type": "ping_pong", "timestamp": 1}', "binary_frame"),
    (bytes(range(256)), "binary_frame"),
]
_SIZES = [(1, 0), (2, 100), (3, 70_000), (4, 0)]
"""Pings, and how many blanks make each a frame of another kind of length."""


def oddities(logs: Logs) -> list[str]:
    return [line["oddity"] for line in logs if line["event"] == "line.oddity"]


async def lives(line: PlatformLine, turn_id: int) -> bool:
    """Whether nothing was sent, and the line still answers a ping and a request."""
    quiet = await line.ping(turn_id) == []
    await line.ask(turn_id, "", "Hi.")
    return quiet and await line.answer(turn_id) == "Yes."


async def test_case_59_and_60_odd_frames_are_ignored_and_logged_once_a_kind_and_call() -> None:
    async with serving(saying("Yes.")) as service, service.line("calm") as calm:
        await calm.greeted()
        for number, (frame, kind) in enumerate(ODD_FRAMES):
            with capture_logs() as logs:
                async with service.line(f"call_{number}") as line:
                    await line.greeted()
                    await line.send(frame)
                    await line.send(frame)
                    assert await lives(line, 1), frame[:80]
            assert oddities(logs) == [kind], frame[:80]
        assert await lives(calm, 1)


async def test_case_59_all_odd_frames_of_one_call_are_counted_when_it_ends() -> None:
    with capture_logs() as logs:
        async with serving(saying("Yes."), Settings(reconnect_window=0)) as service, service.line() as line:
            await line.greeted()
            for frame, _ in ODD_FRAMES:
                await line.send(frame)
            assert await lives(line, 1)
    kinds = [kind for _, kind in ODD_FRAMES]
    (ended,) = (line for line in logs if line["event"] == "call.ended")
    assert ended["oddities"] == {kind: kinds.count(kind) for kind in kinds}
    assert sorted(oddities(logs)) == sorted(set(kinds))


async def test_case_59_hello_typed_into_a_websocket_client_gets_one_helpful_line_in_the_log() -> None:
    with capture_logs() as logs:
        async with serving(saying("Yes.")) as service, service.line() as line:
            await line.greeted()
            await line.send("Hello")
            await line.send("Hello")
            assert await lives(line, 1)
    (help_,) = (line for line in logs if line["event"] == "line.oddity")
    assert help_["oddity"] == "not_json"
    assert "the connection works" in help_["remedy"]
    assert "Hello" not in str(logs)  # which may be a caller's words


async def test_case_59_half_an_emoji_in_a_transcript_does_not_lose_the_request() -> None:
    agent = saying("Yes.")
    async with serving(agent) as service, service.line() as line:
        await line.greeted()
        await line.send('{"interaction_type": "response_required", "response_id": 1, "transcript": '
                        '[{"role": "user", "content": "Half \\ud83d an emoji"}]}')  # fmt: skip
        assert await line.answer(1) == "Yes."
        (row,) = agent.turns[-1].history
        assert getattr(row, "text", "") == "Half \ufffd an emoji"


async def test_case_59_half_an_emoji_beside_a_broken_row_does_not_lose_the_request() -> None:
    async with serving(saying("Yes.")) as service, service.line() as line:
        await line.greeted()
        await line.send('{"interaction_type": "response_required", "response_id": 1, "transcript": ["\\ud83d"]}')
        assert await line.answer(1, within=1) == "Yes."


async def test_case_59_a_frame_in_fragments_is_one_frame() -> None:
    async with serving(saying("Yes.")) as service, service.line() as line:
        await line.greeted()
        text = json.dumps({"interaction_type": "response_required", "response_id": 1, "transcript": []})

        async def pieces() -> Any:
            for start in range(0, len(text), 7):
                yield text[start : start + 7]

        await line.socket.send(pieces())
        assert await line.answer(1) == "Yes."


async def test_frames_are_read_in_order_however_the_network_cuts_them() -> None:
    pings = [(Opcode.TEXT, f'{{"interaction_type":"ping_pong","timestamp":{n}{" " * size}}}') for n, size in _SIZES]
    others = [(Opcode.PING, "x"), (Opcode.BINARY, "x"), (Opcode.PONG, "")]
    sent = b"".join(Frame(kind, text.encode()).serialize(mask=True) for kind, text in [*pings, *others, *pings])
    async with serving(saying("Yes.")) as service, service.line() as line:
        await line.greeted()
        for piece in (3, 40, 1460, len(sent)):
            for at in range(0, len(sent), piece):
                line.socket.transport.write(sent[at : at + piece])
                if at < 1000:
                    await asyncio.sleep(0)  # so that they leave and arrive one by one
            pongs = [(await line.frame())["timestamp"] for _ in range(2 * len(pings))]
            assert pongs == 2 * [n for n, _ in _SIZES]


async def test_a_frame_that_is_not_masked_ends_its_line_and_no_other() -> None:
    async with serving(saying("Yes.")) as service, service.line() as line, service.line("call_2") as other:
        await line.greeted()
        await other.greeted()
        line.socket.transport.write(Frame(Opcode.TEXT, b"{}      ").serialize(mask=False))
        assert await line.closed(within=1) == 1002
        assert await lives(other, 1)


async def test_case_59_a_websocket_ping_of_the_transport_is_answered_too() -> None:
    async with serving() as service, service.line() as line:
        await line.greeted()
        await asyncio.wait_for(await line.socket.ping(), 1)


async def test_a_frame_above_the_limit_ends_its_line_with_1009_and_no_other() -> None:
    with capture_logs() as logs:
        async with serving(saying("Yes."), Settings(max_frame_bytes=65_536)) as service, service.line("calm") as calm:
            await calm.greeted()
            async with service.line() as line:
                await line.greeted()
                await line.send("x" * 65_536)
                assert await lives(line, 1)
                await line.send("x" * 65_537)
                assert await line.closed() == 1009
            assert await lives(calm, 1)
            async with service.line() as again:
                await again.frame()
                assert (await again.frame())["content"] == ""
    assert [kind for kind in oddities(logs) if kind != "not_json"] == ["frame_too_large"]
    (told,) = (line for line in logs if line.get("oddity") == "frame_too_large" and line["event"] == "line.oddity")
    assert "CUEBOX_MAX_FRAME_BYTES" in told["remedy"]


async def test_fragments_that_are_too_large_together_end_their_line_too() -> None:
    async with serving(saying("Yes."), Settings(max_frame_bytes=65_536)) as service, service.line() as line:
        await line.greeted()

        async def pieces() -> Any:
            for _ in range(20):
                yield "x" * 4096

        await line.socket.send(pieces())
        assert await line.closed() in (1006, 1009)  # what was on its way when the server left may reset the connection


async def test_a_frame_outside_utf_8_ends_its_line_with_1007_and_no_other() -> None:
    with capture_logs() as logs:
        async with serving(saying("Yes.")) as service, service.line("calm") as calm:
            await calm.greeted()
            async with service.line() as line:
                await line.greeted()
                await line.socket.send(b"\xff\xfe\xfd", text=True)
                assert await line.closed() == 1007
            assert await lives(calm, 1)
    assert oddities(logs) == ["not_utf8"]


async def test_bytes_that_are_no_websocket_frame_do_no_harm() -> None:
    async with serving(saying("Yes.")) as service, service.line("calm") as calm:
        await calm.greeted()
        async with service.line() as line:
            await line.greeted()
            line.socket.transport.write(b"\xff" * 64)
            assert await line.closed() in (1002, 1006)
        reader, writer = await asyncio.open_connection(*service.address.split(":"))
        writer.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        await asyncio.wait_for(reader.read(), 2)
        writer.close()
        assert await lives(calm, 1)


HEADERS = (
    "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
BAD_HANDSHAKES = (
    f"GET /llm-websocket/c\xe4ll HTTP/1.1\r\n{HEADERS}\r\n",
    f"GET /llm-websocket/\xff HTTP/1.1\r\n{HEADERS}\r\n",
    f"GET /llm-websocket/call_1?q=\xc3\xa4 HTTP/1.1\r\n{HEADERS}\r\n",
    f"POST /llm-websocket/call_1 HTTP/1.1\r\n{HEADERS}\r\n",
    "GET /llm-websocket/call_1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "GET /llm-websocket/call_1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
)


async def test_a_bad_handshake_is_refused_and_does_no_harm() -> None:
    async with serving(saying("Yes.")) as service, service.line("calm") as calm:
        await calm.greeted()
        for turn_id, request in enumerate(BAD_HANDSHAKES, 1):
            reader, writer = await asyncio.open_connection(*service.address.split(":"))
            writer.write(request.encode("latin-1"))
            status = await asyncio.wait_for(reader.readline(), 2)
            writer.close()
            assert status.startswith(b"HTTP/1.1 4"), request
            assert await lives(calm, turn_id)


async def test_a_header_of_any_bytes_does_no_harm() -> None:
    async with serving(saying("Yes.")) as service:
        reader, writer = await asyncio.open_connection(*service.address.split(":"))
        writer.write(f"GET /llm-websocket/call_1 HTTP/1.1\r\n{HEADERS}X: \xe4\xff\r\n\r\n".encode("latin-1"))
        assert (await asyncio.wait_for(reader.readline(), 2)).startswith(b"HTTP/1.1 101")
        writer.close()


async def test_case_65_a_platform_that_closes_with_any_code_is_let_go_in_good_order() -> None:
    codes = [1000, 1001, 1002, 1007, 1011, 3000, 4999]
    with capture_logs() as logs:
        async with serving(saying("Yes.")) as service:
            for code in codes:
                async with service.line(f"call_{code}") as line:
                    await line.greeted()
                    await line.socket.close(code)
                    assert line.socket.protocol.close_rcvd is not None
                    assert line.socket.protocol.close_rcvd.code == code  # its own, echoed
    assert [line["close_code"] for line in logs if line["event"] == "line.closed"] == codes


async def test_a_flood_of_odd_frames_does_not_hold_up_another_call() -> None:
    async with serving(saying("Yes.")) as service, service.line() as line, service.line("calm") as calm:
        await line.greeted()
        await calm.greeted()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_flood(line, "[" * 10_000, 300))
            begun = time.monotonic()
            for timestamp in range(20):
                await calm.ping(timestamp)
            assert time.monotonic() - begun < 2
        assert await lives(line, 1)


async def _flood(line: PlatformLine, frame: str, times: int) -> None:
    for _ in range(times):
        await line.send(frame)


class BrokenLines(SpokenLines):
    """Lines that fail when they are wanted: a fault in the heart of the service."""

    broken = "apology"

    def __getattribute__(self, name: str) -> Any:
        if name == type(self).broken:
            raise RuntimeError(f"no {name}")
        return super().__getattribute__(name)


async def test_case_68_a_fault_of_our_own_cuts_the_line_without_a_code_and_the_call_comes_back() -> None:
    agent = failing(OSError())
    agent.lines = BrokenLines()
    async with serving(agent) as service, service.line("call_2") as other:
        await other.greeted()
        async with service.line() as line:
            await line.greeted()
            await line.ask(1, "", "Hi.")
            assert await line.closed(within=2) == 1006
        async with service.line() as again:
            await again.greeted(call_status="ongoing")
            await again.ping(2)
        await other.ping(1)


class BrokenHolds(BrokenLines):
    """Lines that fail as soon as a turn begins, on the stack of the frame that asks for it."""

    broken = "hold"


async def test_case_68_a_fault_in_taking_in_a_frame_cuts_the_line_and_ends_the_call() -> None:
    agent = saying("Yes.")
    agent.lines = BrokenHolds()
    with capture_logs() as logs:
        async with serving(agent, Settings(greeting_wait=60)) as service, service.line() as line:
            await line.send({"interaction_type": "call_details", "call": {"call_id": "call_1"}})
            assert await line.closed() == 1006  # before the greeting's own deadline
            await service.forgets()
    assert [log["error"] for log in logs if log["event"] == "call.fault"] == ["RuntimeError"]
