"""The environment, read once into one frozen object. README's table of settings is made from this file."""

import difflib
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

_OWN_NAMES = {
    "host": "HOST",
    "port": "PORT",
    "openai_api_key": "OPENAI_API_KEY",
    "openai_base_url": "OPENAI_BASE_URL",
    "retell_api_key": "RETELL_API_KEY",
    "otlp_endpoint": "OTEL_EXPORTER_OTLP_ENDPOINT",
    "otel_disabled": "OTEL_SDK_DISABLED",
    "capture_content": "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
}
_SECRETS = {"openai_api_key", "retell_api_key", "other_keys"}
_NO_VARIABLES = {"other_keys"}


class Settings(Struct, frozen=True):
    """What an operator may set. Times are seconds."""

    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535, description="Port to listen on.")] = 8080
    agent: Annotated[
        str | None,
        Meta(
            description="Which agent answers, `receptionist` unless set; or shares of the calls, such as `a:95,b:5`. "
            "An address may name another of these or of `CUEBOX_AGENTS_DIR`: `/llm-websocket/{agent}/{call_id}`."
        ),
    ] = None
    agents_dir: Annotated[
        str | None, Meta(description="Folder of your own agents' folders. They win over those that come along.")
    ] = None
    cache_dir: Annotated[
        str | None,
        Meta(description="Folder for built indexes of knowledge, for a fast start with thousands of passages."),
    ] = None
    dev: Annotated[
        bool,
        Meta(
            description="Development, as `make run` has it: agents follow their files with the next call, and may go "
            "without a key."
        ),
    ] = False
    openai_api_key: Annotated[
        str | None, Meta(description="Key of the model endpoint. Other targets' keys stand in variables of their own.")
    ] = None
    openai_base_url: Annotated[
        str | None, Meta(description="Address of its endpoint, if it is not the provider's own.")
    ] = None
    model: Annotated[
        str | None,
        Meta(description="Name of the model, instead of the first in the agent's `agent.toml`."),
    ] = None
    timezone: Annotated[str, Meta(description="Zone of the date that the agent is told, such as `Europe/Berlin`.")] = (
        "UTC"
    )
    greeting_wait: Annotated[
        float, Meta(ge=0, le=5, description="How long the greeting waits for the call details.")
    ] = 0.3
    turn_budget: Annotated[
        float,
        Meta(
            gt=0,
            le=300,
            description="The longest that an answer may take, all in all; a slow start is noticed earlier.",
        ),
    ] = 25.0
    reconnect_window: Annotated[
        float, Meta(ge=0, le=3600, description="How long a call is remembered after its line closed.")
    ] = 60.0
    max_frame_bytes: Annotated[
        int, Meta(ge=65536, le=2**30, description="Largest frame taken in; a larger one ends its line.")
    ] = 16 * 2**20
    retell_api_key: Annotated[
        str | None,
        Meta(description="Retell's key with the webhook badge; two, by a comma, while it changes. None: no webhooks."),
    ] = None
    retell_auto_reconnect: Annotated[
        bool, Meta(description="Ask Retell for pings, and to dial again when a line breaks.")
    ] = True
    retell_call_details: Annotated[bool, Meta(description="Ask Retell for the call's details.")] = True
    retell_transcript_with_tool_calls: Annotated[
        bool, Meta(description="Ask Retell for tool calls, pressed digits and notes in the transcript.")
    ] = True
    log_content: Annotated[
        bool, Meta(description="Log what caller and agent say. Calls whose storage setting forbids it stay unlogged.")
    ] = False
    log_format: Annotated[
        Literal["auto", "json", "pretty"], Meta(description="`auto` is `pretty` on a terminal and `json` elsewhere.")
    ] = "auto"
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Least level logged.")] = "info"
    metrics_port: Annotated[
        int,
        Meta(ge=0, le=65535, description="Port on which Prometheus finds the metrics, under `/metrics`; 0 for none."),
    ] = 9091
    metrics_host: Annotated[
        str,
        Meta(
            description="Address of that port. Where `FLY_APP_NAME` is set, all addresses unless this says otherwise."
        ),
    ] = "127.0.0.1"
    prices: Annotated[
        str | None,
        Meta(description="File of what models cost, instead of the one in `service/observability/prices.toml`."),
    ] = None
    otlp_endpoint: Annotated[
        str | None,
        Meta(
            description="Where spans go, over OTLP/HTTP, such as `http://127.0.0.1:4318`; unset for no traces. "
            "Other `OTEL_*` variables (headers, service name, resource attributes) work as usual.",
        ),
    ] = None
    otel_disabled: Annotated[bool, Meta(description="No traces all the same.")] = False
    trace_share: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            title="a share",
            description="Share of the turns that are traced, beside those that failed, were slow or interrupted, "
            "and one in ten seconds; 0 for those that went wrong alone.",
        ),
    ] = 0.05
    capture_content: Annotated[
        str | None,
        Meta(
            description="`span_only` puts what caller and agent say on the spans. Calls whose storage setting forbids "
            "it stay without."
        ),
    ] = None
    other_keys: dict[str, str] = msgspec.field(default_factory=dict)
    """Every other variable whose name ends in `_API_KEY`: agents name theirs in their targets."""

    @property
    def is_traced(self) -> bool:
        """Whether spans are sent."""
        return self.otlp_endpoint is not None and not self.otel_disabled

    @property
    def captures_content(self) -> bool:
        """Whether spans carry words: true and false are what the variable took before it was refined."""
        return (self.capture_content or "").lower() in ("span_only", "span_and_event", "true")

    @property
    def webhook_keys(self) -> tuple[str, ...]:
        """The keys that may have signed a webhook."""
        return tuple(key.strip() for key in (self.retell_api_key or "").split(",") if key.strip())

    def __repr__(self) -> str:
        shown = {
            name: "…" if name in _SECRETS and value else value for name, value in msgspec.structs.asdict(self).items()
        }
        return f"Settings({shown})"


