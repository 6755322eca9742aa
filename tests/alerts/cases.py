"""For each alert a service that must raise it and one that must not."""

from tests.alerts.cases_agents import AGENT_CASES
from tests.alerts.series import Case, announced, attempts, ended, turns, within

LATELY = 665
"""Quarters of an hour, a little less than a week: what comes then is compared with the beginning."""

CASES = AGENT_CASES | {
    "CueboxFirstWordsBudgetFastBurn": Case(
        sick=(turns("0+1x60", in_time="0+0.6x60"), turns("0+0.6x60", in_time="0+0.6x60", failed="0+0.4x60")),
        well=(
            turns("0+1x60", in_time="0+0.7x60"),
            turns("0+0.6x60", in_time="0+0.3x60"),  # too few
            turns("0+1x60", in_time="0+1x18 18.6+0.6x40"),  # it has only begun
            turns("0+2x60", in_time="0+0.8x20 17.7+1.7x40"),  # it is over
        ),
        steps=32,
    ),
    "CueboxFirstWordsBudgetSlowBurn": Case(
        sick=(turns("0+1x400", in_time="0+0.79x400"), turns("0+0.3x400", in_time="0+0.2x400")),
        well=(
            turns("0+1x400", in_time="0+0.86x400"),
            turns("0+0.12x400", in_time="0+0.06x400"),  # too few
            turns("0+1x400", in_time="0+1x310 310.7+0.7x90"),  # it has only begun
            turns("0+1x400", in_time="0+0.7x330 231.9+0.9x70"),  # it is over
        ),
        steps=390,
    ),
    "CueboxFirstWordsBudgetTicket": Case(
        sick=(
            turns("0+2x400", in_time="0+2x200 401.84+1.84x200"),  # a day of 8 %
            turns("0+2x400", in_time="0+1.88x400"),  # days of 6 %
        ),
        well=(
            turns("0+2x400", in_time="0+1.92x400"),
            turns("0+0.3x400", in_time="0+0.27x400"),  # too few
            turns("0+2x400", in_time="0+2x226 453.84+1.84x80"),  # it has only begun
            turns("0+2x400", in_time="0+1.8x260 469.94+1.94x40"),  # it is over
        ),
        steps=298,
        minutes=15,
    ),
    "CueboxSlowTurnsLowTraffic": Case(
        sick=(
            turns("0 0 1 2 3 4 5 6 6x20", in_time="0 0 1 2 2 2x20", bearable="0 0 1 2 2 2x20"),
            turns("0 0 1 2 2 2x20", in_time="0 0 1 2 2 2x20", failed="0 0 0 1 2 3 3x20"),
        ),
        well=(
            turns("0 0 1 2 2 2 2x20", in_time="0 0 0 0 0 0 0x20", bearable="0 0 0 0 0 0 0x20"),
            turns("0+3x30", in_time="0+3x8 25+2x20", bearable="0+3x8 25+2x20"),  # percentages say more
        ),
        steps=14,
    ),
    "CueboxOverheadBudgetBurn": Case(
        sick=(
            within("overhead_seconds", "0.05", "0+4x300 1203.84+3.84x100", "0+4x400"),  # an hour of 4 %
            within("overhead_seconds", "0.05", "0+3.9x400", "0+4x400"),  # hours of 2.5 %
        ),
        well=(
            within("overhead_seconds", "0.05", "0+3.95x400", "0+4x400"),
            within("overhead_seconds", "0.05", "0+0.45x400", "0+0.5x400"),  # too few
            within("overhead_seconds", "0.05", "0+1x300 300.94+0.94x100", "0+1x400"),  # too few in the hour
            within("overhead_seconds", "0.05", "0+4x355 1423.76+3.76x50", "0+4x400"),  # it has only begun
            within("overhead_seconds", "0.05", "0+4x310 1243.88+3.88x90", "0+4x400"),  # the same, for hours
            within("overhead_seconds", "0.05", "0+4x300 1203.76+3.76x44 1373.12+3.952x60", "0+4x400"),  # it is over
            within("overhead_seconds", "0.05", "0+3.7x310 1150.96+3.96x90", "0+4x400"),  # the same, after hours
        ),
        steps=370,
    ),
    "CueboxTurnFailures": Case(
        sick=(
            ended("0+11x30", failed="0+1x30")
            | {'turn_failures_total{reason="RateLimited"}': "0+1x30", 'turn_failures_total{reason="stalled"}': "0x30"},
        ),
        well=(
            ended("0+32x30", failed="0+1x30") | {'turn_failures_total{reason="RateLimited"}': "0+1x30"},
            ended("0 1 2 2x30", failed="0 1 2 2x30") | {'turn_failures_total{reason="timeout"}': "0 1 2 2x30"},
        ),
        steps=10,
        label='reason="RateLimited"',
    ),
    "CueboxSpokenFallbacks": Case(
        sick=(ended("0+4x60") | {'turn_fallbacks_total{line="apology"}': "0 1 2 3 3x60"},),
        well=(
            ended("0+20x60") | {'turn_fallbacks_total{line="apology"}': "0 1 2 3 3x60"},
            ended("0+4x60") | {'turn_fallbacks_total{line="apology"}': "0 1 2 2x60"},
            ended("0+0.8x60") | {'turn_fallbacks_total{line="apology"}': "0 1 2 3 3x60"},  # too few
        ),
        steps=50,
    ),
    "CueboxInterruptRateHigh": Case(
        sick=(
            ended("0+20x700", interrupted=f"0+2x{LATELY} 1335+5x30"),
            ended(f"0+2x{LATELY} 1350+20x30", interrupted=f"0+4x{LATELY} 2665+5x30"),  # last week had too few
        ),
        well=(
            ended("0+88x700", interrupted=f"0+2x{LATELY} 1335+12x30"),
            ended("0+20x700", interrupted=f"0+4x{LATELY} 2665+5x30"),  # as last week
            ended("0+7x700", interrupted=f"0+1x{LATELY} 667+4x30"),  # too few
        ),
        steps=LATELY + 14,
        minutes=15,
    ),
    "CueboxCancelSlow": Case(
        sick=(within("cancel_to_silence_seconds", "0.1", "0+0.9x60", "0+1x60"),),
        well=(
            within("cancel_to_silence_seconds", "0.1", "0+0.97x60", "0+1x60"),
            within("cancel_to_silence_seconds", "0.1", "0+0.1x60", "0+0.25x60"),  # too few
        ),
        steps=45,
    ),
    "CueboxModelRejected": Case(
        sick=({'turn_failures_total{reason="KeyRejected"}': "0 0 1 2 2x30"},),
        label='reason="KeyRejected"',
        well=(
            {'turn_failures_total{reason="KeyRejected"}': "0 0 1 1 1x30"},
            {'turn_failures_total{reason="Unreachable"}': "0+1x30"},
        ),
        steps=6,
    ),
    "CueboxModelTargetRejected": Case(
        sick=({'model_errors_total{target="first",error="QuotaExhausted"}': "0 0 0 1 1 1 1x30"},),
        well=(
            {
                'model_errors_total{target="first",error="RateLimited"}': "0 0 0 1 1 1 1x30",
                'model_errors_total{target="first",error="KeyRejected"}': "0x30",
            },
        ),
        steps=6,
        label='error="QuotaExhausted"',
    ),
    "CueboxModelErrors": Case(
        sick=(attempts("0+7x30", failed="0+1x30", error="ServerFailed"),),
        well=(
            attempts("0+11x30", failed="0+1x30", error="ServerFailed"),
            attempts("0 2 4 4x30", failed="0 2 4 4x30", error="ServerFailed"),  # too few
        ),
        steps=9,
        label='error="ServerFailed"',
    ),
    "CueboxBreakerOpen": Case(
        sick=({'model_breaker_state{target="first"}': "0 0 2 1 2 2 1 2 2 2"},),
        well=({'model_breaker_state{target="first"}': "0 0 2 0 0 1 0 0 0 0"},),
        steps=9,
    ),
    "CueboxCostDoubled": Case(
        sick=({'model_cost_dollars_total{target="first",model="m"}': f"0+0.2x{LATELY} 134+0.5x30"},),
        well=(
            {'model_cost_dollars_total{target="first",model="m"}': f"0+0.4x{LATELY} 267+0.6x30"},
            {'model_cost_dollars_total{target="first",model="m"}': f"0+0.02x{LATELY} 14+0.2x30"},  # too little
        ),
        steps=LATELY + 14,
        minutes=15,
    ),
    "CueboxPlatformFailures": Case(
        sick=(
            {
                'platform_calls_total{disconnection_reason="user_hangup"}': "0+11x30",
                'platform_calls_total{disconnection_reason="error_llm_websocket_open"}': "0+1x30",
                'platform_calls_total{disconnection_reason="error_llm_websocket_runtime"}': "0x30",
            },
        ),
        well=(
            {
                'platform_calls_total{disconnection_reason="user_hangup"}': "0+32x30",
                'platform_calls_total{disconnection_reason="error_llm_websocket_open"}': "0+1x30",
            },
            {
                'platform_calls_total{disconnection_reason="user_hangup"}': "0 1 2 2x30",
                'platform_calls_total{disconnection_reason="error_llm_websocket_open"}': "0 1 2 2x30",
            },
            {
                'platform_calls_total{disconnection_reason="user_hangup"}': "0+3x30",
                'platform_calls_total{disconnection_reason="error_other"}': "0+1x30",
            },
        ),
        steps=10,
        label='disconnection_reason="error_llm_websocket_open"',
    ),
    "CueboxPlatformFailures: no line": Case(
        sick=(announced("0 1 2 3 4 5 5x30", missed="0 1 2 3 3x30", came="0 0 0 1 2 2 2x30"),),
        well=(
            announced("0 1 2 2x30", missed="0 1 2 2x30", came="0x30"),  # too few
            announced("0+4x30", missed="0+3x30", came="0+4x30"),  # they came to other machines
        ),
        steps=10,
    ),
    "CueboxCallsVanished": Case(
        sick=({'calls_total{result="accepted"}': f"0+10x{LATELY} 6652+1.5x30"},),
        well=(
            {'calls_total{result="accepted"}': f"0+10x{LATELY} 6653+2.5x30"},
            {'calls_total{result="accepted"}': f"0+4x{LATELY} 2660+0x30"},  # a quiet hour last week, too
            {
                'calls_total{result="accepted"}': f"0+10x{LATELY} 6652+1.5x30",
                'build_info{version="1"}': f"_x{LATELY + 11} 1x30",  # nobody watched an hour ago
            },
        ),
        steps=LATELY + 14,
        minutes=15,
    ),
    "CueboxCallsRefused": Case(
        sick=({'calls_total{result="accepted"}': "0+3x30", 'calls_total{result="refused_path"}': "0+1x30"},),
        well=(
            {'calls_total{result="accepted"}': "0+6x30", 'calls_total{result="refused_path"}': "0+1x30"},
            {'calls_total{result="accepted"}': "0 1 2 2x30", 'calls_total{result="refused_path"}': "0 1 2 2x30"},
        ),
        label='result="refused_path"',
        steps=9,
    ),
    "CueboxAbnormalCloses": Case(
        sick=(
            {
                'lines_closed_total{initiator="platform",reason="normal"}': "0+3x30",
                'lines_closed_total{initiator="us",reason="fault"}': "0+1x30",
                'lines_closed_total{initiator="us",reason="silent"}': "0x30",
            },
        ),
        well=(
            {
                'lines_closed_total{initiator="platform",reason="normal"}': "0+6x30",
                'lines_closed_total{initiator="us",reason="fault"}': "0+1x30",
            },
            {
                'lines_closed_total{initiator="platform",reason="normal"}': "0 1 2 2x30",
                'lines_closed_total{initiator="us",reason="fault"}': "0 1 2 2x30",
            },
            {
                'lines_closed_total{initiator="platform",reason="going_away"}': "0+1x30",
                'lines_closed_total{initiator="us",reason="replaced"}': "0+1x30",
            },
        ),
        steps=10,
        label='reason="fault"',
    ),
    "CueboxPongsLate": Case(
        sick=({"pongs_late_total": "0 1 2 3 3x30"},), well=({"pongs_late_total": "0 0 1 2 2x30"},), steps=10
    ),
    "CueboxAssumptionBroken": Case(
        sick=({'assumptions_broken_total{assumption="A9"}': "0 0 0 1 1x30"},),
        well=({'assumptions_broken_total{assumption="A9"}': "0x30"},),
    ),
    "CueboxEventLoopStalled": Case(
        sick=({"event_loop_stall_max_seconds": "0 2 1.2 1.2 2 2"},),
        well=({"event_loop_stall_max_seconds": "0.9x30"}, {"event_loop_stall_max_seconds": "0 2 0 0 2 0"}),
        steps=5,
    ),
    "CueboxEventLoopLag": Case(
        sick=(within("event_loop_lag_seconds", "0.1", "0+98x40", "0+100x40"),),
        well=(within("event_loop_lag_seconds", "0.1", "0+99.5x40", "0+100x40"),),
    ),
    "CueboxRestarting": Case(
        sick=({"process_start_time_seconds": "1 1 2 3 4 5 5x30"},),
        well=({"process_start_time_seconds": "1 1 2 2 3 4 4x30"},),
        steps=20,
    ),
    "CueboxCapacity": Case(
        sick=({"calls_open": "300 420 410x30", "calls_limit": "500x30"},),
        well=(
            {"calls_open": "400x30", "calls_limit": "500x30"},
            {"calls_open": "300 420 420 390 420x1 300x30", "calls_limit": "500x30"},  # for a moment
        ),
        steps=5,
    ),
    "CueboxDrainCutsCalls": Case(
        sick=({"calls_open": "2x30", "drain_seconds_left": "_x6 200 140 80 20 _x30"},),
        well=(
            {"calls_open": "2x30", "drain_seconds_left": "NaN NaN NaN NaN NaN NaN NaN"},
            {"calls_open": "2 2 2 1 0 0x30", "drain_seconds_left": "NaN NaN 200 140 80 20 0x30"},
            {"calls_open": "9x30", "drain_seconds_left": "7000-60x30"},
        ),
        steps=11,
    ),
    "CueboxSpansDropped": Case(
        sick=({'spans_total{result="failed"}': "0 0 128 128x30"},),
        well=({'spans_total{result="exported"}': "0+9x30"},),
        label='result="failed"',
        steps=6,
    ),
    "CueboxTelemetryFailing": Case(
        sick=({'telemetry_failures_total{part="traces"}': "0 0 1 1x30"},),
        well=({'telemetry_failures_total{part="traces"}': "0x30"},),
        steps=6,
    ),
    "CueboxMetricsAbsent": Case(sick=({'build_info{version="1"}': "1 1 1 _x30"},), well=({},)),
}
"""All but the watchdog, which always fires."""
