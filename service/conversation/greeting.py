"""Whether a call still wants its greeting (rule 5)."""

from service.conversation.call import CallDetails
from service.conversation.transcript import Transcript, has_agent_words

FRESH_CALL_AGE = 5.0
"""A call that started longer before a line here was greeted elsewhere (seconds)."""


class Greeting:
    """The greeting of one call: due until it was spoken or found needless."""

    __slots__ = ("_is_taken_for_ongoing", "awaits_details", "clock", "is_due")

    def __init__(self) -> None:
        self.is_due = True
        self.awaits_details = False
        self.clock = 0.0
        """How far the wall clock is ahead of the shell's, in seconds."""
        self._is_taken_for_ongoing = False

    def is_needless(self, details: CallDetails, at: float, *, is_first_line: bool) -> bool:
        """Whether the details, which came at this moment, tell that the call is or was under way elsewhere."""
        age = 0.0 if details.started_at is None else self.clock + at - details.started_at
        # By its second line a call is ongoing for us, too; its age when it came here, or came back, tells all the same.
        self._is_taken_for_ongoing = (details.is_ongoing and is_first_line) or age > FRESH_CALL_AGE
        return self._is_taken_for_ongoing

    def was_missed(self, transcript: Transcript) -> bool:
        """Whether the call was taken for one under way, and its first words show that nobody greeted the caller."""
        if not (self._is_taken_for_ongoing and transcript):
            return False
        self._is_taken_for_ongoing = False
        return not has_agent_words(transcript)
