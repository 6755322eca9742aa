"""Typed functions that a model may call: put `@tool` on one.

Its signature and its docstring are what the model is told of it. The receptionist's tools.py is the example.
"""

import asyncio
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import FunctionType
from typing import Any, Literal, overload

import msgspec

from service.agents.call import Call
from service.agents.schema import Arguments, Parameters, ToolError, ToolMistake, parameters_of
from service.agents.threads import in_thread
from service.conversation.transcript import Transcript
from service.llm.model import ToolSpec

__all__ = ["Answer", "Arguments", "Confirm", "Effect", "Tool", "ToolError", "ToolMistake", "tool"]

Effect = Literal["read", "write"]
Confirm = Callable[[Transcript], bool]

MOST_BYTES = 16 * 1024
"""Of an answer's content."""
MOST_SECONDS = 120.0
MOST_DESCRIPTION = 1024  # characters: some wires refuse more
IN_DOUBT = " It is not known whether it was done: do not say that it was."
GRACE = 1.0
"""Seconds that a tool has to end when it is cancelled."""

_left: set[asyncio.Task["Answer"]] = set()  # tools that outlived their cancellation: held until they end


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool answered. `content` is for the model."""

    content: str
    fault: str | None = None
    """None when it went well; else "timeout", "refused", "raised", "unreadable" or "arguments"."""
    error: str | None = None
    """The class of what was raised."""

    @property
    def is_in_doubt(self) -> bool:
        """Whether it may have been done all the same: read from the words, which come back from any platform."""
        return IN_DOUBT in self.content

    @classmethod
    def failed(cls, fault: str, text: str, error: str | None = None) -> "Answer":
        """Tell the model what went wrong: the content is `{"error": text}`, its text cut at 1000 characters."""
        return cls(msgspec.json.encode({"error": _sound(text[:1000])}).decode(), fault, error)


@dataclass(frozen=True, slots=True, eq=False)
class Tool:
    """A function that a model may call. Calling it calls the plain function."""

    spec: ToolSpec
    effect: Effect
    timeout: float
    hold: str
    hold_after: float
    confirm: Confirm | None
    function: FunctionType = field(repr=False)
    parameters: Parameters = field(repr=False)

    @property
    def name(self) -> str:
        return self.spec.name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def read(self, arguments: str) -> Arguments:
        """Validate the arguments as the model spelled them, JSON. Raises ToolError: its text is for the model."""
        try:
            return self.parameters.read(arguments)
        except ToolError:
            raise
        except Exception as error:  # a type of the tool's may run code of its own
            raise ToolError("These arguments cannot be used.") from error

    async def run(self, call: Call, arguments: Arguments) -> Answer:
        """Answer within `timeout`. Raises nothing but CancelledError, when the tool has ended.

        A tool that does not end when it is cancelled is left to itself a second later. A thread cannot be stopped:
        it is left at once.
        """
        task = asyncio.get_running_loop().create_task(self._answer(call, arguments))
        try:
            await asyncio.wait((task,), timeout=self.timeout)
        finally:
            is_late = not task.done()
            if is_late:
                await _stop(task)
        answer = task.result() if task.done() and not task.cancelled() else None
        if is_late and (answer is None or answer.fault):
            return Answer.failed("timeout", f"There was no answer within {self.timeout:g} s.{self._doubt}")
        return answer or self._raised("CancelledError")

    async def _answer(self, call: Call, arguments: Arguments) -> Answer:
        begin = partial(self.function, *((call,) if self.parameters.takes_call else ()), **arguments.values)
        try:
            result = await (begin() if inspect.iscoroutinefunction(self.function) else in_thread(begin))
        except ToolError as error:
            return Answer.failed("refused", str(error) or "This was refused.", type(error).__name__)
        except (asyncio.CancelledError, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - a tool is user code: its failure, or its exit, is an answer
            return self._raised(type(error).__name__)
        try:
            return Answer(_content_of(result))
        except Exception as error:  # noqa: BLE001 - so is what it returned
            return Answer.failed("unreadable", f"The answer cannot be read.{self._doubt}", type(error).__name__)

    def _raised(self, error: str) -> Answer:
        return Answer.failed("raised", f"This failed.{self._doubt}", error)

    @property
    def _doubt(self) -> str:
        return IN_DOUBT if self.effect == "write" else ""


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    *,
    effect: Effect = ...,
    timeout: float = ...,
    hold: str = ...,
    hold_after: float = ...,
    confirm: Confirm | None = ...,
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    function: Callable[..., Any] | None = None,
    *,
    effect: Effect = "write",
    timeout: float = 8.0,
    hold: str = "",
    hold_after: float = 1.0,
    confirm: Confirm | None = None,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a tool of a function, async, or sync and then run in a thread (which can be left, not stopped).

    Async code must not block: it would hold up all calls. The type hints and the docstring are what the model is
    told: the words before `Args:` are the tool's, the lines below it the parameters'. A first parameter annotated
    `Call` is the call. Raise ToolError to refuse.

    A write that failed is tried again when it is asked for again. One that may have been done all the same (it took
    too long, it raised something else, its process died) only if it takes the call, whose `key` tells its backend
    that it is the same.

    Args:
        function: What becomes the tool.
        effect: "read" may be cancelled and repeated at will; "write" acts, once for one wish.
        timeout: Seconds until the tool is given up, at most 120.
        hold: Said when the tool is slow, behind what the model said.
        hold_after: Seconds until `hold` is said.
        confirm: Whether the caller agreed to it, from what was said so far; the tool does not run before.

    Raises:
        ToolMistake: It cannot be a tool as it is written.

    """
    if function is None:
        return partial(_made, effect=effect, timeout=timeout, hold=hold, hold_after=hold_after, confirm=confirm)
    return _made(function, effect=effect, timeout=timeout, hold=hold, hold_after=hold_after, confirm=confirm)


