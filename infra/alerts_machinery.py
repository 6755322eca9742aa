"""Alerts on what answers them: models, the platform's lines, our machines, telemetry itself."""

from collections.abc import Iterator

from infra.alert import MODEL, PLATFORM, Alert, total
from infra.slo import Slo


def model(slo: Slo) -> Iterator[Alert]:
    """Targets that refuse, fail, are left alone, or cost more than they did."""
    rejected = 'turn_failures_total{reason=~"KeyRejected|QuotaExhausted"}'
    refused = 'model_errors_total{error=~"KeyRejected|QuotaExhausted"}'
    yield Alert(
        "CueboxModelRejected",
        f"{total(rejected, '10m', 'app, reason')} > 1.5",
        "Callers hear apologies: the model's endpoint says {{ $labels.reason }}",
        "No other target answered in its place. This does not heal by itself: a key was revoked, or the account is empty.",
        severity="page",
        board=MODEL,
    )
    yield Alert(
        "CueboxModelTargetRejected",
        f"{total(refused, '15m', 'app, target, error')} > 0.5",
        "Target {{ $labels.target }} refuses us: {{ $labels.error }}",
        "Its breaker is open and other targets answer, if there are any: callers may not notice, but the reserve is gone.",
        keep="15m",
        board=MODEL,
    )
    errors, tried = (
        total("model_errors_total", "10m", "app, target"),
        'model_attempts_total{result=~"answered|failed|lost"}',
    )
    yield Alert(
        "CueboxModelErrors",
        f"{total('model_errors_total', '10m', 'app, target, error')} > 0.5\nand on (app, target) {errors} > 4.5\n"
        f"and on (app, target) {errors} / {total(tried, '10m', 'app, target')} > 0.1",
        "Target {{ $labels.target }} fails: {{ $labels.error }} {{ $value | humanize }} times in ten minutes",
        "More than 10 % of the attempts at this target failed. Hedges, retries and other targets may have saved the turns.",
        hold="2m",
        board=MODEL,
    )
    yield Alert(
        "CueboxBreakerOpen",
        "max by (app, target) (max_over_time(cuebox_model_breaker_state[1m])) == 2",
        "Target {{ $labels.target }} is left alone: its breaker is open",
        "Half of its recent attempts failed, or it said to come back later. One real turn tries it now and then.",
        hold="2m",
        board=MODEL,
    )
    cost = "model_cost_dollars_total"
    yield Alert(
        "CueboxCostDoubled",
        f"{total(cost, '1h')} > {slo.cost.growth:g} * {total(cost, '1h offset 1w')}\nand {total(cost, '1h')} > {slo.cost.dollars:g}",
        "The model cost ${{ $value | humanize }} in the last hour",
        f"More than {slo.cost.growth:g} times the same hour last week, by the price table.",
        hold="5m",
        keep="30m",
        board=MODEL,
    )


def platform() -> Iterator[Alert]:
    """Calls that do not come, do not stay, or do what was not expected."""
    broken, calls = 'platform_calls_total{disconnection_reason=~"error_llm_websocket_.*"}', "platform_calls_total"
    accepted = 'calls_total{result="accepted"}'
    announced = 'webhooks_total{event="call_started",result="accepted"}'
    yield Alert(
        "CueboxPlatformFailures",
        f"({total(broken, '15m', 'app, disconnection_reason')} > 0.5\nand on (app) {total(broken, '15m')} > 2.5\n"
        f"and on (app) {total(broken, '15m')} / {total(calls, '15m')} > 0.05)\n"
        # one machine is told of a call, another may have its line: all in all, as many should come as are announced
        f"or ({total('platform_calls_without_line_total', '15m')} > 2.5\n"
        f"and {total(announced, '15m')} - {total(accepted, '15m')} > 2.5)",
        "The platform gave up {{ $value | humanize }} calls: {{ or $labels.disconnection_reason `no line reached us` }}",
        "By the platform's own account calls end because of the connection to us, or begin without one.",
        severity="page",
        board=PLATFORM,
    )
    yield Alert(
        "CueboxCallsVanished",
        f"{total(accepted, '1h')} < 0.2 * {total(accepted, '1h offset 1w')}\nand {total(accepted, '1h offset 1w')} > 19.5\n"
        "and on (app) count by (app) (cuebox_build_info offset 1h)",
        "Only {{ $value | humanize }} calls in the last hour",
        "Fewer than a fifth of the same hour last week. We run, but nobody is put through.",
        severity="page",
        hold="15m",
        keep="15m",
        board=PLATFORM,
    )
    refused = 'calls_total{result!="accepted"}'
    yield Alert(
        "CueboxCallsRefused",
        f"{total(refused, '10m', 'app, result')} > 2.5\nand on (app) {total(refused, '10m')} / {total('calls_total', '10m')} > 0.2",
        "{{ $value | humanize }} lines were refused in ten minutes: {{ $labels.result }}",
        "More than a fifth of the lines that were dialled in were not taken.",
        board=PLATFORM,
    )
    odd = 'lines_closed_total{reason=~"protocol|too_large|flooded|abnormal|silent|fault"}'
    yield Alert(
        "CueboxAbnormalCloses",
        f"{total(odd, '15m', 'app, initiator, reason')} > 0.5\nand on (app) {total(odd, '15m')} > 2.5\n"
        f"and on (app) {total(odd, '15m')} / {total('lines_closed_total', '15m')} > 0.2",
        "{{ $value | humanize }} lines ended badly: {{ $labels.reason }}, by {{ $labels.initiator }}",
        "More than a fifth of the lines of the last quarter of an hour were cut, fell silent, broke the protocol, sent far too much or met a fault of ours.",
        board=PLATFORM,
    )
    yield Alert(
        "CueboxPongsLate",
        f"{total('pongs_late_total', '10m', 'app, instance')} > 2.5",
        "{{ $labels.instance }} answered {{ $value | humanize }} pings more than 2 s late",
        "After 5 s without an answer the platform closes the line and dials again; the third time it ends the call.",
        board=PLATFORM,
    )
    yield Alert(
        "CueboxAssumptionBroken",
        f"{total('assumptions_broken_total', '1h', 'app, assumption')} > 0",
        "The platform does what we did not expect: {{ $labels.assumption }}",
        'README\'s table "What we assume of Retell" says what the code relies on and what may go wrong now.',
        keep="1h",
        board=PLATFORM,
    )


