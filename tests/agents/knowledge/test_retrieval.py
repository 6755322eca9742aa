import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from service.agents.errands import Errands
from service.agents.knowledge.retrieval import Retrieval
from service.agents.knowledge.store import Hit, Passage
from service.conversation.call import Prompt, Turn
from service.conversation.parts import KnowledgeSought, Lookup
from service.conversation.transcript import DigitPressed, Speaker, Transcript, Utterance
from service.virtual import loop as virtual


class Store:
    """Knowledge that takes its time, and notes what it is asked."""

    def __init__(self, *hits: Hit, takes: float = 0.01, error: Exception | None = None) -> None:
        self.hits, self.takes, self.error = hits, takes, error
        self.asked: list[str] = []
        self.running = self.most_running = 0

    async def search(self, query: str, limit: int = 3) -> Sequence[Hit]:
        self.asked.append(query)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(self.takes)
        finally:
            self.running -= 1
        if self.error is not None:
            raise self.error
        return self.hits[:limit]

    async def warm_up(self) -> None: ...

    async def close(self) -> None: ...


def hit(name: str = "hours", score: float = 0.8, text: str = "We open at nine.") -> Hit:
    return Hit(Passage(f"{name}.md#{name}", name, text), score)


def caller(*texts: str) -> Transcript:
    return tuple(Utterance(Speaker.CALLER, text) for text in texts)


def agent(text: str) -> Transcript:
    return (Utterance(Speaker.AGENT, text),)


def turn(history: Transcript, prompt: Prompt = Prompt.CALLER_SPOKE) -> Turn:
    return Turn("call_1", 1, 1, prompt, history)


def played(store: Store, play: Callable[[Retrieval], Awaitable[None]]) -> None:
    async def test() -> None:
        errands = Errands()
        await play(Retrieval(store, errands))
        await errands.close()

    virtual.run(test())


def told(
    store: Store, history: Transcript, prompt: Prompt = Prompt.CALLER_SPOKE
) -> tuple[Sequence[Hit], KnowledgeSought]:
    results = []

    async def play(retrieval: Retrieval) -> None:
        results.append(await retrieval.found(turn(history, prompt)))

    played(store, play)
    return results[0]


def test_what_is_found_is_shown_and_told_by_id_and_score() -> None:
    hits, sought = told(Store(hit(), hit("prices", 0.4)), caller("When do you open?"))
    assert [shown.passage.id for shown in hits] == ["hours.md#hours", "prices.md#prices"]
    assert (sought.result, sought.passages) == (Lookup.FOUND, (("hours.md#hours", 0.8), ("prices.md#prices", 0.4)))
    assert sought.took == pytest.approx(0.01)
    assert sought.waited == pytest.approx(0.01)


def test_a_search_ahead_leaves_nothing_to_wait_for() -> None:
    store = Store(hit())

    async def play(retrieval: Retrieval) -> None:
        retrieval.hear(caller("when do you open"))
        await asyncio.sleep(0.3)
        _, sought = await retrieval.found(turn(caller("Um, when do you open?")))
        assert (sought.result, sought.waited) == (Lookup.FOUND, 0)

    played(store, play)
    assert store.asked == ["when do you open"]


def test_hearing_searches_for_new_words_alone_and_not_too_often() -> None:
    store = Store(hit())

    async def play(retrieval: Retrieval) -> None:
        for text in ("uh", "uh when", "parking", "parking and", "parking and prices", "parking, and prices"):
            retrieval.hear(caller(text))
            await asyncio.sleep(0.15)

    played(store, play)
    assert store.asked == ["parking", "parking and prices"]


def test_at_most_one_search_runs_however_slow_they_are() -> None:
    store = Store(hit(), takes=1.0)

    async def play(retrieval: Retrieval) -> None:
        for number in range(20):
            retrieval.hear(caller(f"parking {number}"))
            await asyncio.sleep(0.25)
            await retrieval.found(turn(caller(f"prices {number}")))

    played(store, play)
    assert store.most_running == 1


def test_other_words_than_those_searched_ahead_are_searched_for() -> None:
    store = Store(hit())

    async def play(retrieval: Retrieval) -> None:
        retrieval.hear(caller("is there parking"))
        await retrieval.found(turn(caller("is there parking at the harbor")))

    played(store, play)
    assert store.asked[-1] == "is there parking at the harbor"


def test_a_turn_goes_on_without_a_late_search() -> None:
    hits, sought = told(Store(hit(), takes=1.0), caller("parking"))
    assert (hits, sought.result, sought.took) == ((), Lookup.LATE, None)
    assert sought.waited == pytest.approx(0.15)


