"""The service as Retell finds it: its addresses, tried from outside, and the agents of an account at Retell.

Retell's REST API is asked with the standard library: four requests are no reason for its SDK and ten packages more.
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import TypeVar
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import msgspec
from msgspec import Struct
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect

from service.simulator.line import OPEN_TIMEOUT, fresh_call_id

RETELL = "https://api.retellai.com"

_SCHEMES = {"https": ("https", "wss"), "wss": ("https", "wss"), "http": ("http", "ws"), "ws": ("http", "ws")}
_PATIENCE = 15.0
_MOST_BYTES = 2**20
_REFUSALS = {
    401: "it wants a secret in the address: set CUEBOX_PATH_SECRET here as it is set there",
    403: "it does not let this machine in: look at CUEBOX_ALLOWED_IPS there, and at CUEBOX_PATH_SECRET here",
    404: "nothing takes calls there: look at CUEBOX_PATH_SECRET here, at the agent's name, and whether it is Cuebox",
    503: "it takes no calls now: it starts, drains or is full",
}
_API_REFUSALS = {
    401: "it does not take RETELL_API_KEY",
    402: "the account cannot pay",
    403: "RETELL_API_KEY may not do this",
    404: "no agent there has this id",
    429: "too many requests: wait a minute",
}

T = TypeVar("T")


class NotPossible(Exception):
    """It ends here, with nothing half done at Retell. The message is one plain sentence, without secrets."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where Retell finds the service. The line's may hold a secret."""

    line: str
    webhook: str

    def shown(self, secret: str) -> str:
        """The line's address, for people."""
        return self.line.replace(secret, "…") if secret else self.line


class _Engine(Struct):
    type: str
    llm_websocket_url: str | None = None


class AgentAtRetell(Struct):
    """What is of interest of Retell's agent."""

    response_engine: _Engine
    version: int = 0
    is_published: bool = False
    webhook_url: str | None = None


class WebCall(Struct):
    """A call that a browser may join, with Retell's SDK for the web, until it expires (milliseconds since 1970)."""

    call_id: str
    access_token: str
    expires_at: int | None = None


def addresses_of(url: str, secret: str = "", agent: str = "") -> Addresses:
    """The addresses of the service whose host is given, such as https://cuebox.fly.dev. Raises NotPossible."""
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        is_host = bool(parts.hostname) and parts.port != 0 and parts.path in ("", "/") and not parts.query
    except ValueError:  # a port or a bracket that is none
        is_host = False
    if not is_host or parts.scheme not in _SCHEMES or "@" in parts.netloc:
        raise NotPossible("--url is the service's host alone, such as https://cuebox.fly.dev: the rest is added.")
    web, socket = _SCHEMES[parts.scheme]
    line = "/".join(["llm-websocket", *filter(None, (secret, agent))])
    webhook = "/".join(["webhook", *filter(None, (agent,))])  # it is signed, and needs no secret
    return Addresses(f"{socket}://{parts.netloc}/{line}", f"{web}://{parts.netloc}/{webhook}")


def try_line(addresses: Addresses) -> float:
    """Open a line as Retell would, and close it; the seconds until the service spoke. Raises NotPossible."""
    host, begun = urlsplit(addresses.line).netloc, time.perf_counter()
    try:
        with connect(
            f"{addresses.line}/{fresh_call_id()}",
            open_timeout=OPEN_TIMEOUT,
            close_timeout=1,
            ping_interval=None,
            compression=None,
        ) as line:
            first = line.recv(timeout=OPEN_TIMEOUT)
    except InvalidStatus as error:
        status = error.response.status_code
        why = _REFUSALS.get(status, "is it the service, or a proxy before it?")
        raise NotPossible(f"{host} refused the line (HTTP {status}): {why}.") from None
    except (OSError, WebSocketException) as error:  # neither says the address, which may hold a secret
        why = type(error).__name__
        raise NotPossible(f"{host} does not take calls ({why}): is it up, and the address right?") from None
    if b'"config"' not in (first.encode() if isinstance(first, str) else first):
        raise NotPossible(f"What listens at {host} does not speak as Cuebox does: its first frame is no config.")
    return time.perf_counter() - begun


