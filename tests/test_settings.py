from contextlib import suppress
from typing import get_type_hints

import msgspec
import pytest

from infra.readme import README, generated
from service.environment import read_settings, settings_table, unknown_variables, variable_of
from service.settings import Settings, SettingsError


def test_an_empty_environment_gives_the_defaults() -> None:
    assert read_settings({}) == Settings()
    assert (Settings().host, Settings().port) == ("127.0.0.1", 8080)


def test_an_empty_variable_counts_as_unset() -> None:
    assert read_settings({"PORT": "", "OPENAI_API_KEY": "  ", "CUEBOX_AGENT": ""}) == Settings()


def test_every_setting_is_read_from_its_variable() -> None:
    environ = {
        "HOST": "::1",
        "PORT": "9000",
        "OPENAI_API_KEY": "sk-1",
        "OPENAI_BASE_URL": "http://127.0.0.1/v1",
        "CUEBOX_AGENT": "dummy",
        "CUEBOX_GREETING_WAIT": "0.5",
        "CUEBOX_LOG_CONTENT": "TRUE",
        "CUEBOX_RETELL_CALL_DETAILS": "0",
        "CUEBOX_LOG_FORMAT": "json",
    }
    settings = read_settings(environ)
    assert settings == Settings(
        host="::1",
        port=9000,
        openai_api_key="sk-1",
        openai_base_url="http://127.0.0.1/v1",
        agent="dummy",
        greeting_wait=0.5,
        log_content=True,
        retell_call_details=False,
        log_format="json",
    )


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("PORT", "http", "PORT must be a whole number at least 1 and at most 65535, but is 'http'."),
        ("PORT", "0", "PORT must be a whole number at least 1 and at most 65535, but is '0'."),
        (
            "CUEBOX_TURN_BUDGET",
            "0",
            "CUEBOX_TURN_BUDGET must be a number of seconds more than 0 and at most 300, but is '0'.",
        ),
        (
            "CUEBOX_TURN_BUDGET",
            "nan",
            "CUEBOX_TURN_BUDGET must be a number of seconds more than 0 and at most 300, but is 'nan'.",
        ),
        ("CUEBOX_LOG_CONTENT", "maybe", "CUEBOX_LOG_CONTENT must be true or false, but is 'maybe'."),
        ("CUEBOX_LOG_FORMAT", "xml", "CUEBOX_LOG_FORMAT must be auto or json or pretty, but is 'xml'."),
    ],
)
def test_a_bad_setting_is_told_in_one_sentence(name: str, value: str, wanted: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings({name: value})
    assert str(refused.value) == wanted


def test_unknown_variables_are_told_with_what_was_meant() -> None:
    environ = {"CUEBOX_GREETING_WIAT": "1", "CUEBOX_XYZZY": "1", "CUEBOX_MODEL": "m", "PATH": "x"}
    assert list(unknown_variables(environ)) == [
        "CUEBOX_GREETING_WIAT is not a setting; did you mean CUEBOX_GREETING_WAIT?",
        "CUEBOX_XYZZY is not a setting.",
    ]


def test_the_key_is_never_shown() -> None:
    assert "sk-1" not in repr(Settings(openai_api_key="sk-1"))
    assert "sk-1" not in f"{Settings(openai_api_key='sk-1')}"


def test_every_setting_is_in_the_table() -> None:
    table = settings_table()
    fields = set(Settings.__struct_fields__) - {"other_keys", "is_on_fly"}
    assert all(f"`{variable_of(field)}`" in table for field in fields)


def test_every_setting_can_be_set() -> None:
    """Its type is one that msgspec can read from text."""
    hints = get_type_hints(Settings, include_extras=True)
    for field in set(Settings.__struct_fields__) - {"other_keys", "is_on_fly"}:
        with suppress(msgspec.ValidationError):
            msgspec.convert("1", hints[field], strict=False)


def test_the_model_is_named_by_its_variable() -> None:
    assert read_settings({"CUEBOX_MODEL": "gpt-4.1-mini"}).model == "gpt-4.1-mini"


def test_the_keys_of_other_targets_are_kept_and_never_shown() -> None:
    settings = read_settings({"GROQ_API_KEY": "gsk-secret", "OPENAI_API_KEY": "sk-secret", "EMPTY_API_KEY": ""})
    assert settings.other_keys["GROQ_API_KEY"] == "gsk-secret"
    assert "OPENAI_API_KEY" not in settings.other_keys
    assert "gsk-secret" not in repr(settings)
    assert "sk-secret" not in repr(settings)


def test_the_readme_is_current() -> None:
    text = README.read_text(encoding="utf-8")
    assert generated(text) == text, "run make readme"


def test_a_readme_without_a_place_for_the_settings_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for settings"):
        generated("# Cuebox")


def test_metrics_are_for_this_machine_alone_unless_it_is_one_of_fly() -> None:
    assert read_settings({}).metrics_host == "127.0.0.1"
    assert read_settings({"FLY_APP_NAME": "cuebox"}).metrics_host == "0.0.0.0"  # noqa: S104
    assert read_settings({"FLY_APP_NAME": "cuebox", "CUEBOX_METRICS_HOST": "::1"}).metrics_host == "::1"
    assert read_settings({"FLY_APP_NAME": "cuebox"}).is_on_fly
    assert not read_settings({"FLY_APP_NAME": ""}).is_on_fly
    assert read_settings({"CUEBOX_METRICS_PORT": "0"}).metrics_port == 0


@pytest.mark.parametrize(
    ("text", "keys"), [("", ()), ("a", ("a",)), (" a , b ", ("a", "b")), (",", ()), ("a,,b,", ("a", "b"))]
)
def test_the_keys_of_webhooks_are_read_from_one_variable_and_never_shown(text: str, keys: tuple[str, ...]) -> None:
    settings = read_settings({"RETELL_API_KEY": text})
    assert settings.webhook_keys == keys
    assert settings.other_keys == {}
    assert "retell_api_key': 'a" not in repr(settings)
