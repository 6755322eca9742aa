"""What answers when a recording is played again: its model streams at their pace, and its tools' results."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, fields, replace

from service.agents.call import Call
from service.agents.folder import Folder
from service.agents.tools import Answer, Arguments, Tool
from service.llm import model as models
from service.llm.model import (
    NO_TOOLS,
    Delta,
    Messages,
    ModelError,
    ModelUnavailable,
    RateLimited,
    RequestRejected,
    Toolset,
)
from service.llm.records import ASKING, Cause
from service.recording.lines import FrameOut, ModelStream
from service.recording.reading import Recording
from service.recording.redaction import redacted_text

NO_RESULT = "The recording has no result of this call."


class NotRecorded(RequestRejected):
    """The recording has no answer to this: the model was asked more often than it was then."""


class RecordedModel:
    """The models of an agent as one endpoint: each question is answered as it was then.

    Where several attempts were made at a question, the one that was heard answers, as much later than the first: what
    the caller waited is the same. Moments of the recording are never made up: one that ends as it was closed is silent.
    """

    model = "recorded"

    def __init__(self, recording: Recording, name: str) -> None:
        self.name = name
        self.unanswered = Counter[int]()
        """Questions that the recording has no answer to, by turn."""
        self._questions = recording.questions
        self._asked = Counter[int]()

    @property
    def unasked(self) -> dict[int, int]:
        """Answers of the recording that no question was asked for, by turn."""
        left = {turn: len(questions) - self._asked[turn] for turn, questions in self._questions.items()}
        return {turn: number for turn, number in left.items() if number > 0}

    async def ask(
        self,
        messages: Messages,  # noqa: ARG002 - whatever is asked
        traceparent: str | None = None,  # noqa: ARG002
        tools: Toolset = NO_TOOLS,  # noqa: ARG002
    ) -> AsyncGenerator[Delta]:
        loop = asyncio.get_running_loop()
        asked_at, (turn, is_again) = loop.time(), self._turn()
        attempts = self._attempts(turn, is_again=is_again)
        heard = max(attempts, key=lambda stream: stream.at + stream.took)
        begins = asked_at + heard.at - attempts[0].at
        for at, delta in () if is_again else heard.deltas:
            await asyncio.sleep(begins + at - loop.time())
            yield delta
        await asyncio.sleep(0.0 if is_again else begins + heard.took - loop.time())
        if heard.end == "closed":
            await asyncio.Event().wait()
        if heard.error is not None:
            raise error_of(heard)

    def _turn(self) -> tuple[int, bool]:
        """The turn, and whether this is a further attempt at its question."""
        occasion, cause = ASKING.get() or (None, Cause.FIRST)
        turn = -1 if occasion is None else occasion.turn_index
        self._asked[turn] += cause is Cause.FIRST
        return turn, cause is not Cause.FIRST

    def _attempts(self, turn: int, *, is_again: bool) -> Sequence[ModelStream]:
        questions, number = self._questions.get(turn, []), self._asked[turn]
        if number > len(questions):
            self.unanswered[turn] += not is_again
            raise NotRecorded
        return questions[number - 1]

    async def warm_up(self) -> None:
        """There is nothing to warm."""

    async def close(self) -> None:
        """There is nothing to close."""


def error_of(stream: ModelStream) -> ModelError:
    """The error that a stream ended in; of one that is not known, that the model is not there."""
    name = stream.error.name if stream.error is not None else ""
    kind = getattr(models, name, None)
    error = kind() if isinstance(kind, type) and issubclass(kind, ModelError) else ModelUnavailable(name)
    if isinstance(error, RateLimited) and stream.error is not None:
        error.retry_after = stream.error.retry_after
    return error


@dataclass(slots=True)
class _Result:
    """Moments are seconds since the call began. Without content, the tool had not answered when the recording ended."""

    asked_at: float
    answered_at: float = 0.0
    content: str | None = None
    is_successful: bool = True


class RecordedTools:
    """The results that tools had, by name and arguments. Nothing is run."""

    def __init__(self, recording: Recording) -> None:
        self._is_redacted = recording.began.is_redacted
        self._results: dict[tuple[str, str], deque[_Result]] = {}
        self.unanswered: list[str] = []
        """The tools that were called with arguments of which the recording has no result."""
        self._began_at = 0.0
        by_id: dict[str, _Result] = {}
        for entry in recording.entries:
            if isinstance(entry, FrameOut) and isinstance(entry.frame, dict):
                self._take(entry, by_id)

    def _take(self, entry: FrameOut, by_id: dict[str, _Result]) -> None:
        frame, tool_call_id = entry.frame, str(entry.frame.get("tool_call_id"))
        match frame.get("response_type"):
            case "tool_call_invocation":
                by_id[tool_call_id] = result = _Result(entry.at)
                key = str(frame.get("name")), self._comparable(str(frame.get("arguments")))
                self._results.setdefault(key, deque()).append(result)
            case "tool_call_result" if tool_call_id in by_id:
                result = by_id[tool_call_id]
                result.answered_at, result.content = entry.at, str(frame.get("content"))
                result.is_successful = frame.get("successful") is not False

    def begins(self, at: float) -> None:
        """The call begins now, by the loop's clock."""
        self._began_at = at

    def _comparable(self, arguments: str) -> str:
        return redacted_text(arguments) if self._is_redacted else arguments

    async def answer(self, tool: Tool, arguments: Arguments) -> Answer:
        """The result that this call had, after as long; of one that is made again, the last."""
        results = self._results.get((tool.name, self._comparable(arguments.canonical)))
        if not results:
            self.unanswered.append(tool.name)
            return Answer.failed("unrecorded", NO_RESULT)
        result = results.popleft() if len(results) > 1 else results[0]
        if result.content is None:
            await asyncio.sleep(tool.timeout)
            return Answer.failed("timeout", NO_RESULT)
        took, left = result.answered_at - result.asked_at, self._began_at + result.answered_at
        left -= asyncio.get_running_loop().time()
        await asyncio.sleep(left if 0 <= left <= took else took)
        return Answer(result.content, None if result.is_successful else "recorded")

    def of(self, folder: Folder) -> Folder:
        """The folder with tools that answer from the recording, and without hooks: none of its code acts."""
        tools = tuple(
            _RecordedTool(**{each.name: getattr(tool, each.name) for each in fields(Tool)}, recorded=self)
            for tool in folder.tools
        )
        return replace(folder, tools=tools, before_call=None, after_call=None, inbound=None)


@dataclass(frozen=True, slots=True, eq=False)
class _RecordedTool(Tool):
    recorded: RecordedTools = field(kw_only=True, repr=False)

    async def run(self, call: Call, arguments: Arguments) -> Answer:  # noqa: ARG002 - it is not told of
        return await self.recorded.answer(self, arguments)
