"""One request to one target: from asking, over the first words, to its end."""

from collections.abc import AsyncGenerator
from typing import assert_never

from service.llm.candidate import Candidate
from service.llm.model import (
    AnswerBegun,
    AnswerEnded,
    AnswerFiltered,
    AnswerRan,
    Delta,
    NothingSaid,
    Occasion,
    ToolCall,
    ToolCallBegun,
)
from service.llm.records import AttemptRecord, Cause, Result
from service.llm.speakable import SpeakableText
from service.llm.thoughts import Thoughts

_PIECE, _SPAN, _TIMES, _LOOK_EVERY = 60, 800, 5, 200
"""A model that is caught in a loop: its last 60 characters stand five times in its last 800."""

Piece = str | ToolCall


class Attempt:
    """The answer of one target, as far as it has come. Moments are seconds on the loop's clock."""

    def __init__(
        self,
        candidate: Candidate,
        deltas: AsyncGenerator[Delta],
        cause: Cause,
        at: float,
        longest: int,
        *,
        traceparent: str | None,
    ) -> None:
        self.candidate = candidate
        self.deltas = deltas
        self.cause = cause
        self.asked_at = at
        self.slow_at = at + candidate.slow_after(at)
        self.is_slow = False
        self.ready: list[Piece] = []
        """What came with the first words, and before them."""
        self.has_answered = False
        """Whether there is a word to speak, or a tool call began: from then on, it is an answer."""
        self.answered_at: float | None = None
        self.heard_at = at
        """When its latest words came."""
        self.is_calling = False
        """Whether a tool call began: of that, nothing is heard until it is whole."""
        self._longest = longest
        self._traceparent = traceparent
        self._thoughts = Thoughts()
        self._speakable = SpeakableText()
        self._text = ""
        self._looked_at = 0
        self._begun: AnswerBegun | None = None
        self._ended: AnswerEnded | None = None

    async def begin(self) -> None:
        """Wait until it has answered. Raises a ModelError; NothingSaid when it ends without."""
        async for delta in self.deltas:
            if piece := self.take(delta):
                self.ready.append(piece)
            if self.has_answered:
                return
        raise NothingSaid

    def take(self, delta: Delta) -> Piece | None:
        """What may be passed on of a delta. Raises AnswerRan."""
        match delta:
            case str():
                if len(delta) > self._longest:  # to look at so much would hold up every call
                    raise AnswerRan
                return self._words(self._speakable.feed(self._thoughts.feed(delta)))
            case ToolCall():
                self.has_answered = True
                return delta
            case ToolCallBegun():
                self.has_answered = self.is_calling = True
            case AnswerBegun():
                self._begun = delta
            case AnswerEnded():
                self._ended = delta
                if delta.finish_reason == "length":  # the endpoint cut it: the sentence may want its end
                    raise AnswerRan
                if delta.finish_reason == "content_filter":  # words or not: what was meant was not said
                    raise AnswerFiltered
                return self._words(self._speakable.feed(self._thoughts.flush()) + self._speakable.flush())
            case _:
                assert_never(delta)
        return None

    async def close(self) -> None:
        """Close the request. Nothing may be reading it any more."""
        await self.deltas.aclose()

    def record(self, occasion: Occasion, result: Result, at: float, error: BaseException | None) -> AttemptRecord:
        """What is told of it, now that it is over."""
        begun, ended = self._begun or AnswerBegun(getattr(error, "request_id", None)), self._ended
        return AttemptRecord(
            occasion=occasion,
            target=self.candidate.endpoint.name,
            model=self.candidate.endpoint.model,
            cause=self.cause,
            result=result,
            asked_at=self.asked_at,
            first_words_at=self.answered_at,
            ended_at=at,
            error=type(error).__name__ if result is Result.FAILED else None,
            finish_reason=None if ended is None else ended.finish_reason,
            usage=None if ended is None else ended.usage,
            request_id=begun.request_id,
            requests_left=begun.requests_left,
            tokens_left=begun.tokens_left,
            breaker=self.candidate.breaker.state(at),
            traceparent=self._traceparent,
        )

    def _words(self, text: str) -> str:
        if not text:
            return text
        self._text += text
        self.has_answered = self.has_answered or not text.isspace()
        if len(self._text) > self._longest:
            raise AnswerRan
        if len(self._text) >= self._looked_at + _LOOK_EVERY:
            self._looked_at = len(self._text)
            if self._text[-_SPAN:].count(self._text[-_PIECE:]) >= _TIMES:
                raise AnswerRan
        return text
