import msgspec
import pytest

from service.llm.targets import Target, TargetError, key_of, overridden


def read(toml: str) -> Target:
    return msgspec.toml.decode(toml, type=Target)


AZURE = 'provider = "azure"\nmodel = "my-deployment"\n'


def test_a_model_is_enough() -> None:
    target = read('model = "gpt-4.1"')
    assert (target.label, target.address, target.key_variable) == (
        "gpt-4.1",
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
    )


@pytest.mark.parametrize(
    ("provider", "address", "key"),
    [
        ("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
        ("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
        ("ollama", "http://127.0.0.1:11434/v1", ""),
        ("vllm", "http://127.0.0.1:8000/v1", ""),
        ("llama.cpp", "http://127.0.0.1:8080/v1", ""),
    ],
)
def test_each_provider_has_its_usual_address_and_key(provider: str, address: str, key: str) -> None:
    target = read(f'provider = "{provider}"\nmodel = "m"')
    assert (target.address, target.key_variable) == (address, key)


def test_what_is_said_goes_before_what_is_usual() -> None:
    target = read('model = "m"\nname = "mine"\nbase_url = "https://gateway/v1"\nkey = "GATEWAY_API_KEY"')
    assert (target.label, target.address, target.key_variable) == ("mine", "https://gateway/v1", "GATEWAY_API_KEY")


@pytest.mark.parametrize(
    ("toml", "reason"),
    [
        ("", "model"),
        ('model = ""', "length >= 1"),
        ('model = "m"\nprovider = "acme"', "acme"),
        ('model = "m"\nkey = "sk-abc"', "regex"),
        ('model = "m"\nbase_url = "api.acme.com"', "regex"),
        ('model = "m"\ntemprature = 1', "temprature"),
        ('model = "m"\noptions = { stream = false, model = "n" }', "options cannot hold model, stream"),
        (AZURE, "azure needs its base_url"),
        (AZURE + 'base_url = "https://x.openai.azure.com"', "api_version"),
        ('model = "m"\nheaders = { X-Title = "Grüße" }', "plain ASCII"),
        ('model = "m"\nheaders = { X-Title = "a\\r\\nhost: b" }', "without line breaks"),
    ],
)
def test_a_target_that_cannot_be_used_is_refused(toml: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read(toml)


def test_a_key_that_stands_where_its_variable_should_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="regex") as raised:
        read('model = "m"\nkey = "sk-abc"')
    assert "sk-abc" not in str(raised.value)


def test_the_environment_changes_the_first_alone() -> None:
    targets = [Target("a", options={"temperature": 0.1}), Target("b")]
    first, second = overridden(targets, "c", "http://here/v1")
    assert (first.model, first.address, first.options) == ("c", "http://here/v1", {"temperature": 0.1})
    assert second is targets[1]
    assert overridden(targets, None, None) == targets


def test_without_a_target_there_is_one() -> None:
    assert [target.model for target in overridden([], None, None)] == ["gpt-4.1"]


def test_two_targets_of_one_name_are_refused() -> None:
    two = [Target("a"), Target("a", provider="groq")]
    with pytest.raises(TargetError, match="two targets are called 'a'"):
        overridden(two, None, None)
    assert overridden([two[0], Target("a", provider="groq", name="groq")], None, None)


def test_a_key_is_looked_up_by_its_variable() -> None:
    keys = {"OPENAI_API_KEY": "one", "GROQ_API_KEY": "two\n"}
    assert [key_of(Target("m"), keys), key_of(Target("m", provider="groq"), keys)] == ["one", "two"]
    assert key_of(Target("m", provider="ollama"), keys) == key_of(Target("m", key=""), {}) == "none"


@pytest.mark.parametrize("keys", [{}, {"OPENAI_API_KEY": ""}, {"OPENAI_API_KEY": " "}])
def test_a_missing_key_is_named(keys: dict[str, str]) -> None:
    with pytest.raises(TargetError, match="the target 'm' needs its key: set OPENAI_API_KEY"):
        key_of(Target("m"), keys)
