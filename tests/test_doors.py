"""The real service, and who gets in: addresses, secrets, room, and what is told of it."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from service.access import RETELL
from service.conversation.call import SpokenLines
from service.settings import Settings
from tests.live import Service, is_final, serving, words

SECRET, OTHER = "a-secret-nobody-should-read", "the-next-one-of-two"
GUARDED = Settings(agent="dummy", path_secret=f"{SECRET},{OTHER}", trusted_proxies="127.0.0.1")


def count(service: Service, result: str) -> float:
    return service.app.state.metrics.registry.get_sample_value("cuebox_calls_total", {"result": result}) or 0.0


async def status(service: Service, path: str, headers: Mapping[str, str] | None = None) -> int:
    """What the handshake is answered with."""
    try:
        async with connect(f"ws://{service.address}{path}", additional_headers=headers, close_timeout=1):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


@pytest.mark.parametrize(
    ("path", "answer", "result"),
    [
        (f"/llm-websocket/{SECRET}/call_1", 101, "accepted"),
        (f"/llm-websocket/{OTHER}/call_1/", 101, "accepted"),
        (f"/llm-websocket/{SECRET}/dummy/call_1", 101, "accepted"),
        (f"/llm-websocket/{SECRET}/%7B%7Bagent%7D%7D/call_1", 101, "accepted"),
        (f"/llm-websocket/{SECRET}?site=1/call_1", 101, "accepted"),
        (f"/llm-websocket/{SECRET}/dummy?site=1/call_1", 101, "accepted"),
        (f"/llm-websocket/{SECRET}/%7B%7Bagent%7D%7D?site=1/call_1", 101, "accepted"),
        (f"/llm-websocket/{SECRET}/call_1?site=1/call_2", 101, "accepted"),
        (f"/llm-websocket/{SECRET.replace('-', '%2D')}/call_1", 101, "accepted"),
        (f"//llm-websocket//{SECRET}/call_1", 101, "accepted"),
        ("//llm-websocket//call_1", 401, "refused_secret"),
        (f"/llm-websocket/{SECRET.upper()}/call_1", 401, "refused_secret"),
        (f"/llm-websocket/{SECRET},{OTHER}/call_1", 401, "refused_secret"),
        (f"/llm-websocket/x/../{SECRET}/call_1", 401, "refused_secret"),
        (f"/llm-websocket/{SECRET}%00/call_1", 401, "refused_secret"),
        (f"/llm-websocket/{SECRET}/call_1%0A", 404, "refused_path"),
        (f"/llm-websocket/{SECRET}/..", 404, "refused_path"),
        (f"/llm-websocket/{SECRET}/%D1%81all_1", 404, "refused_path"),
        (f"/llm-websocket/{SECRET}/Dummy/call_1", 404, "refused_path"),
        ("/elsewhere/call_1", 403, "refused_path"),
        ("/llm-websocket/call_1", 401, "refused_secret"),
        ("/llm-websocket", 401, "refused_secret"),
        (f"/llm-websocket/{SECRET[:-1]}/call_1", 401, "refused_secret"),
        ("/llm-websocket/%7B%7Bsecret%7D%7D/call_1", 401, "refused_secret"),
        (f"/llm-websocket?{SECRET}/call_1", 401, "refused_secret"),
        (f"/llm-websocket/call_1/{SECRET}", 401, "refused_secret"),
        (f"/llm-websocket/{SECRET}/nobody/call_1", 404, "refused_path"),
        (f"/llm-websocket/{SECRET}/bad.id", 404, "refused_path"),
        (f"/llm-websocket/{SECRET}", 404, "refused_path"),
        (f"/llm-websocket/{SECRET}/{'x' * 129}", 404, "refused_path"),
    ],
)
async def test_a_line_is_opened_for_those_who_know_the_secret(path: str, answer: int, result: str) -> None:
    async with serving(settings=GUARDED) as service:
        assert await status(service, path) == answer
        async with asyncio.timeout(2):
            while not count(service, result):
                await asyncio.sleep(0.01)


async def test_a_line_is_opened_to_known_addresses_alone() -> None:
    settings = Settings(agent="dummy", allowed_ips="retell", trusted_proxies="127.0.0.1")
    async with serving(settings=settings) as service:
        assert await status(service, "/llm-websocket/call_1") == 403
        assert await status(service, "/llm-websocket/call_1", {"x-forwarded-for": f"{RETELL}, 6.6.6.6"}) == 403
        assert await status(service, "/llm-websocket/call_1", {"fly-client-ip": RETELL}) == 403
        assert count(service, "refused_address") == 3
        assert await status(service, "/llm-websocket/call_1", {"x-forwarded-for": f"6.6.6.6, {RETELL}"}) == 101


async def test_a_page_from_elsewhere_opens_no_line_to_a_service_that_is_for_this_machine() -> None:
    async with serving() as service:
        assert await status(service, "/llm-websocket/call_1", {"origin": "https://example.com"}) == 403
        assert await status(service, "/llm-websocket/call_1", {"origin": f"http://{service.address}"}) == 101


async def test_webhooks_and_health_are_behind_no_list() -> None:
    async with serving(settings=Settings(agent="dummy", allowed_ips="retell", path_secret=SECRET)) as service:
        assert (await http(service, "/healthz"))[0] == 200
        assert (await http(service, "/webhook", b"{}"))[0] == 401  # it is not signed


async def http(service: Service, path: str, body: bytes | None = None) -> tuple[int, str]:
    def ask() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{service.address}{path}", body) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    return await asyncio.to_thread(ask)


@asynccontextmanager
async def two_calls(settings: Settings) -> AsyncIterator[Service]:
    """A service that is full."""
    async with serving(settings=settings) as service, service.line("a") as first, service.line("b") as second:
        await first.greeted()
        await second.greeted()
        yield service


async def test_where_there_is_no_room_a_call_is_refused_before_it_is_opened() -> None:
    async with two_calls(Settings(agent="dummy", max_calls=2)) as service:
        assert await status(service, "/llm-websocket/c") == 503
        assert count(service, "refused_capacity") == 1
        assert await status(service, "/llm-websocket/a") == 101  # it is here already
        limit = service.app.state.metrics.registry.get_sample_value("cuebox_calls_limit")
        assert limit == 2


async def test_room_that_was_left_is_given_away() -> None:
    async with serving(settings=Settings(agent="dummy", max_calls=1)) as service:
        async with service.line("a") as line:
            await line.greeted()
            assert await status(service, "/llm-websocket/b") == 503
        async with asyncio.timeout(2):
            while await status(service, "/llm-websocket/b") == 503:
                await asyncio.sleep(0.01)


async def test_a_call_that_comes_back_finds_its_place_though_it_was_given_away() -> None:
    async with serving(settings=Settings(agent="dummy", max_calls=1)) as service:
        async with service.line("a") as line:
            await line.greeted()
            line.cut()
            with pytest.raises(ConnectionClosed):
                await line.frame()
        async with asyncio.timeout(2):
            while service.calls.connected:
                await asyncio.sleep(0.01)
        async with service.line("b") as other:
            await other.greeted()
            assert await status(service, "/llm-websocket/a") == 101


async def test_those_who_dial_and_leave_are_not_remembered_without_bound() -> None:
    async with serving(settings=Settings(agent="dummy", max_calls=1)) as service:
        answers = []
        for number in range(8):
            answers.append(await status(service, f"/llm-websocket/call_{number}"))
            async with asyncio.timeout(2):
                while service.calls.connected:
                    await asyncio.sleep(0.01)
        assert answers.count(101) == 4
        assert len(service.calls) == 4


async def test_where_it_is_set_a_call_too_many_is_told_so_and_hung_up() -> None:
    async with two_calls(Settings(agent="dummy", max_calls=2, when_full="busy")) as service, service.line("c") as line:
        assert (await line.frame())["response_type"] == "config"
        busy = await line.frame()
        assert busy["response_id"] == 0
        assert busy["content"] == SpokenLines().busy
        assert (busy["content_complete"], busy["end_call"], busy["no_interruption_allowed"]) == (True, True, True)
        assert await line.ping(7) == []
        await line.update("", "Hello?")
        await line.ask(1, "", "Hello?")
        assert (await line.frame())["end_call"] is True
        assert count(service, "refused_capacity") == 1
        assert "c" not in service.calls


async def test_a_busy_line_that_is_not_hung_up_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.endpoint.BUSY_SECONDS", 0.05)
    monkeypatch.setattr("service.endpoint.MOST_BUSY", 1)
    async with two_calls(Settings(agent="dummy", max_calls=2, when_full="busy")) as service, service.line("c") as line:
        for call_id in ("c", "d"):
            assert await status(service, f"/llm-websocket/{call_id}") == 503  # so many may be told at once
        assert await line.closed() == 1006


async def test_a_flood_is_dropped_and_counted_and_then_cut() -> None:
    settings = Settings(agent="dummy", max_frames_per_second=2)
    async with serving(settings=settings) as service, service.line() as line:
        await line.greeted()
        for number in range(100):
            await line.send({"interaction_type": "ping_pong", "timestamp": number})
        assert await line.closed() == 1006
        pongs = [frame for frame in line.frames if frame["response_type"] == "ping_pong"]
        assert 15 <= len(pongs) <= 21
        registry = service.app.state.metrics.registry
        cut = {"initiator": "us", "reason": "flooded"}
        async with asyncio.timeout(2):
            while not registry.get_sample_value("cuebox_lines_closed_total", cut):
                await asyncio.sleep(0.01)
        assert registry.get_sample_value("cuebox_oddities_total", {"oddity": "flooded"}) == 1
        assert 20 <= registry.get_sample_value("cuebox_frames_total", {"direction": "in", "type": "odd"}) <= 22


async def test_a_flood_of_binary_frames_is_cut_too() -> None:
    settings = Settings(agent="dummy", max_frames_per_second=1)
    async with serving(settings=settings) as service, service.line() as line:
        await line.greeted()
        for _ in range(60):
            await line.send(b"x")
        assert await line.closed() == 1006


async def test_a_call_beyond_its_limit_is_told_so_and_hung_up(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(agent="dummy", max_turns=1)
    async with serving(settings=settings) as service, service.line() as line:
        await line.greeted()
        await line.ask(1, "", "Hello.")
        await line.until(is_final(1))
        for turn_id in (2, 3):
            await line.ask(turn_id, "", "Hello.", "Hi.", "And now?")
            (*before, last) = await line.until(lambda frame: frame["response_type"] == "agent_interrupt")
            assert words(before, turn_id) == ""
            assert last["content"] == f"{SpokenLines().limit} {SpokenLines().farewell}"
            assert (last["end_call"], last["no_interruption_allowed"]) == (True, True)
        limited = service.app.state.metrics.registry.get_sample_value("cuebox_calls_limited_total", {"limit": "turns"})
        assert limited == 1
    assert json.dumps("call.limited").strip('"') in capsys.readouterr().out


async def test_a_caller_who_calls_too_often_hears_no_greeting() -> None:
    settings = Settings(agent="dummy", caller_calls_per_hour=1, metrics_port=0)
    async with serving(settings=settings) as service:
        async with service.line("a") as first:
            await first.greeted(from_number="+4930123456", direction="inbound")
        async with service.line("b") as second:
            frames = [*await second.greeted(from_number="+4930123456", direction="inbound"), await second.frame()]
            assert words(frames, 0) == ""
            assert frames[-1]["response_type"] == "agent_interrupt"
            assert frames[-1]["end_call"] is True


async def test_a_fault_that_nobody_caught_is_logged_without_its_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("+12075550100")

    async with serving(settings=Settings(agent="dummy", retell_api_key="key")) as service:
        monkeypatch.setattr("service.webhooks.signed", fail)
        assert (await http(service, "/webhook", b"{}"))[0] == 500
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "http.failed" in line]
    assert "error=RuntimeError" in line
    assert "+12075550100" not in line
