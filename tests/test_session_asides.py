"""What an agent hears beside its turns, and what it may do beside its replies."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import ClassVar, Self

from service.conversation import events
from service.conversation.call import CallRecord, Turn
from service.conversation.commands import Command, Interject, TuneVoice
from service.conversation.events import Event
from service.conversation.parts import Aside, Part, Speech, VoiceSettings
from service.conversation.transcript import Transcript
from service.session import Session
from tests.conversation.play import caller
from tests.fakes import Witness
from tests.live import ScriptedAgent
from tests.test_session import POLICY, greets, on_line, request


async def test_an_agent_hears_what_is_said_and_of_the_call_s_end_and_may_act_beside_its_replies() -> None:
    class Listening(ScriptedAgent):
        heard: ClassVar[list[Transcript]] = []
        ended: ClassVar[list[CallRecord]] = []

        def take(self, call_id: str, aside: Callable[[Aside], None]) -> Self:
            assert call_id == "call_1"
            self.aside = aside
            return self

        def hear(self, transcript: Transcript) -> None:
            self.heard.append(transcript)

        def end(self, record: CallRecord) -> None:
            self.ended.append(record)

    agent = Listening(greets)
    session = Session("call_1", agent, POLICY, Witness())
    async with on_line(session) as line:
        await line.until_final(0)
        line.happens(events.TranscriptUpdated(0.0, (caller("Hi"),)))
        line.happens(events.TranscriptUpdated(0.0, None))
        line.happens(request(1))
        await line.until_final(1)
        assert agent.heard == [(caller("Hi"),)], "and nothing of a transcript that cannot be read"
        agent.aside(VoiceSettings(responsiveness=0.5))
        assert line.sent[-1] == TuneVoice(VoiceSettings(responsiveness=0.5))
        assert agent.ended == []
    session.end()
    assert [record.lines for record in agent.ended] == [1]


async def test_what_an_agent_raises_while_it_listens_is_felt_by_nobody() -> None:
    class Broken(ScriptedAgent):
        def hear(self, transcript: Transcript) -> None:
            raise LookupError

    witness = Witness()
    session = Session("call_1", Broken(greets), POLICY, witness)
    async with on_line(session) as line:
        line.happens(events.TranscriptUpdated(0.0, (caller("Hi"),)))
        line.happens(request(1))
        assert [say.text for say in await line.until_final(1)] == ["Answer 1.", ""]
    assert [type(fault) for fault in witness.faults] == [LookupError]


async def test_a_reply_that_its_own_part_brings_to_an_end_makes_no_other() -> None:
    made = list[str]()

    async def talks(turn: Turn) -> AsyncGenerator[Part]:
        for text in ("One ", "two ", "three."):
            made.append(text)
            yield Speech(text)

    class Limiting(Witness):
        def saw(self, call_id: str, event: Event, answer: Sequence[Command]) -> None:
            super().saw(call_id, event, answer)
            if isinstance(event, events.ReplyDrafted):
                session.dismiss()

    session = Session("call_1", ScriptedAgent(talks), POLICY, Limiting())
    async with on_line(session) as line:
        while not any(isinstance(sent, Interject) for sent in line.sent):
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
    assert made == ["One "]
