import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from service import calls, webhooks
from service import signed as signed_posts
from service.conversation.call import Ending, Outcome
from service.conversation.transcript import Speaker, Utterance
from service.settings import Settings
from tests.live import ScriptedAgent, Service, serving
from tests.posting import KEY, post, signed, tell, webhook
from tests.test_session import greets

BODY = webhook("call_ended", "call_of_nobody", disconnection_reason="user_hangup")


@asynccontextmanager
async def listening(keys: str | None = KEY) -> AsyncIterator[Service]:
    async with serving(settings=Settings(agent="dummy", retell_api_key=keys)) as service:
        yield service


def count(service: Service, name: str, **labels: str) -> float:
    value: float = service.app.state.metrics.registry.get_sample_value(f"cuebox_{name}", labels)
    return value


def posted(service: Service, event: str, result: str) -> float:
    return count(service, "webhooks_total", event=event, result=result)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_so():
            await asyncio.sleep(0.005)


async def test_what_retell_signed_is_accepted_and_counted() -> None:
    async with listening() as service:
        assert await tell(service.address, BODY) == 204
        assert posted(service, "call_ended", "accepted") == 1
        assert count(service, "platform_calls_total", disconnection_reason="user_hangup") == 1


@pytest.mark.parametrize(
    ("keys", "signature"),
    [
        pytest.param(KEY, None, id="no signature"),
        pytest.param(KEY, "v=1,d=2", id="unreadable"),
        pytest.param(KEY, signed(BODY, "another key"), id="another key"),
        pytest.param(KEY, signed(BODY + b" "), id="another body"),
        pytest.param(KEY, signed(BODY, at=time.time() - 301), id="replayed after five minutes"),
        pytest.param(KEY, signed(BODY, at=time.time() + 7200), id="of a clock far ahead"),
        pytest.param(None, signed(BODY, ""), id="no key is set"),
        pytest.param(" , ", signed(BODY, ""), id="nothing but a comma is set"),
    ],
)
async def test_what_retell_did_not_sign_changes_nothing(keys: str | None, signature: str | None) -> None:
    async with listening(keys) as service:
        assert await post(service.address, BODY, signature) == 401
        assert posted(service, "unknown", "bad_signature") == 1
        assert count(service, "platform_calls_total", disconnection_reason="user_hangup") == 0


async def test_two_keys_hold_while_one_replaces_the_other() -> None:
    async with listening(f"{KEY}, the new one") as service:
        assert await post(service.address, BODY, signed(BODY, "the new one")) == 204
        assert await post(service.address, BODY, signed(BODY)) == 204


async def test_a_body_that_is_too_large_is_not_read() -> None:
    async with listening() as service:
        large = signed_posts.MOST_BYTES + 1
        assert await post(service.address, b"{", signed(b"{"), length=large, is_last=True) == 413
        assert posted(service, "unknown", "too_large") == 1


async def test_a_body_just_within_the_bound_is_read() -> None:
    async with listening() as service:
        body = BODY.ljust(signed_posts.MOST_BYTES)
        assert await tell(service.address, body) == 204
        assert await tell(service.address, body + b" ") == 413


async def test_an_unsigned_body_is_refused_before_it_has_come() -> None:
    async with listening() as service:
        assert await post(service.address, b"{", None, length=1000) == 401


@pytest.mark.parametrize("body", [b"", b"{", b'{"event":"call_ended"}', json.dumps({"event": 1}).encode(), b"\xff"])
async def test_what_is_signed_and_cannot_be_read_is_malformed(body: bytes) -> None:
    async with listening() as service:
        assert await tell(service.address, body) == 400
        assert posted(service, "unknown", "malformed") == 1


async def test_a_peer_that_leaves_in_the_middle_or_dawdles_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening() as service:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await post(service.address, b"{", signed(b"{"), length=2)
        await until(lambda: posted(service, "unknown", "malformed") == 1)
        monkeypatch.setattr(signed_posts, "BODY_WITHIN", 0.05)
        assert await post(service.address, b"{", signed(b"{"), length=2) == 400


async def test_an_event_that_is_not_read_is_accepted() -> None:
    async with listening() as service:
        assert await tell(service.address, webhook("transcript_updated")) == 204
        assert await tell(service.address, b'{"event":"of_tomorrow"}') == 204
        assert posted(service, "other", "accepted") == 2


async def test_a_webhook_that_comes_again_counts_once() -> None:
    async with listening() as service:
        assert [await tell(service.address, BODY) for _ in range(3)] == [204, 204, 204]
        assert posted(service, "call_ended", "accepted") == 1
        assert posted(service, "call_ended", "duplicate") == 2
        assert count(service, "platform_calls_total", disconnection_reason="user_hangup") == 1


async def test_of_the_webhooks_that_came_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "_REMEMBERED", 2)
    async with listening() as service:
        for call_id in ("a", "b", "c", "c", "a"):
            await tell(service.address, webhook("call_ended", call_id))
        assert posted(service, "call_ended", "accepted") == 4
        assert posted(service, "call_ended", "duplicate") == 1


async def test_a_call_that_is_over_is_forgotten_when_its_line_closes() -> None:
    async with listening() as service, service.line() as line:
        await line.greeted()
        assert await tell(service.address, webhook("call_ended")) == 204
        assert len(service.calls) == 1
        assert await line.ping(7) == []
        await line.socket.close()
        await until(lambda: len(service.calls) == 0)
        settled = [count(service, "turns_total", prompt="greeting", outcome=each.value) for each in Outcome]
        assert sum(settled) == 1


