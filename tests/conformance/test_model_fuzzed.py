"""Whatever bytes a model's endpoint sends: one final frame a turn, no fault of ours, and a sound answer is heard."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from service.settings import Settings
from tests.live import serving
from tests.llm.test_wire_fuzzed import STREAMS

TURNS = 4
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
TEXT = "We open at eight."
WORDS = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % TEXT.encode()


def chunked(parts: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part)


STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
SOUND = STREAM + b"\r\n" + WORDS + STOP
BODIES = st.lists(st.sampled_from([[WORDS], [WORDS, STOP], []]) | STREAMS, min_size=1, max_size=3).map(
    lambda lists: [part for parts in lists for part in parts]
)
ANSWERS = st.one_of(
    BODIES.map(lambda body: STREAM + b"\r\n" + b"".join(body)),
    BODIES.map(lambda body: STREAM + b"transfer-encoding: chunked\r\n\r\n" + chunked(body)),
    BODIES.map(lambda body: STREAM + b"transfer-encoding: chunked\r\n\r\n" + chunked(body) + b"0\r\n\r\n"),
    st.tuples(BODIES, st.integers(0, 500)).map(
        lambda both: STREAM + b"content-length: %d\r\n\r\n" % both[1] + b"".join(both[0])
    ),
    st.tuples(st.integers(100, 999), st.binary(max_size=60)).map(lambda both: b"HTTP/1.1 %d X\r\n\r\n%b" % both),
    st.binary(max_size=200),
)


@asynccontextmanager
async def endpoint(answers: list[bytes]) -> AsyncIterator[str]:
    """A model's endpoint that sends these bytes, one answer after the other, while there are any; then sound ones."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answers.pop(0) if answers else SOUND)
            await writer.drain()
            writer.write_eof()
            await reader.read()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


async def ask_of(answers: list[bytes]) -> float | None:
    """Each turn's frames are held to the rules by the line itself; returns how many faults of ours were counted."""
    async with endpoint(answers) as url:
        own = Settings(agent="receptionist", openai_api_key="k", openai_base_url=url)
        async with serving(settings=own) as service, service.line() as line:
            await line.greeted()
            for turn_id in range(1, TURNS + 1):
                await line.ask(turn_id, "Hello.", "When do you open?")
                assert await line.answer(turn_id, within=30)
            answers.clear()
            await line.ask(TURNS + 1, "Hello.", "When do you open?")
            assert await line.answer(TURNS + 1, within=30) == TEXT
            registry = service.app.state.metrics.registry
            labels = {"initiator": "us", "reason": "fault"}
            faults: float | None = registry.get_sample_value("cuebox_lines_closed_total", labels)
            return faults


@settings(deadline=None, max_examples=40)
@given(st.lists(ANSWERS, min_size=1, max_size=2 * TURNS))
def test_any_bytes_of_a_model_s_endpoint_end_in_a_final_frame(answers: list[bytes]) -> None:
    assert asyncio.run(ask_of(answers)) == 0
