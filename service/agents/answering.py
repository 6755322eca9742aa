"""The rounds of one turn: the model speaks and calls tools, reads what they answered, and speaks again."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from service.agents.actions import ActionTool, actions_of
from service.agents.folder import Folder, Limits
from service.agents.round import Desk, Round
from service.agents.tools import Tool
from service.conversation.call import Turn
from service.conversation.parts import Part, Speech
from service.llm.model import NO_TOOLS, ChatModel, Message, NothingSaid, Occasion, Role, ToolCall, ToolExchange, Toolset

MOST_CALLS = 8
"""Tools and actions in one round."""

SWITCHED_OFF = "The operator switched this off for now. Nothing was done. Tell the caller that it cannot be done now."


@dataclass(frozen=True, slots=True)
class Abilities:
    """What an agent's model may call. Made once: the model's endpoints spell it once, and keep what it costs them."""

    tools: Mapping[str, Tool]
    actions: Mapping[str, ActionTool]
    asking: Toolset
    closing: Toolset
    """The same, when it is time to speak."""
    limits: Limits
    can_write: bool = False

    @classmethod
    def of(cls, folder: Folder) -> "Abilities":
        tools, actions = {tool.name: tool for tool in folder.tools}, actions_of(folder.script.actions)
        specs = (*(tool.spec for tool in tools.values()), *(action.spec for action in actions.values()))
        if not specs:
            return cls(tools, actions, NO_TOOLS, NO_TOOLS, folder.script.limits)
        can_write = any(tool.effect == "write" for tool in tools.values())
        return cls(tools, actions, Toolset(specs), Toolset(specs, may_call=False), folder.script.limits, can_write)


class Answering:
    """One turn."""

    def __init__(
        self,
        model: ChatModel,
        abilities: Abilities,
        desk: Desk,
        turn: Turn,
        messages: list[Message | ToolExchange],
        *,
        asked_at: float,
    ) -> None:
        """`asked_at` is the loop's time."""
        self._model, self._abilities, self._desk = model, abilities, desk
        self._turn, self._messages = turn, messages
        self._act_at = asked_at + abilities.limits.settle_delay
        self._said = ""
        """The last piece that was spoken."""
        self._needs_space = self._has_spoken = False

    async def parts(self) -> AsyncGenerator[Part]:
        """Answer. Raises a ModelError, also when there was neither a word nor an action in all of the rounds."""
        occasion = Occasion(self._turn.call_id, self._turn.index)
        for left in reversed(range(self._abilities.limits.rounds)):
            toolset = self._abilities.asking if left else self._abilities.closing
            calls, words = list[ToolCall](), ""
            async with aclosing(self._model.stream(self._messages, occasion, toolset)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, ToolCall):
                        calls.append(piece)
                    else:
                        words += piece
                        yield self._speech(piece)
            if not calls or not left:
                break
            if words.strip():
                self._messages.append(Message(Role.ASSISTANT, words))
            tools = self._round(calls)
            async with aclosing(tools.parts()) as parts:
                async for part in parts:
                    yield part
            if tools.has_acted:
                return
            self._messages += tools.exchanges
            self._needs_space = bool(self._said) and not self._said[-1].isspace()
        if not self._has_spoken:
            raise NothingSaid

    def _speech(self, piece: str) -> Speech:
        """Words as they come, with the space that is missing between two rounds."""
        if piece and self._needs_space:
            self._needs_space = False
            piece = piece if piece[0].isspace() else f" {piece}"
        self._said = piece or self._said
        self._has_spoken = self._has_spoken or bool(piece.strip())
        return Speech(piece)

    def _round(self, calls: Sequence[ToolCall]) -> Round:
        tools = Round(self._desk, self._turn, act_at=self._act_at)
        for number, call in enumerate(calls):
            if number >= MOST_CALLS:
                tools.refuse(call, f"At most {MOST_CALLS} tools can be called at a time: call this one again.")
            elif call.name in self._desk.switches.tools_off:
                tools.refuse(call, SWITCHED_OFF)
            elif (action := self._abilities.actions.get(call.name)) is None:
                tools.ask(call)
            elif isinstance(decided := action.decide(call.arguments, self._turn), str):
                tools.refuse(call, decided)
            else:
                tools.act(call, decided)
        return tools
