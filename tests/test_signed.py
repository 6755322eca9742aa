"""What is posted when much is, and when taking it in goes wrong: nothing is lost, and nothing piles up."""

import asyncio
from collections.abc import Callable
from typing import Self

import pytest

from service import signed as signed_posts
from service.conversation.parts import Aside
from service.settings import Settings
from tests.live import serving
from tests.posting import KEY, post, signed, tell
from tests.test_webhooks import BODY, ENDED, Accountant, listening, posted, until


async def test_all_that_anybody_posts_at_once_is_bounded_and_makes_room_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signed_posts, "MOST_UNVERIFIED", 150_000)
    async with listening() as service, asyncio.TaskGroup() as tasks:
        part, forged = b"x" * 100_000, signed(BODY)
        first = tasks.create_task(post(service.address, part, forged, length=200_000))
        await until(lambda: signed_posts._UNVERIFIED.size == len(part))
        assert await post(service.address, part, forged) == 503
        assert posted(service, "unknown", "too_large") == 1
        assert await tell(service.address, BODY) == 204
        first.cancel()
        await until(lambda: signed_posts._UNVERIFIED.size == 0)
        assert await post(service.address, part, signed(part)) == 400


async def test_what_is_not_signed_is_not_even_looked_at() -> None:
    async with listening() as service:
        assert await post(service.address, b"{", signed(BODY)) == 401
        assert await post(service.address, b"{", signed(BODY), path="/webhook/nobody") == 401


async def test_without_a_key_no_body_is_waited_for() -> None:
    async with listening(None) as service:
        assert await post(service.address, b"{", signed(b"{"), length=1000) == 401


class Forgetful(Accountant):
    """Cannot take the first call that it is given."""

    can_take = False

    def take(self, call_id: str, aside: Callable[[Aside], None]) -> Self:
        if not self.can_take:
            self.can_take = True
            raise KeyError(call_id)
        return super().take(call_id, aside)


async def test_a_webhook_that_failed_here_counts_when_it_is_posted_again() -> None:
    agent = Forgetful()
    async with serving(agent, Settings(retell_api_key=KEY)) as service:
        assert [await tell(service.address, ENDED) for _ in range(3)] == [500, 204, 204]
        assert (posted(service, "call_ended", "accepted"), posted(service, "call_ended", "duplicate")) == (1, 1)
    assert len(agent.told) == 1
