"""The calls of this process, by their id. A call outlives its lines by the reconnect window."""

import asyncio
from collections.abc import Callable

from service.session import Line, Session

MOST_EXPECTED = 1000
"""Calls waited for at once."""

LAST_SECONDS = 5.0
"""How long a line may outlast its call: the platform closes it by itself."""


class Calls:
    """Which calls there are."""

    def __init__(self, open_session: Callable[[str], Session], reconnect_window: float) -> None:
        self._open_session = open_session
        self._reconnect_window = reconnect_window
        self._sessions: dict[str, Session] = {}
        self._ends: dict[str, asyncio.TimerHandle] = {}
        self._over: set[str] = set()
        self._expected: dict[str, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def connected(self) -> int:
        """How many calls have a line now."""
        return sum(session.is_connected for session in self._sessions.values())

    async def serve(self, call_id: str, line: Line) -> None:
        """Hold a call over this line until the line ends."""
        self._expect_no_more(call_id)
        if (pending := self._ends.pop(call_id, None)) is not None:
            pending.cancel()
        session = self._sessions.get(call_id)
        if session is None:
            session = self._sessions[call_id] = self._open_session(call_id)
        current = session

        def wait_for_the_next_line() -> None:
            if self._sessions.get(call_id) is current:
                self._end_in(0.0 if call_id in self._over else self._reconnect_window, call_id)

        try:
            await session.serve(line, wait_for_the_next_line)
        except BaseException:
            # A fault of ours: nothing of this call's state can be trusted. The next line starts anew.
            if not session.is_connected and self._sessions.get(call_id) is session:
                self._end(call_id)
            raise

    def expect(self, call_id: str, within: float, on_missed: Callable[[], None]) -> None:
        """A call was announced: tell when it has had no line after so many seconds."""
        if call_id not in self._sessions and call_id not in self._expected and len(self._expected) < MOST_EXPECTED:

            def miss() -> None:
                del self._expected[call_id]
                on_missed()

            self._expected[call_id] = asyncio.get_running_loop().call_later(within, miss)

    def conclude(self, call_id: str) -> None:
        """The platform says that a call is over: end it, once its line is closed. Nothing to do for one not known."""
        self._expect_no_more(call_id)
        session = self._sessions.get(call_id)
        if session is None:
            return
        if not session.is_connected:
            self._end(call_id)
        elif call_id not in self._over:
            self._over.add(call_id)
            self._end_in(LAST_SECONDS, call_id)

    def end_all(self) -> None:
        """End every call now: the service stops."""
        for call_id in list(self._expected):
            self._expect_no_more(call_id)
        for call_id in list(self._sessions):
            self._end(call_id)

    def _expect_no_more(self, call_id: str) -> None:
        if (expected := self._expected.pop(call_id, None)) is not None:
            expected.cancel()

    def _end_in(self, seconds: float, call_id: str) -> None:
        if (pending := self._ends.pop(call_id, None)) is not None:
            pending.cancel()
        self._ends[call_id] = asyncio.get_running_loop().call_later(seconds, self._end, call_id)

    def _end(self, call_id: str) -> None:
        if (pending := self._ends.pop(call_id, None)) is not None:
            pending.cancel()
        self._over.discard(call_id)
        self._sessions.pop(call_id).end()
