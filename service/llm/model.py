"""The ChatModel port: messages in, text out as it is made."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class Role(Enum):
    """Whose message it is, as chat models know it."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call that the model made. `arguments` is stringified JSON."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message to a chat model."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class ToolExchange:
    """A tool call of the model's and what the tool answered: one never goes without the other."""

    call: ToolCall
    result: str


@dataclass(frozen=True, slots=True)
class Target:
    """Which model is asked, and where."""

    model: str
    api_key: str
    base_url: str | None = None


class ChatModel(Protocol):
    """A model that streams."""

    def stream(self, messages: Sequence[Message | ToolExchange]) -> AsyncGenerator[str]:
        """Answer with text deltas. Raises a ModelError; closing the generator closes the request."""
        ...

    async def warm_up(self) -> None:
        """Pay slow imports before a turn needs them."""
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
    +-- ModelUnavailable   asking again might
        +-- RateLimited
        +-- ServerFailed
        +-- Unreachable
        +-- StreamBroken   it began to answer
        +-- NothingSaid    it answered without a word to speak
    """


class ModelRejected(ModelError):
    """Asking again does not help."""


class KeyRejected(ModelRejected):
    """The key is wrong, or may not use this model."""


class RequestRejected(ModelRejected):
    """The endpoint does not take the request: often the model's name or an option it does not know."""


class QuotaExhausted(ModelRejected):
    """The account has no money left."""


class ModelUnavailable(ModelError):
    """Asking again might help."""


class RateLimited(ModelUnavailable):
    """Too many requests for now."""


class ServerFailed(ModelUnavailable):
    """The endpoint failed."""


class Unreachable(ModelUnavailable):
    """There was no connection, or no answer in time."""


class StreamBroken(ModelUnavailable):
    """The answer began and did not come to its end."""


class NothingSaid(ModelUnavailable):
    """The answer came to its end and had no word that can be spoken."""
