"""The caller at the terminal: through a pipe, and at a real pseudo-terminal."""

import asyncio
import io
import os
import pty
import re
import signal
import termios
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from rich.console import Console
from websockets.asyncio.server import ServerConnection, serve

from service.conversation.call import Prompt, Turn
from service.conversation.parts import HangUp, PageMessage, Part, PressDigits, Speech, Transfer, VoiceSettings
from service.conversation.transcript import ToolAnswered, ToolCalled
from service.simulator.terminal import call_from_terminal
from tests.live import ScriptedAgent, Service, serving

NOBODY = "ws://127.0.0.1:1/llm-websocket"


async def reply(turn: Turn) -> AsyncGenerator[Part]:  # noqa: C901  one case a line of the script
    """An agent that does what the caller names."""
    said = turn.history[-1].text if turn.history and hasattr(turn.history[-1], "text") else ""
    match said if turn.prompt is Prompt.CALLER_SPOKE else turn.prompt:
        case Prompt.GREETING:
            yield Speech("Hello, this is the agent speaking.")
        case Prompt.CALLER_SILENT:
            yield Speech("Are you there?")
        case "tool":
            yield Speech("Let me look. ")
            yield ToolCalled("t1", "find_slot", '{"day":"Monday"}')
            yield ToolAnswered("t1", "9:30", is_successful=True)
            yield ToolCalled("t2", "book", "{}")
            yield ToolAnswered("t2", "full", is_successful=False)
            yield Speech("Half past nine.")
        case "bye":
            yield HangUp("Good bye.")
        case "human":
            yield Transfer("+12025550100", "One moment.")
        case "menu":
            yield PressDigits("42", "Pressing.")
        case "tune":
            yield VoiceSettings(responsiveness=0.5)
            yield PageMessage.of({"page": 2})
            yield Speech("Tuned.")
        case "guarded":
            yield Speech("Every call here is recorded.", is_uninterruptible=True)
        case "nothing":
            return
        case "escape":
            yield Speech("Red \x1b[31malert.")
        case _:
            yield Speech(f"You said {said}")


async def piped(service: Service | str, text: str, patience: float = 5.0) -> tuple[int, str]:
    """What a script that pipes this in gets: the exit code and the output."""
    reading, writing = os.pipe()
    os.write(writing, text.encode())
    os.close(writing)
    out = io.StringIO()
    url = service if isinstance(service, str) else f"ws://{service.address}/llm-websocket"
    with os.fdopen(reading) as stdin:
        console = Console(file=out, width=100)
        code = await call_from_terminal(url, call_id="call_1", stdin=stdin, console=console, patience=patience)
    return code, re.sub(r" +\(\d+ ms\)", "", out.getvalue())


async def test_piped_lines_are_said_one_after_the_other() -> None:
    async with serving(ScriptedAgent(reply)) as service:
        code, out = await piped(service, "one\n\ntwo")
    assert code == 0
    assert out.splitlines()[1:6] == [
        "  line  the agent's server asks for pings, call details, tool rows",
        " agent  Hello, this is the agent speaking.",
        "   you  one",
        " agent  You said one",
        "   you  two",
    ]
    assert re.search(r"You hung up\.\n +2 turns · first chunk \d+ ms \(p50\), \d+ ms \(max\) · 0 int", out)


async def test_tools_actions_and_silence_are_shown() -> None:
    async with serving(ScriptedAgent(reply)) as service:
        code, out = await piped(service, "tool\n/silent\n/press 1#\nmenu\ntune\nnothing\nescape\nbye\nnever said\n")
    assert code == 0
    for line in (
        " agent  Let me look.\n",
        '  tool  find_slot {"day":"Monday"}\n  tool  ✓ 9:30\n  tool  book {}\n  tool  ✗ full\n',
        " agent  Half past nine.\n",
        "  line  silence: the agent is asked to say something\n agent  Are you there?\n",
        "   you  press 1#\n",
        "action  press 42\n",
        "  line  the agent's voice is set: responsiveness 0.5\n",
        '  line  for the web page: {"page": 2}\n',
        "  line  the agent says nothing\n",
        " agent  Good bye.\naction  hang up\n",
        "The agent hung up.\n",
    ):
        assert line in out
    assert "\x1b" not in out
    assert "never said" not in out


async def test_the_line_is_dropped_and_comes_back() -> None:
    async with serving(ScriptedAgent(reply)) as service:
        code, out = await piped(service, "/drop\nstill there?\n/quit\n")
    assert code == 0
    assert "the line was cut; dialling again\n  line  connected again\n" in out
    assert "You said still there?" in out


async def test_a_transfer_ends_the_call() -> None:
    async with serving(ScriptedAgent(reply)) as service:
        code, out = await piped(service, "human\n")
    assert code == 0
    assert "action  transfer to +12025550100\n" in out
    assert "The agent handed you over." in out


async def test_frames_are_shown_on_demand_and_commands_explained() -> None:
    async with serving(ScriptedAgent(reply)) as service:
        _, out = await piped(service, "/frames\none\n/frames\n/what\n/press x\n")
    assert '  sent  {"interaction_type":"response_required"' in out
    assert '   got  {"response_type":"response"' in out
    assert out.count("/drop        cut the line") == 2


