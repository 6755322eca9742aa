"""What an agent may answer with: a stream of these parts."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from service.conversation.transcript import ToolAnswered, ToolCalled, must_be


@dataclass(frozen=True, slots=True)
class Speech:
    """Words to speak, as they come; put the spaces between chunks yourself."""

    text: str
    is_uninterruptible: bool = False

    def __post_init__(self) -> None:
        must_be(str, self.text)
        must_be(bool, self.is_uninterruptible)


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call when `words` are spoken. The call goes on if the caller interrupts them."""

    words: str = ""
    is_uninterruptible: bool = False

    def __post_init__(self) -> None:
        must_be(str, self.words)
        must_be(bool, self.is_uninterruptible)


@dataclass(frozen=True, slots=True)
class Transfer:
    """Hand the caller over to `number` when `words` are spoken. Raises ValueError when it is not E.164."""

    number: str
    words: str = ""
    shows_caller_number: bool = False
    is_uninterruptible: bool = False

    def __post_init__(self) -> None:
        must_be(str, self.number, self.words)
        must_be(bool, self.shows_caller_number, self.is_uninterruptible)
        if not re.fullmatch(r"\+[1-9][0-9]{1,14}", self.number):
            raise ValueError("a transfer number is E.164: + and 2 to 15 digits")


@dataclass(frozen=True, slots=True)
class PressDigits:
    """Press keys when `words` are spoken. Raises ValueError for keys other than `0` to `9`, `*` and `#`."""

    digits: str
    words: str = ""
    is_uninterruptible: bool = False

    def __post_init__(self) -> None:
        must_be(str, self.digits, self.words)
        must_be(bool, self.is_uninterruptible)
        if not re.fullmatch(r"[0-9*#]+", self.digits):
            raise ValueError("digits to press are 0 to 9, * and #")


Action = HangUp | Transfer | PressDigits


@dataclass(frozen=True, slots=True)
class Interjection:
    """Words that cut off whoever is speaking, and this turn with them."""

    text: str
    is_uninterruptible: bool = True
    action: Action | None = None

    def __post_init__(self) -> None:
        must_be(str, self.text)
        must_be(bool, self.is_uninterruptible)
        must_be(HangUp | Transfer | PressDigits | None, self.action)


@dataclass(frozen=True, slots=True)
class VoiceSettings:
    """How the platform listens and speaks from now on; None leaves a setting as it is.

    Out-of-range numbers are clamped to what the platform takes. Raises ValueError for NaN and infinity.
    """

    responsiveness: float | None = None
    """0 to 1."""
    interruption_sensitivity: float | None = None
    """0 (never interrupted) to 1."""
    reminder_after: float | None = None
    """Seconds of silence before the platform asks for a reminder."""
    reminder_limit: int | None = None
    """How many reminders there may be; 0 for none."""

    def __post_init__(self) -> None:
        numbers = (self.responsiveness, self.interruption_sensitivity, self.reminder_after, self.reminder_limit)
        must_be(int | float | None, *numbers)
        if not all(number is None or math.isfinite(number) for number in numbers):
            raise ValueError("voice settings are finite numbers")


@dataclass(frozen=True, slots=True)
class PageMessage:
    """Data for the web page that holds the call: one JSON object, as text. Make it with `of`."""

    json: str

    def __post_init__(self) -> None:
        must_be(dict, json.loads(self.json, parse_constant=_refuse))
        self.json.encode()

    @classmethod
    def of(cls, metadata: Mapping[str, object]) -> "PageMessage":
        """Raise TypeError or ValueError when it is not JSON: told where it is made, not in the call."""
        return cls(json.dumps(dict(metadata), allow_nan=False, ensure_ascii=False))


@dataclass(frozen=True, slots=True)
class HoldLine:
    """A line that bridges a wait, such as for a slow tool. It is no answer, and there is one in a turn at most."""

    text: str

    def __post_init__(self) -> None:
        must_be(str, self.text)


class Lookup(StrEnum):
    """How a search for knowledge ended."""

    FOUND = "found"
    NOTHING = "nothing"
    SKIPPED = "skipped"
    """The caller's words had no content to search for."""
    LATE = "late"
    """The turn went on without it."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class KnowledgeSought:
    """What was looked up for an answer. Nothing of it is sent: it is told so that it can be seen."""

    result: Lookup
    passages: tuple[tuple[str, float], ...] = ()
    """The ids of those found and their scores, the best first; never their words."""
    waited: float = 0.0
    """Seconds that the turn waited for it."""
    took: float | None = None
    """Seconds that the search took; None when it did not end in time, or there was none."""


Part = (
    Speech
    | Action
    | Interjection
    | HoldLine
    | ToolCalled
    | ToolAnswered
    | VoiceSettings
    | PageMessage
    | KnowledgeSought
)
Aside = Interjection | ToolAnswered | VoiceSettings | PageMessage
"""What an agent may do outside of its replies."""


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
