"""OpenTurn alone; its rules 4, 9 and 10 are tested through the machine."""

from service.conversation.call import Policy, Prompt
from service.conversation.parts import HangUp, PressDigits
from service.conversation.reply import OpenTurn, closing_words
from service.conversation.transcript import Mark
from tests.conversation.play import agent


def test_the_first_words_are_the_first_that_can_be_spoken() -> None:
    turn = OpenTurn(0, 1, Prompt.CALLER_SPOKE, 1.0, Mark())
    turn.say(" \n", 2.0)
    assert not turn.has_spoken
    turn.say("Hi", 3.0)
    turn.say(" you", 4.0)
    assert turn.first_words_at == 3.0
    assert turn.words_heard((agent("Hi"),)) == 1


def test_closing_words_keep_their_distance() -> None:
    assert closing_words(HangUp("Bye."), Policy(), after="Thanks.") == " Bye."
    assert closing_words(HangUp("Bye."), Policy(), after="Thanks. ") == "Bye."
    assert closing_words(HangUp("Bye."), Policy(), after="") == "Bye."
    assert closing_words(PressDigits("1"), Policy(), after="Thanks.") == ""
    assert closing_words(None, Policy(), after="Thanks.") == ""
