"""What a model may do with the call: hang up, hand the caller over, press keys. Each by its rules in `agent.toml`.

A model names whom to transfer to; it neither sees nor picks a number.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from service.agents.variables import spoken
from service.conversation.call import Rescue, SpokenLines, Turn
from service.conversation.parts import Action, HangUp, PressDigits, Transfer
from service.conversation.transcript import DigitPressed, Row, Speaker, Utterance
from service.llm.model import ToolSpec

HEARD_AT_MOST = 4000
"""Characters of the caller's newest words that the rules look at."""

LONGEST_MESSAGE = 500
"""Characters of closing words."""

MOST_DIGITS = 32


class Rules(Struct, frozen=True, forbid_unknown_fields=True):
    """When an action is allowed. Patterns are regular expressions; capitals do not matter."""

    description: str = ""
    """Told to the model instead of ours: when to use it."""
    uninterruptible: bool = False
    """Whether the caller cannot cut off the closing words."""
    min_turns: Annotated[int, Meta(ge=0, le=1000)] = 0
    """How often the caller must have spoken, or pressed keys, so far."""
    unless_said: str = ""
    """Refused while this is in what the caller said last: a "wait" counts now, not for the rest of the call."""
    only_if_said: str = ""
    """Refused until this was in anything that the caller said: what was asked for once need not be asked for again."""

    def __post_init__(self) -> None:
        for name in ("unless_said", "only_if_said"):
            try:
                re.compile(getattr(self, name))
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"{name} is no regular expression: {error}") from error


class TransferRules(Rules, frozen=True, kw_only=True):
    """Whom the caller may be handed over to."""

    numbers: dict[str, str]
    """E.164 numbers, by the names that the model picks from: letters, digits, spaces, `_` and `-`."""
    shows_caller_number: bool = False
    """Whether the one who is called sees the caller's number instead of the agent's."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.numbers:
            raise ValueError('numbers is empty: give at least one, such as numbers = { reception = "+4930123456" }')
        if len({_folded(name) for name in self.numbers}) < len(self.numbers):
            raise ValueError("two of the numbers have the same name")
        for name, number in self.numbers.items():
            if not re.fullmatch(r"[^\W_][\w -]{0,63}", name):
                raise ValueError(f"{name!r} is no name for a number: use letters, digits, spaces, _ and -, at most 64")
            try:
                Transfer(number)
            except ValueError as error:
                raise ValueError(f"the number of {name!r} is wrong: {error}, such as +4930123456") from error


class ActionRules(Struct, frozen=True, forbid_unknown_fields=True):
    """What stands under `[actions]`. The model is offered those that are there, even with nothing in them."""

    end_call: Rules | None = None
    transfer_call: TransferRules | None = None
    press_digits: Rules | None = None


class RescueRules(Struct, frozen=True, forbid_unknown_fields=True):
    """What stands under `[rescue]`: who takes the caller when the agent cannot answer."""

    transfer: str
    """A name among the numbers of `[actions.transfer_call]`."""
    words: str = "I will put you through to a colleague."


class _Wish(Struct, frozen=True):
    """The arguments of all actions together. What else a model invents is nothing."""

    message: str | None = ""
    to: str = ""
    digits: str = ""


@dataclass(frozen=True, slots=True)
class ActionTool:
    """An action as a model calls it."""

    spec: ToolSpec
    _rules: Rules
    _action_of: Callable[[_Wish, str], Action | str]

    def decide(self, arguments: str, turn: Turn) -> Action | str:
        """The action that the model's arguments ask for, or why not and what to do instead, told to the model."""
        try:
            wish = msgspec.json.decode(arguments or "{}", type=_Wish)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return f"Refused: the arguments are not as {self.spec.name} takes them. Call it again with them put right."
        if refusal := self._refusal(turn):
            return refusal
        message = wish.message or ""
        if len(message) > LONGEST_MESSAGE:
            return f"Refused: the message is too long. Call {self.spec.name} again with one short sentence."
        return self._action_of(wish, spoken(message, LONGEST_MESSAGE))

    def _refusal(self, turn: Turn) -> str | None:
        rules, said = self._rules, _caller_turns(turn.history)
        if len(said) < rules.min_turns:
            return f"Refused: it is too early in the call for {self.spec.name}. Go on with the conversation."
        latest = said[-1] if said else ""
        if rules.unless_said and re.search(rules.unless_said, latest[-HEARD_AT_MOST:], re.IGNORECASE):
            return "Refused: what the caller just said speaks against it. Answer that first."
        if rules.only_if_said and not re.search(rules.only_if_said, "\n".join(said)[-HEARD_AT_MOST:], re.IGNORECASE):
            return "Refused: the caller has not asked for it. Ask whether they want it, and wait for the answer."
        return None


