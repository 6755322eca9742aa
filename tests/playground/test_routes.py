"""Who may open the playground."""

from collections.abc import Coroutine
from typing import Any

import pytest
from litestar.testing import TestClient

from service.app import create_app
from service.playground.routes import stranger
from service.settings import Settings
from service.virtual.loop import run
from service.virtual.process import Refused
from tests.playground.pages import DEVELOPMENT, HOST, OURS, service

LOCAL = {"host": HOST}


def client(settings: Settings = DEVELOPMENT) -> TestClient[Any]:
    return TestClient(create_app(settings), base_url=f"http://{HOST}")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("", "text/html"),
        ("/page.css", "text/css"),
        ("/page.js", "text/javascript"),
        ("/waterfall.js", "text/javascript"),
    ],
)
def test_the_page_is_served_with_what_it_needs_and_may_load_nothing_else(name: str, kind: str) -> None:
    with client() as browser:
        answer = browser.get(f"/playground{name}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, f"{kind}; charset=utf-8")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("name", ["nothing.js", "..%2Froutes.py", "__init__.py"])
def test_no_other_file_is_served(name: str) -> None:
    with client() as browser:
        assert browser.get(f"/playground/{name}").status_code == 404


def test_there_is_no_playground_outside_of_development() -> None:
    with client(Settings(metrics_port=0, agent="dummy")) as browser:
        assert browser.get("/playground").status_code == 404
        assert browser.get("/playground/page.js").status_code == 404
        assert "playground" not in browser.get("/").text


def test_the_front_door_leads_to_it() -> None:
    with client() as browser:
        assert "http://<this host>/playground" in browser.get("/").text


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"host": "evil.example:8080"}, id="a name that was made to lead here"),
        pytest.param({"host": "192.168.1.7:8080"}, id="another address"),
        pytest.param({"host": "localhost.evil.example"}, id="a name that looks like ours"),
        pytest.param({"host": "127.0.0.1@evil.example"}, id="a host behind a name"),
        pytest.param({"host": "[::1"}, id="no host at all"),
        pytest.param({"host": "evil;x@127.0.0.1"}, id="a name before ours"),
        pytest.param({**LOCAL, "origin": "http://evil.example"}, id="a page from elsewhere"),
        pytest.param({**LOCAL, "origin": "http://127.0.0.1:9999"}, id="another service of this machine"),
        pytest.param({**LOCAL, "origin": "null"}, id="a page in a sandbox"),
        pytest.param({**LOCAL, "x-forwarded-for": "1.2.3.4"}, id="a tunnel"),
        pytest.param({**LOCAL, "forwarded": "for=1.2.3.4"}, id="a proxy"),
        pytest.param({**LOCAL, "via": "1.1 somewhere"}, id="a proxy that hides the rest"),
        pytest.param({**LOCAL, "x-forwarded-proto": "https"}, id="a tunnel that ends TLS"),
    ],
)
def test_nobody_from_elsewhere_gets_the_page(headers: dict[str, str]) -> None:
    with client() as browser:
        assert browser.get("/playground", headers=headers).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:9000", "localhost", "[::1]:8080", "127.0.0.2"])
def test_this_machine_has_several_names(host: str) -> None:
    assert not stranger([(b"host", host.encode()), (b"origin", f"http://{host}".encode())], wants_origin=True)


def test_a_host_that_would_change_the_policy_is_none() -> None:
    assert stranger([(b"host", b"127.0.0.1:80; script-src *")])


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no headers"),
        pytest.param(LOCAL, id="no origin: no browser"),
        pytest.param({**LOCAL, "origin": "http://evil.example"}, id="a page from elsewhere"),
        pytest.param({"host": "evil.example", "origin": "http://evil.example"}, id="a name made to lead here"),
        pytest.param({**OURS, "x-forwarded-host": "a.ngrok.app"}, id="a tunnel"),
    ],
)
def test_nobody_from_elsewhere_gets_the_line(headers: dict[str, str]) -> None:
    async def dial() -> None:
        async with service() as process:
            with pytest.raises(Refused) as refused:
                await process.dial("/playground/line", headers=headers)
            assert refused.value.status == 403

    played(dial())


def test_a_page_of_ours_gets_it() -> None:
    async def dial() -> int | None:
        async with service() as process:
            line = await process.dial("/playground/line", headers=OURS)
            await line.close()
            return line.close_code

    assert played(dial()) == 1000


def played(play: Coroutine[Any, Any, Any]) -> Any:
    return run(play, seed=1)
