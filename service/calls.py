"""The calls of this process, by their id. A call outlives its lines by the reconnect window.

Its agent is told once that a call is over, whichever process held it. Where the platform tells when calls end, that is
the sign, because it tells one process, once: the one that held the call, or another when that one is gone. What ends
here meanwhile waits for it. Where the platform does not tell, the end of the reconnect window is the sign; nobody is
told then of a call whose process stops or fails before, unless the platform had closed its line.
"""

import asyncio
from collections.abc import Callable

from service.conversation.call import Ending
from service.session import Session
from service.visit import Line

MOST_EXPECTED = 1000
"""Calls waited for at once."""

LAST_SECONDS = 5.0
"""How long a line may outlast its call: the platform closes it by itself."""

UNTOLD_SECONDS = 600.0
"""How long a call that ended here waits for the platform to say that it is over."""

MOST_UNTOLD = 1000


class Calls:
    """Which calls there are. `are_ends_told` is whether the platform tells when a call is over."""

    def __init__(
        self,
        open_session: Callable[[str], Session],
        reconnect_window: float,
        *,
        are_ends_told: bool = False,
        on_untold: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`on_untold` is told of a call that ended here, and of whose end no word came: its agent is not told."""
        self._open_session = open_session
        self._reconnect_window = reconnect_window
        self._are_ends_told = are_ends_told
        self._on_untold = on_untold
        self._sessions: dict[str, Session] = {}
        self._ends: dict[str, asyncio.TimerHandle] = {}
        self._over: dict[str, Ending] = {}
        self._untold: dict[str, Session] = {}
        self._expected: dict[str, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def __contains__(self, call_id: object) -> bool:
        return call_id in self._sessions

    @property
    def connected(self) -> int:
        """How many calls have a line now."""
        return sum(session.is_connected for session in self._sessions.values())

    def state_of(self, call_id: str) -> tuple[bool, bool]:
        """Whether a call has a line, and whether its agent is answering."""
        session = self._sessions.get(call_id)
        return (False, False) if session is None else (session.is_connected, session.is_answering)

    async def serve(self, call_id: str, line: Line, open_session: Callable[[str], Session] | None = None) -> None:
        """Hold a call over this line until the line ends. `open_session` is for one that is new here."""
        self._expect_no_more(call_id)
        if (pending := self._ends.pop(call_id, None)) is not None:
            pending.cancel()
        session = self._sessions.get(call_id)
        if session is None:
            session = self._sessions[call_id] = (open_session or self._open_session)(call_id)
        current = session

        def wait_for_the_next_line() -> None:
            if self._sessions.get(call_id) is current:
                self._end_in(0.0 if call_id in self._over else self._reconnect_window, call_id)

        try:
            await session.serve(line, wait_for_the_next_line)
        except BaseException:
            # A fault of ours: nothing of this call's state can be trusted. The next line starts anew.
            if not session.is_connected and self._sessions.get(call_id) is session:
                self._end(call_id, is_over=False)
            raise

    def expect(self, call_id: str, within: float, on_missed: Callable[[], None]) -> None:
        """A call was announced: tell when it has had no line after so many seconds."""
        if call_id not in self._sessions and call_id not in self._expected and len(self._expected) < MOST_EXPECTED:

            def miss() -> None:
                del self._expected[call_id]
                on_missed()

            self._expected[call_id] = asyncio.get_running_loop().call_later(within, miss)

    def conclude(self, call_id: str, ending: Ending, open_session: Callable[[str], Session] | None = None) -> None:
        """The platform says that a call is over: end it, once its line is closed. Say it once a call.

        One that is not known here was another process's, and `open_session` is for it; one that nobody ever took was
        no agent's.
        """
        self._expect_no_more(call_id)
        session = self._sessions.get(call_id)
        if session is None:
            ended = self._untold.pop(call_id, None)
            if ended is not None or (ending.details is not None and ending.details.started_at is not None):
                (ended or (open_session or self._open_session)(call_id)).conclude(ending)
        elif call_id not in self._over:
            self._over[call_id] = ending
            self._end_in(LAST_SECONDS, call_id) if session.is_connected else self._end(call_id)

    def dismiss(self, call_id: str, language: str = "") -> None:
        """Tell the caller that it is over, and have the platform hang up. Nothing happens without a line."""
        if (session := self._sessions.get(call_id)) is not None:
            session.dismiss(language)

    def end_all(self) -> None:
        """End every call now: the service stops."""
        for call_id in list(self._expected):
            self._expect_no_more(call_id)
        self.let_go(amid_turns=True)

    def let_go(self, *, amid_turns: bool) -> None:
        """Cut the lines, so that the platform dials another process; those of calls amid a turn only if told so."""
        for call_id, session in list(self._sessions.items()):
            if amid_turns or not session.is_answering:
                self._end(call_id, is_over=session.was_closed and not session.is_connected)

    def _expect_no_more(self, call_id: str) -> None:
        if (expected := self._expected.pop(call_id, None)) is not None:
            expected.cancel()

    def _end_in(self, seconds: float, call_id: str) -> None:
        if (pending := self._ends.pop(call_id, None)) is not None:
            pending.cancel()
        self._ends[call_id] = asyncio.get_running_loop().call_later(seconds, self._end, call_id)

    def _end(self, call_id: str, *, is_over: bool = True) -> None:
        """`is_over` is whether the call is so as far as we can see."""
        if (pending := self._ends.pop(call_id, None)) is not None:
            pending.cancel()
        session, ending = self._sessions.pop(call_id), self._over.pop(call_id, None)
        session.end()
        if ending is not None:
            session.conclude(ending)
        elif self._are_ends_told:
            self._wait_for_word(call_id, session)
        elif is_over:
            session.conclude(Ending())

    def _wait_for_word(self, call_id: str, session: Session) -> None:
        def forget(call_id: str, session: Session) -> None:
            if self._untold.get(call_id) is session:
                del self._untold[call_id]
                self._on_untold(call_id)

        self._untold[call_id] = session
        asyncio.get_running_loop().call_later(UNTOLD_SECONDS, forget, call_id, session)
        if len(self._untold) > MOST_UNTOLD:
            forget(*next(iter(self._untold.items())))
