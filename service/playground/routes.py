"""The playground's routes: its page, and the WebSocket that the page holds. For browsers of this machine alone.

Whoever reaches the port may be a page from elsewhere in a browser here (its `Origin` tells), a name that was made to
lead here (`Host` tells), or a tunnel (it says so): none of them is let in.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from litestar import Response, get, websocket
from litestar.connection import Request
from litestar.handlers import HTTPRouteHandler, WebsocketRouteHandler

from service.line import Socket, transport_of
from service.playground.visit import Stage, Visit
from service.virtual.process import Lines

PATH = "/playground"

_HERE = Path(__file__).parent / "page"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src ws://{host}; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_THIS_MACHINE = re.compile(r"(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]{1,5})?")
_TUNNELS = {
    *(b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"),
    *(b"via", b"x-real-ip", b"cf-connecting-ip"),
}

Headers = Iterable[tuple[bytes, bytes]]


def playground_routes(stage: Stage) -> list[HTTPRouteHandler | WebsocketRouteHandler]:
    """The routes."""
    files = {path.name: path for path in _HERE.iterdir() if path.suffix in _TYPES}

    @get([PATH, f"{PATH}/{{name:str}}"], sync_to_thread=False)
    def page(request: Request[Any, Any, Any]) -> Response[bytes]:
        name = request.path_params.get("name", "page.html")
        if why := stranger(request.scope["headers"]):
            return Response(f"{why}\n".encode(), status_code=403, media_type="text/plain", headers=_HEADERS)
        if name not in files:
            return Response(b"There is no such file.\n", status_code=404, media_type="text/plain", headers=_HEADERS)
        kind = _TYPES[files[name].suffix]
        policy = {"Content-Security-Policy": _POLICY.format(host=request.headers["host"])}
        return Response(files[name].read_bytes(), media_type=kind, headers=_HEADERS | policy)

    @websocket(f"{PATH}/line")
    async def line(socket: Socket) -> None:
        transport = transport_of(socket)
        if why := stranger(socket.scope["headers"], wants_origin=True):
            transport.refuse(403, why)
            return
        await socket.accept()
        await Visit(stage, Lines(socket.app, peer=stage.peer), transport).serve(socket.receive)

    return [page, line]


def stranger(headers: Headers, *, wants_origin: bool = False) -> str:
    """Why whoever sends these headers is not a browser of this machine at our own page; empty when it is."""
    known = dict(headers)
    host = known.get(b"host", b"").decode("latin-1")
    if _TUNNELS & known.keys():
        return "The playground is for this machine alone, and this came through a proxy or a tunnel."
    if not _THIS_MACHINE.fullmatch(host):
        return "The playground is for this machine alone: open it at http://127.0.0.1 or http://localhost."
    origin = known.get(b"origin", b"").decode("latin-1")
    if (origin or wants_origin) and origin != f"http://{host}":
        return "Only the playground's own page may do this."
    return ""