async def test_a_call_whose_line_is_gone_is_forgotten_at_once() -> None:
    async with listening() as service:
        async with service.line() as line:
            await line.greeted()
        await until(lambda: service.calls.connected == 0)
        assert len(service.calls) == 1
        assert await tell(service.address, webhook("call_ended")) == 204
        assert len(service.calls) == 0


async def test_a_line_that_outlasts_its_call_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "LAST_SECONDS", 0.05)
    async with listening() as service, service.line() as line:
        await line.greeted()
        await tell(service.address, webhook("call_ended"))
        assert await line.closed() == 1006
        assert len(service.calls) == 0


async def test_an_announced_call_without_a_line_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "LINE_WITHIN", 0.05)
    async with listening() as service:
        assert await tell(service.address, webhook("call_started")) == 204
        await until(lambda: count(service, "platform_calls_without_line_total") == 1)


async def test_a_call_whose_line_came_or_that_is_over_is_not_missed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(webhooks, "LINE_WITHIN", 0.1)
    async with listening() as service:
        await tell(service.address, webhook("call_started", "over"))
        await tell(service.address, webhook("call_ended", "over"))
        await tell(service.address, webhook("call_started", "comes"))
        async with service.line("was_there") as there, service.line("comes") as comes:
            await there.greeted()
            await comes.greeted()
            await tell(service.address, webhook("call_started", "was_there"))
            await tell(service.address, webhook("call_started", "missed"))
            await until(lambda: "call_id=missed" in "".join(missed_lines(capsys)))
        assert count(service, "platform_calls_without_line_total") == 1
        assert posted(service, "call_started", "accepted") == 4


def missed_lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().out.splitlines() if "line.missed" in line]


async def test_an_announcement_that_comes_again_after_the_call_misses_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "LINE_WITHIN", 0.05)
    async with listening() as service:
        for event in ("call_started", "call_ended", "call_started"):
            await tell(service.address, webhook(event, "over"))
        await tell(service.address, webhook("call_started", "missed"))
        await until(lambda: count(service, "platform_calls_without_line_total") > 0)
        await asyncio.sleep(0.02)
        assert count(service, "platform_calls_without_line_total") == 1


async def test_the_platform_s_clock_stands_beside_ours() -> None:
    async with listening() as service:
        latency = {"llm": {"p50": 900, "num": 3}, "e2e": {"p50": 1700.0}}
        assert await tell(service.address, webhook("call_analyzed", "a", latency=latency)) == 204
        assert await tell(service.address, webhook("call_analyzed", "b", latency={"e2e": {"p50": 1000}})) == 204
        assert count(service, "platform_llm_latency_seconds_sum") == 0.9
        assert count(service, "platform_llm_latency_seconds_count") == 1
        assert count(service, "platform_e2e_latency_seconds_sum") == 2.7


async def test_the_lines_of_the_log_tell_why_and_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    async with listening() as service:
        signature = signed(BODY, "a secret")
        await post(service.address, BODY, signature)
        await tell(service.address, webhook("call_ended", disconnection_reason="error_asr", from_number="+4930123"))
    told = capsys.readouterr().out
    assert "webhook.refused" in told
    assert "why=wrong" in told
    assert "webhook.accepted" in told
    assert "reason=error_other" in told
    assert "word=error_asr" in told
    assert not any(secret in told for secret in (KEY, "a secret", signature, signature[-64:], "+4930123"))


class Accountant(ScriptedAgent):
    """An agent that remembers how calls ended."""

    def __init__(self) -> None:
        super().__init__(greets)
        self.told: list[Ending] = []

    def conclude(self, ending: Ending) -> None:
        self.told.append(ending)


ENDED = webhook(
    "call_ended",
    "call_1",
    disconnection_reason="user_hangup",
    start_timestamp=1_700_000_000_000,
    transcript_object=[{"role": "user", "content": "Bye."}],
)


async def test_an_agent_is_told_once_how_its_call_ended() -> None:
    agent = Accountant()
    async with serving(agent, Settings(retell_api_key=KEY)) as service:
        async with service.line() as line:
            await line.greeted()
        await until(lambda: service.calls.connected == 0)
        assert agent.told == []
        assert [await tell(service.address, ENDED) for _ in range(3)] == [204, 204, 204]
    (ending,) = agent.told
    assert (ending.reason, ending.transcript) == ("user_hangup", (Utterance(Speaker.CALLER, "Bye."),))
    assert ending.record is not None


async def test_an_agent_is_told_of_a_call_whose_process_is_gone(capsys: pytest.CaptureFixture[str]) -> None:
    agent = Accountant()
    async with serving(agent, Settings(retell_api_key=KEY)) as service:
        assert [await tell(service.address, ENDED) for _ in range(2)] == [204, 204]
        assert len(service.calls) == 0
    (ending,) = agent.told
    assert ending.details is not None
    assert (ending.details.call_id, ending.details.started_at, ending.record) == ("call_1", 1_700_000_000.0, None)
    assert "Bye." not in capsys.readouterr().out


async def test_without_keys_an_agent_is_told_when_the_line_was_closed_and_the_service_stops() -> None:
    agent = Accountant()
    async with serving(agent) as service:
        async with service.line() as line:
            await line.greeted()
        await until(lambda: service.calls.connected == 0)
        assert await tell(service.address, ENDED) == 401
        assert agent.told == []
    assert [ending.reason for ending in agent.told] == [""]


async def test_a_call_of_whose_end_no_word_comes_is_logged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(calls, "UNTOLD_SECONDS", 0.01)
    async with serving(Accountant(), Settings(retell_api_key=KEY, reconnect_window=0.01)) as service:
        async with service.line() as line:
            await line.greeted()
        await until(lambda: "call.end_untold" in capsys.readouterr().out)