async def test_input_may_be_a_file(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("one\n")
    out = io.StringIO()
    async with serving(ScriptedAgent(reply)) as service:
        with script.open() as stdin:
            console = Console(file=out, width=100)
            code = await call_from_terminal(service.address, stdin=stdin, console=console)
    assert code == 0
    assert "You said one" in out.getvalue()


async def test_a_call_that_nobody_takes_is_one_sentence() -> None:
    code, out = await piped(NOBODY, "one\n")
    assert code == 1
    assert out.splitlines()[1:] == [
        "Nothing answers at 127.0.0.1:1. Is the service running? Start it with: cuebox serve"
    ]


async def test_a_wrong_address_is_one_sentence() -> None:
    code, out = await piped("ftp://host/x", "")
    assert (code, out) == (1, "That is no address to call. One looks like ws://127.0.0.1:8080/llm-websocket.\n")


@asynccontextmanager
async def misbehaving(*frames: str) -> AsyncIterator[str]:
    """A server that sends these, and then nothing."""

    async def hold(connection: ServerConnection) -> None:
        for frame in frames:
            await connection.send(frame)
        await connection.wait_closed()

    async with serve(hold, "127.0.0.1", 0) as listening:
        yield f"127.0.0.1:{next(iter(listening.sockets)).getsockname()[1]}"


async def test_a_server_that_breaks_the_protocol_is_shown_and_ends_in_3() -> None:
    final = '{"response_type":"response","response_id":0,"content":"","content_complete":true}'
    async with misbehaving("Hello", '{"response_type":"config","config":{}}', final) as url:
        code, out = await piped(url, "")
    assert code == 3
    assert " fault  a frame is not JSON" in out
    assert "asks for nothing but the transcript" in out
    assert "1 fault" in out


async def test_an_agent_that_never_finishes_is_given_up() -> None:
    async with misbehaving() as url:
        code, out = await piped(url, "one\n", patience=0.1)
    assert code == 3
    assert " fault  the agent did not finish within 0.1 s" in out


# At a terminal.


class Terminal:
    """A pseudo-terminal with somebody who types."""

    def __init__(self) -> None:
        self._master, self._slave = pty.openpty()
        self._out = os.fdopen(os.dup(self._slave), "w")
        self._in = os.fdopen(os.dup(self._slave))
        self.output = ""
        self.before = termios.tcgetattr(self._slave)
        asyncio.get_running_loop().add_reader(self._master, self._read)

    def _read(self) -> None:
        self.output += os.read(self._master, 65536).decode()

    async def call(self, service: Service) -> int:
        console = Console(file=self._out, force_terminal=True, width=80, height=24, legacy_windows=False)
        url = f"ws://{service.address}/llm-websocket"
        return await call_from_terminal(url, call_id="call_1", stdin=self._in, console=console)

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    async def shows(self, text: str) -> None:
        """Wait for words on the screen, wherever the colours change."""
        async with asyncio.timeout(5):
            while text not in self.plain:
                await asyncio.sleep(0.01)

    @property
    def plain(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.output)

    @property
    def is_restored(self) -> bool:
        return termios.tcgetattr(self._slave) == self.before and self.output.endswith("\n")

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        self._in.close()
        self._out.close()
        os.close(self._slave)
        os.close(self._master)


@asynccontextmanager
async def at_a_terminal() -> AsyncIterator[tuple[Terminal, asyncio.Task[int]]]:
    async with serving(ScriptedAgent(reply)) as service:
        terminal = Terminal()
        try:
            async with asyncio.TaskGroup() as tasks:
                yield terminal, tasks.create_task(terminal.call(service))
            await asyncio.sleep(0.05)
            assert terminal.is_restored
        finally:
            terminal.close()


async def test_typing_while_the_agent_speaks_cuts_it_off() -> None:
    async with at_a_terminal() as (terminal, calling):
        await terminal.shows("Hello, this is the agent speaking.")
        await asyncio.sleep(0.9)
        terminal.type("Wai")
        await terminal.shows("✂")
        assert re.search(r"Hello, [a-z ]*✂ [a-z ]*speaking\.", terminal.plain)
        terminal.type("\x1b[Asx\x7f\x15Wait x\x17\x08, I pres")
        await terminal.shows("you  Wait, I pres▌")
        terminal.type("s\r")
        await terminal.shows("You said Wait, I press")
        terminal.type("\x04")
        assert await calling == 0
    assert "1 turn · " in terminal.plain
    assert "1 interruption" in terminal.plain


async def test_words_typed_and_erased_are_speech_not_understood() -> None:
    async with at_a_terminal() as (terminal, calling):
        await terminal.shows("Hello")
        terminal.type("\r")
        terminal.type("x")
        await terminal.shows("x▌")
        terminal.type("\x7f\r")
        await terminal.shows("You said (unintelligible audio)")
        terminal.type("/silent\r")
        await terminal.shows("Not now: the agent has not finished.")
        terminal.type("/quit\r")
        assert await calling == 0


async def test_guarded_words_go_on_while_the_caller_speaks() -> None:
    async with at_a_terminal() as (terminal, calling):
        await terminal.shows("Hello")
        terminal.type("guarded\r")
        await terminal.shows("Every call here is recorded.")
        terminal.type("what?\r")
        await terminal.shows("You said what?")
        terminal.type("/quit\r")
        assert await calling == 0
    assert "✂ Every" not in terminal.plain


async def test_an_interrupted_hang_up_is_not_done() -> None:
    async with at_a_terminal() as (terminal, calling):
        await terminal.shows("Hello")
        terminal.type("bye\r")
        await terminal.shows("Good bye.")
        terminal.type("no\r")
        await terminal.shows("not done, you were faster: hang up")
        terminal.type("/quit\r")
        assert await calling == 0


async def test_ctrl_c_hangs_up_and_restores_the_terminal() -> None:
    async with at_a_terminal() as (terminal, calling):
        await terminal.shows("Hello")
        signal.raise_signal(signal.SIGINT)
        assert await calling == 0
    assert "You hung up." in terminal.plain
