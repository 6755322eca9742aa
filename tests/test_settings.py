import pytest

from infra.readme import README, generated
from service.settings import Settings, SettingsError, read_settings, settings_table, unknown_variables, variable_of


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
    assert all(f"`{variable_of(field)}`" in table for field in Settings.__struct_fields__)


def test_the_readme_is_current() -> None:
    text = README.read_text(encoding="utf-8")
    assert generated(text) == text, "run make readme"


def test_a_readme_without_a_place_for_the_settings_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for settings"):
        generated("# Cuebox")