def try_webhook(addresses: Addresses) -> None:
    """Post what nobody signed: it has to be refused. Raises NotPossible."""
    status, _ = _ask("POST", addresses.webhook, {})
    if status != 401:  # noqa: PLR2004 - HTTP's word for it
        raise NotPossible(f"{addresses.webhook} answered HTTP {status} to an unsigned webhook, not 401: is it Cuebox?")


class Account:
    """An account at Retell."""

    def __init__(self, key: str, api: str = RETELL) -> None:
        self._key, self._api = key, api.rstrip("/")

    def point(self, agent_id: str, addresses: Addresses) -> int:
        """Write the addresses into the agent's draft, made for it if the latest version is published.

        Returns the draft's number. Raises NotPossible, for an agent that has no custom LLM too.
        """
        agent = self._agent(agent_id)
        version = agent.version
        if agent.is_published:
            base = {"base_version": version}
            version = self._get("POST", f"/create-agent-version/{agent_id}", base, AgentAtRetell).version
        engine = {"type": "custom-llm", "llm_websocket_url": addresses.line}
        wanted = {"response_engine": engine, "webhook_url": addresses.webhook}
        now = self._get("PATCH", f"/update-agent/{agent_id}?version={version}", wanted, AgentAtRetell)
        if (now.response_engine.llm_websocket_url, now.webhook_url) != (addresses.line, addresses.webhook):
            raise NotPossible("Retell took the change, but shows other addresses: look at the agent in its dashboard.")
        return version

    def publish(self, agent_id: str, version: int) -> None:
        """Let calls go to this version. Raises NotPossible."""
        self._asked("POST", f"/publish-agent-version/{agent_id}", {"version": version})

    def web_call(self, agent_id: str, version: int) -> WebCall:
        """A call from a browser, to this version. Raises NotPossible."""
        return self._get("POST", "/v3/create-web-call", {"agent_id": agent_id, "agent_version": version}, WebCall)

    def _agent(self, agent_id: str) -> AgentAtRetell:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,128}", agent_id):
            raise NotPossible("--agent-id is as Retell shows it, such as agent_1a2b3c.")
        agent = self._get("GET", f"/get-agent/{agent_id}", None, AgentAtRetell)
        if agent.response_engine.type != "custom-llm":
            kind = _plain(agent.response_engine.type)
            raise NotPossible(f"That agent is a {kind} agent; Cuebox answers for those of the kind Custom LLM.")
        return agent

    def _get(self, method: str, path: str, body: Mapping[str, object] | None, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(self._asked(method, path, body), type=kind)
        except (msgspec.DecodeError, RecursionError):
            raise NotPossible(f"Retell's answer to {path.partition('?')[0]} is not what its reference says.") from None

    def _asked(self, method: str, path: str, body: Mapping[str, object] | None) -> bytes:
        status, answer = _ask(method, self._api + path, body, self._key)
        if status // 100 == 2:  # noqa: PLR2004 - HTTP's class of success
            return answer
        said = re.search(rb'"message"\s*:\s*"([^"]{1,200})', answer)
        why = _API_REFUSALS.get(status) or (_plain(said[1].decode(errors="replace")) if said else "it did not say why")
        raise NotPossible(f"Retell refused {path.partition('?')[0]} (HTTP {status}): {why}.")


class _NoRedirect(HTTPRedirectHandler):
    """A redirect would take the key elsewhere."""

    def redirect_request(self, *_: object) -> None:
        return None


_OPENER = build_opener(_NoRedirect)


def _ask(method: str, url: str, body: Mapping[str, object] | None, key: str = "") -> tuple[int, bytes]:
    """One request; status and body. Raises NotPossible where nobody answers."""
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
    request = Request(url, None if body is None else msgspec.json.encode(body), headers, method=method)  # noqa: S310 - http(s), by its callers
    try:
        with _OPENER.open(request, timeout=_PATIENCE) as response:
            return response.status, response.read(_MOST_BYTES)
    except HTTPError as error:
        with error:
            return error.code, error.read(_MOST_BYTES)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or type(error).__name__
        raise NotPossible(f"{urlsplit(url).netloc} does not answer ({_plain(str(reason))}).") from None


def _plain(text: str) -> str:
    """Others' words, safe for a terminal."""
    return "".join(sign for sign in text if sign.isprintable())[:200]
