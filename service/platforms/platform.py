"""The Platform port: what the endpoint needs to know of a voice platform."""

from collections.abc import Sequence
from typing import Protocol

from service.conversation.commands import Outgoing
from service.conversation.events import Event, Oddity


class Platform(Protocol):
    """A voice platform's protocol, without its socket."""

    @property
    def name(self) -> str: ...

    @property
    def tells_call_details(self) -> bool:
        """Whether call details will come, so that the greeting may wait for them."""
        ...

    @property
    def reasons(self) -> Sequence[str]:
        """Why calls end, by its own account: a closed set."""
        ...

    def opening(self) -> Sequence[bytes]:
        """The frames that are sent before anything else."""
        ...

    def decode(self, frame: str | bytes, at: float) -> Sequence[Event]:
        """What a frame says, received at the moment `at`. Never raises: what it cannot read is an oddity."""
        ...

    def encode(self, command: Outgoing) -> bytes:
        """The frame that carries the command. Never raises."""
        ...

    def assumption_broken_by(self, oddity: Oddity) -> str | None:
        """The id of what we assumed of this platform and an oddity contradicts."""
        ...
