"""The environment, read once into Settings."""

import difflib
import types
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from service.settings import SECRETS, Settings, SettingsError

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
_NO_VARIABLES = {"other_keys", "is_on_fly"}


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
            shown = "is set to something else" if field in SECRETS else f"is {text!r}"
            raise SettingsError(f"{variable_of(field)} must be {_wanted(hints[field])}, but {shown}.") from error
    is_on_fly = bool(environ.get("FLY_APP_NAME"))
    if is_on_fly:
        values.setdefault("metrics_host", "0.0.0.0")  # noqa: S104 - a machine there is reached by those who may, alone
    keys = {name: key for name, key in environ.items() if name.endswith("_API_KEY") and name not in _OWN_NAMES.values()}
    return Settings(**values, other_keys=keys, is_on_fly=is_on_fly)


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
