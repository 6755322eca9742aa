"""What is wrong with one decision of the core, in words; empty for nothing (its rules 9, 10 and 14)."""

from collections.abc import Collection, Sequence

from service.conversation import events
from service.conversation.commands import Say
from service.conversation.events import Event
from service.conversation.parts import Action, HangUp
from service.conversation.transcript import Row, Speaker, Transcript, Utterance


def on_history(history: Transcript, transcript: Transcript, holds: Collection[str]) -> str:
    """An agent reads what the platform says was heard: all of the caller's words, its own but for the hold lines."""
    if _words(history, Speaker.CALLER) != _words(transcript, Speaker.CALLER):
        return "the agent does not read what the caller said"
    heard = iter(_words(transcript, Speaker.AGENT))
    unheard = next((word for word in _words(history, Speaker.AGENT) if word not in heard), "")  # takes from `heard`
    if unheard:
        return f"the agent reads that it said {unheard!r}, and nobody heard that there"
    own = [row.text for row in history if isinstance(row, Utterance) and row.speaker is Speaker.AGENT]
    return next((f"the agent reads a hold line: {text!r}" for text in own for line in holds if line in text), "")


def _words(rows: Sequence[Row], speaker: Speaker) -> list[str]:
    return [word for row in rows if isinstance(row, Utterance) and row.speaker is speaker for word in row.text.split()]


def on_end(say: Say, event: Event, asked: Sequence[Action], said: str, rescue: Action | None) -> str:
    """The last words of a turn. `asked` are the actions that its agent asked for, `said` what it had said before."""
    action, is_failed = say.action, isinstance(event, events.ReplyFailed)
    may_be = [*([] if is_failed else asked), *([] if rescue is None else [rescue])]
    if action is not None and action not in may_be:
        return f"{action} was not asked for in this turn" if not is_failed else f"a failed turn ends with {action}"
    if isinstance(action, HangUp) and not say.text.strip():
        return "a farewell without words"
    if not (is_failed or isinstance(event, events.DeadlinePassed)):
        return ""
    if not (said.strip() or say.text.strip() or action):
        return "it failed, and the caller heard nothing"
    words = said.strip()
    return f"{words!r} is said again" if " " in words and say.text.strip().startswith(words) else ""
