"""Connections that stand ready: opened at start, and replaced before a turn needs them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from service.llm.http import HttpFailed
from service.llm.pool import Origin, Pool
from service.simulator.model import StandInModel

HEAD = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n"


@asynccontextmanager
async def warm(port: int, **kept: float) -> AsyncIterator[Pool]:
    pool = Pool(Origin("127.0.0.1", port, is_tls=False), **kept)  # type: ignore[arg-type]  # numbers, all of them
    await pool.warm_up()
    yield pool
    await pool.close()


def port_of(model: StandInModel) -> int:
    return int(model.base_url.split(":")[2].split("/")[0])


def opened_by(model: StandInModel) -> Callable[[], int]:
    """Count connections ever opened, not those that are open."""
    seen: set[object] = set()

    def count() -> int:
        seen.update(model._connections)
        return len(seen)

    return count


async def test_two_stand_ready_once_it_is_warm() -> None:
    async with StandInModel() as model, warm(port_of(model)):
        await model.until(lambda: model.open_connections == 2)


async def test_one_that_the_server_dropped_is_replaced_before_a_turn_needs_it() -> None:
    async with StandInModel() as model, warm(port_of(model)) as pool:
        await model.until(lambda: model.open_connections == 2)
        opened = opened_by(model)
        opened()
        for connection in tuple(model._connections):
            connection.drop()
        await model.until(lambda: opened() == 4)
        async with pool.exchange(HEAD, b"") as answer:
            assert await answer.read()
        assert opened() == 4


async def test_one_that_grew_old_is_replaced() -> None:
    async with StandInModel() as model, warm(port_of(model), idle_seconds=0.2):
        opened = opened_by(model)
        await model.until(lambda: opened() >= 4, within=3)
        await model.until(lambda: model.open_connections <= 2)


async def test_one_that_is_in_use_does_not_count() -> None:
    async with StandInModel() as model, warm(port_of(model)) as pool:
        await model.until(lambda: model.open_connections == 2)
        async with pool.exchange(HEAD, b""):
            await model.until(lambda: model.open_connections == 3)


async def test_a_server_that_comes_back_has_its_connections_again() -> None:
    async with StandInModel() as model:
        port = port_of(model)
    with pytest.raises(HttpFailed):
        async with warm(port):
            pass
    pool = Pool(Origin("127.0.0.1", port, is_tls=False))
    with pytest.raises(HttpFailed):
        await pool.warm_up()
    async with StandInModel(port=port) as model:
        await model.until(lambda: model.open_connections == 2, within=3)
        await pool.close()
        await asyncio.sleep(0)