class SettingsError(Exception):
    """A setting that cannot be used. The message is one plain sentence that says what to set."""


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the environment. An empty variable counts as unset. Raises SettingsError."""
    values: dict[str, Any] = {}
    hints = get_type_hints(Settings, include_extras=True)
    for field in _variable_fields():
        text = environ.get(variable_of(field), "").strip()
        if not text:
            continue
        try:
            values[field] = msgspec.convert(text, hints[field], strict=False)
        except msgspec.ValidationError as error:
            shown = "is set to something else" if field in _SECRETS else f"is {text!r}"
            raise SettingsError(f"{variable_of(field)} must be {_wanted(hints[field])}, but {shown}.") from error
    if environ.get("FLY_APP_NAME"):
        values.setdefault("metrics_host", "0.0.0.0")  # noqa: S104 - a machine there is reached by those who may, alone
    keys = {name: key for name, key in environ.items() if name.endswith("_API_KEY") and name not in _OWN_NAMES.values()}
    return Settings(**values, other_keys=keys)


def unknown_variables(environ: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each `CUEBOX_*` variable that means nothing here."""
    known = [variable_of(field) for field in _variable_fields()]
    for name in sorted(environ):
        if name.startswith("CUEBOX_") and name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
            yield f"{name} is not a setting" + (f"; did you mean {close[0]}?" if close else ".")


def variable_of(field: str) -> str:
    """The environment variable of a field."""
    return _OWN_NAMES.get(field) or f"CUEBOX_{field.upper()}"


def settings_table() -> str:
    """The settings as a Markdown table."""
    hints = get_type_hints(Settings, include_extras=True)
    rows = ["| Variable | Default | Meaning |", "|---|---|---|"]
    for field in (field for field in msgspec.structs.fields(Settings) if field.name not in _NO_VARIABLES):
        meta = next(part for part in get_args(hints[field.name]) if isinstance(part, Meta))
        default = (
            ""
            if field.default is None
            else f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"
        )
        rows.append(f"| `{variable_of(field.name)}` | {default} | {meta.description} |")
    return "\n".join(rows)


def _variable_fields() -> list[str]:
    return [field for field in Settings.__struct_fields__ if field not in _NO_VARIABLES]


def _wanted(hint: Any) -> str:  # a type, as typing builds them
    kind, *metas = get_args(hint)
    if get_origin(kind) is Literal:
        return " or ".join(get_args(kind))
    if isinstance(kind, types.UnionType):
        kind = get_args(kind)[0]
    words = {int: "a whole number", float: "a number of seconds", bool: "true or false", str: "text"}[kind]
    meta = metas[0]
    words = meta.title or words
    bounds = [("at least", meta.ge), ("more than", meta.gt), ("at most", meta.le)]
    return " ".join([words, " and ".join(f"{word} {bound}" for word, bound in bounds if bound is not None)]).strip()
