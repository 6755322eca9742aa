"""What an agent's own code, its tools and hooks, can know of a call and do on its line."""

from collections.abc import Callable
from dataclasses import dataclass, field

from service.conversation.call import CallDetails
from service.conversation.parts import Aside, Interjection, PageMessage, VoiceSettings
from service.conversation.transcript import Transcript


@dataclass(slots=True)
class Call:
    """One call, as an agent's own code sees it. All of its verbs act at once, and none of them waits."""

    id: str
    aside: Callable[[Aside], None] = field(repr=False)
    details: CallDetails | None = None
    """What the platform tells of the call: numbers, direction, metadata. None until it does."""
    transcript: Transcript = ()
    """What was said so far, as it was heard."""
    variables: dict[str, str] = field(default_factory=dict)
    """For the placeholders of the agent's texts. A hook or a tool may add to them."""
    facts: dict[str, object] = field(default_factory=dict)
    """What hooks and tools want to remember until the call's end; `after_call` reads it."""
    key: str = ""
    """Of the tool call in progress: the same for the same wish, on every machine. Hand it to a backend that writes,
    so that it acts once."""
    traceparent: str | None = None
    """Of the tool call in progress: a header (W3C's Trace Context) for whom the tool asks, which makes what they do a
    part of the turn's trace. None when nothing is traced."""

    def say_now(self, text: str, *, is_uninterruptible: bool = True) -> None:
        """Cut off whoever is speaking, and the turn with them, and say this."""
        self.aside(Interjection(text, is_uninterruptible))

    def tune(self, settings: VoiceSettings) -> None:
        """Change how the platform listens and speaks from now on."""
        self.aside(settings)

    def tell_page(self, **data: object) -> None:
        """Pass data to the web page that holds the call. Raises TypeError or ValueError when it is not JSON."""
        self.aside(PageMessage.of(data))
