"""`cuebox call`: you are the caller, in the terminal.

At a terminal every key counts: typing is speaking, so it interrupts the agent. With piped input each line is one
utterance, said when the agent has finished; speaking takes no time then, so that scripts run fast.
"""

import asyncio
import codecs
import math
import os
import re
import signal
import sys
import termios
import tty
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console

from service.conversation.playout import WORDS_PER_SECOND
from service.simulator.line import NotConnected, SimulatedLine, epoch_of_loop, fresh_call_id, url_of_call
from service.simulator.retell import RetellCall
from service.simulator.retell_steps import LineOpened, RuleBroken, Step
from service.simulator.screen import Screen

NO_CONNECTION, BROKEN_PROTOCOL = 1, 3
PATIENCE = 30.0
HELP = """\
/press 123#  press keys      /silent  say nothing: bring the reminder now
/drop        cut the line    /frames  show or hide raw frames (never pings)
/quit        hang up         Ctrl-C   hang up, too"""

_KEY = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|O.)?|.", re.DOTALL)
_HANG_UP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def call_from_terminal(
    url: str,
    *,
    call_id: str | None = None,
    stdin: TextIO | None = None,
    console: Console | None = None,
    patience: float = PATIENCE,
) -> int:
    """Hold one call as its caller, and return the exit code: 0, 1 not connected, 3 the server broke the protocol."""
    stdin, console = stdin or sys.stdin, console or Console(highlight=False)
    call_id = call_id or fresh_call_id()
    is_live = stdin.isatty() and console.is_terminal
    try:
        address = url_of_call(url, call_id)
        console.print(f"Calling {address}", style="dim", markup=False, soft_wrap=True)
        rate = WORDS_PER_SECOND if is_live else math.inf
        call = RetellCall(call_id, words_per_second=rate, epoch=epoch_of_loop())
        caller = (_AtKeyboard if is_live else _Reading)(call, address, Screen(console, is_live=is_live), patience)
        with _input_of(stdin.fileno(), caller.read, caller.input_ends, is_live=is_live), _hanging_up(caller.hang_up):
            return await caller.converse()
    except NotConnected as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        return NO_CONNECTION


class _Caller(ABC):
    """Says what the input says."""

    def __init__(self, call: RetellCall, address: str, screen: Screen, patience: float) -> None:
        self._call, self._screen, self._patience = call, screen, patience
        self._line = SimulatedLine(call, address, self._see)
        self._opened_at: float | None = None
        self._changed = asyncio.Event()

    async def converse(self) -> int:
        """Hold the call to its end. Raises NotConnected."""
        self._screen.start()
        failure: NotConnected | None = None
        reason = ""
        try:
            async with asyncio.TaskGroup() as tasks:
                talking = tasks.create_task(self._talk())
                try:
                    reason = await self._line.play(attempts=1)
                except NotConnected as error:
                    failure = error
                talking.cancel()
        finally:
            self._screen.stop()
        if failure is not None:
            raise failure
        if self._opened_at is not None:
            self._screen.summary(reason, self._line.now() - self._opened_at)
        if self._screen.faults:
            return BROKEN_PROTOCOL
        return NO_CONNECTION if reason == "error_llm_websocket_open" else 0

    async def _talk(self) -> None:  # noqa: B027  the keyboard needs no task
        pass

    @abstractmethod
    def read(self, text: str) -> None:
        """Input came."""

    @abstractmethod
    def input_ends(self) -> None:
        """There will be no more input."""

    def hang_up(self) -> None:
        self._do(self._call.hang_up(self._line.now()))

    def _do(self, steps: Sequence[Step]) -> None:
        self._line.carry_out(steps)

    def _see(self, step: Step) -> None:
        if isinstance(step, LineOpened) and self._opened_at is None:
            self._opened_at = self._line.now()
        self._screen.show(step)
        self._changed.set()

    def _enter(self, text: str) -> None:
        """A whole line: a command, or the caller's words."""
        now = self._line.now()
        match text.split():
            case ["/press", digits] if re.fullmatch(r"[0-9*#]+", digits):
                self._screen.add("you", f"press {digits}")
                self._do(self._call.press(digits, now))
            case ["/silent"] if self._call.is_listening:
                self._do(self._call.remind(now))
            case ["/silent"]:
                self._screen.add("", "Not now: the agent has not finished.")
            case ["/drop"]:
                self._do(self._call.drop(now))
            case ["/frames"]:
                self._screen.shows_frames = not self._screen.shows_frames
            case ["/quit"]:
                self.hang_up()
            case [word, *_] if word.startswith("/"):
                for line in HELP.splitlines():
                    self._screen.add("", line)
            case _:
                self._say(text, now)
        self._screen.draw()

    def _say(self, text: str, at: float) -> None:
        self._screen.add("you", text or "(nothing that can be understood)")
        self._do(self._call.caller_says(text, at))


