"""One call of the page's: its caller, Retell's side as the simulator plays it, and a service in this process."""

import asyncio
import re
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress

from service.conversation.call import Ending
from service.playground.messages import CallOver, FrameSeen, Happened, Start, ToPage, TurnSeen
from service.playground.waterfall import TurnsSeen
from service.simulator import retell_steps as steps
from service.simulator.line import NotConnected, SimulatedLine, Socket, epoch_of_loop, fresh_call_id
from service.simulator.retell import RetellCall
from service.simulator.retell_steps import Step
from service.virtual.process import Lines, Refused

MOST_FRAMES = 200
"""Frames remembered for a page that asks for them."""

LONGEST_FRAME = 20_000
"""Characters shown of one: each request has all of the transcript in it."""

SETTLED_WITHIN = 6.0
"""Seconds that the service may take to see that a call is over."""


class PlaygroundCall:
    """A call, told to the page. What its caller does is a method of `call`, by `do`."""

    def __init__(self, start: Start, tell: Callable[[ToPage], None], *, shows_frames: bool = False) -> None:
        self.call = RetellCall(
            fresh_call_id(), start.details, words_per_second=start.words_per_second, epoch=epoch_of_loop()
        )
        self.shows_frames = shows_frames
        self._tell = tell
        self._now = asyncio.get_running_loop().time
        self._began_at = self._now()
        self._line: SimulatedLine | None = None
        self._frames: deque[FrameSeen] = deque(maxlen=MOST_FRAMES)

    @property
    def is_over(self) -> bool:
        return self.call.ended is not None

    async def play(self, lines: Lines, way_in: str) -> None:
        """Hold it to its end. `way_in` is the address that a call id is appended to."""
        if self.is_over:
            return
        call_id, watch = self.call.call_id, lines.app.state.watch
        seen = TurnsSeen(call_id, self._tell_turn)
        watch.show_to([*watch.parts, seen])

        async def dial() -> Socket:
            try:
                return await lines.dial(f"{way_in}/{call_id}")
            except (Refused, OSError) as error:
                raise NotConnected(f"The service did not take the call: {error}") from error

        self._line = SimulatedLine(self.call, dial, self._see)
        try:
            reason = await self._line.play(attempts=1)
            self._tell(CallOver(reason))
            lines.app.state.calls.conclude(call_id, Ending(reason))  # as the platform's webhook would
            with suppress(TimeoutError):
                await asyncio.wait_for(seen.is_over.wait(), SETTLED_WITHIN)
        except NotConnected as error:
            self.hang_up()
            self._tell(CallOver(trouble=str(error)))
        finally:
            watch.show_to([part for part in watch.parts if part is not seen])

    def do(self, act: Callable[[float], list[Step]]) -> None:
        """Have the caller do something now. Before the line is dialled there is nobody to do it to."""
        if self._line is not None:
            self._line.carry_out(act(self._now()))

    def hang_up(self) -> None:
        """Also before the line is dialled: then it never is."""
        told = self.call.hang_up(self._now())
        if self._line is not None:
            self._line.carry_out(told)

    def show_frames(self, *, on: bool) -> None:
        """From now on, and those that are remembered; or no longer."""
        if on and not self.shows_frames:
            for frame in self._frames:
                self._tell(frame)
        self.shows_frames = on

    def _see(self, step: Step) -> None:
        match step:
            case steps.SendFrame():
                self._note_frame(step.text, is_from_service=False)
            case steps.FrameReceived():
                frame = step.frame if isinstance(step.frame, str) else repr(step.frame)
                self._note_frame(frame, is_from_service=True)
            case steps.PingAnswered() | steps.CloseLine():
                pass
            case _:
                self._tell(Happened(self._since_start(), _name_of(step), step))

    def _note_frame(self, text: str, *, is_from_service: bool) -> None:
        if '"ping_pong"' in text[:48]:
            return
        cut = max(0, len(text) - LONGEST_FRAME)
        frame = FrameSeen(self._since_start(), is_from_service, text[:LONGEST_FRAME], cut)
        self._frames.append(frame)
        if self.shows_frames:
            self._tell(frame)

    def _tell_turn(self, asked_at: float, facts: Mapping[str, object]) -> None:
        self._tell(TurnSeen(self.call.call_id, round(asked_at - self._began_at, 3), facts))

    def _since_start(self) -> float:
        return round(self._now() - self._began_at, 3)


def _name_of(step: Step) -> str:
    return re.sub("(?<=[a-z])(?=[A-Z])", "_", type(step).__name__).lower()
