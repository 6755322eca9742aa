import math

import pytest

from service.conversation.parts import PageMessage, PressDigits, Transfer, VoiceSettings


@pytest.mark.parametrize("number", ["", "030123", "+", "+0301", "+49 30", "sip:x@y", "+" + "1" * 16])
def test_a_transfer_needs_an_e164_number(number: str) -> None:
    with pytest.raises(ValueError, match=r"E\.164"):
        Transfer(number)


@pytest.mark.parametrize("digits", ["", "12a", "1 2", "+1"])
def test_only_keys_of_a_phone_can_be_pressed(digits: str) -> None:
    with pytest.raises(ValueError, match="0 to 9"):
        PressDigits(digits)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_voice_settings_are_finite(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        VoiceSettings(responsiveness=value)


@pytest.mark.parametrize("metadata", [{"a": object()}, {"a": math.nan}, {"a": "\ud800"}], ids=["object", "nan", "half"])
def test_a_page_message_that_is_not_json_fails_where_it_is_made(metadata: dict[str, object]) -> None:
    with pytest.raises((TypeError, ValueError)):
        PageMessage.of(metadata)


def test_a_page_message_is_one_json_object() -> None:
    assert PageMessage.of({"a": ["é", None]}).json == '{"a": ["é", null]}'