def actions_of(rules: ActionRules) -> Mapping[str, ActionTool]:
    """The tools that an agent's rules offer its model, by name."""
    tools: list[ActionTool] = []
    if rules.end_call is not None:
        tools.append(_end_call(rules.end_call))
    if rules.transfer_call is not None:
        tools.append(_transfer_call(rules.transfer_call))
    if rules.press_digits is not None:
        tools.append(_press_digits(rules.press_digits))
    return {tool.spec.name: tool for tool in tools}


def rescue_of(rescue: RescueRules | None, rules: ActionRules) -> Rescue | None:
    """Whom the caller is handed over to when the agent cannot answer. Raises ValueError for a name without number."""
    if rescue is None:
        return None
    transfer = rules.transfer_call
    if transfer is None or rescue.transfer not in transfer.numbers:
        known = ", ".join(transfer.numbers) if transfer is not None else "there are none"
        raise ValueError(f"nobody in [actions.transfer_call] numbers is called {rescue.transfer!r}: {known}")
    number = transfer.numbers[rescue.transfer]
    return Rescue(
        Transfer(number, rescue.words, transfer.shows_caller_number, is_uninterruptible=True), EVERY_MODEL_DOWN
    )


EVERY_MODEL_DOWN = frozenset(
    {
        *("KeyRejected", "QuotaExhausted", "RequestRejected", "ModelRejected"),
        *("RateLimited", "ServerFailed", "Unreachable", "ModelUnavailable"),
    }
)
"""Failures that come only after every target was asked: to try again is to keep the caller waiting.

Not among them: an answer that broke off, said nothing or did not stop. The next one may be well.
"""


def with_offer(lines: SpokenLines, rules: ActionRules) -> SpokenLines:
    """The lines, in every language, with the offer of a colleague behind the honest one, where there is a colleague."""
    if rules.transfer_call is None:
        return lines
    others = {code: with_offer(each, rules) for code, each in lines.by_language.items()}
    return replace(lines, give_up=f"{lines.give_up} {lines.offer.strip()}".strip(), by_language=others)


def _end_call(rules: Rules) -> ActionTool:
    def action_of(_: _Wish, words: str) -> Action:
        return HangUp(words, rules.uninterruptible)

    about = "Hang up. Only when the caller's matter is settled and they said goodbye, or that they need nothing else."
    return ActionTool(_spec("end_call", rules.description or about, message=_GOODBYE), rules, action_of)


def _transfer_call(rules: TransferRules) -> ActionTool:
    numbers = {_folded(name): number for name, number in rules.numbers.items()}
    names = ", ".join(rules.numbers)

    def action_of(wish: _Wish, words: str) -> Action | str:
        number = numbers.get(_folded(wish.to))
        if number is None:
            return (
                f"Refused: there is nobody of that name to transfer to. Call transfer_call again with one of: {names}."
            )
        return Transfer(number, words, rules.shows_caller_number, rules.uninterruptible)

    about = "Hand the caller over to a colleague. Only when they ask for it, or need what you cannot do."
    to = {"type": "string", "enum": list(rules.numbers), "description": "Whom to."}
    return ActionTool(_spec("transfer_call", rules.description or about, to=to, message=_ANNOUNCED), rules, action_of)


def _press_digits(rules: Rules) -> ActionTool:
    def action_of(wish: _Wish, words: str) -> Action | str:
        digits = re.sub(r"[\s-]", "", wish.digits)
        if not 0 < len(digits) <= MOST_DIGITS:
            return f"Refused: give 1 to {MOST_DIGITS} digits. Call press_digits again with them."
        try:
            return PressDigits(digits, words, rules.uninterruptible)
        except ValueError:
            return "Refused: the keys are 0 to 9, * and #. Call press_digits again with these alone."

    about = "Press keys of the phone, to get through a recorded menu. Only when the other side asks for keys."
    digits = {"type": "string", "description": "The keys in their order: 0 to 9, * and #."}
    return ActionTool(
        _spec("press_digits", rules.description or about, digits=digits, message=_SAID_BEFORE), rules, action_of
    )


def _spec(name: str, description: str, **properties: Mapping[str, object]) -> ToolSpec:
    """In the shape that strict mode asks for: everything is required, and nothing else is taken."""
    required = list(properties)
    shape = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return ToolSpec(name, description, shape)


_GOODBYE = {"type": "string", "description": "One short goodbye, spoken before the line closes."}
_ANNOUNCED = {"type": "string", "description": "One short sentence that announces it, spoken before the transfer."}
_SAID_BEFORE = {"type": "string", "description": "Spoken before the keys are pressed; empty for nothing."}


def _caller_turns(history: Sequence[Row]) -> list[str]:
    """What the caller said each time it was their turn. Pressed keys are a turn without words."""
    said: list[str] = []
    is_agent = True
    for row in history:
        match row:
            case Utterance(speaker=Speaker.AGENT):
                is_agent = True
            case Utterance() | DigitPressed():
                text = row.text if isinstance(row, Utterance) else ""
                if is_agent:
                    said.append(text)
                else:
                    said[-1] += f"\n{text}"
                is_agent = False
            case _:
                pass
    return said


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()
