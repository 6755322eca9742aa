"""One page, and the calls that it makes: one at a time. When the page goes, its caller hangs up."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, assert_never

import structlog
from litestar import Litestar

from service.playground import messages
from service.playground.call import PlaygroundCall
from service.playground.messages import (
    CallBegan,
    CallersAct,
    CallOver,
    Hello,
    NotUnderstood,
    Start,
    ToPage,
    Trouble,
    Wish,
)
from service.playground.stand_in import MoodyModel, rehearsal
from service.settings import SettingsError
from service.simulator.retell import RetellCall
from service.simulator.retell_steps import Step
from service.virtual.process import Lines

MOST_WAITING = 5000
"""Messages that wait for a page. One that does not read them is let go."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What the playground needs to know of the service that it is part of."""

    agents: Sequence[str]
    without_model: Sequence[str]
    way_in: str
    """The address that `[/{agent}]/{call_id}` is appended to."""
    peer: str
    """The address that calls shall seem to come from."""
    with_stand_in: Callable[[str], Litestar]
    """Makes the same service, whose agents ask the model at this address. Raises SettingsError."""


class Transport(Protocol):
    """The page's end."""

    @property
    def is_gone(self) -> bool: ...

    def try_send(self, text: bytes) -> bool: ...

    async def room(self) -> None: ...

    def abort(self) -> None: ...


class Visit:
    """A page that is here."""

    def __init__(self, stage: Stage, lines: Lines, transport: Transport) -> None:
        """`lines` lead to the service itself."""
        self._stage, self._lines, self._transport = stage, lines, transport
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(MOST_WAITING)
        self._call: PlaygroundCall | None = None
        self._model: MoodyModel | None = None
        self._shows_frames = False

    async def serve(self, receive: Callable[[], Awaitable[Any]]) -> None:
        """Until the page is gone. `receive` is ASGI's."""
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(self._write())
            self.tell(Hello(list(self._stage.agents), list(self._stage.without_model)))
            async with asyncio.TaskGroup() as calls:
                while (message := await receive())["type"] == "websocket.receive":
                    self._hear(message.get("text"), calls)
                if self._call is not None:
                    self._call.hang_up()
            writing.cancel()

    def tell(self, message: ToPage) -> None:
        """Tell the page."""
        try:
            self._waiting.put_nowait(messages.encode(message))
        except asyncio.QueueFull:
            self._transport.abort()

    async def _write(self) -> None:
        while True:
            message = await self._waiting.get()
            while not self._transport.try_send(message) and not self._transport.is_gone:
                await self._transport.room()

    def _hear(self, message: str | None, calls: asyncio.TaskGroup) -> None:
        try:
            wish = messages.read(message)
            if isinstance(wish, Start):
                self._start(wish, calls)
            else:
                self._do(wish)
        except NotUnderstood as error:
            self.tell(Trouble(str(error)))

    def _start(self, start: Start, calls: asyncio.TaskGroup) -> None:
        if self._call is not None and not self._call.is_over:
            raise NotUnderstood("A call is under way: hang up before the next one.")
        if start.agent and start.agent not in self._stage.agents:
            raise NotUnderstood(f"Nobody here is called {start.agent!r}. There are {', '.join(self._stage.agents)}.")
        self._model = None
        self._call = PlaygroundCall(start, self.tell, shows_frames=self._shows_frames)
        calls.create_task(self._hold(self._call, start))

    async def _hold(self, call: PlaygroundCall, start: Start) -> None:
        began = CallBegan(call.call.call_id, start.agent or self._stage.agents[0], start.model)
        way_in = f"{self._stage.way_in}/{start.agent}".rstrip("/")
        try:
            if start.model == "own":
                self.tell(began)
                await call.play(self._lines, way_in)
                return
            async with rehearsal(self._stage.with_stand_in, self._stage.peer) as (lines, self._model):
                self.tell(began)
                await call.play(lines, way_in)
        except (SettingsError, OSError) as error:
            self._give_up(call, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the page and the service go on
            structlog.get_logger().exception("playground.failed")
            self._give_up(call, f"The playground itself failed ({type(error).__name__}). The service's log says where.")

    def _give_up(self, call: PlaygroundCall, trouble: str) -> None:
        call.hang_up()
        self.tell(CallOver(trouble=trouble))

    def _do(self, wish: Wish) -> None:
        """Raises NotUnderstood when it cannot be done now."""
        if isinstance(wish, messages.ShowFrames):
            self._shows_frames = wish.on
            if self._call is not None:
                self._call.show_frames(on=wish.on)
        elif self._call is None or self._call.is_over:
            raise NotUnderstood("There is no call now: start one.")
        elif not isinstance(wish, messages.SetMood):
            self._call.do(_act_of(wish, self._call.call))
        elif self._model is None:
            raise NotUnderstood("Only the stand-in model can be told how to behave: start a call with it.")
        else:
            self._model.mood = wish.mood


def _act_of(wish: CallersAct, call: RetellCall) -> Callable[[float], list[Step]]:
    """What the caller does. Raises NotUnderstood when it cannot be done now."""
    match wish:
        case messages.Type():
            return partial(call.caller_types, wish.text)
        case messages.Say():
            return partial(call.caller_says, wish.text)
        case messages.Press():
            return partial(call.press, wish.digits)
        case messages.Remind() if not call.is_listening:
            raise NotUnderstood("Not now: a reminder comes when the agent has finished, and nobody speaks.")
        case messages.Remind():
            return call.remind
        case messages.Drop():
            return call.drop
        case messages.HangUp():
            return call.hang_up
        case _:
            assert_never(wish)
