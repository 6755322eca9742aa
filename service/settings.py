"""What an operator may set: one frozen object, that `environment` reads. README's table of settings is made from it."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

SECRETS = {"openai_api_key", "retell_api_key", "path_secret", "other_keys"}


class Settings(Struct, frozen=True):
    """What an operator may set. Times are seconds."""

    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535, description="Port to listen on.")] = 8080
    path_secret: Annotated[
        str | None,
        Meta(
            description="A long random word: lines are taken at `/llm-websocket/{secret}[/{agent}]/{call_id}` alone. "
            "Two, by a comma, while it changes."
        ),
    ] = None
    allowed_ips: Annotated[
        str | None,
        Meta(
            description="Addresses and networks that lines are taken from, by commas; `retell` is Retell's own. "
            "Webhooks need none: they are signed."
        ),
    ] = None
    trusted_proxies: Annotated[
        str | None,
        Meta(
            description="Addresses and networks of your own proxies, whose `X-Forwarded-For` is believed. Fly.io's is "
            "on its machines, without this."
        ),
    ] = None
    open: Annotated[
        bool, Meta(description="Let anybody call, though `HOST` can be reached from elsewhere and nothing guards it.")
    ] = False
    max_calls: Annotated[int, Meta(ge=1, le=100_000, description="How many calls there may be at once.")] = 500
    when_full: Annotated[
        Literal["refuse", "busy"],
        Meta(
            description="What one more gets: `refuse` is HTTP 503, so that the platform tries again elsewhere; "
            "`busy` is a spoken line (`busy` in the agent's `[lines]`), and a hang-up."
        ),
    ] = "refuse"
    max_turns: Annotated[
        int,
        Meta(
            ge=0,
            description="Turns of a call, after which it is ended with a line (`limit` in `[lines]`). As for each of "
            "the following, 0 is for no limit.",
        ),
    ] = 2000
    max_call_seconds: Annotated[
        float, Meta(ge=0, description="How long a call may last in this process, in seconds, likewise.")
    ] = 7200.0
    max_call_dollars: Annotated[
        float,
        Meta(ge=0, title="a number", description="What a call's models may cost by the table of prices, likewise."),
    ] = 10.0
    caller_calls_per_hour: Annotated[
        int,
        Meta(
            ge=0,
            description="Calls from one number in an hour, on this machine, likewise. Numbers are kept as hashes only.",
        ),
    ] = 0
    caller_turns_per_hour: Annotated[
        int, Meta(ge=0, description="Turns of the calls from one number in an hour, on this machine, likewise.")
    ] = 0
    max_frames_per_second: Annotated[
        int,
        Meta(
            ge=0,
            description="Frames that a line may bring in for long, ten seconds' worth of them at once. More are "
            "dropped, and then the line is cut.",
        ),
    ] = 100
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
    drain_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=7200,
            description="How long calls may go on after SIGTERM or SIGINT; then their lines are cut, and the platform "
            "dials another machine. Whoever kills the process must wait 15 s longer.",
        ),
    ] = 280.0
    idle_exit_seconds: Annotated[
        float, Meta(ge=0, description="End the process, with exit code 0, after so long without any call; 0 for never.")
    ] = 0.0
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
    record_dir: Annotated[
        str | None,
        Meta(
            description="Folder for recordings of calls, their frames and model streams, for `cuebox replay`; unset "
            "for none. They hold what is said. Calls whose storage setting forbids it stay unrecorded."
        ),
    ] = None
    record_numbers: Annotated[
        bool, Meta(description="Keep digits and numbers in recordings; else every digit there is a 1.")
    ] = False
    record_max_mb: Annotated[
        float,
        Meta(gt=0, title="a number", description="Megabytes of recordings, after which the oldest are removed."),
    ] = 1000.0
    record_days: Annotated[
        float, Meta(gt=0, title="a number", description="Days after which a recording is removed.")
    ] = 14.0
    control_socket: Annotated[
        str | None,
        Meta(
            description="Path of the Unix socket for `cuebox ctl`, which its owner alone may open; `off` for none. "
            "`cuebox-$PORT.sock` in `$XDG_RUNTIME_DIR`, or among the temporary files, unless set."
        ),
    ] = None
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
    is_on_fly: bool = False
    """Whether this is a machine of Fly.io's, behind its proxy."""

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
            name: "…" if name in SECRETS and value else value for name, value in msgspec.structs.asdict(self).items()
        }
        return f"Settings({shown})"


class SettingsError(Exception):
    """A setting that cannot be used. The message is one plain sentence that says what to set."""