def _made(
    function: Callable[..., Any],
    *,
    effect: Effect,
    timeout: float,
    hold: str,
    hold_after: float,
    confirm: Confirm | None,
) -> Tool:
    if not isinstance(function, FunctionType):
        raise ToolMistake(f"@tool stands on a plain function, not on {function!r:.80}. Put it there, above all others.")
    try:
        description, explanations = _documented(function)
        parameters = parameters_of(function, explanations)
        spec = ToolSpec(function.__name__, description, parameters.schema)
        made = Tool(spec, effect, timeout, hold, hold_after, confirm, function, parameters)
        _check(made)
    except ToolMistake as mistake:
        code = function.__code__
        where = f"{code.co_filename}:{code.co_firstlineno}: tool `{function.__name__}`"
        raise ToolMistake(f"{where}: {mistake}") from mistake.__cause__
    return made


def _documented(function: FunctionType) -> tuple[str, dict[str, str]]:
    """The words before `Args:`, and the words for each parameter below it."""
    description, *rest = re.split(
        r"^Args:[ \t]*$", inspect.cleandoc(function.__doc__ or ""), maxsplit=1, flags=re.MULTILINE
    )
    section = re.split(r"^\S", "".join(rest), maxsplit=1, flags=re.MULTILINE)[0]
    explanations: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc("\n" + section).splitlines():
        if begins := re.match(r"(\w+)(?: ?\(.*?\))?: *(.*)", line):
            name, explanations[begins[1]] = begins[1], begins[2]
        elif not name:
            raise ToolMistake(f"`Args:` explains nothing in `{line[:80]}`. Write `name: its words`.")
        else:
            explanations[name] = f"{explanations[name]} {line.strip()}".strip()
    if not description.strip():
        raise ToolMistake("it has no docstring. Say in it what the tool does, and when to call it: the model reads it.")
    if len(description) > MOST_DESCRIPTION:
        raise ToolMistake(f"its docstring is too long. Use at most {MOST_DESCRIPTION} characters before `Args:`.")
    return description.strip(), explanations


def _check(made: Tool) -> None:
    if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", made.name):
        raise ToolMistake("a model takes no such name. Use 1 to 64 letters without accents, digits and _.")
    if inspect.isgeneratorfunction(made.function) or inspect.isasyncgenfunction(made.function):
        raise ToolMistake("it yields. Return everything at once.")
    if not 0 < made.timeout <= MOST_SECONDS:
        raise ToolMistake(
            f"timeout={made.timeout} is out of range. Use seconds, more than 0 and at most {MOST_SECONDS:g}."
        )
    if not 0 <= made.hold_after <= MOST_SECONDS:
        raise ToolMistake(f"hold_after={made.hold_after} is out of range. Use seconds, 0 to {MOST_SECONDS:g}.")
    if made.effect not in ("read", "write"):
        raise ToolMistake(f'effect={made.effect!r} is unknown. Use "read" or "write".')
    if not isinstance(made.hold, str):
        raise ToolMistake(f"hold={made.hold!r} cannot be spoken. Use text.")
    if not (made.confirm is None or callable(made.confirm)):
        raise ToolMistake(f"confirm={made.confirm!r} is no function. Use one that takes the transcript.")


async def _stop(task: asyncio.Task[Answer]) -> None:
    _left.add(task)
    task.add_done_callback(_left.discard)
    task.cancel()
    await asyncio.wait((task,), timeout=GRACE)


def _content_of(result: object) -> str:
    if result is None:
        return "done"
    text = _sound(result) if isinstance(result, str) else msgspec.json.encode(result).decode()
    if len(text) <= MOST_BYTES and len(text.encode()) <= MOST_BYTES:
        return text
    if isinstance(result, (list, tuple)) and (rows := _first_rows(result)):
        return f"[{','.join(rows)}]\n(cut: these are the first {len(rows)} of {len(result)})"
    cut = text.encode()[: MOST_BYTES - 100].decode(errors="ignore")
    return f"{cut}\n(cut: this is the beginning, of {len(text)} characters)"


def _first_rows(result: list[object] | tuple[object, ...]) -> list[str]:
    rows: list[str] = []
    room = MOST_BYTES - 100  # for the note
    for row in result:
        text = msgspec.json.encode(row)
        room -= len(text) + 1
        if room < 0:
            break
        rows.append(text.decode())
    return rows


def _sound(text: str) -> str:
    """The same without half characters, which no wire takes."""
    return text.encode(errors="replace").decode()
