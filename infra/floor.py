"""The floor: what a turn costs in Python at the least. The wire and nothing else: no framework, no core, no care.

It answers `load` like the service does and stands beside it in `infra/bench.py`, so that a figure can be told as a
ratio of one run, on whatever machine. Usage: floor.py PORT MODEL_PORT
"""

import asyncio
import sys

import msgspec
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server


class Delta(msgspec.Struct):
    """Of a chunk of the model's."""

    content: str | None = None


class Choice(msgspec.Struct):
    """Of a chunk of the model's."""

    delta: Delta


class Chunk(msgspec.Struct):
    """One event of the model's stream."""

    choices: list[Choice] = []


class Said(msgspec.Struct):
    """A frame to the platform."""

    response_id: int
    content: str
    content_complete: bool
    response_type: str = "response"


_decode_frame = msgspec.json.Decoder().decode
_decode_chunk = msgspec.json.Decoder(Chunk).decode
_encode = msgspec.json.Encoder().encode


class Upstream(asyncio.Protocol):
    """A kept connection to the model."""

    line: "Line"
    turn_id: int

    def __init__(self, pool: "list[Upstream]") -> None:
        self._pool = pool
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # of a stream

    def data_received(self, data: bytes) -> None:
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for event in events:
            at = event.find(b"data: ")
            if at < 0:
                continue
            body = event[at + 6 :]
            if body == b"[DONE]":
                self._rest = b""
                self.line.say(Said(self.turn_id, "", content_complete=True))
                self._pool.append(self)
                return
            for choice in _decode_chunk(body).choices:
                if choice.delta.content:
                    self.line.say(Said(self.turn_id, choice.delta.content, content_complete=False))


class Line(WSListener):
    """One call."""

    def __init__(self, model_port: int, pool: list[Upstream]) -> None:
        super().__init__()
        self._model_port = model_port
        self._pool = pool
        self._asking: set[asyncio.Task[None]] = set()

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self.say(Said(0, "hi", content_complete=True))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            told = _decode_frame(frame.get_payload_as_bytes())
            if told["interaction_type"] == "response_required":
                asking = asyncio.get_running_loop().create_task(self._ask(told))
                self._asking.add(asking)
                asking.add_done_callback(self._asking.discard)
            elif told["interaction_type"] == "ping_pong":
                transport.send(WSMsgType.TEXT, _encode({"response_type": "ping_pong", "timestamp": told["timestamp"]}))
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()

    def say(self, said: Said) -> None:
        self._transport.send(WSMsgType.TEXT, _encode(said))

    async def _ask(self, told: dict[str, object]) -> None:
        loop = asyncio.get_running_loop()
        if self._pool:
            upstream = self._pool.pop()
        else:
            _, upstream = await loop.create_connection(lambda: Upstream(self._pool), "127.0.0.1", self._model_port)
        upstream.line, upstream.turn_id = self, int(str(told["response_id"]))
        body = _encode({"model": "m", "stream": True, "messages": told["transcript"]})
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
        upstream.transport.write(head + body)


async def serve(port: int, model_port: int) -> None:
    """Answer until killed."""
    pool: list[Upstream] = []

    def line(_: WSUpgradeRequest) -> Line:
        return Line(model_port, pool)

    server = await ws_create_server(line, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