class _AtKeyboard(_Caller):
    """Every key is heard at once."""

    _typed = ""
    _is_speaking = False

    def read(self, text: str) -> None:
        for key in _KEY.findall(text):
            self._press(key)
        if self._typed and not self._typed.startswith("/"):
            self._is_speaking = True
            self._do(self._call.caller_types(self._typed, self._line.now()))
        self._screen.typed = self._typed
        self._screen.draw()

    def _press(self, key: str) -> None:
        match key:
            case "\r" | "\n":
                typed, self._typed = self._typed.strip(), ""
                self._screen.typed = ""
                if typed or self._is_speaking:
                    self._is_speaking &= typed.startswith("/")
                    self._enter(typed)
            case "\x7f" | "\b":
                self._typed = self._typed[:-1]
            case "\x15":  # Ctrl-U
                self._typed = ""
            case "\x17":  # Ctrl-W
                self._typed = re.sub(r"\S*\s*$", "", self._typed)
            case "\x04" if not self._typed:  # Ctrl-D
                self.hang_up()
            case _ if key.isprintable():
                self._typed += key

    def input_ends(self) -> None:
        self.hang_up()


class _Reading(_Caller):
    """Each line is one utterance, said when the agent has finished."""

    def __init__(self, call: RetellCall, address: str, screen: Screen, patience: float) -> None:
        super().__init__(call, address, screen, patience)
        self._lines: deque[str | None] = deque()
        self._rest = ""

    def read(self, text: str) -> None:
        *lines, self._rest = (self._rest + text).split("\n")
        self._lines += lines
        self._changed.set()

    def input_ends(self) -> None:
        self._lines += [self._rest, None]
        self._changed.set()

    async def _talk(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._patience):
                    await self._until(lambda: self._call.is_listening)
            except TimeoutError:
                self._see(RuleBroken(f"the agent did not finish within {self._patience:g} s"))
                self.hang_up()
            await self._until(lambda: bool(self._lines))
            line = self._lines.popleft()
            if line is None:
                self.hang_up()
            elif line.strip():
                self._enter(line.strip())

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self._changed.clear()
            await self._changed.wait()


@contextmanager
def _input_of(
    descriptor: int, read: Callable[[str], None], end: Callable[[], None], *, is_live: bool
) -> Iterator[None]:
    """Hand over what comes in; a terminal gives each key at once, and is put back as it was."""
    loop = asyncio.get_running_loop()
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    before = termios.tcgetattr(descriptor) if is_live else None

    def take() -> bool:
        try:
            data = os.read(descriptor, 65536)
        except OSError:  # the terminal is gone
            data = b""
        if not data:
            loop.remove_reader(descriptor)
            end()
            return False
        read(decode(data))
        return True

    try:
        if before:
            tty.setcbreak(descriptor)
        try:
            loop.add_reader(descriptor, take)
        except PermissionError:  # a file: it never makes anybody wait, so it cannot be waited for
            while take():
                pass
        yield
    finally:
        loop.remove_reader(descriptor)
        if before:
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextmanager
def _hanging_up(hang_up: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C and friends end the call as a caller does."""
    loop = asyncio.get_running_loop()
    for number in _HANG_UP_SIGNALS:
        loop.add_signal_handler(number, hang_up)
    try:
        yield
    finally:
        for number in _HANG_UP_SIGNALS:
            loop.remove_signal_handler(number)
