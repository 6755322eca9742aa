"""The HTTP routes: `/healthz` (alive), `/readyz` (ready to take calls) and `/` for whoever opens it in a browser."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from litestar import MediaType, Response, get
from litestar.handlers import HTTPRouteHandler


@dataclass(slots=True)
class Readiness:
    """Whether the service stands. `app` turns it on when the agent does, and off when the service stops."""

    is_ready: bool = False


def health_routes(
    is_ready: Callable[[], bool], agents: Sequence[str], bases: list[str], *, has_playground: bool = False
) -> list[HTTPRouteHandler]:
    """The routes, for one service. `is_ready` is whether new calls may come."""
    playground = "Talk to it here, in your browser:\n  http://<this host>/playground\n\n" if has_playground else ""

    @get("/healthz", media_type=MediaType.TEXT, sync_to_thread=False)
    def healthz() -> str:
        return "alive\n"

    @get("/readyz", media_type=MediaType.TEXT, sync_to_thread=False)
    def readyz() -> Response[str]:
        return Response("ready\n") if is_ready() else Response("not ready\n", status_code=503)

    @get("/", media_type=MediaType.TEXT, sync_to_thread=False)
    def front_door() -> str:
        addresses = "".join(f"  wss://<this host>/{base}\n" for base in bases)
        return (
            f"Cuebox answers calls{' with ' if agents else ''}{' and '.join(map(repr, agents))}.\n\n"
            f"{playground}Point your voice platform at\n{addresses}\n"
            "Call it from a terminal with\n  cuebox call ws://<this host>/<the same path>\n"
        )

    return [healthz, readyz, front_door]
