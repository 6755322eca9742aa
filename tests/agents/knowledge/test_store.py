import asyncio
import inspect
import json
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from service.agents.errands import Errands
from service.agents.knowledge import store
from service.agents.knowledge.retrieval import Retrieval
from service.agents.knowledge.store import Knowledge
from service.conversation.call import Prompt, Turn
from service.conversation.parts import Lookup
from service.conversation.transcript import Speaker, Utterance

ANSWER = [{"id": "wiki/7", "title": "Parking", "body": "In the yard.", "relevance": 0.9}]


@asynccontextmanager
async def search_service(asked: list[str], answer: object) -> AsyncIterator[str]:
    """Somebody's search service, and its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(parse_qs(urlsplit(head.split(b" ")[1].decode()).query)["q"][0])
        body = json.dumps(answer).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def documented(address: str) -> Knowledge:
    """The store that the documentation shows."""
    _, _, code = (inspect.getdoc(store) or "").partition("`tools.py`:\n")
    names: dict[str, Any] = {}
    code = textwrap.dedent(code.partition("It need not")[0]).replace("http://wiki.internal", address)
    exec(code, names)  # noqa: S102  # ours
    knowledge: Knowledge = names["knowledge"]
    return knowledge


def caller(text: str) -> Turn:
    return Turn("call_1", 1, 1, Prompt.CALLER_SPOKE, (Utterance(Speaker.CALLER, text),))


async def test_a_team_with_its_own_search_service_writes_one_class() -> None:
    asked: list[str] = []
    async with search_service(asked, ANSWER) as address:
        wiki = documented(address)
        await wiki.warm_up()
        errands = Errands()
        hits, sought = await Retrieval(wiki, errands, bound=5).found(caller("is there\nparking"))
        await errands.close()
        await wiki.close()
    assert asked == ["opening hours", "is there parking"]
    assert (hits[0].passage.text, sought.passages) == ("In the yard.", (("wiki/7", 0.9),))


async def test_a_service_that_answers_nonsense_costs_the_turn_its_knowledge_alone() -> None:
    async with search_service([], {"error": "index is down"}) as address:
        wiki = documented(address)
        errands = Errands()
        hits, sought = await Retrieval(wiki, errands, bound=5).found(caller("parking"))
        await errands.close()
        await wiki.close()
    assert (hits, sought.result) == ((), Lookup.FAILED)
