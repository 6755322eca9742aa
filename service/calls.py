"""The calls of this process, by their id. A call outlives its lines by the reconnect window."""

import asyncio
from collections.abc import Callable

from service.session import Line, Session


class Calls:
    """Which calls there are."""

    def __init__(self, open_session: Callable[[str], Session], reconnect_window: float) -> None:
        self._open_session = open_session
        self._reconnect_window = reconnect_window
        self._sessions: dict[str, Session] = {}
        self._ends: dict[str, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def connected(self) -> int:
        """How many calls have a line now."""
        return sum(session.is_connected for session in self._sessions.values())

    async def serve(self, call_id: str, line: Line) -> None:
        """Hold a call over this line until the line ends."""
        if (pending := self._ends.pop(call_id, None)) is not None:
            pending.cancel()
        session = self._sessions.get(call_id)
        if session is None:
            session = self._sessions[call_id] = self._open_session(call_id)
        current = session

        def wait_for_the_next_line() -> None:
            if self._sessions.get(call_id) is current:
                loop = asyncio.get_running_loop()
                self._ends[call_id] = loop.call_later(self._reconnect_window, self._end, call_id)

        try:
            await session.serve(line, wait_for_the_next_line)
        except BaseException:
            # A fault of ours: nothing of this call's state can be trusted. The next line starts anew.
            if not session.is_connected and self._sessions.get(call_id) is session:
                self._end(call_id)
            raise

    def end_all(self) -> None:
        """End every call now: the service stops."""
        for call_id in list(self._sessions):
            self._end(call_id)

    def _end(self, call_id: str) -> None:
        if (pending := self._ends.pop(call_id, None)) is not None:
            pending.cancel()
        self._sessions.pop(call_id).end()
