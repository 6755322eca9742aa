"""The agent that needs no folder."""

from service.agents.dummy import ANSWER, GREETING, Dummy
from service.conversation.call import Prompt, Turn
from service.conversation.parts import Speech
from tests.conversation.play import caller


async def test_the_dummy_says_what_the_guide_s_dummy_says() -> None:
    dummy = Dummy()
    await dummy.warm_up()
    greeted = [part async for part in dummy.reply(Turn("call_1", 0, 0, Prompt.GREETING))]
    answered = [part async for part in dummy.reply(Turn("call_1", 1, 1, Prompt.CALLER_SPOKE, (caller("Hi"),)))]
    assert greeted == [Speech(GREETING)] == [Speech("How may I help you?")]
    assert answered == [Speech(ANSWER)] == [Speech("I am sorry, can you say that again?")]
    await dummy.close()
