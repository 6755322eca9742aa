import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.agents.actions import EVERY_MODEL_DOWN, ActionRules, RescueRules, actions_of, rescue_of, with_offer
from service.conversation.call import Prompt, SpokenLines, Turn
from service.conversation.parts import Action, HangUp, PressDigits, Transfer
from service.conversation.transcript import DigitPressed, Note, Row, Speaker, ToolCalled, Utterance
from service.llm import model

RECEPTION, ON_CALL = "+4930123456", "+4930999999"
TRANSFER = f'[transfer_call]\nnumbers = {{ reception = "{RECEPTION}", "Dr Ada" = "{ON_CALL}" }}\n'


def rules(toml: str) -> ActionRules:
    return msgspec.toml.decode(toml, type=ActionRules)


def turn(*said: str | Row) -> Turn:
    """Texts alternate, the caller's first."""
    speakers = (Speaker.CALLER, Speaker.AGENT)
    history = [Utterance(speakers[i % 2], row) if isinstance(row, str) else row for i, row in enumerate(said)]
    return Turn("call_1", 1, 1, Prompt.CALLER_SPOKE, tuple(history))


def decided(toml: str, tool: str, at: Turn | None = None, **arguments: Any) -> Action | str:
    return actions_of(rules(toml))[tool].decide(json.dumps(arguments), at or turn("Hello."))


def test_only_the_actions_that_stand_in_the_file_are_offered() -> None:
    assert actions_of(ActionRules()) == {}
    assert list(actions_of(rules(f"[end_call]\n[press_digits]\n{TRANSFER}"))) == [
        *("end_call", "transfer_call", "press_digits")
    ]


def test_an_action_is_done_with_its_words_as_they_can_be_spoken() -> None:
    assert decided("[end_call]", "end_call", message="**Bye**\n now [x](https://x.org/a).") == HangUp("Bye now x.")
    assert decided(TRANSFER, "transfer_call", to="reception", message="One moment.") == Transfer(
        RECEPTION, "One moment."
    )
    assert decided("[press_digits]", "press_digits", digits="1 2-#", message="") == PressDigits("12#")


def test_an_action_may_be_without_words_and_without_arguments() -> None:
    end_call = actions_of(rules("[end_call]"))["end_call"]
    for arguments in ("", "{}", '{"message": null}', '{"message": "", "reason": "done"}'):
        assert end_call.decide(arguments, turn()) == HangUp("")


def test_what_the_rules_say_of_the_wire_is_on_the_action() -> None:
    transfer = f"{TRANSFER}shows_caller_number = true\nuninterruptible = true"
    assert decided(transfer, "transfer_call", to="reception") == Transfer(
        RECEPTION, shows_caller_number=True, is_uninterruptible=True
    )
    assert decided("[end_call]\nuninterruptible = true", "end_call") == HangUp(is_uninterruptible=True)


def test_the_model_never_sees_a_number() -> None:
    spec = actions_of(rules(TRANSFER))["transfer_call"].spec
    properties: Any = spec.parameters["properties"]
    assert properties["to"]["enum"] == ["reception", "Dr Ada"]
    assert RECEPTION not in str(spec)


def test_the_model_picks_a_name_and_nothing_else() -> None:
    assert decided(TRANSFER, "transfer_call", to=" dr  ada ") == Transfer(ON_CALL)
    for to in ("+1900123456", "", "nobody", RECEPTION):
        refusal = decided(TRANSFER, "transfer_call", to=to, number="+1900123456", transfer_number="+1900123456")
        assert isinstance(refusal, str)
        assert "reception, Dr Ada" in refusal
        assert "+" not in refusal


@pytest.mark.parametrize("digits", ["", "12a", "+49", "\u0661", "1" * 33, " ", "1;2"])
def test_keys_that_no_phone_has_are_refused(digits: str) -> None:
    refusal = decided("[press_digits]", "press_digits", digits=digits)
    assert isinstance(refusal, str)
    assert "press_digits" in refusal


def test_every_schema_is_in_the_shape_of_strict_mode() -> None:
    for tool in actions_of(rules(f"[end_call]\n[press_digits]\n{TRANSFER}")).values():
        schema: Any = tool.spec.parameters
        assert schema["type"] == "object"
        assert schema["required"] == list(schema["properties"])
        assert schema["additionalProperties"] is False
        assert tool.spec.description


def test_a_description_of_the_author_s_replaces_ours() -> None:
    (tool,) = actions_of(rules('[end_call]\ndescription = "When they hang up."')).values()
    assert tool.spec.description == "When they hang up."


@pytest.mark.parametrize("arguments", ["[]", "null", "{", '{"message": 5}', '{"to": []}', "\ud800", "[" * 100_000])
def test_arguments_of_another_shape_are_refused(arguments: str) -> None:
    for tool in actions_of(rules(f"[end_call]\n{TRANSFER}")).values():
        refusal = tool.decide(arguments, turn())
        assert isinstance(refusal, str)
        assert tool.spec.name in refusal


def test_a_speech_is_no_closing_word() -> None:
    refusal = decided("[end_call]", "end_call", message="bye " * 200)
    assert isinstance(refusal, str)
    assert "short" in refusal


def test_it_may_be_too_early() -> None:
    early = decided("[end_call]\nmin_turns = 2", "end_call", turn("Hello.", "Good day."))
    assert isinstance(early, str)
    assert "too early" in early
    assert isinstance(decided("[end_call]\nmin_turns = 2", "end_call", turn("Hello.", "Good day.", "Bye.")), HangUp)


