"""Where a request goes and with which headers, as the `openai` package builds it for each provider."""

import pytest

from service.llm.openai_chat import _door_of
from service.llm.pool import Origin
from service.llm.targets import ProviderName, Target


async def head_of(target: Target, key: str = "sk-key") -> tuple[Origin, str, dict[str, str]]:
    """Where a request to the target goes, its first line and its headers."""
    import openai  # noqa: PLC0415 - as the service does: it is slow to import

    door = await _door_of(openai, target, key)
    first, *headers = door.head.decode().removesuffix("\r\n").split("\r\n")
    return door.pool._origin, first, dict(header.split(": ", 1) for header in headers)


@pytest.mark.parametrize(
    ("target", "origin", "path"),
    [
        (Target("m"), Origin("api.openai.com", 443, is_tls=True), "/v1/chat/completions"),
        (
            Target("m", provider="openrouter"),
            Origin("openrouter.ai", 443, is_tls=True),
            "/api/v1/chat/completions",
        ),
        (Target("m", provider="groq"), Origin("api.groq.com", 443, is_tls=True), "/openai/v1/chat/completions"),
        (Target("m", provider="ollama"), Origin("127.0.0.1", 11434, is_tls=False), "/v1/chat/completions"),
        (Target("m", provider="vllm"), Origin("127.0.0.1", 8000, is_tls=False), "/v1/chat/completions"),
        (Target("m", provider="llama.cpp"), Origin("127.0.0.1", 8080, is_tls=False), "/v1/chat/completions"),
        (
            Target("m", base_url="http://gateway:9000/team/v1/"),
            Origin("gateway", 9000, is_tls=False),
            "/team/v1/chat/completions",
        ),
    ],
    ids=lambda value: value.provider if isinstance(value, Target) else None,
)
async def test_a_request_goes_where_its_provider_is(target: Target, origin: Origin, path: str) -> None:
    at, first, headers = await head_of(target)
    assert (at, first) == (origin, f"POST {path} HTTP/1.1")
    assert headers["authorization"] == "Bearer sk-key"
    assert headers["content-type"] == "application/json"
    assert headers["host"].split(":")[0] == origin.host
    assert not {"content-length", "accept-encoding", "connection"} & set(headers)


async def test_a_request_to_azure_names_its_deployment_and_version() -> None:
    target = Target("my-gpt", provider="azure", base_url="https://acme.openai.azure.com", api_version="2024-10-21")
    at, first, headers = await head_of(target)
    assert at == Origin("acme.openai.azure.com", 443, is_tls=True)
    assert first == "POST /openai/deployments/my-gpt/chat/completions?api-version=2024-10-21 HTTP/1.1"
    assert (headers["api-key"], "authorization" in headers) == ("sk-key", False)


async def test_organisation_project_and_headers_go_along() -> None:
    _, _, headers = await head_of(
        Target("m", organization="org-1", project="proj-1", headers={"HTTP-Referer": "https://acme.example"})
    )
    assert (headers["openai-organization"], headers["openai-project"]) == ("org-1", "proj-1")
    assert headers["http-referer"] == "https://acme.example"


async def test_the_environment_s_address_is_not_that_of_every_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the first target's alone, and the settings see to that; the package would take it for each."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    at, _, _ = await head_of(Target("m"))
    assert at.host == "api.openai.com"


@pytest.mark.parametrize("provider", ["groq", "azure"])
async def test_what_the_environment_says_of_openai_is_not_told_to_others(
    provider: ProviderName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-secret")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Secret: secret")
    target = Target("m", provider=provider, base_url="https://x.example/v1", api_version="1", headers={"X-Own": "own"})
    _, _, headers = await head_of(target)
    assert "secret" not in str(headers)
    assert headers["x-own"] == "own"
