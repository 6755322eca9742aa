"""The watch of a game day: Prometheus and Alertmanager as shipped, but with their times divided, and a pager."""

import asyncio
import http.client
import json
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import yaml

from infra.alerts import INFRA, prometheus_rules
from infra.cold_start import free_port
from infra.observe import programs, running
from infra.slo import read

_MILLISECONDS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_SPAN = re.compile(r"(\d+)([smhdw])")
_RESEND_EVERY = "1m"
"""How often Prometheus says again what fires: its own default."""


@dataclass(frozen=True, slots=True)
class Ring:
    """A notification: when it came in, by which route, and what of."""

    at: float
    route: str
    labels: Mapping[str, str]


class Prometheus:
    """Its HTTP interface."""

    def __init__(self, address: str) -> None:
        self._address = address

    def ask(self, path: str, **what: str | float) -> Any:
        """What it answers. Raises ValueError when it does not like the question."""
        with closing(http.client.HTTPConnection(self._address, timeout=10)) as connection:
            connection.request("GET", f"/api/v1/{path}?{urlencode(what)}")
            answer = json.loads(connection.getresponse().read())
        if answer["status"] != "success":
            raise ValueError(f"{what}: {answer['error']}")
        return answer["data"]

    def finds(self, expr: str) -> bool:
        """Whether there is any series at any moment of the last two minutes."""
        now = time.time()
        return bool(self.ask("query_range", query=expr, start=now - 120, end=now, step=1)["result"])

    async def has_scraped(self, within: float = 30.0) -> None:
        """Wait until it knows of a service; TimeoutError if it does not after so many seconds."""
        async with asyncio.timeout(within):
            while True:
                with suppress(OSError, ValueError):  # it is not there yet, or not ready
                    if await asyncio.to_thread(self.finds, "cuebox_build_info"):
                        return
                await asyncio.sleep(0.1)


@dataclass(frozen=True, slots=True)
class Watch:
    """What was told so far."""

    prometheus: Prometheus
    load_rules: Callable[[], None]
    rings: list[Ring] = field(default_factory=list)

    async def begin(self) -> None:
        """Evaluate rules from when on a service was seen."""
        # Prometheus takes 5 s to find its targets, and by then the divided rules call them absent.
        await self.prometheus.has_scraped()
        self.load_rules()

    def of(self, app: str, *routes: str) -> list[Ring]:
        """What was told of this service, or of none in particular, by these routes; without any, as page or ticket."""
        wanted = routes or ("page", "ticket")
        return [ring for ring in list(self.rings) if ring.labels.get("app", app) == app and ring.route in wanted]


def shortened(span: str, by: int) -> str:
    """A span of time as Prometheus and Alertmanager write it, divided."""
    return _SPAN.sub(lambda found: f"{int(found[1]) * _MILLISECONDS[found[2]] // by}ms", span)


def shortened_rules(by: int) -> dict[str, Any]:
    """The shipped rules: windows, offsets and holds divided; nothing else differs."""
    rules: dict[str, Any] = yaml.safe_load(prometheus_rules(read()))
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        rule["expr"] = re.sub(r"(?<=\[)\w+(?=\])|(?<=offset )\w+", lambda found: shortened(found[0], by), rule["expr"])
        rule["for"], rule["keep_firing_for"] = shortened(rule["for"], by), shortened(rule["keep_firing_for"], by)
    return rules


def shortened_routes(by: int, pager: str) -> dict[str, Any]:
    """The shipped routes and inhibitions: waits divided, and everything posted to this address."""
    content: dict[str, Any] = yaml.safe_load((INFRA / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8"))
    for route in (content["route"], *content["route"]["routes"]):
        route |= {key: shortened(span, by) for key, span in route.items() if key.endswith(("_wait", "_interval"))}
    for receiver in content["receivers"]:
        for hook in receiver["webhook_configs"]:
            hook["url"] = pager + urlsplit(hook["url"]).path
    return content


def shortened_scrapes(by: int, alertmanager: str, targets: Mapping[str, int]) -> dict[str, Any]:
    """The shipped scrape, of each service's own port under its own `app`."""
    content: dict[str, Any] = yaml.safe_load((INFRA / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    every = {key: shortened(span, by) for key, span in content["global"].items()}
    content["global"] = every | {"scrape_timeout": every["scrape_interval"]}
    content["alerting"]["alertmanagers"][0]["static_configs"] = [{"targets": [alertmanager]}]
    content["scrape_configs"][0]["static_configs"] = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"app": app}} for app, port in targets.items()
    ]
    return content


@contextmanager
def watching(folder: Path, targets: Mapping[str, int], *, by: int) -> Iterator[Watch]:
    """Watch the metrics of these services, by their ports. `folder` takes files; times are divided `by` this."""
    at = {name: f"127.0.0.1:{free_port()}" for name in ("prometheus", "alertmanager")}
    rings: list[Ring] = []
    with taking_posts(lambda path, body: _note(rings, path, body)) as pager:
        _write(folder, "prometheus", shortened_scrapes(by, at["alertmanager"], targets))
        _write(folder, "alertmanager", shortened_routes(by, pager))
        _write(folder, "cuebox.rules", {"groups": []})
        commands = programs(folder, at)
        for name, command in commands.items():
            command[:] = [word for word in command if not word.startswith(("--config.file=", "--log.level="))]
            command += [f"--config.file={folder}/{name}.yml", "--log.level=error"]
        commands["prometheus"].append(f"--rules.alert.resend-delay={shortened(_RESEND_EVERY, by)}")
        with running(commands) as started:
            prometheus = started[list(commands).index("prometheus")]

            def load_rules() -> None:
                _write(folder, "cuebox.rules", shortened_rules(by))
                prometheus.send_signal(signal.SIGHUP)

            yield Watch(Prometheus(at["prometheus"]), load_rules, rings)


def _write(folder: Path, name: str, content: Mapping[str, Any]) -> None:
    (folder / f"{name}.yml").write_text(yaml.safe_dump(dict(content)), encoding="utf-8")


@contextmanager
def taking_posts(take: Callable[[str, bytes], None]) -> Iterator[str]:
    """Answer 200 to whatever is posted to this address, until the block is left."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            take(self.path, self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def _note(rings: list[Ring], path: str, body: bytes) -> None:
    firing = [alert["labels"] for alert in json.loads(body)["alerts"] if alert["status"] == "firing"]
    rings.extend(Ring(time.monotonic(), path.strip("/"), labels) for labels in firing)
