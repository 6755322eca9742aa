from service.agents.chat import OPENING_NUDGE, SILENCE_NUDGE, chat_of
from service.conversation.call import Prompt, Turn
from service.conversation.transcript import DigitPressed, Note, Row, ToolAnswered, ToolCalled, Utterance
from service.llm.model import Message, Role, ToolCall, ToolExchange
from tests.conversation.play import agent, caller

SYSTEM = Message(Role.SYSTEM, "Be brief.")


def chat(*rows: Row, prompt: Prompt = Prompt.CALLER_SPOKE) -> list[Message | ToolExchange]:
    return chat_of(Turn("call_1", 1, 1, prompt, rows), "Be brief.")


def test_utterances_become_messages_of_their_side() -> None:
    assert chat(agent("Hello"), caller("(unintelligible audio)")) == [
        SYSTEM,
        Message(Role.ASSISTANT, "Hello"),
        Message(Role.USER, "(unintelligible audio)"),
    ]


def test_a_cut_off_utterance_is_marked_on_both_sides() -> None:
    cut = Utterance(agent("").speaker, "We are open from", was_cut_off=True)
    assert chat(cut, caller("Wait"), agent("Yes?"), caller("Ok"))[1:] == [
        Message(Role.ASSISTANT, "We are open from —"),
        Message(Role.USER, "(cutting you off) Wait"),
        Message(Role.ASSISTANT, "Yes?"),
        Message(Role.USER, "Ok"),
    ]


def test_digits_and_notes_are_visible_and_neighbours_of_one_role_are_joined() -> None:
    rows = (caller("Hi"), DigitPressed("1"), DigitPressed("#"), Note("a customer"), caller("Well"), DigitPressed("2"))
    assert chat(*rows) == [
        SYSTEM,
        Message(Role.USER, "Hi\n[pressed on the keypad: 1 #]\n[note: a customer]\nWell\n[pressed on the keypad: 2]"),
    ]


def test_a_tool_call_goes_with_its_answer_or_not_at_all() -> None:
    rows = (
        caller("When?"),
        ToolCalled("t1", "find", "{}"),
        ToolAnswered("t1", "at nine"),
        ToolCalled("t2", "end_call", "{}"),
        ToolAnswered("t3", "lost"),
        agent("At nine."),
        caller("Good"),
    )
    assert chat(*rows)[1:] == [
        Message(Role.USER, "When?"),
        ToolExchange(ToolCall("t1", "find", "{}"), "at nine"),
        Message(Role.ASSISTANT, "At nine."),
        Message(Role.USER, "Good"),
    ]


def test_a_reminder_s_nudge_is_not_put_into_the_caller_s_mouth() -> None:
    messages = chat(caller("Hi"), agent("Yes?"), prompt=Prompt.CALLER_SILENT)
    assert messages[-1] == Message(Role.SYSTEM, SILENCE_NUDGE)
    assert [message for message in messages if isinstance(message, Message) and message.role is Role.USER] == [
        Message(Role.USER, "Hi")
    ]


def test_a_caller_who_said_nothing_is_asked() -> None:
    assert chat() == [SYSTEM, Message(Role.SYSTEM, OPENING_NUDGE)]


def test_the_beginning_is_the_same_from_turn_to_turn() -> None:
    first = chat(agent("Hello"), caller("Hi"))
    second = chat(agent("Hello"), caller("Hi"), agent("Yes?"), caller("Well"))
    assert second[: len(first)] == first


def test_tools_called_in_one_go_are_told_in_one_go() -> None:
    rows = (
        *(caller("When?"), ToolCalled("t1", "find", "{}"), ToolCalled("t2", "find", "{}"), ToolAnswered("t2", "ten")),
        *(ToolAnswered("t1", "nine"), ToolCalled("t3", "book", "{}"), ToolAnswered("t3", "done")),
    )
    told = [(each.result, each.is_parallel) for each in chat(*rows) if isinstance(each, ToolExchange)]
    assert told == [("nine", False), ("ten", True), ("done", False)]


def test_a_tool_call_of_somebody_else_is_told_as_endpoints_take_it() -> None:
    rows = (ToolCalled("t1", "transfer: Ada", ""), ToolAnswered("t1", "ok"), ToolCalled("t2", "", "[1]"))
    told = [each.call for each in chat(*rows, ToolAnswered("t2", "ok")) if isinstance(each, ToolExchange)]
    assert told == [ToolCall("t1", "transfer__Ada", "{}"), ToolCall("t2", "_", "{}")]


def test_a_tool_call_behind_one_without_an_answer_begins_a_round() -> None:
    rows = (ToolCalled("t1", "find", "{}"), ToolAnswered("t1", "nine"), ToolCalled("t2", "book", "{}"))
    *_, last = chat(caller("When?"), *rows, ToolCalled("t3", "book", "{}"), ToolAnswered("t3", "done"))
    assert isinstance(last, ToolExchange)
    assert not last.is_parallel


def test_a_reference_stands_before_the_caller_s_last_words() -> None:
    reference = Message(Role.SYSTEM, "Open at nine.")
    rows = (agent("Hello"), caller("When?"))
    turn = Turn("call_1", 1, 1, Prompt.CALLER_SPOKE, rows)
    assert chat_of(turn, "Be brief.", "Open at nine.") == [*chat(*rows)[:2], reference, *chat(*rows)[2:]]
    silent = Turn("call_1", 1, 1, Prompt.CALLER_SPOKE)
    assert chat_of(silent, "Be brief.", "Open at nine.")[1] == reference
