"""The same service once more, beside the one that answers the page: its agents ask a model that does as it is told."""

import gc
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from litestar import Litestar

from service.playground.messages import Mood
from service.simulator.model import StandInModel
from service.simulator.model_script import Cut, Empty, HangBeforeHeaders, Refuse, Script
from service.simulator.model_spelling import ChatRequest
from service.virtual.process import Lines, Process

SLOW = 3.0
"""Seconds until the first word of a slow answer."""

_PACE = {"first_token_after": 0.35, "gap": 0.045}
_ANSWERS = """\
I am only a stand-in model. You said: {words} Now I talk on for a while, so that you can interrupt me. \
Just begin to type while I speak. What you did not hear is struck out.
You said: {words} I would look that up, if I were a real model. \
Make me slow, or let me fail, and hear what your callers would hear.
I heard: {words} There is not much more that I can say about it. \
Try to drop the connection while I speak, or say nothing and bring the reminder.""".splitlines()
_REMARK = re.compile(r"\([^)]*\)\s*")
"""Such as `(cutting you off)`, which is for models that think."""

_MOODS: Mapping[Mood, Mapping[str, object]] = {
    "normal": {},
    "slow": {"first_token_after": SLOW},
    "hangs": {"fault": HangBeforeHeaders()},
    "breaks": {"fault": Cut(after=10)},
    "refuses": {"fault": Refuse(429)},
    "empty": {"fault": Empty()},
}


class MoodyModel(StandInModel):
    """A stand-in model whose mood may change."""

    def __init__(self) -> None:
        super().__init__(self._answer, remembered=0)
        self.mood: Mood = "normal"

    def _answer(self, chat: ChatRequest) -> Script:
        said = sum(message.role == "user" for message in chat.messages)
        words = " ".join(_REMARK.sub("", chat.last_user_text).split())[:200]
        words = words if words.endswith((".", "?", "!")) else f"{words}."
        text = _ANSWERS[(said - 1) % len(_ANSWERS)].replace("{words}", words)
        return Script(**{"text": text, **_PACE, **_MOODS[self.mood]})  # type: ignore[arg-type]  # fields of its


@asynccontextmanager
async def rehearsal(make: Callable[[str], Litestar], peer: str) -> AsyncIterator[tuple[Lines, MoodyModel]]:
    """A service for one call, and its model. `make` is given the model's address. Raises what `make` does."""
    async with MoodyModel() as model, Process(make(model.base_url), peer=peer) as process:
        yield process, model
    gc.unfreeze()  # what its start has kept from the collector is of no use any more
