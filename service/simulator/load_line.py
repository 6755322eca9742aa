"""One line of a load run, on a socket that costs little: frames out and in, pings and their answers."""

import asyncio
import time
from collections.abc import Callable

import msgspec
from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from service.simulator.line import OPEN_TIMEOUT, fresh_call_id, url_of_call
from service.simulator.load_run import Tally
from service.simulator.retell_frames import Wishes

_TIMER_GRAIN = 0.003


class Frame(msgspec.Struct):
    """What counts of a server's frame; its types are strict."""

    response_type: str
    response_id: int | None = None
    content: str = ""
    content_complete: bool = False
    timestamp: int = 0
    config: Wishes | None = None


class Line(WSListener):
    """A socket on which nobody speaks. Dial it once; `waits` takes how long its pings wait."""

    def __init__(self, tally: Tally, waits: list[float]) -> None:
        self.tally = tally
        self.call_id = fresh_call_id()
        self.is_over = True  # until it stands
        self.wishes = Wishes()
        self._pings: dict[int, float] = {}
        self._waits = waits

    async def dial(self, url: str) -> None:
        """Open the line. If it does not stand, an error is noted."""
        try:
            await ws_connect(lambda: self, url_of_call(url, self.call_id), websocket_handshake_timeout=OPEN_TIMEOUT)
        except (OSError, WSError) as error:
            self.tally.errors[f"not connected: {type(error).__name__}"] += 1

    def hang_up(self) -> None:
        if not self.is_over:
            self.is_over = True
            self._transport.send_close(WSCloseCode.OK)
            self._transport.disconnect()

    def send(self, **fields: object) -> None:
        self._transport.send(WSMsgType.TEXT, msgspec.json.encode(fields))

    def later(self, due: float, act: Callable[[float], None]) -> None:
        """Act then, and be told from when on waiting counts: a late start is no excuse, but for our timers' grain."""

        def on_time() -> None:
            now = time.monotonic()
            if not self.is_over:
                act(now if now - due < _TIMER_GRAIN else due)

        asyncio.get_running_loop().call_later(max(0.0, due - time.monotonic()), on_time)

    def ping_every(self, seconds: float, since: float) -> None:
        """Ping from this moment on."""

        def ping(due: float) -> None:
            timestamp = round(due * 1000)
            self._pings[timestamp] = due
            self.send(interaction_type="ping_pong", timestamp=timestamp)
            self.later(due + seconds, ping)

        self.later(since, ping)

    def take(self, frame: Frame, at: float) -> None:
        """What the server sent at this moment."""
        if frame.response_type == "ping_pong":
            if frame.timestamp in self._pings:
                self._waits.append(at - self._pings.pop(frame.timestamp))
            else:
                self.breach("a pong that is no echo")
        elif frame.config:
            self.wishes = frame.config
            if self.wishes.call_details:
                call = {"call_id": self.call_id, "call_type": "web_call", "call_status": "registered"}
                self.send(interaction_type="call_details", call=call)

    def breach(self, rule: str) -> None:
        self.tally.errors[f"protocol: {rule}"] += 1

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self.is_over = False

    def on_ws_disconnected(self, _transport: WSTransport) -> None:
        self._closed("the line was cut")

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if self.is_over:
            return
        if frame.msg_type is WSMsgType.CLOSE:
            self._closed(f"the line was closed with code {frame.get_close_code().value}")
            transport.disconnect()
            return
        try:
            self.take(msgspec.json.decode(frame.get_payload_as_bytes(), type=Frame), time.monotonic())
        except msgspec.DecodeError:  # no JSON, or of the wrong types
            self.breach("a frame that cannot be read")

    def _closed(self, how: str) -> None:
        if not self.is_over:
            self.is_over = True
            self.tally.errors[how] += 1
