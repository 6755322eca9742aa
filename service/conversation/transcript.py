"""What was said in a call, row by row, as the platform heard it (never as we meant it)."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from itertools import islice
from types import UnionType


class Speaker(StrEnum):
    """Whose words they are. Everybody who is not our agent counts as the caller."""

    AGENT = "agent"
    CALLER = "caller"


def must_be(kind: type | UnionType, *values: object) -> None:
    """Raise TypeError unless all are. Agents are users' code, often untyped: a mistake is told where it is made."""
    for value in values:
        if not isinstance(value, kind):
            raise TypeError(f"{getattr(kind, '__name__', kind)} is wanted here, not {type(value).__name__}")


@dataclass(frozen=True, slots=True)
class Utterance:
    """Words that were spoken; `was_cut_off` when the caller stopped the agent before its end."""

    speaker: Speaker
    text: str
    was_cut_off: bool = False


@dataclass(frozen=True, slots=True)
class DigitPressed:
    """One key of the caller's phone: `0` to `9`, `*` or `#`."""

    digit: str


@dataclass(frozen=True, slots=True)
class Note:
    """Words that reached the call without being spoken: a text message, an operator's hint."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """A tool was asked to act. `arguments` is stringified JSON."""

    tool_call_id: str
    name: str
    arguments: str

    def __post_init__(self) -> None:
        must_be(str, self.tool_call_id, self.name, self.arguments)


@dataclass(frozen=True, slots=True)
class ToolAnswered:
    """What a tool said. `is_successful` is None when the tool did not tell."""

    tool_call_id: str
    content: str
    is_successful: bool | None = None
    fault: str | None = None
    """Why it failed, in a word: for telemetry, never for the platform."""
    error: str | None = field(default=None, compare=False)
    """The class of what was raised, for telemetry, too."""

    def __post_init__(self) -> None:
        must_be(str, self.tool_call_id, self.content)
        must_be(bool | None, self.is_successful)
        must_be(str | None, self.fault, self.error)


Row = Utterance | DigitPressed | Note | ToolCalled | ToolAnswered
Transcript = tuple[Row, ...]

# Languages written without spaces count one word a character; the others one a run of letters.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+(?:['’][^\W_]+)*")
_SENTENCE = re.compile(r"""[。！？]|[.!?…؟।]["'”’)\]]*(?:\s|\Z)""")
_SENTENCE_WORDS = 12
"""Words after which a platform need not wait for the sentence's end."""
_SENTENCE_END = re.compile(r"""[.!?…。！？؟।:]["'”’)\]]*\Z""")


def words_of(text: str) -> list[str]:
    """The words of a text without case and punctuation, to compare what was said with what was heard."""
    return _WORD.findall(text.casefold())


def stops_in_mid_sentence(text: str) -> bool:
    """Whether a listener would wait for more. Blank text does not."""
    text = text.rstrip()
    return bool(text) and _SENTENCE_END.search(text) is None


def has_sentence(text: str) -> bool:
    """Whether there is enough for a platform to begin to speak: a whole sentence, or 12 words."""
    return _SENTENCE.search(text) is not None or len(words_of(text)) >= _SENTENCE_WORDS


def has_agent_words(transcript: Iterable[Row]) -> bool:
    """Whether the agent has been heard: then the call is under way."""
    return any(isinstance(row, Utterance) and row.speaker is Speaker.AGENT and row.text.strip() for row in transcript)


def merged(transcript: Iterable[Row]) -> Transcript:
    """The same transcript with neighbouring utterances of one side joined and blank ones left out."""
    rows: list[Row] = []
    run: list[Utterance] = []  # of one side
    for row in transcript:
        if isinstance(row, Utterance):
            if not row.text or row.text.isspace():
                continue
            if run and run[0].speaker is row.speaker:
                run.append(row)
                continue
        if run:
            rows.append(run[0] if len(run) == 1 else _joined(run))  # the first is the rule, and this is a hot loop
        if isinstance(row, Utterance):
            run = [row]
        else:
            rows.append(row)
            run = []
    return (*rows, *([_joined(run)] if run else ()))