def test_nearly_the_same_words_serve_when_the_right_ones_are_late() -> None:
    store = Store(hit())

    async def play(retrieval: Retrieval) -> None:
        retrieval.hear(caller("free parking harbor"))
        await asyncio.sleep(0.5)
        store.takes = 1.0
        hits, sought = await retrieval.found(turn(caller("free parking harbor street")))
        assert (len(hits), sought.result) == (1, Lookup.FOUND)
        assert sought.waited == pytest.approx(0.15)
        _, sought = await retrieval.found(turn(caller("whitening at harbor street")))
        assert sought.result is Lookup.LATE

    played(store, play)


@pytest.mark.parametrize("text", ["Yes.", "OK, thank you!", "Hm, hm.", "No, not really", "hello?", "", "..."])
def test_words_without_content_are_not_searched_for(text: str) -> None:
    store = Store(hit())
    assert told(store, caller(text)) == ((), KnowledgeSought(Lookup.SKIPPED))
    assert store.asked == []


@pytest.mark.parametrize("prompt", [Prompt.GREETING, Prompt.CALLER_SILENT])
def test_only_a_caller_who_spoke_asks_for_knowledge(prompt: Prompt) -> None:
    assert told(Store(hit()), caller("parking"), prompt)[1].result is Lookup.SKIPPED


def test_words_from_before_the_agent_spoke_are_not_asked_for_again() -> None:
    assert told(Store(hit()), (*caller("parking"), *agent("In the yard.")))[1].result is Lookup.SKIPPED


def test_short_words_come_with_what_they_may_refer_to() -> None:
    store = Store(hit())
    told(store, (*agent("We open at\nnine."), *caller("and on"), DigitPressed("1"), *caller("Sundays?")))
    told(store, (*agent("We open at nine."), *caller("is there free parking at northgate")))
    assert store.asked == ["and on Sundays?\nWe open at nine.", "is there free parking at northgate"]


def test_a_long_speech_is_searched_for_by_its_end() -> None:
    store = Store(hit())
    told(store, caller("blah " * 10_000 + "parking"))
    assert store.asked[0].endswith("parking")
    assert len(store.asked[0]) == 600


@pytest.mark.parametrize(
    "store",
    [
        pytest.param(Store(error=OSError("no route")), id="raises"),
        pytest.param(Store(Hit(Passage("a", "b", None), 0.9)), id="not text"),  # type: ignore[arg-type]
        pytest.param(Store("not a hit"), id="not hits"),  # type: ignore[arg-type]
    ],
)
def test_a_store_that_fails_is_told_and_felt_by_nobody(store: Store) -> None:
    hits, sought = told(store, caller("parking"))
    assert (hits, sought.result) == ((), Lookup.FAILED)


def test_a_failed_search_is_tried_again_for_the_same_words() -> None:
    store = Store(hit(), error=OSError())

    async def play(retrieval: Retrieval) -> None:
        await retrieval.found(turn(caller("parking")))
        store.error = None
        assert (await retrieval.found(turn(caller("parking"))))[1].result is Lookup.FOUND

    played(store, play)


def test_a_search_that_never_ends_is_called_off() -> None:
    store = Store(takes=1e6)

    async def play(retrieval: Retrieval) -> None:
        retrieval.hear(caller("parking"))
        await asyncio.sleep(4)
        assert store.running == 0
        retrieval.hear(caller("prices"))
        await asyncio.sleep(0)
        retrieval.close()
        retrieval.close()
        await asyncio.sleep(0)
        assert (store.running, len(store.asked)) == (0, 2)

    played(store, play)
    played(store, _close_at_once)


async def _close_at_once(retrieval: Retrieval) -> None:
    retrieval.close()


@pytest.mark.parametrize("score", [0.1, -1.0, 1.5, float("nan")])
def test_what_is_hardly_about_it_is_not_shown(score: float) -> None:
    hits, sought = told(Store(hit(score=score)), caller("parking"))
    assert (hits, sought.result, sought.passages) == ((), Lookup.NOTHING, ())


def test_few_passages_and_few_words_are_shown() -> None:
    hits, _ = told(
        Store(hit("a", text="x" * 900), hit("b", text="y" * 900), hit("c", text="z" * 900)), caller("parking")
    )
    assert [shown.passage.heading for shown in hits] == ["a", "b"]
    hits, _ = told(Store(hit(text="word " * 9_000)), caller("parking"))
    assert len(hits[0].passage.text) <= 2_002
    assert hits[0].passage.text.endswith("word …")
