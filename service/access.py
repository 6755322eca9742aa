"""Who may call: addresses, and a secret in the path. It decides about lines alone, before they are opened.

A webhook needs neither: it is signed.
"""

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from service.settings import Settings, SettingsError

RETELL = "100.20.5.228"
"""The one address that Retell calls from, by its guide."""

LEAST_SECRET = 16
"""Characters of a secret."""

_SECRET = re.compile(r"[A-Za-z0-9_.~-]+")
_PORT = re.compile(r"\[(.+)\](?::\d+)?|([\d.]+):\d+")
_FLYS_PRIVATE_NETWORK = ip_network("fdaa::/16")

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Headers = Iterable[tuple[bytes, bytes]]


class Refused(Exception):
    """A line is not opened. `result` is of the closed set of what becomes of calls."""

    def __init__(self, status: int, result: str, why: str) -> None:
        super().__init__(why)
        self.status, self.result = status, result


@dataclass(frozen=True, slots=True)
class Access:
    """What a peer has to show."""

    allowed: tuple[Network, ...] = ()
    """None at all: any address will do."""
    proxies: tuple[Network, ...] = ()
    """Whose word about the address before them is taken."""
    secrets: tuple[bytes, ...] = ()
    is_on_fly: bool = False
    is_local: bool = False
    """For this machine's own, and nothing else guards it: a page from elsewhere in a browser here is none of them."""

    def check_address(self, peer: str | None, headers: Headers) -> None:
        """Raise Refused unless the call comes from where it should."""
        if self.is_local and not all(map(_is_page_of_here, _values(headers, b"origin"))):
            raise Refused(403, "refused_address", "A page from elsewhere may not call.")
        if self.allowed and not _is_in(self.allowed, self.origin(peer, headers)):
            raise Refused(403, "refused_address", "Calls are taken from known addresses only.")

    def check_secret(self, segments: list[str]) -> list[str]:
        """What is left of the path when the secret, its first segment, is taken off. Raise Refused without it."""
        if not self.secrets:
            return segments
        shown = segments[0].encode("utf-8", "replace") if segments else b""
        if not max([hmac.compare_digest(shown, secret) for secret in self.secrets]):  # all of them, whichever it is
            raise Refused(401, "refused_secret", "The address of a call has a secret in it.")
        return segments[1:]

    def origin(self, peer: str | None, headers: Headers) -> Address | None:
        """The address that a call comes from; None when it cannot be told."""
        address = _address(peer or "")
        if self.is_on_fly and address is not None and address not in _FLYS_PRIVATE_NETWORK:
            told = _values(headers, b"fly-client-ip")  # its proxy sets it; over the private network anybody may
            return _address(told[0]) if len(told) == 1 else None
        if not _is_in(self.proxies, address):
            return address
        for hop in reversed(_values(headers, b"x-forwarded-for")):
            address = _address(hop)
            if not _is_in(self.proxies, address):
                return address
        return address


def access_of(settings: Settings) -> Access:
    """What the settings ask of a peer. Raises SettingsError when they would let anybody in from elsewhere."""
    access = Access(
        _networks("CUEBOX_ALLOWED_IPS", settings.allowed_ips),
        _networks("CUEBOX_TRUSTED_PROXIES", settings.trusted_proxies),
        _secrets(settings.path_secret),
        settings.is_on_fly,
        is_loopback(settings.host) and not (settings.path_secret or settings.open),
    )
    if is_loopback(settings.host):
        return access
    if settings.dev:
        raise SettingsError(
            f"CUEBOX_DEV is for this machine alone, but HOST is {settings.host}: leave one of them unset."
        )
    if not (access.allowed or access.secrets or settings.open):
        raise SettingsError(
            f"HOST is {settings.host}, so anybody could call. Set CUEBOX_PATH_SECRET to a long random word (the "
            "platform's address for us then ends in /llm-websocket/THAT_WORD), or CUEBOX_ALLOWED_IPS=retell, or both; "
            "or CUEBOX_OPEN=true if anybody may."
        )
    return access


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _secrets(setting: str | None) -> tuple[bytes, ...]:
    secrets = _items(setting)
    if setting is not None and not secrets:
        raise SettingsError("CUEBOX_PATH_SECRET has no secret in it.")
    if not all(len(secret) >= LEAST_SECRET and _SECRET.fullmatch(secret) for secret in secrets):
        raise SettingsError(
            f"CUEBOX_PATH_SECRET must be {LEAST_SECRET} or more of A-Z a-z 0-9 _ . ~ - (or several such, by commas, "
            "while it changes); make one with: openssl rand -hex 24"
        )
    return tuple(secret.encode() for secret in secrets)


def _networks(variable: str, setting: str | None) -> tuple[Network, ...]:
    words = _items(setting)
    if setting is not None and not words:
        raise SettingsError(f"{variable} has no address in it.")
    return tuple(_network(variable, RETELL if word == "retell" else word) for word in words)


def _network(variable: str, word: str) -> Network:
    try:
        return ip_network(word)
    except ValueError as error:
        raise SettingsError(
            f"{variable} has {word!r} in it, but takes addresses and networks such as 10.0.0.0/8, and the word retell."
        ) from error


def _items(setting: str | None) -> list[str]:
    return [item.strip() for item in (setting or "").split(",") if item.strip()]


def _is_in(networks: Iterable[Network], address: Address | None) -> bool:
    return address is not None and any(address in network for network in networks)


def _is_page_of_here(origin: str) -> bool:
    try:
        return is_loopback(urlsplit(origin).hostname or "")
    except ValueError:
        return False


def _values(headers: Headers, name: bytes) -> list[str]:
    lines = [value.decode("latin-1") for key, value in headers if key == name]
    return [item.strip() for item in ",".join(lines).split(",")] if lines else []


def _address(text: str) -> Address | None:
    """Of an address as proxies write it, some of them with a port. An IPv4 address may come as an IPv6 one."""
    if with_port := _PORT.fullmatch(text):
        text = with_port[1] or with_port[2]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address