def test_turns_are_counted_by_who_speaks_and_pressed_keys_are_one() -> None:
    said = turn("Hello.", Note("a hint"), ToolCalled("t", "find", "{}"), DigitPressed("1"), "Still me.")
    assert isinstance(decided("[end_call]\nmin_turns = 2", "end_call", said), str)
    keys = turn(DigitPressed("1"), "Yes?", DigitPressed("2"))
    assert isinstance(decided("[end_call]\nmin_turns = 2", "end_call", keys), HangUp)


def test_what_the_caller_says_last_can_forbid_it_and_what_they_said_before_cannot() -> None:
    guarded = '[end_call]\nunless_said = "wait|one more"'
    assert isinstance(decided(guarded, "end_call", turn("Bye.", "Goodbye!", "WAIT, wait.")), str)
    assert isinstance(decided(guarded, "end_call", turn("Wait.", "Yes?", "Nothing. Bye.", "Wait for it.")), HangUp)
    assert isinstance(decided(guarded, "end_call", turn("Wait.", "", "Bye.")), HangUp)
    assert isinstance(decided(guarded, "end_call", turn()), HangUp)


def test_all_of_the_caller_s_words_since_the_agent_spoke_are_their_last() -> None:
    said = turn("Bye.", "Goodbye!", "Oh wait.", DigitPressed("1"), "I am still here.")
    assert isinstance(decided('[end_call]\nunless_said = "wait"', "end_call", said), str)


def test_what_was_asked_for_once_need_not_be_asked_for_again() -> None:
    guarded = f'{TRANSFER}only_if_said = "human|person"'
    refusal = decided(guarded, "transfer_call", turn("My tooth hurts.", "A person will help."), to="reception")
    assert isinstance(refusal, str)
    assert "not asked" in refusal
    asked = turn("A Person, please.", "What about?", "My tooth.")
    assert isinstance(decided(guarded, "transfer_call", asked, to="reception"), Transfer)


def test_the_rules_look_at_no_more_than_the_newest_words() -> None:
    long_ago = turn("human " + "x" * 5000)
    assert isinstance(decided(f'{TRANSFER}only_if_said = "human"', "transfer_call", long_ago, to="reception"), str)


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ('[end_call]\nunless_said = "(wait"', r"unless_said is no regular expression.*`\$.end_call`"),
        ('[press_digits]\nonly_if_said = "*"', r"only_if_said is no regular expression.*`\$.press_digits`"),
        (f'{TRANSFER}only_if_said = "["', r"only_if_said is no regular expression.*`\$.transfer_call`"),
        ("[end_call]\nmin_turns = -1", r"`\$.end_call.min_turns`"),
        ("[end_call]\nmin_turn = 1", "min_turn"),
        ("[hang_up]", "hang_up"),
        ("[transfer_call]", "numbers"),
        ("[transfer_call]\nnumbers = {}", "numbers is empty"),
        ('[transfer_call]\nnumbers = { a = "030 123" }', r"number of 'a' is wrong.*E\.164"),
        ('[transfer_call]\nnumbers = { a = "+491", A = "+492" }', "same name"),
        ('[transfer_call]\nnumbers = { "a\\"b" = "+491" }', "no name for a number"),
    ],
)
def test_mistakes_in_the_rules_are_told_at_load(toml: str, told: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=told):
        rules(toml)


def test_a_rescue_transfers_by_name() -> None:
    rescue = rescue_of(RescueRules("reception", "A moment."), rules(TRANSFER))
    assert rescue is not None
    assert rescue.transfer == Transfer(RECEPTION, "A moment.", is_uninterruptible=True)
    assert rescue_of(None, rules(TRANSFER)) is None
    for known in ("", TRANSFER):
        with pytest.raises(ValueError, match="nobody"):
            rescue_of(RescueRules("nobody"), rules(known))


def test_a_rescue_is_at_once_after_failures_that_the_model_s_side_can_have() -> None:
    for reason in EVERY_MODEL_DOWN:
        assert issubclass(getattr(model, reason), model.ModelError)
    assert not EVERY_MODEL_DOWN & {"StreamBroken", "NothingSaid", "AnswerRan", "ModelError"}


def test_a_colleague_is_offered_in_every_language_where_there_is_one() -> None:
    lines = SpokenLines(
        give_up="Sorry.", offer=" A colleague? ", by_language={"de": SpokenLines(give_up="Oje.", offer="")}
    )
    assert with_offer(lines, rules("[end_call]")) == lines
    offering = with_offer(lines, rules(TRANSFER))
    assert offering.give_up == "Sorry. A colleague?"
    assert offering.by_language["de"].give_up == "Oje."


@given(st.text() | st.dictionaries(st.sampled_from(["message", "to", "digits"]), st.text() | st.none()).map(json.dumps))
def test_whatever_the_arguments_are_there_is_an_action_or_a_refusal(arguments: str) -> None:
    for tool in actions_of(rules(f"[end_call]\n[press_digits]\n{TRANSFER}")).values():
        outcome = tool.decide(arguments, turn("Hello."))
        assert outcome.startswith("Refused: ") if isinstance(outcome, str) else len(outcome.words) <= 500
        assert not isinstance(outcome, Transfer) or outcome.number in {RECEPTION, ON_CALL}