def machine() -> Iterator[Alert]:
    """A process that stands still, lags, or starts again and again."""
    yield Alert(
        "CueboxEventLoopStalled",
        "max by (app, instance) (cuebox_event_loop_stall_max_seconds) > 1",
        "{{ $labels.instance }} stood still for {{ $value | humanizeDuration }}",
        "Something blocks the event loop again and again. All calls on this machine stand still with it.",
        severity="page",
        hold="2m",
        board=PLATFORM,
    )
    yield Alert(
        "CueboxEventLoopLag",
        "histogram_quantile(0.99, sum by (app, instance, le) (rate(cuebox_event_loop_lag_seconds_bucket[5m]))) > 0.1",
        "{{ $labels.instance }} is late by {{ $value | humanizeDuration }} (p99)",
        "The event loop has more to do than it can: a busy machine, or code that blocks for a moment.",
        hold="10m",
        keep="15m",
        board=PLATFORM,
    )
    yield Alert(
        "CueboxRestarting",
        "changes(process_start_time_seconds[30m]) > 3\nand on (app, instance) count_over_time(cuebox_build_info[30m])",
        "{{ $labels.instance }} started {{ $value | humanize }} times in half an hour",
        "Each start cuts every call on the machine. Deploys that bring new machines do not count.",
        severity="page",
        board=PLATFORM,
    )


def capacity() -> Iterator[Alert]:
    """A machine that will soon have no room."""
    open_, limit = (f"max by (app, instance) (cuebox_calls_{what})" for what in ("open", "limit"))
    yield Alert(
        "CueboxCapacity",
        f"{open_}\n/ {limit} > 0.8",
        "{{ $labels.instance }} has {{ $value | humanizePercentage }} of the calls that it may have",
        "At 100 % one more call is refused, or told that all lines are busy (CUEBOX_MAX_CALLS, CUEBOX_WHEN_FULL).",
        hold="2m",
        board=PLATFORM,
    )


def drain() -> Iterator[Alert]:
    """Calls that a deploy is about to move."""
    yield Alert(
        "CueboxDrainCutsCalls",
        "max by (app, instance) (cuebox_calls_open) > 0\n"
        "and on (app, instance) max by (app, instance) (cuebox_drain_seconds_left) < 60",
        "{{ $labels.instance }} stops within a minute and has {{ $value | humanize }} calls",
        "It drains, and its time (CUEBOX_DRAIN_SECONDS) is nearly over. Their lines will be cut, and the platform dials another machine.",
        board=PLATFORM,
    )


def telemetry(slo: Slo) -> Iterator[Alert]:
    """What must itself be watched, for the rest to be believed."""
    lost = 'spans_total{result=~"dropped|failed"}'
    yield Alert(
        "CueboxSpansDropped",
        f"{total(lost, '15m', 'app, result')} > 0",
        "{{ $value | humanize }} spans did not reach the trace backend: {{ $labels.result }}",
        "Calls are not touched; traces are missing.",
        keep="15m",
        board=PLATFORM,
    )
    yield Alert(
        "CueboxTelemetryFailing",
        f"{total('telemetry_failures_total', '15m', 'app, part')} > 0",
        "A part of telemetry raised: {{ $labels.part }}",
        "Calls are not touched, but dashboards and alerts that rest on this part say too little.",
        keep="15m",
        board=PLATFORM,
    )
    if not slo.service.scales_to_zero:
        yield Alert(
            "CueboxMetricsAbsent",
            "absent(cuebox_build_info)",
            "No machine tells its metrics",
            "Either no machine runs, or Prometheus cannot reach them. Until it does, no other alert can be trusted.",
            "page",
            hold="5m",
            board=PLATFORM,
        )
    yield Alert(
        "CueboxWatchdog",
        "vector(1)",
        "Alerting works",
        "It always fires. Whoever receives it should ring when it stops.",
        severity="none",
        board=PLATFORM,
    )
