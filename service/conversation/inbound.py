"""A call that somebody is about to make: the caller hears it ring while it is decided."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from json import dumps

from service.conversation.transcript import must_be


@dataclass(frozen=True, slots=True)
class InboundCall:
    """What is known of it. It has no id yet."""

    from_number: str = ""
    to_number: str = ""
    agent_id: str = ""
    """The platform's own agent for that number; empty for none."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The custom headers of a SIP call."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """What is decided. Nothing of it: the call is put through as the platform has it.

    Raises TypeError or ValueError for what the platform would not take: it would take nothing of the rest, either.
    """

    is_rejected: bool = False
    agent_id: str = ""
    """Another of the platform's agents, to take it."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Dynamic variables, for placeholders here and there."""
    metadata: Mapping[str, object] = field(default_factory=dict)
    """JSON that comes back with the call's details."""

    def __post_init__(self) -> None:
        must_be(bool, self.is_rejected)
        must_be(str, self.agent_id, *self.variables, *self.variables.values(), *self.metadata)
        dumps(dict(self.metadata), allow_nan=False)
