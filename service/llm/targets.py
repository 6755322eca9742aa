"""Which models an agent asks, and where: the `[[targets]]` of its agent.toml, in the order of preference."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field, structs

ProviderName = Literal["openai", "azure", "openrouter", "groq", "ollama", "vllm", "llama.cpp"]


class _Usual(NamedTuple):
    base_url: str
    key: str
    """The variable of the key; empty for none."""


_PROVIDERS: dict[ProviderName, _Usual] = {
    "openai": _Usual("https://api.openai.com/v1", "OPENAI_API_KEY"),
    "azure": _Usual("", "AZURE_OPENAI_API_KEY"),
    "openrouter": _Usual("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "groq": _Usual("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "ollama": _Usual("http://127.0.0.1:11434/v1", ""),
    "vllm": _Usual("http://127.0.0.1:8000/v1", ""),
    "llama.cpp": _Usual("http://127.0.0.1:8080/v1", ""),
}
_OURS = {"model", "messages", "stream", "stream_options", "tools", "tool_choice", "n"}


class TargetError(ValueError):
    """A target that cannot be used. The message is one plain sentence that says what to set."""


class Target(Struct, frozen=True, forbid_unknown_fields=True):
    """One model at one address."""

    model: Annotated[str, Meta(min_length=1)]
    """The model's name as the endpoint spells it; of Azure, the deployment's."""
    provider: ProviderName = "openai"
    """Which usual address and key variable hold; `openai` with a base_url for whatever is not named here."""
    name: str = ""
    """What it is called in logs and metrics; the model's name unless given."""
    base_url: Annotated[str, Meta(pattern=r"^https?://[^/\s]+")] | None = None
    key: Annotated[str, Meta(pattern=r"^([A-Z0-9_]+_API_KEY)?$")] | None = None
    """The variable that holds the key, never the key; "" for an endpoint that wants none."""
    api_version: str | None = None
    """Azure's."""
    organization: str | None = None
    project: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with each request, beside the usual ones."""
    options: dict[str, Any] = field(default_factory=dict)
    """Fields of the request as they stand: temperature, max_completion_tokens, reasoning_effort, service_tier."""
    counts_tokens: bool = True
    """Whether to ask for the token counts of a stream; off for an endpoint that refuses stream_options."""
    strict_tools: bool | None = None
    """Whether the endpoint can hold the model to the tools' schemas; as the provider is known to unless given."""

    def __post_init__(self) -> None:
        if mine := sorted(_OURS & set(self.options)):
            raise ValueError(f"options cannot hold {', '.join(mine)}: Cuebox sends its own")
        if self.provider == "azure" and not (self.base_url and self.api_version):
            raise ValueError("a target of azure needs its base_url (https://NAME.openai.azure.com) and api_version")
        if not all(text.isascii() and text.isprintable() for header in self.headers.items() for text in header):
            raise ValueError("headers are of plain ASCII, without line breaks")

    @property
    def label(self) -> str:
        return self.name or self.model

    @property
    def address(self) -> str:
        return self.base_url or _PROVIDERS[self.provider].base_url

    @property
    def has_strict_tools(self) -> bool:
        """Of `openai` only at its own addresses: elsewhere nobody knows."""
        if self.strict_tools is not None:
            return self.strict_tools
        host = urlsplit(self.address).hostname or ""
        return self.provider == "azure" or (self.provider == "openai" and f".{host}".endswith(".api.openai.com"))

    @property
    def key_variable(self) -> str:
        return _PROVIDERS[self.provider].key if self.key is None else self.key


def overridden(targets: Sequence[Target], model: str | None, base_url: str | None) -> list[Target]:
    """The targets with what the environment says of the first. Raises TargetError for two of one name."""
    first, *rest = targets or [Target("gpt-4.1")]
    changes = {"model": model or first.model, "base_url": base_url or first.base_url}
    chosen = [structs.replace(first, **changes), *rest]
    labels = [target.label for target in chosen]
    if twice := next((label for label in labels if labels.count(label) > 1), None):
        raise TargetError(f"two targets are called {twice!r}: give one of them a name of its own.")
    return chosen


def key_of(target: Target, keys: Mapping[str, str]) -> str:
    """The target's key. Raises TargetError when its variable is not set."""
    variable = target.key_variable
    if not variable:
        return "none"
    if not (key := keys.get(variable, "").strip()):
        raise TargetError(f"the target {target.label!r} needs its key: set {variable}.")
    return key
