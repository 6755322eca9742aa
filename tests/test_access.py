"""Who may call: addresses and secrets, before anything is opened."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access import RETELL, Access, Headers, Refused, access_of, is_loopback
from service.settings import Settings, SettingsError

SECRET, OLD = "s3cret-of-the-tests.", "the-one-before-it~"
PUBLIC = "0.0.0.0"  # noqa: S104


def access(**set_to: object) -> Access:
    return access_of(Settings(**{"host": PUBLIC, "open": True, **set_to}))  # type: ignore[arg-type]


def forwarded(*lines: str) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"x"), *((b"x-forwarded-for", line.encode()) for line in lines)]


def is_let_in(door: Access, peer: str | None, headers: Headers = ()) -> bool:
    try:
        door.check_address(peer, headers)
    except Refused as refused:
        return (refused.status, refused.result) != (403, "refused_address")
    return True


@pytest.mark.parametrize(
    ("allowed", "peer", "is_in"),
    [
        ("retell", RETELL, True),
        ("retell", "100.20.5.229", False),
        ("retell", f"::ffff:{RETELL}", True),
        ("retell, 10.0.0.0/8", "10.9.8.7", True),
        ("2001:db8::/32", "2001:db8::1", True),
        ("2001:db8::/32", "2001:db9::1", False),
        ("0.0.0.0/0", "2001:db9::1", False),
        ("retell", None, False),
        ("retell", "", False),
        ("retell", "unix:", False),
        ("0.0.0.0/0,::/0", "not an address", False),
    ],
)
def test_calls_come_from_known_addresses_alone(allowed: str, peer: str | None, is_in: bool) -> None:
    assert is_let_in(access(allowed_ips=allowed), peer) is is_in


def test_without_a_list_any_address_will_do() -> None:
    assert is_let_in(access(), None)


@pytest.mark.parametrize(
    ("peer", "lines", "origin"),
    [
        ("10.0.0.1", [f"6.6.6.6, {RETELL}"], RETELL),  # what the caller forged stands before it
        ("10.0.0.1", [f"{RETELL}, 6.6.6.6"], "6.6.6.6"),
        ("10.0.0.1", [f"6.6.6.6, {RETELL}, 10.0.0.2"], RETELL),  # two proxies of ours
        ("10.0.0.1", ["6.6.6.6", f"{RETELL}"], RETELL),  # in two lines
        ("10.0.0.1", [f"{RETELL}:443"], RETELL),
        ("10.0.0.1", ["[2001:db8::1]:443"], "2001:db8::1"),
        ("10.0.0.1", [f"::ffff:{RETELL}"], RETELL),
        ("::ffff:10.0.0.1", [RETELL], RETELL),
        ("10.0.0.1", [f"{RETELL}, unknown"], None),
        ("10.0.0.1", [f"{RETELL},"], None),
        ("10.0.0.1", ["\xff\x00"], None),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["fe80::1%eth0"], "fe80::1%eth0"),
        ("10.0.0.1", ["010.0.0.1"], None),
        ("6.6.6.6", [RETELL], "6.6.6.6"),  # whoever is no proxy of ours may write what he likes
    ],
)
def test_behind_a_proxy_the_right_most_hop_that_is_not_ours_counts(
    peer: str, lines: list[str], origin: str | None
) -> None:
    found = access(trusted_proxies="10.0.0.0/8").origin(peer, forwarded(*lines))
    assert (None if found is None else str(found)) == origin


@pytest.mark.parametrize(
    ("peer", "headers", "origin"),
    [
        ("172.16.5.10", [(b"fly-client-ip", RETELL.encode())], RETELL),
        ("172.16.5.10", [(b"x-forwarded-for", RETELL.encode())], None),
        ("172.16.5.10", [(b"fly-client-ip", RETELL.encode()), (b"fly-client-ip", b"6.6.6.6")], None),
        ("172.16.5.10", [(b"fly-client-ip", f"{RETELL},6.6.6.6".encode())], None),
        ("172.16.5.10", [(b"fly-client-ip-of", RETELL.encode())], None),
        ("172.16.5.10", [(b"fly-client-ip", b"")], None),
        ("fdaa:9:1:a7b::2", [(b"fly-client-ip", RETELL.encode())], "fdaa:9:1:a7b::2"),
        ("fdaa:0:1:a7b::2", [(b"fly-client-ip", RETELL.encode())], "fdaa:0:1:a7b::2"),  # it may be anybody's
    ],
)
def test_on_fly_its_own_header_counts_but_never_over_the_private_network(
    peer: str, headers: list[tuple[bytes, bytes]], origin: str | None
) -> None:
    found = access(is_on_fly=True).origin(peer, headers)
    assert (None if found is None else str(found)) == origin
    elsewhere = access().origin(peer, headers)
    assert str(elsewhere) == peer


@pytest.mark.parametrize("shown", [SECRET, OLD])
def test_either_of_two_secrets_opens_and_is_taken_off_the_path(shown: str) -> None:
    assert access(path_secret=f"{SECRET} , {OLD}").check_secret([shown, "a", "call_1"]) == ["a", "call_1"]


@pytest.mark.parametrize("segments", [[], [""], ["call_1"], [SECRET[:-1]], [f"{SECRET}x"], ["{{secret}}"], ["é\udcff"]])
def test_without_the_secret_nothing_opens(segments: list[str]) -> None:
    with pytest.raises(Refused) as refused:
        access(path_secret=SECRET).check_secret(segments)
    assert (refused.value.status, refused.value.result) == (401, "refused_secret")
    assert SECRET not in str(refused.value)


def test_where_no_secret_is_set_none_is_taken_off() -> None:
    assert access().check_secret(["a", "call_1"]) == ["a", "call_1"]


@pytest.mark.parametrize(
    ("set_to", "says"),
    [
        ({"path_secret": "tooshort"}, "CUEBOX_PATH_SECRET must be 16 or more"),
        ({"path_secret": f"{SECRET},short"}, "CUEBOX_PATH_SECRET must be 16 or more"),
        ({"path_secret": "{{a_variable_of_the_platform}}"}, "CUEBOX_PATH_SECRET must be 16 or more"),
        ({"path_secret": "with a slash / and blanks"}, "CUEBOX_PATH_SECRET must be 16 or more"),
        ({"path_secret": " , "}, "CUEBOX_PATH_SECRET has no secret"),
        ({"allowed_ips": ","}, "CUEBOX_ALLOWED_IPS has no address"),
        ({"allowed_ips": "retel"}, "CUEBOX_ALLOWED_IPS has 'retel' in it"),
        ({"allowed_ips": "10.0.0.1/8"}, "'10.0.0.1/8'"),
        ({"trusted_proxies": "*"}, "CUEBOX_TRUSTED_PROXIES has '*' in it"),
    ],
)
def test_what_cannot_be_used_is_told_in_a_sentence_without_the_secret(set_to: dict[str, str], says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        access(**set_to)
    assert says in str(refused.value)
    assert set_to.get("path_secret", "none") not in str(refused.value)


@pytest.mark.parametrize("host", [PUBLIC, "::", "192.168.1.2", "example.com", ""])
def test_open_to_others_with_nothing_to_guard_it_the_service_does_not_start(host: str) -> None:
    with pytest.raises(SettingsError, match=r"CUEBOX_PATH_SECRET.*CUEBOX_ALLOWED_IPS.*CUEBOX_OPEN"):
        access_of(Settings(host=host, trusted_proxies="10.0.0.0/8", is_on_fly=True))
    for guarded in ({"path_secret": SECRET}, {"allowed_ips": "retell"}, {"open": True}):
        assert access_of(Settings(host=host, **guarded))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine_alone_needs_no_guard(host: str) -> None:
    assert is_loopback(host)
    assert access_of(Settings(host=host, dev=True)) == Access(is_local=True)


@pytest.mark.parametrize("host", ["localhost.example.com", "127.0.0.1.example.com", "0", "127.1", "::ffff:10.0.0.1"])
def test_what_merely_looks_like_this_machine_is_not(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("origin", "is_in"),
    [
        (b"http://127.0.0.1:8080", True),
        (b"http://localhost:3000", True),
        (b"http://[::1]:8080", True),
        (b"https://example.com", False),
        (b"http://localhost.example.com", False),
        (b"http://localhost@example.com", False),
        (b"null", False),
        (b"", False),
        (b"http://[", False),
        (b"\xff", False),
    ],
)
def test_a_page_from_elsewhere_in_a_browser_here_may_not_call(origin: bytes, is_in: bool) -> None:
    headers = [(b"origin", origin)]
    assert is_let_in(access_of(Settings()), "127.0.0.1", headers) is is_in
    assert is_let_in(access_of(Settings()), "127.0.0.1")  # no browser
    for guarded in (Settings(path_secret=SECRET), Settings(open=True), Settings(host=PUBLIC, allowed_ips="127.0.0.1")):
        assert is_let_in(access_of(guarded), "127.0.0.1", headers)


def test_a_known_address_needs_the_secret_too_and_the_secret_a_known_address() -> None:
    both = access(allowed_ips="retell", path_secret=SECRET)
    assert not is_let_in(both, "6.6.6.6")
    assert is_let_in(both, RETELL)
    with pytest.raises(Refused):
        both.check_secret(["call_1"])


def test_development_is_for_this_machine_alone() -> None:
    with pytest.raises(SettingsError, match="CUEBOX_DEV"):
        access(dev=True, path_secret=SECRET)


HEADERS = st.lists(
    st.tuples(
        st.sampled_from([b"x-forwarded-for", b"fly-client-ip", b"x-real-ip"]),
        st.one_of(
            st.binary(max_size=40),
            st.lists(st.one_of(st.ip_addresses().map(str), st.just(RETELL)), max_size=4).map(
                lambda hops: ",".join(hops).encode()
            ),
        ),
    ),
    max_size=4,
)


@given(peer=st.one_of(st.none(), st.text(max_size=40), st.ip_addresses().map(str)), headers=HEADERS)
def test_whatever_a_stranger_writes_he_is_not_taken_for_another(
    peer: str | None, headers: list[tuple[bytes, bytes]]
) -> None:
    door = access(allowed_ips="retell", trusted_proxies="10.0.0.0/8")
    is_proxy = peer is not None and peer.startswith(("10.", "::ffff:"))
    assert not is_let_in(door, peer, headers) or is_proxy or peer == RETELL


@given(HEADERS)
def test_over_flys_private_network_nobody_is_taken_for_another(headers: list[tuple[bytes, bytes]]) -> None:
    peer = "fdaa:0:1:a7b::2"
    assert access(is_on_fly=True).origin(peer, headers) == ip_address(peer)


@given(st.lists(st.text(max_size=40), max_size=4))
def test_no_path_opens_without_the_secret(segments: list[str]) -> None:
    if SECRET not in segments[:1]:
        with pytest.raises(Refused):
            access(path_secret=SECRET).check_secret(segments)
