import pytest

from service.simulator.model_script import Refuse, Script
from service.simulator.model_spelling import ChatRequest, Message
from service.simulator.scenario.answers import FALLBACK, Answers
from service.simulator.scenario.script import Answer, Model


def asked(said: str = "Hello.", result: str | None = None) -> ChatRequest:
    """A request of somebody who said this, or with what a tool answered."""
    rows = [Message("system", "Be kind."), Message("user", said)]
    return ChatRequest("any", [*rows, *([] if result is None else [Message("tool", result)])])


def words(script: Script) -> str:
    return "".join(script.chunks())


def test_plain_answers_come_in_order_and_the_last_one_again() -> None:
    answers = Answers(Model(answers=["One.", "Two."]))
    assert [words(answers(asked())) for _ in range(4)] == ["One.", "Two.", "Two.", "Two."]


def test_an_answer_for_certain_words_comes_whenever_they_are_said() -> None:
    answers = Answers(Model(answers=[Answer(if_said="hours|open", say="At nine."), "What?"]))
    assert [words(answers(asked(said))) for said in ("Your HOURS?", "Well.", "open?")] == [
        "At nine.",
        "What?",
        "At nine.",
    ]


def test_an_answer_comes_so_often_and_then_nothing_fits() -> None:
    answers = Answers(Model(answers=[Answer(say="Once.", times=1)]))
    assert [words(answers(asked())) for _ in range(2)] == ["Once.", FALLBACK]
    assert words(Answers(Model())(asked())) == FALLBACK


def test_tools_are_called_and_their_results_answered() -> None:
    again = Answer(call={"book": "{broken"}, then="Booked.")
    answers = Answers(Model(answers=[Answer(say=["Let me ", "see."], call={"find": {"day": 1}}, then=again)]))
    first = answers(asked())
    assert [(call.name, call.arguments) for call in first.calls] == [("find", '{"day":1}')]
    assert first.chunks() == ("Let me ", "see.")
    assert [call.arguments for call in answers(asked(result="free")).calls] == ["{broken"]
    assert words(answers(asked(result="done"))) == "Booked."


def test_what_follows_a_tool_may_depend_on_its_result_or_be_left_out() -> None:
    answers = Answers(Model(answers=[Answer(if_result="full", say="No."), Answer(if_said="book", call={"find": {}})]))
    answers(asked("book it"))
    assert words(answers(asked("book it", result="x"))) == FALLBACK
    assert words(answers(asked("book it", result="all FULL"))) == "No."
    answers(asked("book it"))
    assert words(answers(asked("book it", result="is full"))) == "No."


def test_a_second_request_with_the_same_result_has_the_same_answer() -> None:
    answers = Answers(Model(answers=[Answer(if_said="book", call={"find": {}}, then="Found.")]))
    answers(asked("book it"))
    assert [words(answers(asked("book it", result="free"))) for _ in range(2)] == ["Found.", "Found."]
    assert answers(asked("book it")).calls


def test_an_answer_has_its_own_times_and_faults() -> None:
    model = Model(answers=[Answer(fault="refuse status=429", first_token_after=2, gap="uniform:0,1")], gap=0.5)
    script = Answers(model)(asked())
    assert script.fault == Refuse(429)
    assert script.first_token_after == 2.0
    assert Answers(Model(gap=0.5))(asked()).gap == 0.5


@pytest.mark.parametrize(
    "answer", [Answer(if_result="("), Answer(gap="often"), Answer(call={"f": {}}, then=Answer(fault="x"))]
)
def test_what_cannot_be_is_refused_at_once(answer: Answer) -> None:
    with pytest.raises(ValueError, match=r"."):
        Answers(Model(answers=[answer]))