def _joined(run: list[Utterance]) -> Utterance:
    return run[0] if len(run) == 1 else replace(run[-1], text=" ".join(row.text.strip() for row in run))


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a transcript: `row` rows were there, and the last had `words` words if it was the agent's.

    The platform sends the whole transcript each time and only its end changes, so what comes behind
    the mark was heard after it.
    """

    row: int = 0
    words: int = 0

    @classmethod
    def at_end_of(cls, transcript: Sequence[Row]) -> "Mark":
        if not transcript:
            return cls()
        return cls(len(transcript) - 1, len(_agent_words(transcript[-1])))

    def agent_texts_since(self, transcript: Sequence[Row]) -> list[str]:
        """What the agent said behind the mark, and in the row that it is in."""
        rows = islice(transcript, self.row, None)
        return [row.text for row in rows if isinstance(row, Utterance) and row.speaker is Speaker.AGENT]

    def heard_since(self, transcript: Sequence[Row], at_most: int) -> list[str]:
        """The agent's words behind the mark, about `at_most` of them, compared as `words_of` compares."""
        words: list[str] = []
        for row in islice(transcript, self.row, None):
            words += _agent_words(row)
            if len(words) > self.words + at_most:
                break
        return words[self.words :]


class Hearing:
    """The newest transcript of a call, and which of its utterances the caller cut off."""

    __slots__ = ("_cut_off", "rows")

    def __init__(self) -> None:
        self.rows: Transcript = ()
        self._cut_off: dict[int, str] = {}

    def cut_off_since(self, mark: Mark) -> None:
        """The caller stopped the agent in the last of the utterances behind the mark."""
        for index in range(len(self.rows) - 1, mark.row - 1, -1):
            row = self.rows[index]
            if isinstance(row, Utterance) and row.speaker is Speaker.AGENT:
                self._cut_off[index] = row.text
                return

    def history(self, hold_lines: Collection[str] = ()) -> Transcript:
        """What was heard, as an agent reads it: one utterance a side and a time, cut-off ones marked, without holds."""
        if not hold_lines and not self._cut_off:
            return merged(self.rows)
        return merged(self._as_read(index, row, hold_lines) for index, row in enumerate(self.rows))

    def _as_read(self, index: int, row: Row, hold_lines: Collection[str]) -> Row:
        if not isinstance(row, Utterance) or row.speaker is not Speaker.AGENT:
            return row
        text = row.text
        for line in hold_lines:
            if found := re.search(rf"(?<!\w){re.escape(line)}", text, re.IGNORECASE):
                text = f"{text[: found.start()].rstrip()} {text[found.end() :].lstrip()}".strip()
            elif stops_in_mid_sentence(text):  # perhaps the caller spoke into it
                text = _beginning_of(line).sub("", text)
        # The platform may revise a row; then the mark no longer means it.
        was_cut_off = index in self._cut_off and row.text.startswith(self._cut_off[index])
        return row if text == row.text and not was_cut_off else replace(row, text=text, was_cut_off=was_cut_off)


@lru_cache(maxsize=256)
def _beginning_of(line: str) -> re.Pattern[str]:
    """The first words of a line, at the end of a text and of no sentence with other words."""
    words = line.rstrip(".!?…。！？؟").split()
    beginnings = [r"\s+".join(map(re.escape, words[:count])) for count in range(len(words), 0, -1)]
    return re.compile(rf"(?:\A|(?<=[.!?…。！？؟])\s+)(?:{'|'.join(beginnings) or '(?!)'})\s*\Z", re.IGNORECASE)


def _agent_words(row: Row) -> list[str]:
    return words_of(row.text) if isinstance(row, Utterance) and row.speaker is Speaker.AGENT else []
