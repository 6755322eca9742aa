"""The two ports of a language model, what passes through them, and how it fails.

`ChatModel` is what agents talk to: text to speak, and tool calls. `Endpoint` is one target's wire; `DependableModel`
makes one of the other.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from msgspec import Struct, field


class Role(Enum):
    """Whose message it is, as chat models know it."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call that the model made. `arguments` is stringified JSON, as the model spelled it."""

    id: str
    name: str
    arguments: str


class Message(Struct, frozen=True):
    """One message to a chat model. A struct, because a long call has hundreds of them in every request."""

    role: Role
    text: str = field(name="content")


@dataclass(frozen=True, slots=True)
class ToolExchange:
    """A tool call of the model's and what the tool answered: one never goes without the other.

    The assistant's words directly before it are what the model said as it made the call.
    """

    call: ToolCall
    result: str
    is_parallel: bool = False
    """Whether the model made this call in one round with the exchange before it."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as a model is told of it. `parameters` is the JSON schema of its arguments, an object's.

    One whose objects all forbid other fields and require each of their own is held to by endpoints that can (strict).
    """

    name: str
    description: str
    parameters: Mapping[str, object]


@dataclass(frozen=True, slots=True, eq=False)
class Toolset:
    """The tools of a question. Make one and keep it: endpoints spell it once, and the bytes stay the same."""

    specs: tuple[ToolSpec, ...] = ()
    may_call: bool = True
    """False: the model sees them, because the conversation holds calls of them, and may not call any."""


NO_TOOLS = Toolset()


Messages = Sequence[Message | ToolExchange]


@dataclass(frozen=True, slots=True)
class Occasion:
    """The turn that a question belongs to: records of it are joined by this."""

    call_id: str
    turn_index: int


class ChatModel(Protocol):
    """A model that streams."""

    def stream(
        self, messages: Messages, occasion: Occasion, tools: Toolset = NO_TOOLS
    ) -> AsyncGenerator[str | ToolCall]:
        """Answer with text that can be spoken, as it is made, then with tool calls, each whole.

        Raises a ModelError; closing the generator closes every request behind it.
        """
        ...

    async def warm_up(self) -> None:
        """Pay slow imports and connections before a turn needs them."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


# One target's wire.


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer, as the endpoint counts them. Cached ones are part of the input, reasoning of the output."""

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class AnswerBegun:
    """The endpoint took the request. What it does not tell is None."""

    request_id: str | None = None
    requests_left: int | None = None
    tokens_left: int | None = None


@dataclass(frozen=True, slots=True)
class ToolCallBegun:
    """The model began to call a tool: from here on, this answer is the answer."""


@dataclass(frozen=True, slots=True)
class AnswerEnded:
    """The answer came to its end. `finish_reason` is the endpoint's own word."""

    finish_reason: str
    usage: Usage | None = None


Delta = str | AnswerBegun | ToolCallBegun | ToolCall | AnswerEnded


class Endpoint(Protocol):
    """One model at one address. Its stream begins with AnswerBegun and ends with AnswerEnded."""

    name: str
    model: str

    def ask(
        self, messages: Messages, traceparent: str | None = None, tools: Toolset = NO_TOOLS
    ) -> AsyncGenerator[Delta]:
        """Answer as the model makes it. `traceparent` goes along as a header.

        Raises a ModelError; closing the generator closes the request.
        """
        ...

    async def warm_up(self) -> None:
        """Pay slow imports, and open a connection. Raises a ModelError."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class ModelError(Exception):
    """The model did not answer to its end.

    +-- ModelRejected      asking again does not help
    |   +-- KeyRejected    the key is wrong or may not use this model
    |   +-- RequestRejected
    |   +-- QuotaExhausted
    |   +-- AnswerFiltered the endpoint's content filter took the question, or cut the answer
    +-- ModelUnavailable   asking again might
        +-- RateLimited
        +-- ServerFailed
        +-- Unreachable
        +-- StreamBroken   it began to answer
        +-- NothingSaid    it answered without a word to speak
        +-- AnswerRan      it did not stop: over and over the same, or far too long
    """

    request_id: str | None = None
    """The endpoint's own id of the request: what its support asks for."""


class ModelRejected(ModelError):
    """Asking again does not help."""


class KeyRejected(ModelRejected):
    """The key is wrong, or may not use this model."""


class RequestRejected(ModelRejected):
    """The endpoint does not take the request: often the model's name or an option it does not know."""


class QuotaExhausted(ModelRejected):
    """The account has no money left."""


class AnswerFiltered(ModelRejected):
    """The endpoint's content filter did not take what was said, or cut the answer short."""


class ModelUnavailable(ModelError):
    """Asking again might help."""


class RateLimited(ModelUnavailable):
    """Too many requests for now."""

    retry_after: float | None = None
    """Seconds until the endpoint takes requests again, where it says."""


class ServerFailed(ModelUnavailable):
    """The endpoint failed."""


class Unreachable(ModelUnavailable):
    """There was no connection, or no answer in time."""


class StreamBroken(ModelUnavailable):
    """The answer began and did not come to its end."""


class NothingSaid(ModelUnavailable):
    """The answer came to its end and had no word that can be spoken."""


class AnswerRan(ModelUnavailable):
    """The answer did not stop: it said the same over and over, or far too much."""
