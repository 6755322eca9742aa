"""uvicorn's WebSocket protocol, minus the close codes: any code that we send ends the call at the platform (A13)."""

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

EXTENSION = "cuebox"
"""The ASGI extension under which a handler finds its `CuttableWebSocket`."""


class CuttableWebSocket(WebSocketsSansIOProtocol):
    """Lets the handler cut the connection or refuse it, and cuts it at shutdown instead of closing with 1012."""

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        scope: dict[str, Any] | None = getattr(self, "scope", None)  # none when the handshake was not one
        if scope is not None:
            scope["extensions"][EXTENSION] = self

    def abort(self) -> None:
        """Cut the connection: the peer sees 1006, unsent bytes are lost."""
        self.transport.abort()

    def try_send(self, frame: str) -> bool:
        """Write a text frame now, unless the peer reads too slowly or is gone: then `send` waits, or raises.

        The same bytes as by ASGI's `send`, without its coroutines: this runs once a chunk.
        """
        if not self.writable.is_set() or self.disconnected or self.close_sent or self.transport.is_closing():
            return False
        self.conn.send_text(frame.encode())
        self.transport.write(b"".join(self.conn.data_to_send()))
        return True

    @property
    def close_code(self) -> int | None:
        """The code of the peer's close frame; None when it sent none. uvicorn reports 1005 for a cut, too."""
        return None if self.conn.close_rcvd is None else self.conn.close_rcvd.code

    def refuse(self, status: int, why: str) -> None:
        """Answer the handshake with HTTP: a close code after it would count as the end of a call."""
        self.conn.send_response(self.conn.reject(status, f"{why}\n"))
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.handshake_complete = self.close_sent = True

    def shutdown(self) -> None:
        self.abort()
