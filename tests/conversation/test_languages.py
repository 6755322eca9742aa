"""What is said for an agent, in the caller's language: the call's variable `language` tells it."""

import pytest

from service.conversation.call import CallDetails, Policy, SpokenLines
from service.conversation.commands import Say
from service.conversation.events import CallDetailsReceived, DeadlineKind
from tests.conversation.play import CALL_ID, Play, caller, of

GERMAN = SpokenLines(apology="Verzeihung.", hold=("Einen Moment.",))
POLICY = Policy(lines=SpokenLines(apology="Sorry.", hold=("One moment.",), by_language={"de": GERMAN}))


@pytest.mark.parametrize(
    ("variables", "hold", "apology"),
    [
        ({"language": "de"}, "Einen Moment. ", "Verzeihung."),
        ({"language": " DE_at "}, "Einen Moment. ", "Verzeihung."),
        ({"language": "fr"}, "One moment. ", "Sorry."),
        ({"language": "{{language}}"}, "One moment. ", "Sorry."),
        ({}, "One moment. ", "Sorry."),
    ],
)
def test_lines_are_said_in_the_language_of_the_call(variables: dict[str, str], hold: str, apology: str) -> None:
    play = Play(POLICY)
    play.starts()
    play.happens(CallDetailsReceived(play.at, CallDetails(CALL_ID, variables=variables)))
    play.says("Hello.")
    play.asks(1, caller("When?"))
    play.waits(1.8)
    assert of(Say, play.passes(DeadlineKind.PATIENCE)) == [Say(1, hold)]
    assert apology in of(Say, play.fails("ServerFailed"))[-1].text
